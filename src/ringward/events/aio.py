"""The event processor for asyncio: handlers are coroutines, and a key waits only for its own events."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from ringward.checks import checked_float, checked_int
from ringward.errors import (
    ArgumentError,
    ArgumentTypeError,
    CancelledTasksError,
    InsideHandlerError,
    LoopError,
    StoreClosedError,
    StoreUnavailableError,
    UnsupportedError,
)
from ringward.events import processor
from ringward.events.core.batch import Batch
from ringward.events.core.members import RouterLike
from ringward.events.core.options import Options
from ringward.events.core.outcomes import GiveBack
from ringward.events.engine.callables import check_coroutine_handler, is_interrupt, never_ran
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.handlers import failure, misfit
from ringward.events.engine.ticker import LONGEST_S, TICK_S, Ticker
from ringward.events.engine.troubles import passes
from ringward.events.health import Health
from ringward.events.model.event import Delivery, Event, EventId, EventKey, Receipt, Row
from ringward.events.model.store import READ_TIMEOUT_S, Compacted, Retention, Settings
from ringward.events.processor import STOP_S, Start, checked_wait
from ringward.events.registration import member_names
from ringward.events.reports import DeadEvent, Stats

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["AsyncHandler", "Processor"]

AsyncHandler = Callable[[Event], Awaitable[Any]]
H = TypeVar("H", bound=AsyncHandler)
T = TypeVar("T")
_THREADS = 8
CONCURRENCY = 1000
_CANCELLED = (
    "the tasks of the processor were cancelled, by somebody or by the end of their loop, before it was stopped: it handles"
    " nothing until it is started again"
)
CANCEL_S = 0.5  # what a stop may take beyond its time, until handlers that are cancelled have cleaned up


class _HandlerTask:
    """A task that runs handlers; what they start knows of it by its context."""

    __slots__ = ("owner", "running")

    def __init__(self, owner: Processor) -> None:
        self.owner = owner
        self.running = True


_handler_task: contextvars.ContextVar[_HandlerTask | None] = contextvars.ContextVar(
    "ringward_handler_task", default=None
)


class _Sleepers:
    """Tasks of one loop that sleep until somebody rouses them, in that loop."""

    def __init__(self) -> None:
        self._gates: deque[asyncio.Future[None]] = deque()

    def __bool__(self) -> bool:
        return bool(self._gates)

    async def sleep(self, seconds: float | None = None) -> None:
        """Sleep, for so long at most."""
        gate = asyncio.get_running_loop().create_future()
        self._gates.append(gate)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await gate
        finally:
            with suppress(ValueError):
                self._gates.remove(gate)

    def rouse(self, most: int | None = None) -> None:
        """Let all go on, or so many."""
        while self._gates and most != 0:
            gate = self._gates.popleft()
            if not gate.done():
                gate.set_result(None)
                most = None if most is None else most - 1


class _Handler:
    """A handler, and whether it has ever given something to await."""

    __slots__ = ("call", "idle", "members", "proved")

    def __init__(self, call: AsyncHandler, members: int) -> None:
        self.call = call
        self.members = members
        self.proved = False
        self.idle = _Sleepers()


class Processor:
    """Publishes events durably and hands them to coroutines. No event is lost, and keys keep their order.

    It works like `ringward.events.Processor` and takes the same arguments, with two differences: `members` are tasks,
    and `event.transaction` is not available, because a write transaction of the file must not wait for an `await`.

    Parameters
    ----------
    *args, **options
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

    def __init__(self, *args: Any, concurrency: int = CONCURRENCY, **options: Any) -> None:
        self._concurrency = checked_int("concurrency", concurrency, 1, 1_000_000)
        self._inner = processor.Processor(*args, **options)
        self._threads = ThreadPoolExecutor(_THREADS, "ringward-aio")
        self._handlers: dict[str, _Handler] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._events: set[asyncio.Task[None]] = set()
        self._news = 0  # rises where a worker may find something
        self._looks = 0  # rises where somebody who waits should look
        self._waiting = _Sleepers()
        self._troubled = _Sleepers()  # workers that wait before they try again
        inner = self._inner
        self._ticker = Ticker(
            *(inner.store, inner._now, inner._troubles),
            upkeep=inner._upkeep,
            ticked=self._ticked,
            rounded=self._rounded,
            failed=lambda error: self._call(self._fail, error),
            works=lambda: self._loop is not None and self._loop.is_running(),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = False
        self._stopping = True  # also while it was never started
        self._closed = False
        self._left_behind: set[asyncio.Task[None]] = set()  # handlers that a stop did not end
        self._failure: BaseException | None = None
        self._abandoned: Future[None] | None = None  # what follows a failure

    async def _do(self, work: Callable[..., T], *args: Any) -> T:
        """Let a thread wait for the store."""
        if self._closed:
            raise StoreClosedError("the processor is closed")
        run = contextvars.copy_context().run  # hooks find the trace that the caller is in
        return await asyncio.get_running_loop().run_in_executor(self._threads, run, work, *args)

    async def publish(
        self, key: EventKey, payload: Any, *, id: EventId | None = None, headers: Mapping[str, str] | None = None
    ) -> Receipt:
        """As `ringward.events.Processor.publish`. If it is cancelled, the event may be stored: publish it again."""
        receipt = await self._do(lambda: self._inner.publish(key, payload, id=id, headers=headers))
        self._rouse(1)
        self._inner._warn(self._failure)
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
        self._rouse(len(receipts))
        self._inner._warn(self._failure)
        return receipts

    async def _take(self, driver: GroupDriver, work: Callable[[], Batch | None]) -> Batch | None:
        """A batch that a thread takes; one that comes when nobody waits for it any more is given back."""
        if self._closed:
            raise StoreClosedError("the processor is closed")
        taken = self._threads.submit(contextvars.copy_context().run, work)
        try:
            return await asyncio.wrap_future(taken)
        except asyncio.CancelledError:
            taken.add_done_callback(partial(self._unwanted, driver))
            raise

    def _unwanted(self, driver: GroupDriver, taken: Future[Batch | None]) -> None:
        if taken.cancelled() or taken.exception() is not None or (batch := taken.result()) is None:
            return
        with suppress(RuntimeError):  # it is closed
            self._threads.submit(driver.finish, batch, self._inner._now())

    def _call(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do something in the loop in which it runs, from whatever thread or loop."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(act, *arguments)

    def _rouse(self, count: int) -> None:
        """Say that so many events are new."""
        for handler in self._handlers.values():
            self._call(self._wake, handler, count)

    def _wake(self, handler: _Handler, count: int | None = None) -> None:
        self._news += 1
        handler.idle.rouse(count)

    def _notify(self) -> None:
        """Let those look again who wait until something is so."""
        self._looks += 1
        self._waiting.rouse()

    def _ticked(self, driver: GroupDriver) -> None:
        if queued := driver.queued:
            self._call(self._wake, self._handlers[driver.group.name], queued)

    def _rounded(self) -> None:
        if self._waiting:
            self._call(self._notify)

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

        _, count = member_names(members)

        def registered(handler: H) -> H:
            check_coroutine_handler(handler)
            self._handlers[group] = _Handler(handler, count)
            try:
                register(_never)
            except BaseException:
                del self._handlers[group]
                raise
            self._inner._driver(group).group.concurrent = True
            self._ticker.add(self._inner._driver(group))
            return handler

        return registered

    # --- running

    def start(self) -> None:
        """Start the tasks in the running loop. They run until `stop`.

        A processor may be started in several loops one after the other, as by several `asyncio.run`.

        Raises
        ------
        LoopError
            When it still runs in another loop.
        """
        self._outside("start")
        if self._inner._closed:
            raise StoreClosedError("the processor is closed")
        self._enter_loop()
        if self._tasks and self._failure is None:
            return
        self._end_start_before()
        self._inner._rejoin(again=self._failure is not None)
        self._inner._troubles.clear()
        self._stopping, self._failure = False, None
        self._ticker.start()
        for group, handler in self._handlers.items():
            for _ in range(handler.members):
                self._launch(self._work(self._inner._driver(group), handler))

    def _end_start_before(self) -> None:
        """End what still runs of a start before, that was ended by an error or with its loop; the loop waits for it."""
        self._ticker.stop()
        if self._abandoned is not None:
            wait([self._abandoned], CANCEL_S)
            if not self._abandoned.done():
                raise StoreUnavailableError("what an error ended is still being given back: start again later")
            self._abandoned = None
        self._ticker.join(CANCEL_S)  # one that hangs ends by itself
        for task in [*self._tasks, *self._events]:
            task.cancel()
        self._tasks.clear()
        self._events.clear()
        self._give_back()  # what tasks had that were cancelled in the midst of it

    def _enter_loop(self) -> None:
        """Belong to the loop that runs; what is left in one that is over is given back."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._tasks and self._loop is not None and not self._loop.is_closed():
            raise LoopError("the processor runs in another asyncio loop: stop it there, or make one for each loop")
        self._tasks.clear()
        self._events.clear()
        self._stopping = True
        self._ticker.stop()
        self._left_behind.clear()
        self._loop, self._waiting, self._troubled = loop, _Sleepers(), _Sleepers()
        for handler in self._handlers.values():
            handler.idle = _Sleepers()
        self._give_back()

    def _give_back(self) -> None:
        """What no task runs any more is delivered again; what it did is stored."""
        for group in self._handlers:
            driver = self._inner._driver(group)
            for batch in list(driver.group.batches):
                driver.finish(batch, self._inner._now())
                batch.events.clear()  # a handler that was left behind begins no other

    def _outside(self, call: str) -> None:
        """Refuse what waits for handlers where one waits for it, also by a task of its own."""
        mine = _handler_task.get()
        if mine is not None and mine.running and mine.owner is self:
            raise InsideHandlerError(call)

    def ask_to_stop(self) -> None:
        """Let `run` return soon, as if it were idle. May be called anywhere, even in handlers."""
        self._asked = True
        self._call(self._notify)

    def _launch(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Awaitable[None]) -> None:
        try:
            await work
        except asyncio.CancelledError:
            if not self._stopping and asyncio.current_task() in self._tasks:
                self._fail(CancelledTasksError(_CANCELLED))
            raise
        except Exception as error:  # noqa: BLE001 - a task's error is shown to whoever waits
            if asyncio.current_task() in self._tasks:  # it is not of a start before
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        first, self._failure = self._failure is None, self._failure or error
        self._stopping = True
        self._ticker.stop()
        if first:
            self._inner._troubles.failed(error)
            self._inner._in_hook(self._inner._observer.failed, error)
            with suppress(RuntimeError):  # it is closed
                self._abandoned = self._threads.submit(self._inner._abandon)
        for handler in self._handlers.values():
            handler.idle.rouse()
        self._troubled.rouse()
        self._notify()

    async def _work(self, driver: GroupDriver, handler: _Handler) -> None:
        who = f"a worker of group {driver.group.name}"
        while not self._stopping:
            try:
                await self._work_once(driver, handler, who)
            except Exception as error:
                if await self._do(driver.misses, error):
                    continue
                if not passes(error):
                    raise
                self._ticker.stir()
                await self._troubled.sleep(self._inner._troubles.met(who, error))  # rounds do not rouse

    async def _work_once(self, driver: GroupDriver, handler: _Handler, who: str) -> None:
        """Handle a batch and what follows it, or sleep until there may be one."""
        news = self._news
        full = len(self._events) >= self._concurrency
        batch = None if full else await self._take(driver, lambda: driver.next(self._inner._now()))
        if batch is None:
            if full or self._news == news:
                await handler.idle.sleep()
            return
        while batch is not None:
            self._ticker.stir()
            batch = await self._run(driver, handler, batch)
            self._inner._troubles.over(who)
        self._ticker.stir()
        self._notify()

    async def _run(self, driver: GroupDriver, handler: _Handler, batch: Batch) -> Batch | None:
        """Run the keys of a batch at once, each one's events in order; the next batch. Goes on without those that are slow."""
        delivery = Delivery(driver.group.name, batch.epochs, _no_transaction, self._inner._codec)
        by_key: dict[tuple[int, bytes], list[tuple[Row, int]]] = {}
        for row, attempt in batch.events:
            by_key.setdefault((row[1], row[3]), []).append((row, attempt))
        noted = asyncio.Event()
        tasks = [
            asyncio.get_running_loop().create_task(self._run_key(handler, batch, delivery, events, noted))
            for events in by_key.values()
        ]
        self._events.update(tasks)
        batch.began = self._inner._now()
        whole = asyncio.gather(*tasks, return_exceptions=True)  # nobody takes its result
        while not batch.slow and not whole.done():
            await asyncio.wait([whole], timeout=TICK_S)
        if whole.done():
            batch.events.clear()
            batch.ended = self._inner._now()
            more = not self._stopping and len(self._events) - len(tasks) < self._concurrency
            return await self._finish(driver, batch, tasks, more=more)
        self._launch(self._finish_late(driver, batch, whole, tasks, noted))
        return None

    async def _finish_late(
        self, driver: GroupDriver, batch: Batch, whole: Any, tasks: list[asyncio.Task[None]], noted: asyncio.Event
    ) -> None:
        while not whole.done():
            await noted.wait()
            await asyncio.wait([whole], timeout=TICK_S)
            noted.clear()
            if batch.done or batch.failed:
                await self._tried(driver.report, driver, batch)
        self._events.difference_update(tasks)
        await self._tried(driver.finish, driver, batch)
        self._wake(self._handlers[driver.group.name])
        self._notify()

    async def _tried(self, work: Callable[[Batch, float], Any], driver: GroupDriver, batch: Batch) -> None:
        """Store something; what may pass is left to whoever claims the partitions anew."""
        try:
            await self._do(work, batch, self._inner._now())
        except Exception as error:
            if not (await self._do(driver.misses, error) or passes(error)):
                raise
            self._inner._troubles.met(f"a worker of group {driver.group.name}", error)
        self._ticker.stir()

    async def _finish(
        self, driver: GroupDriver, batch: Batch, tasks: list[asyncio.Task[None]], *, more: bool = False
    ) -> Batch | None:
        self._events.difference_update(tasks)
        following = await self._take(driver, lambda: driver.finish(batch, self._inner._now(), more=more))
        self._ticker.stir()
        self._wake(self._handlers[driver.group.name], 1)  # there may be room again
        return following

    async def _run_key(
        self,
        handler: _Handler,
        batch: Batch,
        delivery: Delivery,
        events: list[tuple[Row, int]],
        noted: asyncio.Event,
    ) -> None:
        mine = _HandlerTask(self)
        _handler_task.set(mine)  # in this task's own context
        try:
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
                noted.set()
                if error is not None:
                    batch.stop_key(row)
                    return
        finally:
            mine.running = False
            noted.set()

    async def _attempt(self, handler: _Handler, event: Event) -> str | None:
        """Run the handler; why it failed."""
        try:
            with self._inner._observer.around(event):
                result: object = handler.call(event)
                if not isinstance(result, Awaitable):
                    return self._not_awaitable(handler, event, result)
                handler.proved = True
                told = await result
            if told is not None and (reason := never_ran(told, "await it in the handler")) is not None:
                return misfit(event, reason)
        except GiveBack:
            raise
        except BaseException as error:
            if self._comes_from_outside(error):
                raise
            return failure(event, error, self._inner._texts)
        return None

    def _not_awaitable(self, handler: _Handler, event: Event, result: object) -> str:
        """Count a failed attempt; where no event ever gave something to await, stop all, since each would have its effect."""
        if handler.proved:
            return misfit(event, f"{type(result).__name__}, which cannot be awaited")
        self._fail(ArgumentTypeError(f"the handler of group {event.group}", "a coroutine function", handler.call))
        raise GiveBack

    def _comes_from_outside(self, error: BaseException) -> bool:
        """Whether the program is ending, or this processor: then it was no attempt."""
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                return False
            if self._stopping or any(other.cancelling() for other in self._tasks):
                return True
            task.uncancel()  # the handler has cancelled its own task
            return False
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        return (
            is_interrupt(error) and frame is not None and frame.tb_frame.f_globals.get("__name__") == "asyncio.runners"
        )

    # --- ending

    async def stop(self, timeout_s: float = STOP_S) -> bool:
        """Finish what is in flight, hand the partitions over, and end the tasks.

        Returns
        -------
        bool
            False when the time was up, or when the tasks had been cancelled.
        """
        self._outside("stop")
        checked_float("timeout_s", timeout_s, zero=True)
        cancelled = isinstance(self._failure, CancelledTasksError)
        if self._tasks or cancelled:
            self._enter_loop()
        deadline = self._inner._now() + timeout_s
        if cancelled:
            await self._end(deadline)
            return False
        if not self._tasks:
            if self._failure is not None:
                raise self._failure
            return not self._left_behind
        self._inner._leave_all()
        rounds = self._ticker.begun  # one that is under way may still store that members join
        self._ticker.rouse()
        try:
            done = await self._wait(
                lambda: not self._events and self._ticker.past(rounds) and self._inner._left(), timeout_s, stopping=True
            )
        except CancelledTasksError:  # meanwhile
            done = False
        finally:
            ended = await self._end(deadline)
        return done and ended

    async def _end(self, deadline: float) -> bool:
        """End the tasks; whether all did. A handler that takes no cancelling is left behind."""
        self._stopping = True
        self._notify()
        self._ticker.stop()
        tasks = {*self._tasks, *self._events}
        try:
            await self._do(self._ticker.join, self._time_until(deadline))
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks, timeout=self._time_until(deadline))
        finally:  # also when whoever waits is cancelled
            for task in tasks:
                if not task.done():
                    if not task.cancelling():
                        task.cancel()
                    self._left_behind.add(task)
                    task.add_done_callback(self._left_behind.discard)
            self._tasks.clear()
            self._events.clear()
        await self._do(self._give_back)
        return not self._left_behind

    def _time_until(self, deadline: float) -> float:
        return min(max(deadline - self._inner._now(), CANCEL_S), STOP_S)

    @property
    def _runs(self) -> bool:
        """Whether it was started, and neither stopped nor left by its loop since."""
        return not self._stopping and self._loop is not None and not self._loop.is_closed()

    async def _wait(self, until: Callable[[], bool], timeout_s: float | None, *, stopping: bool = False) -> bool:
        deadline = None if timeout_s is None else self._inner._now() + timeout_s
        while True:
            news = self._news, self._looks
            if self._failure is not None:
                raise self._failure
            if await self._do(until):
                return True
            left = LONGEST_S if deadline is None else deadline - self._inner._now()
            if left <= 0:
                return False
            if not self._runs and self._failure is None:
                if stopping:  # another task has stopped it
                    return not self._events and not self._left_behind
                raise StoreClosedError("the processor was stopped")
            if (self._news, self._looks) == news:
                await self._waiting.sleep(min(left, LONGEST_S))

    async def run(self, until: Literal["idle"] | None = None, timeout_s: float | None = None) -> bool:
        """As `ringward.events.Processor.run`."""
        if until not in (None, "idle"):
            raise ArgumentError("until", "'idle' or None", until)
        self._outside("run")
        checked_wait(timeout_s)
        if self._abandoned is not None and not self._closed:
            await asyncio.wait([asyncio.wrap_future(self._abandoned)])
        try:
            self.start()
            return await self._wait(lambda: self._asked or (until == "idle" and self._inner._idle()), timeout_s)
        finally:
            self._asked = False
            await self.stop()

    async def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until all groups are idle, while the tasks run; False when the time was up."""
        self._outside("drain")
        checked_wait(timeout_s)
        if not self._runs and self._failure is None and not self._closed:
            raise ArgumentError("drain", "called while the processor runs", "stopped")
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

    async def reset(self, group: str, to: Start) -> None:
        """As `ringward.events.Processor.reset`."""
        await self._do(self._inner.reset, group, to)

    async def delete_group(self, group: str) -> None:
        """As `ringward.events.Processor.delete_group`."""
        await self._do(self._inner.delete_group, group)

    async def configure(self, *, retention: Retention | None = None, id_window_s: float | None = None) -> Settings:
        """As `ringward.events.Processor.configure`."""
        change = partial(self._inner.configure, retention=retention, id_window_s=id_window_s)
        return await self._do(change)

    async def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> list[tuple[Any, ...]]:
        """As `ringward.events.Processor.query`."""
        return await self._do(lambda: self._inner.query(sql, parameters, timeout_s=timeout_s))

    async def backup(self, to: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """As `ringward.events.Processor.backup`."""
        await self._do(lambda: self._inner.backup(to, overwrite=overwrite))

    async def compact(self) -> Compacted:
        """As `ringward.events.Processor.compact`."""
        return await self._do(self._inner.compact)

    async def stats(self) -> Stats:
        """As `ringward.events.Processor.stats`."""
        return await self._do(self._inner.stats)

    async def health(self) -> Health:
        """As `ringward.events.Processor.health`."""
        running = bool(self._tasks) and self._failure is None
        tell = partial(self._inner._health, running=running, failure=self._failure)
        return tell() if self._inner.closed else await self._do(tell)

    async def close(self) -> None:
        """Stop, and close the store even if stopping fails; does nothing the second time."""
        self._outside("close")
        if self._closed:
            return
        try:
            await self.stop()
        finally:
            try:
                if not self._closed:  # by another task meanwhile
                    await self._do(self._inner.close)
            finally:
                self._closed = True
                self._threads.shutdown(wait=False)  # the loop waits for no thread; they end when they are done

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


def _no_transaction(_event: Event) -> NoReturn:
    raise UnsupportedError(
        "event.transaction is not for coroutines, since all writers would wait for what they await: let a plain function"
        " of ringward.events.Processor handle this group, or write elsewhere by event.seq"
    )


def _never(event: Event) -> None:
    """Stand where a thread's handler would be."""
    raise AssertionError(event)
