"""`Writer`: the one connection of a process that writes, and its group commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
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
from ringward.events.stores.headroom import Headroom
from ringward.events.stores.interrupts import Uninterrupted
from ringward.events.stores.lead import Job, Lead
from ringward.events.stores.locks import Turnstile
from ringward.events.stores.protocol import Faults

__all__ = ["HANDLER", "Writer", "translated"]

T = TypeVar("T")

# The store's own statements never have the text of a handler's: a prepared statement is authorised once.
HANDLER = "/*handler*/ "


class Writer:
    """Runs operations in transactions: those of threads that wait at once, in one.

    When an operation in a transaction of several raises, all are undone, and repeated with a savepoint for each, so that it
    fails alone. After a commit that failed, nothing is written any more, by any process.
    """

    def __init__(self, connection: apsw.Connection, turnstile: Turnstile, headroom: Headroom, faults: Faults) -> None:
        self.connection = connection
        self.faults = faults
        self._turnstile = turnstile
        self._headroom = headroom
        self._lead = Lead()
        self._turn: Job | None = None  # what `take` began
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
            result: T = self._result(self._perform_apart(Job(operation, otherwise)))
            return result
        job = Job(operation, otherwise, sync=sync)
        with Uninterrupted():
            if self._lead.join(job):
                try:
                    self._commit_waiting(job)
                finally:
                    self._lead.pass_on(job)
        committed: T = self._result(job)
        return committed

    def _result(self, job: Job) -> Any:
        if job.error is not None:
            raise job.error
        return job.result

    def _commit_waiting(self, leader: Job) -> None:
        jobs, took_s = self._lead.collect(leader), None
        try:
            took_s = self._commit_all(jobs, sync=any(job.sync for job in jobs))
        except BaseException as error:
            failure = self.failure(error)
            # Nothing of the transaction is there, so an operation that had gone well has failed too.
            for job in jobs:
                job.error = job.error or failure
            if not isinstance(error, Exception):
                raise
        finally:
            self._lead.served(jobs, leader, took_s)

    def _commit_all(self, jobs: Sequence[Job], *, sync: bool) -> float | None:
        """Commit jobs in one transaction; how long that took, if it was synced."""
        self._begin(sync=sync)
        began = perf_counter()
        try:
            if len(jobs) == 1:
                self._perform_alone(jobs[0])
            else:
                self._perform_together(jobs)
            self._commit()
        except BaseException:
            self._cancel()
            raise
        return perf_counter() - began if sync else None

    def _perform_together(self, jobs: Sequence[Job]) -> None:
        """Without savepoints, as long as nothing is wrong."""
        try:
            for job in jobs:
                job.result = job.operation()
        except Exception as error:
            if isinstance(error, apsw.CorruptError):
                raise
            self._begin_again()
            for job in jobs:
                self._perform_apart(job)

    def _begin_again(self) -> None:
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        self.connection.execute("BEGIN IMMEDIATE")

    def _perform_alone(self, job: Job) -> None:
        # Without a savepoint, which would copy each page that is written to.
        try:
            job.result = job.operation()
        except apsw.ConstraintError:
            if job.otherwise is None:
                raise
            self._begin_again()
            job.result = job.otherwise()

    def _perform_apart(self, job: Job) -> Job:
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
            raise self._closed.with_traceback(None)  # else it would grow each time
        self._turnstile.enter()
        try:
            if self._turnstile.failed:
                self._closed = StoreFailedError("another process found that the file cannot be trusted: open it anew")
                raise self._closed
            if sync != self._synchronous:  # it can't be changed inside a transaction
                self.connection.execute(f"PRAGMA synchronous = {'FULL' if sync else 'NORMAL'}")
                self._synchronous = sync
            self.connection.execute("BEGIN IMMEDIATE")
            self._headroom.keep()
        except BaseException:
            self._cancel()
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
        turn = self._admitted()
        try:
            self._begin(sync=True)
        except BaseException:
            self._lead.pass_on(turn)
            raise
        self._turn = turn
        self._taken_by = threading.get_ident()

    def commit_taken(self) -> None:
        """Commit what `take` began. When that fails, `cancel_taken` is still to be called."""
        self._commit()
        self._end_turn()

    def cancel_taken(self) -> None:
        """Roll back what `take` began."""
        try:
            self._cancel()
        finally:
            self._end_turn()

    def _end_turn(self) -> None:
        turn, self._turn, self._taken_by = self._turn, None, None
        if turn is not None:
            self._lead.pass_on(turn)

    def _admitted(self) -> Job:
        """Have the connection alone, until `Lead.pass_on`."""
        job = Job(_alone, alone=True)
        self._lead.join(job)
        self._lead.collect(job)
        return job

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody of this process write meanwhile."""
        job = self._admitted()
        try:
            yield
        finally:
            self._lead.pass_on(job)

    def close(self, error: RingwardError) -> None:
        """Write no more: who tries gets the error."""
        with self.alone():
            self._closed = self._closed or error


def _alone() -> None:
    """Whoever has the connection alone does the work."""


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
