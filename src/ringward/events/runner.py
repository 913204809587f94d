"""`Runner`: runs the handlers of a batch in the thread that calls it, with their transactions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from ringward.errors import RingwardError, StaleEpochError, TransactionError
from ringward.events.agent import Agent
from ringward.events.codecs import Codec
from ringward.events.effects import Batch, GiveBack
from ringward.events.event import Delivery, Event, Row
from ringward.events.stores.protocol import Transaction, Turn

__all__ = ["Handler", "Handling", "Runner", "failure"]

Handler = Callable[[Event], Any]
_log = logging.getLogger("ringward.events")


class Handling(threading.local):
    """Whether this thread runs a handler, and whether that handler has taken the write turn."""

    handler = False
    turn = False


class _Turns:
    """The write turn of a batch: taken when a handler first asks, committed when it has lasted long enough."""

    def __init__(self, agent: Agent, batch: Batch, now: Callable[[], float], here: Handling) -> None:
        self._agent = agent
        self._batch = batch
        self._now = now
        self._here = here
        self._turn: Turn | None = None
        self._event: int | None = None  # the event that has a savepoint
        self.running: int | None = None  # the event that is with the handler
        self._done: list[Row] = []
        self._failed: list[tuple[Row, str]] = []

    def transaction_of(self, event: Event) -> Transaction:
        """The transaction of the event that is being handled."""
        row: Row = event[0]
        if self._event != row[0]:
            if row[0] != self.running:
                raise TransactionError("a transaction can be used by its own event's handler only")
            if self._turn is None:
                self._turn = self._agent.store.turn(self._agent.group.name)
                self._here.turn = True
            self._turn.begin(row[1], self._batch.epochs[row[1]])
            self._event = row[0]
        assert self._turn is not None  # noqa: S101 - taken above, by this event or by one before
        return self._turn.transaction

    def ended(self, row: Row, error: str | None) -> bool:
        """An event's handler is over; False when the turn keeps no account of it."""
        self.running = None
        if self._turn is None:
            return False
        if self._event == row[0]:
            self._event = None
            self._turn.end(keep=error is None)
        if error is None:
            self._done.append(row)
        else:
            self._failed.append((row, error))
        if self._turn.over():
            self.commit()
        return True

    def undo(self) -> None:
        """The event that is being handled is given back."""
        self.running = None
        if self._turn is not None and self._event is not None:
            self._event = None
            self._turn.end(keep=False)

    def commit(self) -> None:
        """Commit what the handlers did, with its acknowledgement."""
        if self._turn is None:
            return
        turn, done, failed = self._turn, self._done, self._failed
        self._turn, self._done, self._failed = None, [], []
        self._here.turn = False
        self._agent.commit(self._batch, turn, done, failed, self._now())

    def lose(self, row: Row | None) -> None:
        """The turn is gone, with all that was done in it."""
        turn, self._turn, self._event, self.running = self._turn, None, None, None
        self._here.turn = False
        if turn is not None:
            turn.cancel()
        rows = [*self._done, *(failed for failed, _ in self._failed), *([row] if row is not None else [])]
        self._agent.lose({each[1] for each in rows})
        self._done, self._failed = [], []


class Runner:
    """Runs the batches of one group.

    Parameters
    ----------
    agent : Agent
    handler : callable
        Takes an `Event`. What it raises is a failed attempt.
    now : callable
        Monotonic seconds.
    codec : Codec or None
    here : Handling
    """

    def __init__(
        self, agent: Agent, handler: Handler, now: Callable[[], float], codec: Codec | None, here: Handling
    ) -> None:
        self.agent = agent
        self.handler = handler
        self._now = now
        self._codec = codec
        self._here = here

    def run(self, batch: Batch, *, more: bool = False) -> Batch | None:
        """Run the handlers of a batch, and store what became of it; the next one, for whoever asks for `more`."""
        turns = _Turns(self.agent, batch, self._now, self._here)
        transactional = self.agent.store.abilities.transaction
        delivery = Delivery(
            self.agent.group.name, batch.epochs, turns.transaction_of if transactional else None, self._codec
        )
        self._here.handler = True
        try:
            self._run_all(batch, delivery, turns)
        except BaseException:
            more = False
            raise
        finally:
            self._here.handler = False
            following = self.agent.finish(batch, self._now(), more=more)
        return following

    def _run_all(self, batch: Batch, delivery: Delivery, turns: _Turns) -> None:
        row: Row | None = None
        try:
            try:
                for row, attempt in batch.left_to_run():
                    turns.running = row[0]
                    error = self._attempt(Event((row, attempt, delivery)))
                    if error is not None:
                        batch.stop_key(row)
                    if not turns.ended(row, error):
                        batch.note(row, error)
            except GiveBack:
                turns.undo()
            turns.commit()
        except (TransactionError, StaleEpochError) as error:
            _log.warning(
                "group %s: a turn is lost, its events are delivered again: %s",
                *(delivery.group, error),
                extra={"event": "turn_lost", "group": delivery.group, "error": str(error)},
            )
            turns.lose(row)
        except RingwardError:
            turns.lose(row)
            raise

    def _attempt(self, event: Event) -> str | None:
        """Run the handler; why it failed."""
        try:
            self.handler(event)
        except (StaleEpochError, GiveBack):
            raise
        except BaseException as error:  # noqa: BLE001 - also what would end the thread is one failed attempt
            return failure(event, error)
        return None


def failure(event: Event, error: BaseException) -> str:
    """Log a failed attempt, and say why it failed."""
    extra = {"group": event.group, "partition": event.partition, "seq": event.seq, "attempt": event.attempt}
    _log.warning(
        "handler failed: group %s, partition %d, seq %d, attempt %d",
        *extra.values(),
        exc_info=error,
        extra={"event": "handler_failed", **extra},
    )
    return f"{type(error).__name__}: {error}"
