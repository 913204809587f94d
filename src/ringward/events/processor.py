"""`Processor`: publishes events, and hands them to the handlers of groups, in threads."""

from __future__ import annotations

import os
import random
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from ringward.checks import checked_callable, checked_float, checked_int, checked_text, checked_type
from ringward.errors import (
    ArgumentError,
    ArgumentTypeError,
    InsideHandlerError,
    StoreClosedError,
    UnknownGroupError,
)
from ringward.events.core.group import Group
from ringward.events.core.members import RouterLike
from ringward.events.core.options import Options
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.engine.admission import UNRESOLVED_BYTES, UNRESOLVED_COUNT, Admission, check_bounds
from ringward.events.engine.callables import check_handler
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.handlers import Handler, Handling, Runner
from ringward.events.engine.troubles import Troubles
from ringward.events.engine.worker_pool import WorkerPool
from ringward.events.health import Health, health_within, stored_of
from ringward.events.hooks import Hooks, Observer
from ringward.events.model.codecs import CodecLike, codec_from, encoded
from ringward.events.model.event import EventId, EventKey, Receipt, Receipts
from ringward.events.model.store import READ_TIMEOUT_S, Compacted, Retention, Settings, Store
from ringward.events.model.stream import Stream
from ringward.events.registration import checked_seqs, member_names, options_from
from ringward.events.reports import DeadEvent, GroupStats, Meter, Stats
from ringward.events.stores.memory.store import MemoryStore
from ringward.events.texts import Redact, Texts
from ringward.mutex import Mutex

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Processor", "Start", "checked_wait"]

PRUNE_S = 5.0
RELAXED_PRUNE_S = 60.0  # where nothing was published or handled since
PRUNE_ROWS = 10_000
WARN_S = 60.0  # between two warnings that events are stored which nobody handles here
STOP_S = 30.0

Start: TypeAlias = Literal["beginning", "end"] | int | datetime
H = TypeVar("H", bound=Handler)
T = TypeVar("T")


_processors: weakref.WeakSet[Processor] = weakref.WeakSet()


class Processor:
    """Publishes events durably and hands them to handlers. No event is lost, and keys keep their order.

    Parameters
    ----------
    store : str, path, Store or None
        A file for a `SqliteStore` (needs the `events` extra), or a store. None keeps
        everything in this process's memory.
    producer : str
        The namespace of event ids. Keep it the same across restarts.
    create : bool
        Whether a missing file is created. Set False where events are only handled: a mistyped path is then an error.
    stream : Stream, optional
        How many partitions, and how keys are hashed, in a new store.
    codec : "json", "msgspec", Codec or None
        How payloads are encoded; None: payloads are bytes. Also `MsgspecCodec(type)`, or your own codec.
    retention : Retention, optional
        How long a new store keeps events that all groups are past. The store keeps this setting; `configure` changes it.
    unresolved_bytes, unresolved_count : int
        How many payload bytes and events may wait to be handled before `publish` raises.
    hooks : Hooks, optional
        What to call when something happens.
    redact : callable, optional
        A function from a text (a key, an id, a payload, the text of an error) to what logs, traces, error messages and
        the dead-letter queue may show of it.
    now, chance : callable
        Monotonic seconds; a random number from [0, 1).

    Examples
    --------
    >>> from ringward.events import Processor
    >>> with Processor(producer="shop") as p:
    ...     @p.consumer("billing", members=4)
    ...     def bill(event):
    ...         print(event.seq, event.key, event.payload)
    ...     receipt = p.publish("user:42", b"19.90", id="order-1")
    ...     again = p.publish("user:42", b"19.90", id="order-1")
    ...     idle = p.run(until="idle")
    ...     print(receipt, again.duplicate)
    1 user:42 b'19.90'
    Receipt(seq=1, partition=159, duplicate=False) True
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
        self._codec = codec_from(codec)
        self._texts = Texts(redact)
        self._observer = Observer(hooks, self._texts)
        if retention is not None:
            checked_type("retention", retention, Retention)
        self._now = checked_callable("now", now)
        self._chance = checked_callable("chance", chance)
        if stream is not None:
            checked_type("stream", stream, Stream)
        check_bounds(unresolved_count, unresolved_bytes)  # before anything is opened, as all that may be wrong
        self.store = _opened(store, stream, create=checked_type("create", create, bool))
        self._begin_with(retention, close=self.store is not store)
        self._encoded = self._texts.hiding(encoded)
        self._entry = self._texts.hiding(self.store.stream.entry)
        self._entries = self._texts.hiding(self.store.stream.entries)
        self._admission = Admission(self.store, unresolved_count, unresolved_bytes, now)
        self._drivers: dict[str, GroupDriver] = {}
        self._lock = Mutex()
        self._gate = SuspectGate()
        self._here = Handling()
        self._store_entries = self._observer.append(self._texts.hiding(partial(self.store.append, self.producer)))
        self._troubles = Troubles(chance, self._texts)
        failed = partial(self._in_hook, self._observer.failed)
        self._pool = WorkerPool(self.store, now, self._troubles, self._upkeep, failed, self._abandon)
        self._accepted = Meter()
        self._handled: dict[str, Meter] = {}
        self._prune_due = 0.0
        self._pruned_at: tuple[float, object] = (-RELAXED_PRUNE_S, None)  # when, and how far all was
        self._warn_due = 0.0
        self._closed = False
        self._asked = False
        _processors.add(self)

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

    # --- publishing

    def publish(
        self,
        key: EventKey,
        payload: Any,
        *,
        id: EventId | None = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float | None = None,
    ) -> Receipt:
        """Store an event; when this returns, it is durable.

        Parameters
        ----------
        key : str, bytes or int
            Events of one key are handled in the order in which they are accepted.
        payload : bytes, or what the codec takes
        id : str, bytes or int, optional
            Publishing the same id again stores nothing and returns the first receipt. Integer ids must rise.
        headers : mapping of str to str, optional
        wait_s : float, optional
            How long to wait for room; by default it does not wait.

        Raises
        ------
        ConflictError
            When the id was published with another key, payload or headers.
        DeduplicationExpiredError
            For an integer id that is no longer remembered.
        BackpressureError
            When too much waits to be handled.
        StoreFailedError
            When it is unknown whether the event is stored: publish it again with the same id.
        """
        body = payload if self._codec is None else self._encoded(self._codec, payload)
        return self._append([self._entry(key, body, id, headers)], wait_s)[0]

    def publish_many(
        self,
        keys: Sequence[EventKey],
        payloads: Sequence[Any],
        ids: Sequence[EventId | None] | None = None,
        headers: Sequence[Mapping[str, str] | None] | None = None,
        *,
        wait_s: float | None = None,
    ) -> list[Receipt]:
        """Store many events in one commit, all or none.

        Parameters
        ----------
        keys, payloads : sequence
            Of one length.
        ids, headers : sequence, optional
        wait_s : float, optional

        Returns
        -------
        list of Receipt

        Raises
        ------
        ConflictError, DeduplicationExpiredError, BackpressureError, StoreFailedError
            As `publish`, for the first event that is refused; nothing is stored then.
        """
        if self._codec is not None:
            payloads = [self._encoded(self._codec, payload) for payload in payloads]
        entries = self._entries(keys, payloads, ids, headers)
        return self._append(entries, wait_s) if entries else []

    def _append(self, entries: list[Any], wait_s: float | None) -> list[Receipt]:
        size = sum([len(entry[4]) for entry in entries])
        self._admission.admit(len(entries), size, wait_s, inside=self._here.handler)
        receipts = self._store_entries(entries)
        if self._here.write_transaction:
            return receipts  # they are there when the handler's transaction is committed; a tick will see them
        self._warn(self._pool.failure)
        heads = [(receipt[0], receipt[1]) for receipt in receipts]
        row = receipts.row if isinstance(receipts, Receipts) else None
        for driver in list(self._drivers.values()):
            driver.appended(heads, row)
        self._pool.wake(len(heads))
        return receipts

    def _warn(self, failure: BaseException | None) -> None:
        """Say now and then that what is published is stored, and no longer handled here, if a failure is why."""
        if failure is not None and self._now() >= self._warn_due:
            self._warn_due = self._now() + WARN_S
            self._observer.idles(failure)

    # --- consuming

    def consumer(
        self,
        group: str,
        *,
        members: int | Sequence[str] = 1,
        router: RouterLike | None = None,
        start: Start = "beginning",
        options: Options | None = None,
        **more: Any,
    ) -> Callable[[H], H]:
        """Let a function handle every event, once for the group.

        Parameters
        ----------
        group : str
        members : int or sequence of str
            How many threads of this process share the group's partitions with those of other processes; or their names.
        router : Router, callable or None
            Decides which member owns which partition: a router, or a function that makes one from names. None: the
            stored one, or a `HashRing`.
        start : "beginning", "end", int or datetime
            Where a new group begins. An int is a seq: the group begins after it.
        options : Options, optional
        **more
            Single fields of `Options`.

        Returns
        -------
        callable
            A decorator that returns the function as it is.

        Raises
        ------
        ArgumentError
            When this processor already has a consumer for the group.
        """
        group = checked_text("group", group)
        if group in self._drivers:
            raise ArgumentError("group", "one without a consumer in this processor", group)
        chosen = options_from(options, more)
        names, count = member_names(members)

        def register(handler: H) -> H:
            check_handler(handler)
            machine = Group(
                group,
                self.store.process,
                self.store.stream.middles(),
                chosen,
                router=router,
                gate=self._gate,
                chance=self._chance,
                durable=self.store.abilities.durable,
            )
            self.store.open_group(group, self._seq_of(start))
            driver = GroupDriver(self.store, machine, self._lock, partial(self._in_hook, self._observer.notify))
            self._drivers[group] = driver
            self._handled[group] = Meter()
            run = self._observer.handler(handler)
            self._pool.add(driver, Runner(driver, run, self._now, self._codec, self._here, self._texts), count)
            self._joins(machine, names, count)
            self._pool.nudge()
            return handler

        return register

    def _joins(self, machine: Group, names: Sequence[str] | None, count: int) -> None:
        with self._lock:
            if names is None:
                machine.members.join_unnamed(count)
            else:
                machine.members.join(names)

    def _seq_of(self, start: Start, argument: str = "start") -> int:
        """The seq after which a position is."""
        if isinstance(start, datetime):
            try:
                return self.store.seq_at(int(start.timestamp() * 1000))
            except (ValueError, OverflowError, OSError):  # a local time at the ends of the calendar has none
                raise ArgumentError("start", "a time that the platform knows", start) from None
        totals = self.store.totals()
        if start == "beginning":
            return totals.first - 1
        if start == "end":
            return totals.tail
        if not hasattr(start, "__index__"):
            raise ArgumentError(argument, "'beginning', 'end', a seq or a datetime", start)
        return checked_int(argument, start, 0, totals.tail)

    def reroute(self, group: str, router: RouterLike) -> None:
        """Let another router decide, from now on, which member owns which partition."""
        driver = self._driver(group)
        with self._lock:
            driver.group.members.reroute(router)
        self._pool.nudge()

    def _driver(self, group: str) -> GroupDriver:
        try:
            return self._drivers[group]
        except KeyError:
            raise UnknownGroupError(group) from None

    # --- running

    def start(self) -> None:
        """Start the threads. They run until `stop` or an error; after an error this starts them again."""
        self._outside("start")
        if self._closed:
            raise StoreClosedError("the processor is closed")
        if not self._pool.running:
            self._pool.start(partial(self._rejoin, again=self._pool.failure is not None))

    def _rejoin(self, *, again: bool) -> None:
        """Let all members join; `again`, when threads were ended by an error in the middle of something."""
        with self._lock:
            for driver in self._drivers.values():
                driver.group.members.stay()
        for driver in self._drivers.values() if again else ():
            driver.restart()

    def _abandon(self) -> None:
        """Let others have what nobody works for any more; where that fails, the leases end by themselves."""
        for driver in self._drivers.values():
            with suppress(Exception):
                driver.abandon(self._now())

    def _leave_all(self) -> None:
        with self._lock:
            for driver in self._drivers.values():
                driver.group.members.stay_away()
                for name in list(driver.group.members.local):
                    driver.group.leave(name)

    def _left(self) -> bool:
        with self._lock:
            return not self._present()

    def _present(self) -> bool:  # apart from the lock: see `Mutex`
        return any(driver.present for driver in self._drivers.values())

    def _outside(self, call: str) -> None:
        """Refuse what waits for handlers where one, or a hook, waits for it."""
        if self._here.handler or self._here.hook:
            raise InsideHandlerError(call)

    def _in_hook(self, tell: Callable[[T], None], told: T) -> None:
        self._here.hook = True
        try:
            tell(told)
        finally:
            self._here.hook = False

    def ask_to_stop(self) -> None:
        """Let `run` return soon, as if it were idle. May be called from a signal handler, even just before `run`."""
        self._asked = True
        self._pool.nudge()

    def stop(self, timeout_s: float = STOP_S) -> bool:
        """Finish what is in flight, hand the partitions over, and end the threads.

        Returns
        -------
        bool
            Whether all was done in time; otherwise a hung handler is left behind. If the processor is already
            stopped: whether the handlers that were left behind have ended since.

        Raises
        ------
        InsideHandlerError
            In a handler or hook of this processor, because it would wait for itself. `run`, `drain`, `start` and
            `close` raise it too.
        """
        self._outside("stop")
        checked_float("timeout_s", timeout_s, zero=True)
        if not self._pool.started:
            return self._pool.ended
        self._leave_all()
        rounds = self._pool.ticker.begun  # one that is under way may still store that members join
        self._pool.nudge()
        began = self._now()
        try:
            done = self._pool.wait(lambda: self._pool.ticker.past(rounds) and self._left(), timeout_s)
        except (KeyboardInterrupt, SystemExit):
            timeout_s = 0.0  # whoever interrupts the stop wants to be gone now
            raise
        finally:
            ended = self._pool.stop(max(0.0, timeout_s - (self._now() - began)))
        return done and ended

    def running(self) -> list[tuple[str, int]]:
        """(group, seq) of each event that a handler of this process handles now, or handled when it was stopped."""
        with self._lock:
            return [
                (name, seq)
                for name, driver in self._drivers.items()
                for batch in driver.group.batches
                for seq in batch.running()
            ]

    def run(
        self, until: Literal["idle"] | None = None, timeout_s: float | None = None, *, stop_timeout_s: float = STOP_S
    ) -> bool:
        """Handle events in this processor's threads until it is told to stop, or until all groups are idle.

        Parameters
        ----------
        until : "idle" or None
            "idle": until every accepted event is done, dead or parked in the groups that have a consumer here.
        timeout_s : float, optional
        stop_timeout_s : float
            How long events in flight at the end may take. `stop()` says afterwards whether a handler was cut off.

        Returns
        -------
        bool
            False when the time was up.
        """
        if until not in (None, "idle"):
            raise ArgumentError("until", "'idle' or None", until)
        self._outside("run")
        checked_wait(timeout_s)
        checked_float("stop_timeout_s", stop_timeout_s, zero=True)
        try:
            self.start()
            return self._pool.wait(lambda: self._asked or (until == "idle" and self._idle()), timeout_s)
        finally:
            self._asked = False
            self.stop(stop_timeout_s)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all groups are idle, while the threads run; False when the time was up."""
        self._outside("drain")
        checked_wait(timeout_s)
        if not self._pool.started:  # one that has failed raises why
            raise ArgumentError("drain", "called while the processor runs", "stopped")
        return self._pool.wait(self._idle, timeout_s)

    def _idle(self) -> bool:
        with self._lock:
            if not self._quiet():
                return False
        with suppress(UnknownGroupError):  # which was deleted just now: the ticker is about to see it
            return all(driver.deleted or self._resolved(name) for name, driver in self._drivers.items())
        return False

    def _quiet(self) -> bool:  # apart from the lock: see `Mutex`
        return all(driver.group.quiet for driver in self._drivers.values())

    def _resolved(self, group: str) -> bool:
        """Whether nothing of a group is unresolved, in whatever process, but for what is parked."""
        tail = self.store.totals().tail
        if self.store.lowest_unresolved(group) <= tail:
            return False
        blocked: set[tuple[int, bytes]] = set()
        for dead_letter in self.store.dead_letters(group):
            name = (dead_letter.partition, dead_letter.key)
            if dead_letter.state == "dead":
                blocked.add(name)
            elif dead_letter.state == "redrive" or name not in blocked:
                return name in blocked
        return True

    def _upkeep(self, now: float) -> None:
        if self._accepted.due(now):
            self._accepted.sample(now, self.store.totals().tail)
            for name, meter in list(self._handled.items()):
                meter.sample(now, self._drivers[name].group.handled_count)
        if now >= self._prune_due:
            self._prune_due = now + PRUNE_S
            far = (self.store.totals(), [driver.group.handled_count for driver in self._drivers.values()])
            if far == self._pruned_at[1] and now - self._pruned_at[0] < RELAXED_PRUNE_S:
                return  # only time can have made more of it old
            self._pruned_at = (now, far)
            if self.store.prune(PRUNE_ROWS) == PRUNE_ROWS:
                self._prune_due = now  # there is more

    # --- dead letters, replay, upkeep

    def dead(self, group: str) -> list[DeadEvent]:
        """The dead-letter queue of a group, by seq: dead and parked events."""
        dead_letters = self.store.dead_letters(checked_text("group", group))
        rows = {row[0]: row for row in self.store.bodies(group, [dead_letter.seq for dead_letter in dead_letters])}
        return [
            DeadEvent.of(dead_letter, rows[dead_letter.seq]) for dead_letter in dead_letters if dead_letter.seq in rows
        ]

    def redrive(self, group: str, seqs: Sequence[int] | None = None) -> int:
        """Deliver dead events again, and the events parked behind them; all of them, or those of `seqs`.

        Returns
        -------
        int
            How many dead events there were. A seq that is not dead in this group is skipped and not counted.
        """
        group = checked_text("group", group)
        if seqs is None:
            chosen = [dead_letter.seq for dead_letter in self.store.dead_letters(group) if dead_letter.state == "dead"]
        else:
            chosen = checked_seqs(seqs)
        count = self.store.redrive(group, chosen)
        self._pool.wake()
        return count

    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """Delete entries of the dead-letter queue for good; events parked behind them are handled.

        Returns
        -------
        int
            How many were deleted. A seq that is not in the queue of this group is skipped and not counted.
        """
        count = self.store.drop(checked_text("group", group), checked_seqs(seqs))
        self._pool.wake()
        return count

    def reset(self, group: str, to: Start) -> None:
        """Let a group handle events again, or skip some.

        Its epochs rise: work in flight is discarded. The dead-letter queue stays as it is; `drop` empties it.

        Parameters
        ----------
        group : str
        to : "beginning", "end", int or datetime
            Where it continues. An int is a seq: the group continues after it.
        """
        self.store.reset(checked_text("group", group), self._seq_of(to, "to"))
        self._pool.wake()

    def delete_group(self, group: str) -> None:
        """Delete a group that nobody needs any more: its position, its members and its dead-letter queue.

        An abandoned group keeps every event that it has not handled from being pruned. A consumer that is registered
        later under this name begins anew; acknowledgements of former members are refused.

        Parameters
        ----------
        group : str

        Raises
        ------
        ArgumentError
            When this processor has a consumer for the group.
        UnknownGroupError
        """
        group = checked_text("group", group)
        if group in self._drivers:
            raise ArgumentError("group", "one without a consumer in this processor", group)
        self.store.delete_group(group)

    def configure(self, *, retention: Retention | None = None, id_window_s: float | None = None) -> Settings:
        """Set how long the store keeps events and ids, for every process that has it open.

        Parameters
        ----------
        retention : Retention, optional
            How long events that all groups are past are kept.
        id_window_s : float, optional
            How long ids are remembered, at least. Ids that are already forgotten do not come back.

        Returns
        -------
        Settings
            The present settings of the store.

        Examples
        --------
        >>> from ringward.events import Processor, Retention
        >>> with Processor() as p:
        ...     p.configure(retention=Retention(age_s=None, count=1_000_000)).retention.count
        1000000
        """
        return self.store.configure(retention=retention, id_window_s=id_window_s)

    def prune(self) -> int:
        """Delete at once the events beyond the retention, and return how many."""
        total = 0
        while count := self.store.prune(PRUNE_ROWS):
            total += count
        return total

    def verify(self) -> list[str]:
        """Check the store, and say in words what is wrong; empty when nothing is."""
        return self.store.verify()

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> list[tuple[Any, ...]]:
        """Read the file's tables, your own and ringward's, as they are at one moment.

        Parameters
        ----------
        sql : str
            One statement that only reads.
        parameters : sequence or mapping, optional
        timeout_s : float
            A query is ended after that time, because the write-ahead log can only grow while it reads.

        Returns
        -------
        list of tuple

        Raises
        ------
        ArgumentError
            For a statement that does more than read.
        QueryTimeoutError
        UnsupportedError
            In memory.
        """
        return self.store.query(sql, parameters, timeout_s)

    def backup(self, to: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Make a complete copy of the file as it is at one moment, while everything runs.

        Parameters
        ----------
        to : str or path
            The copy gets this name once it is complete and synced, and is readable by its owner alone. A store can be
            opened on it.
        overwrite : bool
            Whether to replace a file of this name.

        Raises
        ------
        ArgumentError
            When the path is taken.
        StoreNotFoundError, StoreAccessError, StoreFullError
            When the copy cannot be made there.
        UnsupportedError
            In memory.
        """
        self.store.backup(to, overwrite=overwrite)

    def compact(self) -> Compacted:
        """Give the file's unused space back to the file system, while others continue.

        The processor does so by itself, in small steps, but keeps an eighth of the file in reserve. A file of
        version 1 is rewritten: meanwhile writers wait, and twice the space is needed.

        Returns
        -------
        Compacted
            The bytes `before` and `after`.

        Raises
        ------
        StoreFullError
            If there is no room to rewrite a file of version 1.
        """
        return self.store.compact()

    def stats(self) -> Stats:
        """What the store holds, and how far each group is."""
        totals, groups = self.store.totals(), self.store.groups()
        rate = self._accepted.per_s(self._now(), totals.tail)
        return Stats(*totals, {state.name: self._group_stats(state.name, totals.tail) for state in groups}, rate)

    def _group_stats(self, name: str, tail: int) -> GroupStats:
        driver, lag = self._drivers.get(name), self.store.unresolved(name)
        dead, parked, lowest, since, up = stored_of(self.store, name, tail)
        stored = (lag, dead, parked, lowest, since, tuple(up.values()))
        if driver is None:
            return GroupStats(*stored)
        with self._lock:
            group = driver.group
            hung = sum(batch.abandoned for batch in group.batches)
            counts = (group.handled_count, group.retries, group.deaths, group.takeovers, group.fenced, hung)
            rate = self._handled[name].per_s(self._now(), group.handled_count)
            return GroupStats(*stored, len(group.owned), *counts, rate)

    def health(self) -> Health:
        """How the processor and its groups are, and why. It never raises, and works after `close` too."""
        return self._health(running=self._pool.running, failure=self._pool.failure)

    def _health(self, *, running: bool, failure: BaseException | None) -> Health:
        groups = {name: partial(self._group_health, driver) for name, driver in list(self._drivers.items())}
        return health_within(
            self.store, closed=self._closed, running=running, failure=failure, troubles=self._troubles, groups=groups
        )

    def _group_health(self, driver: GroupDriver) -> tuple[int, tuple[str, ...], bool]:
        """How many handlers hang, which members are damped, and whether the group was deleted."""
        with self._lock:
            hung = sum(batch.abandoned for batch in driver.group.batches)
            return hung, driver.group.members.damped(self._now()), driver.deleted

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def close(self) -> None:
        """Stop, and close the store even if stopping fails."""
        self._outside("close")
        if not self._closed:
            try:
                self.stop()
            finally:
                self._closed = True
                self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def checked_wait(timeout_s: float | None) -> None:
    """Refuse what is neither None nor so many seconds."""
    if timeout_s is not None:
        checked_float("timeout_s", timeout_s, zero=True)


def _after_fork() -> None:
    """A processor is the parent's: in a child there is nothing to stop, and it cannot be started."""
    for each in list(_processors):
        each._closed = True
        each._lock = Mutex()
        each._pool.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _opened(store: str | os.PathLike[str] | Store | None, stream: Stream | None, *, create: bool) -> Store:
    if store is None:
        return MemoryStore(stream)
    if isinstance(store, str | os.PathLike):
        from ringward.events import SqliteStore  # noqa: PLC0415 - needs the extra

        return SqliteStore(store, stream, create=create)
    if isinstance(store, type) or not hasattr(store, "abilities"):
        raise ArgumentTypeError("store", "a path, a Store or None", store)
    if stream is not None and stream != store.stream:
        raise ArgumentError("stream", f"the store's, {store.stream!r}", stream)
    return store
