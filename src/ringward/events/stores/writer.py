"""`Writer`: the one connection of a process that writes, and its group commit."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import apsw

from ringward.errors import (
    BackpressureError,
    RingwardError,
    StoreClosedError,
    StoreFailedError,
    StoreFullError,
    TransactionError,
)
from ringward.events.stores.locks import Turnstile
from ringward.events.stores.protocol import Faults

__all__ = ["HANDLER", "Writer", "translated"]

T = TypeVar("T")

# The store's own statements never have the text of a handler's: a prepared statement is authorised once.
HANDLER = "/*handler*/ "


class _Job:
    __slots__ = ("done", "error", "operation", "otherwise", "result", "sync")

    def __init__(self, operation: Callable[[], Any], otherwise: Callable[[], Any] | None, *, sync: bool) -> None:
        self.operation = operation
        self.otherwise = otherwise
        self.sync = sync
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class Writer:
    """Runs operations in transactions: those of threads that wait at once, in one.

    Whoever gets the lock commits for all that wait. Each operation has a savepoint of its own when
    there are several, so one that raises is undone alone. After a commit that failed, nothing is
    written any more, by any process.
    """

    def __init__(self, connection: apsw.Connection, turnstile: Turnstile, faults: Faults) -> None:
        self.connection = connection
        self.faults = faults
        self._turnstile = turnstile
        self._waiting: deque[_Job] = deque()
        self._lock = threading.Lock()
        self._synchronous = True
        self._taken_by: int | None = None
        self._closed: RingwardError | None = None

    def run(
        self,
        operation: Callable[[], T],
        otherwise: Callable[[], T] | None = None,
        *,
        sync: bool = True,
        joins: bool = False,
    ) -> T:
        """Run an operation in a transaction, and return its result when that is committed.

        When it meets a constraint, it is undone and `otherwise` runs in its place. Without `sync` the commit
        survives the death of the process only. An operation that `joins` becomes part of the transaction that the
        same thread has taken.
        """
        if self._taken_by == threading.get_ident():
            if not joins:
                raise TransactionError("inside a handler's transaction the store takes nothing but publish")
            result: T = self._result(self._perform_apart(_Job(operation, otherwise, sync=True)))
            return result
        job = _Job(operation, otherwise, sync=sync)
        self._waiting.append(job)
        with self._lock:
            if not job.done:
                self._commit_waiting()
        committed: T = self._result(job)
        return committed

    def _result(self, job: _Job) -> Any:
        if job.error is not None:
            raise job.error
        return job.result

    def _commit_waiting(self) -> None:
        jobs = []
        while self._waiting:
            jobs.append(self._waiting.popleft())
        try:
            self._begin(sync=any(job.sync for job in jobs))
            try:
                if len(jobs) == 1:
                    self._perform_alone(jobs[0])
                else:
                    for job in jobs:
                        self._perform_apart(job)
                self._commit()
            except BaseException:
                self._cancel()
                raise
        except BaseException as error:
            failure = self.failure(error)
            # Nothing of the transaction is there, so an operation that had gone well has failed too.
            for job in jobs:
                job.error = job.error or failure
            if not isinstance(error, Exception):
                raise
        finally:
            for job in jobs:
                job.done = True

    def _perform_alone(self, job: _Job) -> None:
        # Without a savepoint, which would copy each page that is written to.
        try:
            job.result = job.operation()
        except apsw.ConstraintError:
            if job.otherwise is None:
                raise
            self.connection.execute("ROLLBACK")
            self.connection.execute("BEGIN IMMEDIATE")
            job.result = job.otherwise()

    def _perform_apart(self, job: _Job) -> _Job:
        execute = self.connection.execute
        execute("SAVEPOINT job")
        try:
            try:
                job.result = job.operation()
            except apsw.ConstraintError:
                if job.otherwise is None:
                    raise
                execute("ROLLBACK TO job")
                job.result = job.otherwise()
        except Exception as error:
            if isinstance(error, apsw.CorruptError) or not self.connection.in_transaction:
                raise
            execute("ROLLBACK TO job")
            job.error = self.failure(error)
        execute("RELEASE job")
        return job

    def _begin(self, *, sync: bool) -> None:
        if self._closed is not None:
            raise self._closed
        self._turnstile.enter()
        try:
            if self._turnstile.failed:
                self._closed = StoreFailedError("another process found that the file cannot be trusted: open it anew")
                raise self._closed
            if sync != self._synchronous:  # it can't be changed inside a transaction
                self.connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                self._synchronous = sync
            self.connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._turnstile.leave()
            raise

    def _commit(self) -> None:
        try:
            self.faults("commit")
            self.connection.execute("COMMIT")
            self.faults("committed")
        except (apsw.FullError, apsw.ConstraintError, apsw.BusyError):
            raise  # nothing was synced, so nothing is in doubt
        except apsw.Error as error:
            raise self._condemned(f"a commit failed, so what is on the disk is unknown: {error}") from error
        self._turnstile.leave()

    def failure(self, error: BaseException) -> BaseException:
        """The error to raise when an operation met one; a damaged file is the end of all writing."""
        if isinstance(error, apsw.CorruptError):
            return self._condemned(f"the file is damaged: {error}")
        return translated(error) if isinstance(error, apsw.Error) else error

    def _condemned(self, why: str) -> StoreFailedError:
        """The file cannot be trusted any more: no process writes to it until it is copied anew."""
        self._closed = failed = StoreFailedError(why)
        self._turnstile.fail()
        return failed

    def _cancel(self) -> None:
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        finally:
            self._turnstile.leave()

    def take(self) -> None:
        """Begin a transaction that stays open until `commit_taken` or `cancel_taken`, in whatever thread."""
        self._lock.acquire()
        try:
            self._begin(sync=True)
        except BaseException:
            self._lock.release()
            raise
        self._taken_by = threading.get_ident()

    def commit_taken(self) -> None:
        """Commit what `take` began. When that fails, `cancel_taken` is still to be called."""
        self._commit()
        self._taken_by = None
        self._lock.release()

    def cancel_taken(self) -> None:
        """Roll back what `take` began."""
        self._taken_by = None
        try:
            self._cancel()
        finally:
            self._lock.release()

    def close(self, error: RingwardError) -> None:
        """Write no more: who tries gets the error."""
        with self._lock:
            self._closed = self._closed or error
            while self._waiting:
                job = self._waiting.popleft()
                job.error, job.done = error, True


def translated(error: apsw.Error) -> RingwardError:
    """The error of ours that says what went wrong."""
    if isinstance(error, apsw.FullError):
        made: RingwardError = StoreFullError(f"nothing was stored: {error}")
    elif isinstance(error, apsw.BusyError | apsw.LockedError):
        made = BackpressureError("store", "free of other programs' locks", str(error))
    elif isinstance(error, apsw.ConnectionClosedError):
        made = StoreClosedError("the store is closed")
    else:
        made = StoreFailedError(f"{type(error).__name__}: {error}")
    made.__cause__ = error
    return made
