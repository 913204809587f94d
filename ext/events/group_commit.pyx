"""Group commit: which of the threads that want to write commits for all of them, when, and how.

Compiled because no step may be cut off from the next: Python raises `KeyboardInterrupt` where bytecode runs or something
waits, and between the steps here neither does. For the same reason the interpreter's lock is the lock of the queue: nothing
that changes it calls Python code, or makes an object that the garbage collector would count.
"""
from _thread import allocate_lock, get_ident
from time import perf_counter

from libc.math cimport INFINITY

from ringward.errors import TransactionError

cdef extern from *:
    """
    #include <sys/stat.h>
    static long long rw_length(int fd)  /* of an open file; -1 when it was deleted */
    {
    #if defined(_WIN32)
        struct _stat64 got;
        return _fstat64(fd, &got) ? -1 : (long long)got.st_size;
    #else
        struct stat got;
        return fstat(fd, &got) || got.st_nlink == 0 ? -1 : (long long)got.st_size;
    #endif
    }
    """
    long long rw_length(int fd) nogil

cdef extern from *:
    """
    #if defined(__linux__)
    #include <time.h>
    static double rw_now(void)  /* what `time.perf_counter` tells there */
    {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    }
    #define RW_NOW 1
    #else
    static double rw_now(void) { return 0; }
    #define RW_NOW 0
    #endif
    """
    double rw_now() noexcept nogil
    bint RW_NOW

cdef enum:
    RESIGNED_MOST = 63  # so many commits do not wait, at most, after some that waited for nobody
    REMEMBERED = 4096  # threads

# How long a commit waits at most for threads that the one before has served, as a share of what a commit takes.
cdef double PATIENCE = 0.75
# How often a passage is looked at closely.
cdef double LOOK_S = 1.0
# The weight of the newest in the average of what a commit takes.
cdef double NEWEST = 0.1

NESTED = (
    "this thread is in a handler's transaction on the same file, through another Processor or store: publish through"
    " that one, or after the handler"
)

cdef object _get_ident = get_ident
cdef object _new_gate = allocate_lock


cdef inline double _now() except? -1:
    return rw_now() if RW_NOW else perf_counter()


cdef class Job:
    """One operation, and what became of it."""
    cdef object operation, otherwise, gate
    cdef readonly object thread
    cdef public object result, error
    cdef readonly bint sync, alone, leads, done
    cdef bint gone  # its thread has left
    cdef Job following  # in the queue
    cdef double until  # how long it waits for others
    cdef long long served_in  # the commit before, if its thread was in that: then it has come back

    def __cinit__(self, *args, **kwargs):
        self.gate = _new_gate()  # locked while its thread waits
        self.gate.acquire()

    def __init__(self, operation, otherwise=None, *, bint sync=True, bint alone=False, thread=None):
        self.operation = operation
        self.otherwise = otherwise
        self.sync = sync
        self.alone = alone  # whether it is no part of a commit of several
        self.thread = _get_ident() if thread is None else thread


cdef inline bint hasty(Job job) noexcept:
    """Whether a job never waits for others."""
    return job.alone or not job.sync


cdef class CommitQueue:
    """Lets one thread after the other lead: it commits for all that wait.

    Threads whose jobs were in the commit before are likely to come again at once, so whoever comes first waits for
    them, and whoever comes last leads. The wait is a part of what a commit takes at most, and left out where it was in vain
    lately; a thread that nobody else writes beside never waits. Of those who come while somebody leads, the first
    leads next, after such a wait. Where one of those that wait is in a hurry, nobody waits for others.
    """
    cdef Job _first, _last
    cdef readonly Py_ssize_t waiting
    cdef Py_ssize_t _hasty, _served, _back  # who is in a hurry; who was in the commit before; who of them waits again
    cdef bint _led
    cdef object _led_by  # the thread
    cdef dict _commit_of  # thread → the number of its last commit
    cdef long long _number
    cdef double _began_at
    cdef public double served_at, commit_s  # when the last commit ended; what one takes
    cdef public int vain, resigned  # how many commits do not wait after the next wait in vain; how many of these are left

    def __cinit__(self):
        self._commit_of = {}

    cpdef bint join(self, Job job) except -1:
        """Wait until a job is done, or until its thread leads; whether it does. `pass_on` must follow then."""
        cdef double now = _now()
        if self._led and self._led_by == job.thread:
            raise TransactionError("this thread is writing already: what a signal or the garbage collector calls must not")
        self._append(job)
        if self._led:
            job.until = INFINITY if hasty(job) else self._began_at + (1 + PATIENCE) * self.commit_s
        else:
            job.until = self._patience_ends(job, now)
            if job.until <= now:
                return self._begin(job, now)
        try:
            if job.until == INFINITY:
                job.gate.acquire()
            elif not job.gate.acquire(timeout=max(0.0, job.until - now)):
                if not (self._led or job.done):
                    self.resigned = self.vain = min(2 * self.vain + 1, RESIGNED_MOST)
                    return self._begin(job, _now())
                job.until = 0  # or `pass_on` might take it for one that wakes by itself
                job.gate.acquire()
        except BaseException:  # an interrupt: nobody waits for this job any more
            job.gone = True
            if job.leads or not self._led:  # it might have been the one that the others count on
                self.pass_on(job)
            else:
                self._remove(job)
            raise
        return job.leads

    cdef bint _begin(self, Job job, double now) noexcept:
        self._led = job.leads = True
        self._led_by = job.thread
        self._began_at = now
        return True

    cdef double _patience_ends(self, Job job, double now) noexcept:
        """Until when a job waits for those who may come at once; a time that is over, if it does not."""
        cdef double end
        if self._hasty:
            return 0
        if self._back == self._served:
            if self.waiting > 1:
                self.vain = 0
            return 0
        end = self.served_at + PATIENCE * self.commit_s
        if self.resigned and end > now:
            self.resigned -= 1
            return 0
        return end

    cpdef list collect(self, Job leader):
        """Take the jobs that the leader is to commit: all up to one that wants to be alone."""
        cdef list jobs = []
        if leader.alone:
            self._remove(leader)
            return [leader]
        while self._first is not None and not self._first.alone:
            jobs.append(self._first)
            self._remove(self._first)
        return jobs

    cpdef object put_back(self, list jobs):
        """Let jobs that were collected wait again, before all others."""
        cdef Job job
        for job in reversed(jobs):
            if job.gone:
                continue
            job.result = job.error = None
            job.following = self._first
            self._first = job
            if self._last is None:
                self._last = job
            self.waiting += 1
            self._hasty += hasty(job)
            job.served_in = -1

    cpdef object served(self, list jobs, Job leader, double took_s):
        """Jobs are done; what a commit of them took, if it was one that is synced, or a negative number."""
        cdef Job job
        self.served_at = _now()
        self._number += 1
        self._served, self._back = len(jobs), 0
        if len(self._commit_of) > REMEMBERED:
            self._commit_of.clear()
        if took_s >= 0:
            self.commit_s += NEWEST * (took_s - self.commit_s)
        for job in jobs:
            self._commit_of[job.thread] = self._number
            job.done = True
            if job is not leader:
                job.gate.release()

    cpdef object pass_on(self, Job leader):
        """Lead no more: the first that waits does, if there is one, at once or when it has waited for others."""
        cdef Job first
        cdef double now = _now()
        if not leader.done:
            self._remove(leader)
        first = self._first
        self._led = False
        if first is not None and (first.until <= now or self._patience_ends(first, now) <= now):
            self._begin(first, now)
            first.gate.release()

    cdef object _append(self, Job job):
        if self._last is None:
            self._first = job
        else:
            self._last.following = job
        self._last = job
        self.waiting += 1
        self._hasty += hasty(job)
        job.served_in = self._commit_of.get(job.thread, -1)
        self._back += job.served_in == self._number

    cdef object _remove(self, Job job):
        """Take a job out of the queue, if it is there."""
        cdef Job before = None
        cdef Job each = self._first
        while each is not None and each is not job:
            before, each = each, each.following
        if each is None:
            return
        if before is None:
            self._first = job.following
        else:
            before.following = job.following
        if self._last is job:
            self._last = before
        job.following = None
        self.waiting -= 1
        self._hasty -= hasty(job)
        self._back -= job.served_in == self._number


cdef class FairWriteLock:
    """Two locks of files that processes pass one after the other.

    Who passes again and again waits at the first like everybody else, so nobody starves at the second. The length of the
    second is the sign that the store has failed: setting it needs no space.

    Parameters
    ----------
    flock : callable
        As `fcntl.flock`.
    lock, unlock : int
        What it takes.
    first, second : FileLock
    """
    cdef object _flock, _lock, _unlock, _first, _second
    cdef public double looked_at  # when it was looked at closely

    def __init__(self, flock, lock, unlock, first, second):
        self._flock, self._lock, self._unlock = flock, lock, unlock
        self._first, self._second = first, second
        self.looked_at = _now()

    @property
    def failed(self):
        """Whether some process saw a commit or a sync fail; to be asked in the turn."""
        cdef double now = _now()
        cdef bint due = now - self.looked_at > LOOK_S
        if not due and rw_length(self._second.fd) == 0:
            return False
        if due:
            self.looked_at = now
        return self.troubled(due)

    def troubled(self, bint due):
        """Look closely at whether it has failed, and see to the files where that is due."""
        return rw_length(self._second.fd) > 0

    def enter(self):
        """Wait for the turn."""
        following = self._first.fd
        self._flock(following, self._lock)
        try:
            self._flock(self._second.fd, self._lock)
        except BaseException:  # where `flock` is bytecode it may be locked
            self.leave()
            raise
        finally:
            self._flock(following, self._unlock)

    def leave(self):
        """End the turn."""
        self._flock(self._second.fd, self._unlock)


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
        began = _now()
        try:
            if len(jobs) == 1:
                self._perform_alone(jobs[0])
            else:
                self._perform_together(jobs, leader)
            self._commit()
        except BaseException:
            self._cancel()
            raise
        return _now() - began if sync else -1

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
            self.committed_at = _now()
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
