"""The event processor for asyncio: handlers are coroutines, and a key waits only for its own events."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ringward.checks import checked_float, checked_int
from ringward.errors import ArgumentError, StoreClosedError
from ringward.events.core.options import Options
from ringward.events.core.routing import RouterLike
from ringward.events.engine.admission import UNRESOLVED_BYTES, UNRESOLVED_COUNT
from ringward.events.engine.callables import check_coroutine_handler
from ringward.events.engine.coroutines import AsyncHandler, refuse_inside
from ringward.events.engine.engine import STOP_S, Engine
from ringward.events.engine.registration import Start, checked_wait
from ringward.events.engine.tasks import TaskPool
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

__all__ = ["AsyncHandler", "Processor"]

H = TypeVar("H", bound=AsyncHandler)
CONCURRENCY = 1000


class Processor:
    """Publishes events durably and hands them to coroutines. No event is lost, and keys keep their order.

    It works like `ringward.events.Processor` and takes the same arguments, with three differences: `members` are tasks;
    `event.transaction` is not available, because a write transaction of the file must not wait for an `await`; and
    `publish` takes no `wait_s`.

    Parameters
    ----------
    store, producer, create, stream, codec, retention, unresolved_bytes, unresolved_count, hooks, redact, now, chance
        As `ringward.events.Processor`.
    concurrency : int
        No more batches are begun while handlers of this many keys run.

    Examples
    --------
    >>> import asyncio
    >>> from ringward.events import aio
    >>> async def main():
    ...     async with aio.Processor(producer="shop") as p:
    ...         @p.consumer("billing", members=4)
    ...         async def bill(event):
    ...             await asyncio.sleep(0)
    ...             print(event.seq, event.key, event.payload)
    ...         receipt = await p.publish("user:42", b"19.90", id="order-1")
    ...         idle = await p.run(until="idle")
    >>> asyncio.run(main())
    1 user:42 b'19.90'
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
        concurrency: int = CONCURRENCY,
    ) -> None:
        checked_int("concurrency", concurrency, 1, 1_000_000)
        self._engine = Engine(
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
        self.producer = self._engine.producer
        self.store = self._engine.store
        self._pool = TaskPool(self._engine, concurrency)
        self._engine.employ(self._pool)
        self._do = self._pool.do
        self._asked = False

    async def publish(
        self, key: EventKey, payload: Any, *, id: EventId | None = None, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """As `ringward.events.Processor.publish`. If it is cancelled, the event may be stored: publish it again."""
        return await self._do(self._engine.publish, key, payload, id, headers)

    async def publish_many(
        self,
        keys: Sequence[EventKey],
        payloads: Sequence[Any],
        ids: Sequence[EventId | None] | None = None,
        headers: Sequence[Mapping[str, str] | None] | None = None,
    ) -> list[Receipt]:
        """As `ringward.events.Processor.publish_many`."""
        return await self._do(self._engine.publish_many, keys, payloads, ids, headers)

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
        """Let a coroutine handle every event, once for the group; as `ringward.events.Processor.consumer`."""
        registration = self._engine.registration(group, members, router, start, options, more)

        def register(handler: H) -> H:
            check_coroutine_handler(handler)
            self._pool.add(self._engine.register(registration, concurrent=True), handler, registration.members)
            return handler

        return register

    async def reroute(self, group: str, router: RouterLike) -> None:
        """As `ringward.events.Processor.reroute`."""
        await self._do(self._engine.reroute, group, router)

    # --- running

    def start(self) -> None:
        """Start the tasks in the running loop. They run until `stop`.

        A processor may be started in several loops one after the other, as by several `asyncio.run`.

        Raises
        ------
        LoopError
            When it still runs in another loop.
        """
        refuse_inside(self._engine, "start")
        if self._engine.closed:
            raise StoreClosedError("the processor is closed")
        self._pool.start()

    def ask_to_stop(self) -> None:
        """Let `run` return soon, as if it were idle. May be called anywhere, even in handlers."""
        self._asked = True
        self._pool.nudge()

    async def stop(self, timeout_s: float = STOP_S) -> bool:
        """Finish what is in flight, hand the partitions over, and end the tasks.

        Returns
        -------
        bool
            False when the time was up, or when the tasks had been cancelled.
        """
        refuse_inside(self._engine, "stop")
        checked_float("timeout_s", timeout_s, zero=True)
        return await self._pool.stop(timeout_s)

    def running(self) -> list[tuple[str, int]]:
        """As `ringward.events.Processor.running`."""
        return self._engine.consumers.running()

    async def run(
        self, until: Literal["idle"] | None = None, timeout_s: float | None = None, *, stop_timeout_s: float = STOP_S
    ) -> bool:
        """As `ringward.events.Processor.run`."""
        if until not in (None, "idle"):
            raise ArgumentError("until", "'idle' or None", until)
        refuse_inside(self._engine, "run")
        checked_wait(timeout_s)
        checked_float("stop_timeout_s", stop_timeout_s, zero=True)
        await self._pool.failure_over()
        try:
            self.start()
            idle = self._engine.consumers.is_idle
            return await self._pool.wait(lambda: self._asked or (until == "idle" and idle()), timeout_s)
        finally:
            self._asked = False
            await self.stop(stop_timeout_s)

    async def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all groups are idle, while the tasks run; False when the time was up."""
        refuse_inside(self._engine, "drain")
        checked_wait(timeout_s)
        if not (self._pool.started or self._pool.closed) and self._pool.failure is None:
            raise ArgumentError("drain", "called while the processor runs", "stopped")
        return await self._pool.wait(self._engine.consumers.is_idle, timeout_s)

    async def dead(self, group: str) -> list[DeadEvent]:
        """As `ringward.events.Processor.dead`."""
        return await self._do(self._engine.dead, group)

    async def redrive(self, group: str, seqs: Sequence[int] | None = None) -> int:
        """As `ringward.events.Processor.redrive`."""
        return await self._do(self._engine.redrive, group, seqs)

    async def drop(self, group: str, seqs: Sequence[int]) -> int:
        """As `ringward.events.Processor.drop`."""
        return await self._do(self._engine.drop, group, seqs)

    async def reset(self, group: str, to: Start) -> None:
        """As `ringward.events.Processor.reset`."""
        await self._do(self._engine.reset, group, to)

    async def delete_group(self, group: str) -> None:
        """As `ringward.events.Processor.delete_group`."""
        await self._do(self._engine.delete_group, group)

    async def configure(self, *, retention: Retention | None = None, id_window_s: float | None = None) -> Settings:
        """As `ringward.events.Processor.configure`."""
        return await self._do(partial(self._engine.configure, retention=retention, id_window_s=id_window_s))

    async def prune(self) -> int:
        """As `ringward.events.Processor.prune`."""
        return await self._do(self._engine.upkeep.prune)

    async def verify(self) -> list[str]:
        """As `ringward.events.Processor.verify`."""
        return await self._do(self._engine.store.verify)

    async def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> list[tuple[Any, ...]]:
        """As `ringward.events.Processor.query`."""
        return await self._do(self._engine.query, sql, parameters, timeout_s)

    async def backup(self, to: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """As `ringward.events.Processor.backup`."""
        await self._do(partial(self._engine.backup, to, overwrite=overwrite))

    async def compact(self) -> Compacted:
        """As `ringward.events.Processor.compact`."""
        return await self._do(self._engine.compact)

    async def stats(self) -> Stats:
        """As `ringward.events.Processor.stats`."""
        return await self._do(self._engine.stats)

    async def health(self) -> Health:
        """As `ringward.events.Processor.health`."""
        return self._engine.health() if self._engine.closed else await self._do(self._engine.health)

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._engine.closed

    async def close(self) -> None:
        """Stop, and close the store even if stopping fails; does nothing the second time."""
        refuse_inside(self._engine, "close")
        if self._pool.closed:
            return
        try:
            await self.stop()
        finally:
            try:
                if not self._pool.closed:  # by another task meanwhile
                    await self._do(self._engine.close)
            finally:
                self._pool.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
