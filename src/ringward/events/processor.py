"""`Processor`: publishes events, and hands them to the handlers of groups, in threads."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ringward.checks import checked_float
from ringward.errors import ArgumentError, StoreClosedError
from ringward.events.core.options import Options
from ringward.events.core.routing import RouterLike
from ringward.events.engine.admission import UNRESOLVED_BYTES, UNRESOLVED_COUNT
from ringward.events.engine.callables import check_handler
from ringward.events.engine.engine import STOP_S, Engine
from ringward.events.engine.handlers import Handler, Runner
from ringward.events.engine.registration import Start, checked_wait
from ringward.events.engine.worker_pool import WorkerPool
from ringward.events.health import Health
from ringward.events.hooks import Hooks
from ringward.events.model.codecs import CodecLike
from ringward.events.model.event import EventId, EventKey, Receipt
from ringward.events.model.store import READ_TIMEOUT_S, Compacted, Retention, Settings, Store
from ringward.events.model.stream import Stream
from ringward.events.reports import DeadEvent, Stats
from ringward.events.texts import Redact

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Processor", "Start"]

H = TypeVar("H", bound=Handler)


class Processor:
    """Publishes events durably and hands them to handlers. No event is lost, and keys keep their order.

    Parameters
    ----------
    store : str, path, Store or None
        A file for a `SqliteStore` (needs the `events` extra), an address whose scheme is registered, or a store. None
        keeps everything in this process's memory.
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
        self._engine = engine = Engine(
            store,
            producer=producer,
            create=create,
            stream=stream,
            codec=codec,
            retention=retention,
            unresolved_bytes=unresolved_bytes,
            unresolved_count=unresolved_count,
            hooks=hooks,
            redact=redact,
            now=now,
            chance=chance,
        )
        self.producer = engine.producer
        self.store = engine.store
        self._pool = WorkerPool(
            *(engine.store, now, engine.troubles, engine.upkeep, engine.failed, engine.consumers.abandon)
        )
        engine.employ(self._pool)
        self._asked = False

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
        return self._engine.publish(key, payload, id, headers, wait_s)

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
        return self._engine.publish_many(keys, payloads, ids, headers, wait_s)

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
        engine = self._engine
        registration = engine.registration(group, members, router, start, options, more)

        def register(handler: H) -> H:
            check_handler(handler)
            driver = engine.register(registration)
            run = engine.observer.handler(handler)
            runner = Runner(driver, run, engine.now, engine.codec, engine.here, engine.texts)
            self._pool.add(driver, runner, registration.members)
            self._pool.nudge()
            return handler

        return register

    def reroute(self, group: str, router: RouterLike) -> None:
        """Let another router decide, from now on, which member owns which partition."""
        self._engine.reroute(group, router)

    # --- running

    def start(self) -> None:
        """Start the threads. They run until `stop` or an error; after an error this starts them again."""
        self._engine.outside("start")
        if self._engine.closed:
            raise StoreClosedError("the processor is closed")
        if not self._pool.running:
            self._pool.start(partial(self._engine.consumers.rejoin, again=self._pool.failure is not None))

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
        self._engine.outside("stop")
        checked_float("timeout_s", timeout_s, zero=True)
        if not self._pool.started:
            return self._pool.ended
        self._engine.consumers.leave()
        rounds = self._pool.ticker.begun  # one that is under way may still store that members join
        self._pool.nudge()
        began = self._engine.now()
        try:
            done = self._pool.wait(lambda: self._pool.ticker.past(rounds) and self._engine.consumers.gone, timeout_s)
        except (KeyboardInterrupt, SystemExit):
            timeout_s = 0.0  # whoever interrupts the stop wants to be gone now
            raise
        finally:
            ended = self._pool.stop(max(0.0, timeout_s - (self._engine.now() - began)))
        return done and ended

    def running(self) -> list[tuple[str, int]]:
        """(group, seq) of each event that a handler of this process handles now, or handled when it was stopped."""
        return self._engine.consumers.running()

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
        self._engine.outside("run")
        checked_wait(timeout_s)
        checked_float("stop_timeout_s", stop_timeout_s, zero=True)
        try:
            self.start()
            return self._pool.wait(
                lambda: self._asked or (until == "idle" and self._engine.consumers.is_idle()), timeout_s
            )
        finally:
            self._asked = False
            self.stop(stop_timeout_s)

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all groups are idle, while the threads run; False when the time was up."""
        self._engine.outside("drain")
        checked_wait(timeout_s)
        if not self._pool.started:  # one that has failed raises why
            raise ArgumentError("drain", "called while the processor runs", "stopped")
        return self._pool.wait(self._engine.consumers.is_idle, timeout_s)

    # --- dead letters, replay, upkeep

    def dead(self, group: str) -> list[DeadEvent]:
        """The dead-letter queue of a group, by seq: dead and parked events."""
        return self._engine.dead(group)

    def redrive(self, group: str, seqs: Sequence[int] | None = None) -> int:
        """Deliver dead events again, and the events parked behind them; all of them, or those of `seqs`.

        Returns
        -------
        int
            How many dead events there were. A seq that is not dead in this group is skipped and not counted.
        """
        return self._engine.redrive(group, seqs)

    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """Delete entries of the dead-letter queue for good; events parked behind them are handled.

        Returns
        -------
        int
            How many were deleted. A seq that is not in the queue of this group is skipped and not counted.
        """
        return self._engine.drop(group, seqs)

    def reset(self, group: str, to: Start) -> None:
        """Let a group handle events again, or skip some.

        Its epochs rise: work in flight is discarded. The dead-letter queue stays as it is; `drop` empties it.

        Parameters
        ----------
        group : str
        to : "beginning", "end", int or datetime
            Where it continues. An int is a seq: the group continues after it.
        """
        self._engine.reset(group, to)

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
        self._engine.delete_group(group)

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
        return self._engine.configure(retention=retention, id_window_s=id_window_s)

    def prune(self) -> int:
        """Delete at once the events beyond the retention, and return how many."""
        return self._engine.upkeep.prune()

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
        apsw.SQLError
            For a mistake in the SQL.
        """
        return self._engine.query(sql, parameters, timeout_s)

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
        self._engine.backup(to, overwrite=overwrite)

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
        return self._engine.compact()

    def stats(self) -> Stats:
        """What the store holds, and how far each group is."""
        return self._engine.stats()

    def health(self) -> Health:
        """How the processor and its groups are, and why. It never raises, and works after `close` too."""
        return self._engine.health()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._engine.closed

    def close(self) -> None:
        """Stop, and close the store even if stopping fails."""
        self._engine.outside("close")
        if not self.closed:
            try:
                self.stop()
            finally:
                self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
