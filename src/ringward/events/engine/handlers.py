"""`Runner`: runs the handlers of a batch in the thread that calls it, with their transactions."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from ringward.errors import StaleEpochError, TransactionError, UnsupportedError
from ringward.events.core.batch import Batch
from ringward.events.core.outcomes import GiveBack, Hopeless
from ringward.events.engine.callables import never_ran
from ringward.events.engine.driver import GroupDriver
from ringward.events.logs import log
from ringward.events.model.codecs import Codec
from ringward.events.model.event import OVER, PARTITION, ROW, SEQ, Delivery, Event, Row
from ringward.events.model.store import WriteTransaction
from ringward.events.model.transaction import Transaction
from ringward.events.texts import Texts

__all__ = ["Handler", "Handling", "Runner", "failure", "misfit"]

Handler = Callable[[Event], Any]


class Handling(threading.local):
    """Whether this thread runs a handler, whether that has taken the write transaction, and whether it runs a hook."""

    handler = False
    write_transaction = False
    hook = False


class _WriteTransactions:
    """The write transaction of a batch: taken when a handler first asks, committed when it has lasted long enough."""

    # As they are at first: most batches never take it.
    _event: int | None = None  # the event that has a savepoint
    running: int | None = None  # the event that is with the handler
    stale: StaleEpochError | None = None  # this write transaction's own; a handler may raise one of something else
    taken: WriteTransaction | None = None

    def __init__(self, driver: GroupDriver, batch: Batch, now: Callable[[], float], here: Handling) -> None:
        self._driver = driver
        self._batch = batch
        self._now = now
        self._here = here
        self._done: list[Row] = []
        self._failed: list[tuple[Row, str]] = []

    def transaction_of(self, event: Event) -> Transaction:
        """The transaction of the event that is being handled."""
        row: Row = event[ROW]
        if self._event != row[SEQ]:
            if row[SEQ] != self.running:
                raise TransactionError(OVER)
            if self.taken is None:
                began, self._batch.waits = self._now(), True
                try:
                    self.taken = self._driver.write_transaction(self._batch)
                finally:
                    self._batch.waits = False
                    self._batch.waited_s += self._now() - began
                self._here.write_transaction = True
            try:
                self.taken.begin(row[PARTITION], self._batch.epochs[row[PARTITION]])
            except StaleEpochError as error:
                self.stale = error
                raise
            self._event = row[SEQ]
        assert self.taken is not None  # noqa: S101 - taken above, by this event or by one before
        return self.taken.transaction

    def ended(self, taken: WriteTransaction, row: Row, error: str | None) -> None:
        """The handler of an event is over: what the write transaction that was taken keeps account of."""
        if self._event == row[SEQ]:
            self._event = None
            taken.end(keep=error is None)
        if error is None:
            self._done.append(row)
        else:
            self._failed.append((row, error))
        if taken.over():
            began = self._now()
            self.commit()
            self._batch.waited_s += self._now() - began

    def undo(self) -> None:
        """The event that is being handled is given back."""
        self.running = None
        if self.taken is not None and self._event is not None:
            self._event = None
            self.taken.end(keep=False)

    def commit(self) -> None:
        """Commit what the handlers did, with its acknowledgement."""
        if self.taken is None:
            return
        write_transaction, done, failed = self.taken, self._done, self._failed
        self.taken, self._done, self._failed = None, [], []
        self._here.write_transaction = False
        self._driver.commit(self._batch, write_transaction, done, failed, self._now())

    def lose(self, row: Row | None) -> None:
        """The write transaction is gone, with all that was done in it."""
        write_transaction, self.taken, self._event, self.running = (
            self.taken,
            None,
            None,
            None,
        )
        self._here.write_transaction = False
        if write_transaction is not None:
            write_transaction.cancel()
        rows = [*self._done, *(failed for failed, _ in self._failed), *([row] if row is not None else [])]
        self._driver.lose({each[PARTITION] for each in rows})
        self._done, self._failed = [], []


class Runner:
    """Runs the batches of one group.

    Parameters
    ----------
    driver : GroupDriver
    handler : callable
        Takes an `Event`. What it raises is a failed attempt.
    now : callable
        Monotonic seconds.
    codec : Codec or None
    here : Handling
    texts : Texts
    """

    def __init__(
        self,
        driver: GroupDriver,
        handler: Handler,
        now: Callable[[], float],
        codec: Codec | None,
        here: Handling,
        texts: Texts = Texts(),
    ) -> None:
        self.driver = driver
        self.handler = handler
        self._now = now
        self._codec = codec
        self._here = here
        self._process = _process
        self._texts = texts
        self._transactional = driver.store.abilities.transaction_scope is not None

    def run(self, batch: Batch, *, more: bool = False) -> Batch | None:
        """Run the handlers of a batch, and store what became of it; the next one, for whoever asks for `more`."""
        write_transactions = _WriteTransactions(self.driver, batch, self._now, self._here)
        transaction_of = write_transactions.transaction_of if self._transactional else None
        delivery = Delivery(self.driver.group.name, batch.epochs, transaction_of, self._codec)
        self._here.handler = True
        try:
            self._run_all(batch, delivery, write_transactions)
        except BaseException:
            more = False
            raise
        finally:
            self._here.handler = False
            following = self.driver.finish(batch, self._now(), more=more)
        return following

    def _run_all(self, batch: Batch, delivery: Delivery, write_transactions: _WriteTransactions) -> None:
        row: Row | None = None
        batch.began = self._now()
        try:
            try:
                for row, attempt in batch.left_to_run():
                    write_transactions.running = row[SEQ]
                    error = self._attempt(Event((row, attempt, delivery)), write_transactions)
                    write_transactions.running = None
                    if error is not None:
                        batch.stop_key(row)
                    if write_transactions.taken is not None:
                        write_transactions.ended(write_transactions.taken, row, error)
                    elif error is None:
                        batch.done.append(row)
                    else:
                        batch.failed.append((row, error))
            except GiveBack:
                write_transactions.undo()
            batch.ended = self._now()
            if write_transactions.taken is not None:
                write_transactions.commit()
        except (TransactionError, StaleEpochError) as error:
            text = self._texts.line(error)
            log(
                logging.WARNING,
                f"group {delivery.group}: a write transaction is lost, its events are delivered again: {text}",
                event="transaction_lost",
                group=delivery.group,
                error=text,
            )
            write_transactions.lose(row)
        except BaseException:
            write_transactions.lose(row)
            raise

    def _attempt(self, event: Event, write_transactions: _WriteTransactions) -> str | None:
        """Run the handler; why it failed."""
        try:
            result = self.handler(event)
            if self._process != _process:
                end_child(None)
            if result is None or (reason := never_ran(result)) is None:
                return None
        except GiveBack:
            raise
        except BaseException as error:
            if self._process != _process:
                end_child(error)
            if error is write_transactions.stale:
                raise
            return failure(event, error, self._texts)
        return misfit(event, reason)


def end_child(error: BaseException | None) -> NoReturn:
    """End a process that a handler forked, and that came out of the handler: the thread's work is the parent's."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(status)


def _after_fork() -> None:
    global _process  # noqa: PLW0603 - a call for each event would cost more
    _process = os.getpid()


_process = os.getpid()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def failure(event: Event, error: BaseException, texts: Texts) -> str:
    """Log a failed attempt, and say why it failed."""
    # Who redacts gets no error in the log, of which something else might show the text.
    _log_failure(event, texts.line(error), trace=texts.trace(error), raised=None if texts.redact else error)
    text = texts.error(error)
    return Hopeless(text) if isinstance(error, UnsupportedError) else text


def misfit(event: Event, reason: str) -> str:
    """Log an attempt whose result shows that the handler has not run, and say so."""
    text = f"the handler returned {reason}"
    _log_failure(event, text)
    return text


def _log_failure(event: Event, reason: str, *, trace: str = "", raised: BaseException | None = None) -> None:
    about = {"group": event.group, "partition": event.partition, "seq": event.seq, "attempt": event.attempt}
    where = ", ".join(f"{name} {value}" for name, value in about.items())
    log(
        logging.WARNING,
        f"handler failed: {where}: {reason}",
        event="handler_failed",
        trace=trace,
        raised=raised,
        error=reason,
        **about,
    )
