"""`Engine`: all of a processor but who runs its handlers; both faces have one."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar

from ringward.checks import checked_callable, checked_int, checked_text, checked_type
from ringward.errors import ArgumentError, InsideHandlerError
from ringward.events.core.options import Options
from ringward.events.core.routing import RouterLike
from ringward.events.engine.admission import UNRESOLVED_BYTES, UNRESOLVED_COUNT, Admission, check_bounds
from ringward.events.engine.consumers import Consumers
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.handlers import Handling
from ringward.events.engine.limits import limited, resumable
from ringward.events.engine.observer import Observer
from ringward.events.engine.registration import Registration, Start, checked_seqs, member_names, options_from
from ringward.events.engine.reporting import Reporter
from ringward.events.engine.troubles import Troubles
from ringward.events.engine.upkeep import Upkeep
from ringward.events.health import Health
from ringward.events.hooks import Hooks
from ringward.events.model.codecs import CodecLike, codec_from, encoded
from ringward.events.model.event import SEQ, EventId, EventKey, Receipt, Receipts, entry_payload_of
from ringward.events.model.store import Compacted, Retention, Settings, Store
from ringward.events.model.stream import Stream
from ringward.events.reports import DeadEvent, Stats
from ringward.events.stores.opening import open_store
from ringward.events.texts import Redact, Texts

__all__ = ["STOP_S", "Engine", "Workers"]

WARN_S = 60.0  # between two warnings that events are stored which nobody handles here
STOP_S = 30.0

T = TypeVar("T")


class Workers(Protocol):
    """Who runs the handlers, as an engine knows them: threads or tasks."""

    @property
    def failure(self) -> BaseException | None:
        """The error that ended them."""
        ...

    @property
    def running(self) -> bool:
        """Whether they are there, and none has failed."""
        ...

    def wake(self, most: int | None = None) -> None:
        """There may be something to do, for so many of each group."""
        ...

    def nudge(self) -> None:
        """Let all look again: the ticker, and who waits."""
        ...

    def forked(self) -> None:
        """In a child process: they are the parent's."""
        ...


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


class Engine:
    """Publishes, registers consumers, and does for a store what its users ask for.

    Parameters
    ----------
    store, producer, create, stream, codec, retention, unresolved_bytes, unresolved_count, hooks, redact, now, chance
        As `ringward.events.Processor` has them.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | Store | None = None,
        *,
        producer: str = "default",
        create: bool = True,
        stream: Stream | None = None,
        codec: CodecLike | None = None,
        retention: Retention | None = None,
        unresolved_bytes: int = UNRESOLVED_BYTES,
        unresolved_count: int = UNRESOLVED_COUNT,
        hooks: Hooks | None = None,
        redact: Redact | None = None,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.producer = checked_text("producer", producer)
        self.codec = codec_from(codec)
        self.texts = Texts(redact)
        self.observer = Observer(hooks, self.texts)
        if retention is not None:
            checked_type("retention", retention, Retention)
        self.now = checked_callable("now", now)
        checked_callable("chance", chance)
        if stream is not None:
            checked_type("stream", stream, Stream)
        check_bounds(unresolved_count, unresolved_bytes)  # before anything is opened, as all that may be wrong
        self.store = open_store(store, stream, create=checked_type("create", create, bool))
        self._begin_with(retention, close=self.store is not store)
        self._encoded = self.texts.hiding(encoded)
        self._entry = self.texts.hiding(self.store.stream.entry)
        self._entries = self.texts.hiding(self.store.stream.entries)
        self._admission = Admission(self.store, unresolved_count, unresolved_bytes, now)
        self._store_entries = self.observer.append(
            self.texts.hiding(limited(partial(self.store.append, self.producer), self.store.abilities))
        )
        self.here = Handling()
        self.troubles = Troubles(chance, self.texts)
        self.consumers = Consumers(self.store, now, chance, partial(self._in_hook, self.observer.notify))
        self.upkeep = Upkeep(self.store, self.consumers)
        self._reporter = Reporter(self.store, self.consumers, self.upkeep, self.troubles, now)
        self._warn_due = 0.0
        self._workers: Workers
        self.closed = False

    def _begin_with(self, retention: Retention | None, *, close: bool) -> None:
        """Set what a new store is made with; another that was set before is an error."""
        if retention is None:
            return
        try:
            self.store.configure(retention=retention, initial=True)
        except BaseException:
            if close:
                self.store.close()
            raise

    def employ(self, workers: Workers) -> None:
        """Have handlers run by these workers, which were made for this engine."""
        self._workers = workers
        _engines.add(self)

    # --- publishing

    def publish(
        self,
        key: EventKey,
        payload: Any,
        id: EventId | None,
        headers: Mapping[str, str] | None,
        wait_s: float | None = None,
    ) -> Receipt:
        """Store an event, and let the workers know."""
        body = payload if self.codec is None else self._encoded(self.codec, payload)
        return self._append([self._entry(key, body, id, headers)], wait_s)[0]

    def publish_many(
        self,
        keys: Sequence[EventKey],
        payloads: Sequence[Any],
        ids: Sequence[EventId | None] | None,
        headers: Sequence[Mapping[str, str] | None] | None,
        wait_s: float | None = None,
    ) -> list[Receipt]:
        """Store many events in one commit, and let the workers know."""
        if self.codec is not None:
            payloads = [self._encoded(self.codec, payload) for payload in payloads]
        entries = self._entries(keys, payloads, ids, headers)
        return self._append(entries, wait_s) if entries else []

    def _append(self, entries: list[Any], wait_s: float | None) -> list[Receipt]:
        size = sum(map(len, map(entry_payload_of, entries)))
        self._admission.admit(len(entries), size, wait_s, inside=self.here.handler)
        receipts = self._store_entries(entries)
        if self.here.write_transaction:
            return receipts  # they are there when the handler's transaction is committed; a tick will see them
        if (failure := self._workers.failure) is not None:
            self._warn(failure)
        heads = [(seq, partition) for seq, partition, _ in receipts]
        self.consumers.appended(heads, receipts.rows if isinstance(receipts, Receipts) else ())
        self._workers.wake(len(heads))
        return receipts

    def _warn(self, failure: BaseException) -> None:
        """Say now and then that what is published is stored, and no longer handled here."""
        if self.now() >= self._warn_due:
            self._warn_due = self.now() + WARN_S
            self.observer.idles(failure)

    # --- consuming

    def registration(
        self,
        group: str,
        members: int | Sequence[str],
        router: RouterLike | None,
        start: Start,
        options: Options | None,
        fields: Mapping[str, Any],
    ) -> Registration:
        """What a consumer is to be registered with, checked."""
        group = checked_text("group", group)
        self.consumers.refuse(group)
        chosen = options_from(options, fields)
        names, count = member_names(members)
        return Registration(group, names, count, router, start, chosen)

    def register(self, registration: Registration, *, concurrent: bool = False) -> GroupDriver:
        """Open the group of a consumer; the driver that the workers are to go by."""
        return self.consumers.add(registration, self._seq_of(registration.start), concurrent=concurrent)

    def reroute(self, group: str, router: RouterLike) -> None:
        """Let another router decide from now on which member owns which partition."""
        self.consumers.reroute(group, router)
        self._workers.nudge()

    def _seq_of(self, start: Start, argument: str = "start") -> int:
        """The seq after which a position is."""
        if isinstance(start, datetime):
            try:
                return self.store.seq_at(int(start.timestamp() * 1000))
            except (ValueError, OverflowError, OSError):  # a local time at the ends of the calendar has none
                raise ArgumentError(argument, "a time that the platform knows", start) from None
        totals = self.store.totals()
        if start == "beginning":
            return totals.first - 1
        if start == "end":
            return totals.tail
        if not hasattr(start, "__index__"):
            raise ArgumentError(argument, "'beginning', 'end', a seq or a datetime", start)
        return checked_int(argument, start, 0, totals.tail)

    # --- who may call, and who is told

    def outside(self, call: str) -> None:
        """Refuse what waits for handlers in a thread that runs one, or a hook, and would wait for itself."""
        if self.here.handler or self.here.hook:
            raise InsideHandlerError(call)

    def failed(self, error: BaseException) -> None:
        """Tell that the processor stops."""
        self._in_hook(self.observer.failed, error)

    def _in_hook(self, tell: Callable[[T], None], told: T) -> None:
        self.here.hook = True
        try:
            tell(told)
        finally:
            self.here.hook = False

    # --- dead letters, replay, upkeep

    def dead(self, group: str) -> list[DeadEvent]:
        """The dead-letter queue of a group, by seq, with what is parked in it."""
        dead_letters = self.store.dead_letters(checked_text("group", group))
        rows = {row[SEQ]: row for row in self.store.bodies(group, [dead_letter.seq for dead_letter in dead_letters])}
        return [
            DeadEvent.of(dead_letter, rows[dead_letter.seq]) for dead_letter in dead_letters if dead_letter.seq in rows
        ]

    def redrive(self, group: str, seqs: Sequence[int] | None) -> int:
        """Deliver dead events again, and what is parked behind them; how many dead events that are."""
        group = checked_text("group", group)
        if seqs is None:
            chosen = [dead_letter.seq for dead_letter in self.store.dead_letters(group) if dead_letter.state == "dead"]
        else:
            chosen = checked_seqs(seqs)
        with resumable(self.store.abilities):
            count = self.store.redrive(group, chosen)
        self._workers.wake()
        return count

    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """Delete entries of the dead-letter queue for good; how many."""
        with resumable(self.store.abilities):
            count = self.store.drop(checked_text("group", group), checked_seqs(seqs))
        self._workers.wake()
        return count

    def reset(self, group: str, to: Start) -> None:
        """Let a group handle events again, or leave some out."""
        with resumable(self.store.abilities):
            self.store.reset(checked_text("group", group), self._seq_of(to, "to"))
        self._workers.wake()

    def delete_group(self, group: str) -> None:
        """Forget a group that has no consumer here."""
        group = checked_text("group", group)
        self.consumers.refuse(group)
        with resumable(self.store.abilities):
            self.store.delete_group(group)

    def configure(self, *, retention: Retention | None, id_window_s: float | None) -> Settings:
        """Set how long the store keeps events and ids."""
        return self.store.configure(retention=retention, id_window_s=id_window_s)

    def query(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None, timeout_s: float
    ) -> list[tuple[Any, ...]]:
        """Read from the store's tables."""
        return self.store.query(sql, parameters, timeout_s)

    def backup(self, to: str | os.PathLike[str], *, overwrite: bool) -> None:
        """Make a whole copy of the store as it is at one moment."""
        self.store.backup(to, overwrite=overwrite)

    def compact(self) -> Compacted:
        """Give back the space that the store does not use any more."""
        return self.store.compact()

    def stats(self) -> Stats:
        """What the store holds, and how far all its groups are."""
        return self._reporter.stats()

    def health(self) -> Health:
        """How the processor and its groups are, and why; it never raises, and works when all is over, too."""
        return self._reporter.health(closed=self.closed, running=self._workers.running, failure=self._workers.failure)

    # --- ending

    def close(self) -> None:
        """Close the store."""
        if not self.closed:
            self.closed = True
            self.store.close()

    def forked(self) -> None:
        """In a child process: the processor is the parent's; here is nothing to stop, and it cannot be started."""
        self.closed = True
        self.consumers.forked()
        self._workers.forked()


def _after_fork() -> None:
    for each in list(_engines):
        each.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
