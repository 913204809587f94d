"""Transactional handlers: the write transaction, the handle that handlers get, and who ends it when it takes too long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import apsw

from ringward.errors import StaleEpochError, TransactionError
from ringward.events.logs import log
from ringward.events.model.event import OVER
from ringward.events.model.store import Settlement
from ringward.events.stores.sqlite.writer import HANDLER, Writer
from ringward.events.texts import Texts
from ringward.mutex import Mutex
from ringward.texts import shown

__all__ = ["Guard", "SqliteTransaction", "SqliteWriteTransaction", "Watchdog"]

_TEXTS = Texts()

TRANSACTION_EVENTS = 200
TRANSACTION_S = 0.020
TRANSACTION_TIMEOUT_S = 1.0
INTERRUPT_S = 0.002  # between two interrupts of a handler whose time is up
_OURS = "ringward_"
_REFUSED = {
    *(apsw.SQLITE_TRANSACTION, apsw.SQLITE_SAVEPOINT, apsw.SQLITE_PRAGMA, apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH),
    # What is temporary is there in one process only, and a name of ours in it would stand before our table.
    *(apsw.SQLITE_CREATE_TEMP_TABLE, apsw.SQLITE_CREATE_TEMP_VIEW, apsw.SQLITE_CREATE_TEMP_TRIGGER),
    apsw.SQLITE_CREATE_TEMP_INDEX,
}
_BY_TEXT = {apsw.SQLITE_ALTER_TABLE, apsw.SQLITE_CREATE_TRIGGER}  # these do not say which names they bring in


class Guard:
    """The authoriser of the writing connection: refuses what a handler must not do."""

    def __init__(self) -> None:
        self.handler = False  # whether a handler's statement is being prepared
        self.text = ""  # that statement

    def __call__(self, action: int, first: str | None, second: str | None, database: str | None, by: str | None) -> int:
        """Authorise one action of a statement."""
        if not self.handler:
            return int(apsw.SQLITE_OK)
        ours = any(name is not None and name.lower().startswith(_OURS) for name in (first, second))
        ours |= action in _BY_TEXT and _OURS in self.text.lower()
        if ours or action in _REFUSED or (action == apsw.SQLITE_FUNCTION and second == "load_extension"):
            return int(apsw.SQLITE_DENY)
        return int(apsw.SQLITE_OK)


class Watchdog:
    """One thread that ends what has lasted too long; it starts with the first thing to watch."""

    def __init__(self) -> None:
        self._lock = Mutex()  # taken by itself: a condition's own `__exit__` is in Python, and can be interrupted
        self._changed = threading.Condition(self._lock)
        self._watched: tuple[float, Callable[[], None]] | None = None
        self._thread: threading.Thread | None = None
        self._sleeping = False
        self._closed = False

    def watch(self, seconds: float, end: Callable[[], None]) -> None:
        """Call `end` in so many seconds, unless `done` or another `watch` comes first."""
        self._watched = (time.monotonic() + seconds, end)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ringward-watchdog", daemon=True)
            self._thread.start()
        elif self._sleeping:
            with self._lock:
                self._changed.notify()

    def done(self) -> None:
        """Nothing is to be watched."""
        self._watched = None

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            with self._lock:
                watched = self._watched
                if watched is None:
                    self._sleeping = True
                    if self._watched is None and not self._closed:
                        self._changed.wait(1.0)
                    self._sleeping = False
                    continue
                wait = watched[0] - time.monotonic()
                if wait > 0:
                    self._changed.wait(wait)
                    continue
            if self._watched is watched:
                self._watched = None
                try:
                    watched[1]()
                except Exception as error:  # noqa: BLE001 - the next one is watched all the same
                    text = f"a handler's transaction could not be ended: {_TEXTS.line(error)}"
                    log(
                        logging.ERROR,
                        text,
                        event="transaction_stuck",
                        trace=_TEXTS.trace(error),
                        error=_TEXTS.line(error),
                    )


class SqliteTransaction:
    """What `event.transaction` is: statements on the store's own file, within the write transaction."""

    def __init__(self, connection: apsw.Connection, guard: Guard, lock: Mutex) -> None:
        self._connection = connection
        self._guard = guard
        self._lock = lock
        self.alive = False  # between an event's begin and its end
        self.over = ""
        self._last: str | None = None  # statement; a handler has the same for each event
        self._text, self._single = "", True  # how that is run

    def disown(self, why: str) -> None:
        """In a child process."""
        self._lock = Mutex()
        self.alive, self.over = False, why

    def _run(self, run: Callable[..., Any], sql: str, parameters: Any) -> Any:
        with self._lock:
            if not self.alive:
                raise TransactionError(self.over or OVER)
            self._guard.handler, self._guard.text = True, sql
            if sql is not self._last:
                # The second of several statements would be found among those that were prepared for the store itself.
                self._text, self._single, self._last = HANDLER + sql, ";" not in sql.rstrip("; \n"), sql
            try:
                return run(self._text, parameters, can_cache=self._single)
            except apsw.AuthError as error:
                raise TransactionError(f"not allowed in a handler's transaction: {shown(sql)}") from error
            except apsw.InterruptError as error:
                raise TransactionError("the handler was interrupted: it took too long") from error
            finally:
                self._guard.handler = False

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows.

        Raises
        ------
        TransactionError
            When the event is handled already, or the handler was interrupted; for transaction
            control, PRAGMA, ATTACH and the store's own tables.
        apsw.Error
            What SQLite says of the statement.
        """
        rows: list[tuple[Any, ...]] = self._run(
            lambda text, values, **how: self._connection.execute(text, values, **how).fetchall(), sql, parameters
        )
        return rows

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Run one statement for each of the parameters; raises as `execute`."""
        self._run(
            lambda text, values, **how: self._connection.executemany(text, values, **how).fetchall(), sql, parameters
        )


class SqliteWriteTransaction:
    """The write transaction: one transaction for the events of a batch, a savepoint for each."""

    def __init__(
        self,
        writer: Writer,
        guard: Guard,
        watchdog: Watchdog,
        epoch_of: Callable[[int], int],
        settle: Callable[[Sequence[Settlement]], set[int]],
        timeout_s: float,
    ) -> None:
        self._writer = writer
        self._watchdog = watchdog
        self._epoch_of = epoch_of
        self._settle = settle
        self._timeout_s = timeout_s
        self._lock = Mutex()
        self._ending = Mutex()  # held while an event is closed or interrupted, and never for long
        self._epochs: dict[int, int] = {}
        self._events = 0
        self.lost = False
        self.transaction = SqliteTransaction(writer.connection, guard, self._lock)
        self._execute = writer.connection.cursor().execute
        writer.take(self._lock)
        self._began = time.monotonic()

    def begin(self, partition: int, epoch: int) -> None:
        """Open an event's savepoint; no other writer can raise the epoch until the write transaction ends."""
        with self._lock:
            self._check()
            if partition not in self._epochs:
                self._epochs[partition] = self._epoch_of(partition)
            if self._epochs[partition] != epoch:
                raise StaleEpochError(epoch, self._epochs[partition], self._epochs[partition])
            self._execute("SAVEPOINT event")
            self._events += 1
            self.transaction.alive = True
        self._watchdog.watch(self._timeout_s, partial(self._expire, self._events))

    def end(self, *, keep: bool) -> None:
        """Close the event's savepoint, keeping or undoing what it wrote."""
        self._watchdog.done()
        with self._lock:
            self._shut()
            self._check()
            if not keep:
                self._execute("ROLLBACK TO event")
            self._execute("RELEASE event")

    def over(self) -> bool:
        """Whether the write transaction has lasted long enough."""
        return self._events >= TRANSACTION_EVENTS or time.monotonic() - self._began >= TRANSACTION_S

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Store the settlements and commit all."""
        with self._lock:
            self._check()
            try:
                stale = self._settle(settlements)
                if stale:
                    raise TransactionError(f"partitions {sorted(stale)} were taken over")
                self._writer.commit_taken()
            except apsw.Error as error:
                self._lose()
                if isinstance(error, apsw.ConstraintError):
                    raise TransactionError(f"the commit was refused: {error}") from error
                raise self._writer.failure(error) from error
            except BaseException:
                self._lose()
                raise
            self.lost = True

    def cancel(self) -> None:
        """Roll everything back; nothing happens when the write transaction is over."""
        self._watchdog.done()
        with self._lock:
            self._lose()
        self._writer.lost()

    def forked(self, why: str) -> None:
        """In a child process: the transaction is the parent's, and nothing may touch it."""
        self._lock, self._ending = Mutex(), Mutex()
        self.lost = True
        self.transaction.disown(why)

    def _check(self) -> None:
        if not self.lost and (self.transaction.over or not self._writer.connection.in_transaction):
            self._lose()
            self.transaction.over = self.transaction.over or "a statement ended the whole transaction"
        if self.lost:
            raise TransactionError(self.transaction.over or "the write transaction is over")

    def _shut(self) -> None:
        """Let the handle be dead; when this returns, nothing is interrupted any more."""
        with self._ending:
            self.transaction.alive = False

    def _lose(self) -> None:
        with self._ending:
            self.transaction.alive = False
            lost, self.lost = self.lost, True
        if not lost:
            self._writer.cancel_taken()

    def _expire(self, event: int) -> None:
        """Interrupt the handler of the write transaction's event of that number, unless it has ended: others write then."""
        with self._ending:
            if not self.transaction.alive or self._events != event:
                return
            self.transaction.alive = False
            self.transaction.over = f"the handler took longer than {self._timeout_s} s: it was rolled back"
        while not self._lock.acquire(timeout=INTERRUPT_S):
            with self._ending:  # again and again: a statement that was about to begin is not hit by the first
                if not self.lost:
                    self._writer.connection.interrupt()
        try:
            self._lose()
        finally:
            self._lock.release()
