"""The event processor for asyncio: handlers are coroutines, and keys wait for nobody but themselves."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from ringward.checks import checked_int
from ringward.errors import ArgumentError, StoreClosedError
from ringward.events import processor
from ringward.events.agent import Agent
from ringward.events.crew import TICK_S
from ringward.events.effects import Batch, GiveBack, Options
from ringward.events.event import Delivery, Event, EventId, EventKey, Receipt, Row
from ringward.events.health import Health
from ringward.events.members import RouterLike
from ringward.events.processor import STOP_S, Start
from ringward.events.reports import DeadEvent, Stats
from ringward.events.runner import failure

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["AsyncHandler", "Processor"]

AsyncHandler = Callable[[Event], Awaitable[Any]]
H = TypeVar("H", bound=AsyncHandler)
T = TypeVar("T")
_THREADS = 8
CONCURRENCY = 1000


class Processor:
    """Publishes events durably, and hands them to coroutines: none is lost, and keys keep their order.

    All of it as in `ringward.events.Processor`, whose arguments it takes, but that `members` are tasks, and
    that `event.transaction` is not to be had: a turn of the file must not wait for an `await`.

    Parameters
    ----------
    *args, **options
        As `ringward.events.Processor`.
    concurrency : int
        Keys with a handler under way at which no more batches are begun.

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

    def __init__(self, *args: Any, concurrency: int = CONCURRENCY, **options: Any) -> None:
        self._concurrency = checked_int("concurrency", concurrency, 1, 1_000_000)
        self._inner = processor.Processor(*args, **options)
        self._threads = ThreadPoolExecutor(_THREADS, "ringward-aio")
        self._handlers: dict[str, tuple[AsyncHandler, int]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._events: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self._stopping = False
        self._failure: BaseException | None = None

    async def _do(self, work: Callable[..., T], *args: Any) -> T:
        """Let a thread wait for the store."""
        run = contextvars.copy_context().run  # hooks find the trace that the caller is in
        return await asyncio.get_running_loop().run_in_executor(self._threads, run, work, *args)

    async def publish(
        self, key: EventKey, payload: Any, *, id: EventId | None = None, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """As `ringward.events.Processor.publish`. Cancelled, it may have stored the event: publish it again."""
        receipt = await self._do(lambda: self._inner.publish(key, payload, id=id, headers=headers))
        self._news.set()
        return receipt

    async def publish_many(
        self,
        keys: Sequence[EventKey],
        payloads: Sequence[Any],
        ids: Sequence[EventId | None] | None = None,
        headers: Sequence[Mapping[str, str] | None] | None = None,
    ) -> list[Receipt]:
        """As `ringward.events.Processor.publish_many`."""
        receipts = await self._do(self._inner.publish_many, keys, payloads, ids, headers)
        self._news.set()
        return receipts

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
        register = self._inner.consumer(group, members=members, router=router, start=start, options=options, **more)

        def registered(handler: H) -> H:
            register(_never)
            count = members if isinstance(members, int) else len(members)
            self._handlers[group] = (self._inner._observer.coroutine(handler), count)
            return handler

        return registered

    # --- running

    def start(self) -> None:
        """Start the tasks; they go on until `stop`."""
        if self._inner._closed:
            raise StoreClosedError("the processor is closed")
        if self._tasks:
            return
        self._stopping, self._failure = False, None
        self._inner._rejoin()
        self._launch(self._keep_time())
        for group, (handler, members) in self._handlers.items():
            for _ in range(members):
                self._launch(self._work(self._inner._agent(group), handler))

    def _launch(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:  # noqa: BLE001 - a task's error is shown to whoever waits
            self._failure = self._failure or error
            self._inner._observer.failed(error)
            self._stopping = True
            self._news.set()

    async def _keep_time(self) -> None:
        while not self._stopping:
            now = self._inner._now()
            for group in self._handlers:
                await self._do(self._inner._agent(group).tick, now)
            await self._do(self._inner._upkeep, now)
            self._news.set()
            await asyncio.sleep(TICK_S)

    async def _work(self, agent: Agent, handler: AsyncHandler) -> None:
        while not self._stopping:
            self._news.clear()
            if len(self._events) >= self._concurrency:
                await self._sleep()
                continue
            batch = await self._do(agent.next, self._inner._now())
            if batch is None:
                await self._sleep()
            while batch is not None:
                batch = await self._run(agent, handler, batch)
                self._news.set()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(TICK_S * 4):
                await self._news.wait()
        except TimeoutError:
            pass

    async def _run(self, agent: Agent, handler: AsyncHandler, batch: Batch) -> Batch | None:
        """Run the keys of a batch at once, each one's events in order; the next batch. Goes on without those that are slow."""
        delivery = Delivery(agent.group.name, batch.epochs, None, self._inner._codec)
        lanes: dict[tuple[int, bytes], list[tuple[Row, int]]] = {}
        for row, attempt in batch.events:
            lanes.setdefault((row[1], row[3]), []).append((row, attempt))
        tasks = [
            asyncio.get_running_loop().create_task(self._run_lane(handler, batch, delivery, events))
            for events in lanes.values()
        ]
        self._events.update(tasks)
        whole = asyncio.gather(*tasks)
        while not batch.slow and not whole.done():
            await asyncio.wait([whole], timeout=TICK_S)
        if whole.done():
            batch.events.clear()
            more = not self._stopping and len(self._events) - len(tasks) < self._concurrency
            return await self._finish(agent, batch, tasks, more=more)
        self._launch(self._finish_late(agent, batch, whole, tasks))
        return None

    async def _finish_late(self, agent: Agent, batch: Batch, whole: Any, tasks: list[asyncio.Task[None]]) -> None:
        while not whole.done():
            await asyncio.wait([whole], timeout=TICK_S)
            if batch.done or batch.failed:
                await self._do(agent.report, batch, self._inner._now())
                self._news.set()
        await self._finish(agent, batch, tasks)

    async def _finish(
        self, agent: Agent, batch: Batch, tasks: list[asyncio.Task[None]], *, more: bool = False
    ) -> Batch | None:
        self._events.difference_update(tasks)
        following = await self._do(lambda: agent.finish(batch, self._inner._now(), more=more))
        self._news.set()
        return following

    async def _run_lane(
        self,
        handler: AsyncHandler,
        batch: Batch,
        delivery: Delivery,
        events: list[tuple[Row, int]],
    ) -> None:
        for row, attempt in events:
            try:
                batch.events.remove((row, attempt))
            except ValueError:  # taken back meanwhile
                return
            try:
                error = await self._attempt(handler, Event((row, attempt, delivery)))
            except GiveBack:
                return
            batch.note(row, error)
            if error is not None:
                batch.stop_key(row)
                return

    # --- ending

    async def stop(self, timeout_s: float = STOP_S) -> bool:
        """Finish what is in flight, hand the partitions over, and end the tasks; False when the time was up."""
        if not self._tasks:
            if self._failure is not None:
                raise self._failure
            return True
        self._inner._leave_all()
        try:
            return await self._wait(lambda: not self._events and self._inner._left(), timeout_s)
        finally:
            self._stopping = True
            self._news.set()
            for task in [*self._tasks, *self._events]:
                task.cancel()
            await asyncio.gather(*self._tasks, *self._events, return_exceptions=True)
            self._tasks.clear()
            self._events.clear()

    async def _wait(self, until: Callable[[], bool], timeout_s: float | None) -> bool:
        deadline = None if timeout_s is None else self._inner._now() + timeout_s
        while True:
            if self._failure is not None:
                raise self._failure
            if await self._do(until):
                return True
            if deadline is not None and self._inner._now() >= deadline:
                return False
            await asyncio.sleep(TICK_S / 2)

    async def run(self, until: Literal["idle"] | None = None, timeout_s: float | None = None) -> bool:
        """As `ringward.events.Processor.run`."""
        if until not in (None, "idle"):
            raise ArgumentError("until", "'idle' or None", until)
        self.start()
        try:
            return await self._wait(self._inner._idle if until == "idle" else lambda: False, timeout_s)
        finally:
            await self.stop()

    async def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all groups are idle, while the tasks go on; False when the time was up."""
        return await self._wait(self._inner._idle, timeout_s)

    async def dead(self, group: str) -> list[DeadEvent]:
        """As `ringward.events.Processor.dead`."""
        return await self._do(self._inner.dead, group)

    async def redrive(self, group: str, seqs: Sequence[int] | None = None) -> int:
        """As `ringward.events.Processor.redrive`."""
        return await self._do(self._inner.redrive, group, seqs)

    async def drop(self, group: str, seqs: Sequence[int]) -> int:
        """As `ringward.events.Processor.drop`."""
        return await self._do(self._inner.drop, group, seqs)

    async def reset(self, group: str, to: Start = "beginning") -> None:
        """As `ringward.events.Processor.reset`."""
        await self._do(self._inner.reset, group, to)

    async def stats(self) -> Stats:
        """As `ringward.events.Processor.stats`."""
        return await self._do(self._inner.stats)

    async def health(self) -> Health:
        """As `ringward.events.Processor.health`."""
        tell = partial(self._inner._health, running=bool(self._tasks), failure=self._failure)
        return tell() if self._inner.closed else await self._do(tell)

    async def close(self) -> None:
        """Stop, and close the store, also when stopping fails."""
        try:
            await self.stop()
        finally:
            await self._do(self._inner.close)
            self._threads.shutdown()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _attempt(self, handler: AsyncHandler, event: Event) -> str | None:
        try:
            await handler(event)
        except GiveBack:
            raise
        except (Exception, asyncio.CancelledError, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001 - one attempt
            return failure(event, error)
        return None


def _never(event: Event) -> None:
    """Stand where a thread's handler would be."""
    raise AssertionError(event)
