"""Group commit: transactions that the threads which wait at once share.

Compiled because no step may be cut off from the next: Python raises `KeyboardInterrupt` where bytecode runs or something
waits, and between the steps here neither does.
"""
from _thread import get_ident

from ringward.errors import TransactionError
from .commit_queue cimport CommitQueue, Job, clock

NESTED = (
    "this thread is in a handler's transaction on the same file, through another Processor or store: publish through"
    " that one, or after the handler"
)

cdef object _get_ident = get_ident


cdef class GroupCommit:
    """Runs operations in transactions: those of threads that wait at once, in one.

    When an operation in a transaction of several raises, all are undone, and repeated with a savepoint for each, so that it
    fails alone. When the leader is interrupted before the commit, its own operation is undone, and all others go on
    without it.

    Parameters
    ----------
    connection : object
        To a database, as of apsw; the attribute `database` of a subclass is the module whose errors it raises.
    write_lock : FairWriteLock
        Is entered before a transaction; `failed` tells whether nothing may be written any more.
    preallocation : WalPreallocation
        Keeps room in the log of a file that is watched.
    faults : callable
        Called with the name of a point.
    watch : FileWatch, optional
        Tells whether the files are in place, and the locks held.
    """
    cdef readonly object connection
    cdef public object faults
    cdef readonly CommitQueue queue
    cdef public object closed  # the error of whoever wants to write, once nothing is written any more
    cdef readonly object write_lock, watch
    cdef readonly object executemany  # for statements of an operation; nothing of them may be open when it ends
    cdef object _execute, _preallocation, _database, _taken_by
    cdef object _transaction_lock  # whoever took a turn writes with it
    cdef set _late  # threads whose turn another one has cancelled
    cdef Job _turn  # what `take` began
    cdef bint _synchronous, _committed
    cdef readonly double committed_at  # by `perf_counter`; 0: never yet
    cdef public object news  # what rises with each commit that others may want to look at; or None
    cdef public object look  # called at most once a second, after a commit; or None
    cdef double _looked_at
    cdef long long _log_size  # when it was last seen to
    cdef readonly dict remembered  # what operations know of the file, as long as nobody else writes and none is undone
    cdef bytes _head  # of the log's index, after the last commit of ours
    cdef object _total_changes
    cdef long long _changes  # when the transaction began

    def __cinit__(self, *args, **kwargs):
        self.queue = CommitQueue()  # one whose __init__ never ran fails, and crashes nothing
        self._late = set()
        self.remembered = {}

    def __init__(self, connection, write_lock, preallocation, faults, watch=None):
        self.connection = connection
        self.faults = faults
        cursor = connection.cursor()  # one for all: to make one takes as long as a short statement
        self._execute, self.executemany = cursor.execute, cursor.executemany
        self._total_changes = None if watch is None else connection.total_changes
        self.write_lock = write_lock
        self.watch = watch
        self._preallocation = preallocation
        self._database = self.database
        self._synchronous = True

    def run(self, operation, otherwise=None, *, bint sync=True, bint joins=False):
        """Run an operation in a transaction, and return its result when that is committed.

        When it meets a constraint, it is undone and `otherwise` runs in its place. Without `sync` the commit
        survives the death of the process only. An operation that `joins` becomes part of the transaction that the
        same thread has taken.
        """
        cdef Job job = Job(operation, otherwise, sync=sync)
        if self.watch is not None and self.watch.writing_thread == job.thread and self._taken_by != job.thread:
            raise TransactionError(NESTED)
        if self._taken_by is not None and self._taken_by == job.thread:
            if not joins:
                raise TransactionError("inside a handler's transaction the store takes nothing but publish")
            with self._transaction_lock:
                self._perform_in_turn(job)
        elif joins and job.thread in self._late:
            raise TransactionError("the handler's transaction is over: it took too long")
        elif self.queue.join(job):
            try:
                self._commit_waiting(job)
            finally:
                self.queue.pass_on(job)
        if job.error is not None:
            raise job.error
        return job.result

    cdef object _perform_in_turn(self, Job job):
        if self._taken_by != job.thread:
            raise TransactionError("the handler's transaction is over: it took too long")
        try:
            self._perform_apart(job)
        except self._database.Error as error:
            raise self.failure(error) from error
        finally:
            self.remembered.clear()  # the handler may undo it

    cdef object _commit_waiting(self, Job leader):
        cdef list jobs = self.queue.collect(leader)
        cdef Job job
        cdef bint sync = False
        cdef bint over = False
        cdef double took_s = -1
        for job in jobs:
            sync |= job.sync
        self._committed = False
        try:
            try:
                took_s = self._commit_all(jobs, leader, sync)
            except Exception as error:
                failure = self.failure(error)
                # Nothing of the transaction is there, so an operation that had gone well has failed too.
                for job in jobs:
                    job.error = job.error or failure
            over = True
        finally:
            if over or self._committed:
                self.queue.served(jobs, leader, took_s)
            else:
                jobs.remove(leader)
                self.queue.put_back(jobs)

    cdef double _commit_all(self, list jobs, Job leader, bint sync) except? -2:
        """Commit jobs in one transaction; how long that took, if it was synced."""
        cdef double began
        self._begin(sync)
        began = clock()
        try:
            if len(jobs) == 1:
                self._perform_alone(jobs[0])
            else:
                self._perform_together(jobs, leader)
            self._commit()
        except BaseException:
            self._cancel()
            raise
        return clock() - began if sync else -1

    cdef object _perform_together(self, list jobs, Job leader):
        """Without savepoints, as long as nothing is wrong."""
        cdef Job job
        try:
            for job in jobs:
                job.result = job.operation()
        except Exception as error:
            if isinstance(error, self._database.CorruptError):
                raise
            self._begin_again()
            for job in jobs:
                self._perform_apart(job)
            if not isinstance(error, self._database.Error) and all([(<Job>each).error is None for each in jobs]):
                leader.error = error  # of none of them: a signal's handler has raised it in this thread

    cdef object _begin_again(self):
        self.remembered.clear()
        if self.connection.in_transaction:
            self._execute("ROLLBACK")
        self._execute("BEGIN IMMEDIATE")

    cdef object _perform_alone(self, Job job):
        # Without a savepoint, which would copy each page that is written to.
        try:
            job.result = job.operation()
        except self._database.ConstraintError:
            if job.otherwise is None:
                raise
            self._begin_again()
            job.result = job.otherwise()

    cdef object _perform_apart(self, Job job):
        self._execute("SAVEPOINT job")
        try:
            try:
                job.result = job.operation()
            except self._database.ConstraintError:
                if job.otherwise is None:
                    raise
                self.remembered.clear()
                self._execute("ROLLBACK TO job")
                job.result = job.otherwise()
        except Exception as error:
            if isinstance(error, self._database.CorruptError) or not self.connection.in_transaction:
                raise
            self.remembered.clear()
            self._execute("ROLLBACK TO job")
            job.error = self.failure(error)
        self._execute("RELEASE job")

    cdef object _begin(self, bint sync):
        if self.closed is not None:
            raise self.closed.with_traceback(None)  # else it would grow each time
        self.write_lock.enter()
        try:
            if self.write_lock.failed:
                raise self.distrusted()
            if sync != self._synchronous:  # it can't be changed inside a transaction
                self._execute("PRAGMA synchronous = FULL" if sync else "PRAGMA synchronous = NORMAL")
                self._synchronous = sync
            self._execute("BEGIN IMMEDIATE")
            if self.watch is None:
                self.remembered.clear()
            else:
                if not self.watch.stands(self._head):
                    self.remembered.clear()
                self._head = None
                self._changes = self._total_changes()
                if wrong := self.watch.begun():
                    self.displaced(wrong)
                if self.watch.log_size != self._log_size:
                    self._log_size = self.watch.log_size
                    self._preallocation.keep(self._log_size)
        except BaseException:
            self._cancel()
            raise

    cdef object _commit(self):
        try:
            self.faults("commit")
            if self.watch is None:
                self._execute("COMMIT")
                self._committed = True
            else:
                self._commit_watched()
            self.committed_at = clock()
            self.faults("committed")
        except self._database.Error as error:
            if isinstance(error, (self._database.FullError, self._database.ConstraintError, self._database.BusyError)):
                raise  # nothing was synced, so nothing is in doubt
            raise self.condemned(f"a commit failed, so what is on the disk is unknown: {error}") from error
        self.write_lock.leave()
        if self._synchronous and self.news is not None:  # marks and heartbeats are no news
            self.news.tell()
            if self.look is not None and self.committed_at - self._looked_at >= 1:
                self._looked_at = self.committed_at
                self.look()

    cdef object _commit_watched(self):
        """Commit, and be sure that it is in the file under the path, and that nobody else wrote meanwhile."""
        if not self.watch.writing():
            raise self.condemned("somebody else has written in the midst of a transaction")
        self._execute("COMMIT")
        self._committed = True
        self._head = self.watch.committed(self._total_changes() != self._changes)
        if wrong := self.watch.displaced():
            self.displaced(wrong)

    cdef object _cancel(self):
        self.remembered.clear()
        try:
            if self.connection.in_transaction:
                self._execute("ROLLBACK")
        except BaseException:  # where a statement is prepared, bytecode runs, and an interrupt may come
            if self.connection.in_transaction:
                self._execute("ROLLBACK")
            raise
        finally:
            self.write_lock.leave()

    def take(self, lock):
        """Begin a transaction that stays open until `commit_taken` or `cancel_taken`, in whatever thread.

        What this thread runs meanwhile is run with the lock.
        """
        cdef Job turn
        if self.watch is not None and self.watch.writing_thread == _get_ident():
            raise TransactionError(NESTED)
        turn = self.admitted()
        self._late.discard(turn.thread)
        try:
            self._begin(True)
        except BaseException:
            self.queue.pass_on(turn)
            raise
        self._turn = turn
        self._taken_by = turn.thread
        self._transaction_lock = lock
        if self.watch is not None:
            self.watch.writing_thread = turn.thread

    def commit_taken(self):
        """Commit what `take` began. When that fails, `cancel_taken` is still to be called."""
        self._commit()
        self._end_turn()

    def cancel_taken(self):
        """Roll back what `take` began; the thread of that learns of it when it writes, until it calls `lost`."""
        if self._taken_by is not None and self._taken_by != _get_ident():
            self._late.add(self._taken_by)
        try:
            self._cancel()
        finally:
            self._end_turn()

    def lost(self):
        """This thread knows that its turn is over."""
        self._late.discard(_get_ident())

    cdef object _end_turn(self):
        cdef Job turn = self._turn
        self._turn = self._taken_by = None
        if turn is not None and self.watch is not None and self.watch.writing_thread == turn.thread:
            self.watch.writing_thread = None  # or it is the next one's already, through another store
        if turn is not None:
            self.queue.pass_on(turn)

    cpdef Job admitted(self):
        """Have the connection alone, until `CommitQueue.pass_on`."""
        cdef Job job = Job(None, alone=True)
        self.queue.join(job)
        self.queue.collect(job)
        return job

    def close(self, error):
        """Write no more: who tries gets the error."""
        cdef Job job = self.admitted()
        self.closed = self.closed or error
        self.queue.pass_on(job)
