"""`TaskPool`: the asyncio tasks of a processor: workers that run coroutines, and the thread that keeps time."""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from ringward.errors import CancelledTasksError, LoopError, StoreClosedError, StoreUnavailableError
from ringward.events.core.batch import Batch
from ringward.events.engine.coroutines import AsyncHandler, KeyRunner
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.engine import STOP_S, Engine
from ringward.events.engine.ticker import LONGEST_S, TICK_S, Ticker
from ringward.events.engine.troubles import passes
from ringward.events.model.event import KEY, PARTITION, Row

__all__ = ["TaskPool"]

T = TypeVar("T")
_THREADS = 8
_CANCELLED = (
    "the tasks of the processor were cancelled, by somebody or by the end of their loop, before it was stopped: it handles"
    " nothing until it is started again"
)
CANCEL_S = 0.5  # what a stop may take beyond its time, until handlers that are cancelled have cleaned up


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


class _Post:
    """One group's place in the pool."""

    __slots__ = ("driver", "idle", "members", "runner")

    def __init__(self, driver: GroupDriver, runner: KeyRunner, members: int) -> None:
        self.driver = driver
        self.runner = runner
        self.members = members
        self.idle = _Sleepers()


class TaskPool:
    """Tasks that take drivers through their work in one loop, and threads in which they wait for the store.

    Parameters
    ----------
    engine : Engine
    concurrency : int
        Keys with a handler under way at which no more batches are begun.
    """

    def __init__(self, engine: Engine, concurrency: int) -> None:
        self._engine = engine
        self._now = engine.now
        self._troubles = engine.troubles
        self._concurrency = concurrency
        self._threads = ThreadPoolExecutor(_THREADS, "ringward-aio")
        self._posts: dict[str, _Post] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._handling: set[asyncio.Task[None]] = set()  # those that run handlers
        self._news = 0  # rises where a worker may find something
        self._changes = 0  # rises where somebody who waits should look
        self._waiting = _Sleepers()
        self._troubled = _Sleepers()  # workers that wait before they try again
        self._ticker = Ticker(
            *(engine.store, engine.now, engine.troubles),
            upkeep=engine.upkeep,
            ticked=self._ticked,
            rounded=self._rounded,
            failed=lambda error: self._call(self._fail, error),
            works=lambda: self._loop is not None and self._loop.is_running(),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = True  # also while it was never started
        self._left_behind: set[asyncio.Task[None]] = set()  # handlers that a stop did not end
        self._abandoned: Future[None] | None = None  # what follows a failure
        self.failure: BaseException | None = None
        self.closed = False

    @property
    def running(self) -> bool:
        """Whether the tasks are there, and none has failed."""
        return bool(self._tasks) and self.failure is None

    @property
    def started(self) -> bool:
        """Whether it was started, and neither stopped nor left by its loop since."""
        return not self._stopping and self._loop is not None and not self._loop.is_closed()

    def add(self, driver: GroupDriver, handler: AsyncHandler, members: int) -> None:
        """Let a group be worked on, with a task for each of its members."""
        runner = KeyRunner(self._engine, driver, handler, self._cancelled, self._fail)
        self._posts[driver.group.name] = _Post(driver, runner, members)
        self._ticker.add(driver)

    def _cancelled(self) -> bool:
        """Whether tasks are cancelled since the program is ending, or this pool."""
        return self._stopping or any(task.cancelling() for task in self._tasks)

    def start(self) -> None:
        """Start the tasks, in the loop that runs."""
        self._enter_loop()
        if self.running:
            return
        self._end_start_before()
        self._engine.consumers.rejoin(again=self.failure is not None)
        self._troubles.clear()
        self._stopping, self.failure = False, None
        self._ticker.start()
        for post in self._posts.values():
            for _ in range(post.members):
                self._launch(self._work(post))

    async def do(self, work: Callable[..., T], *args: Any) -> T:
        """Let a thread wait for the store."""
        if self.closed:
            raise StoreClosedError("the processor is closed")
        run = contextvars.copy_context().run  # hooks find the trace that the caller is in
        return await asyncio.get_running_loop().run_in_executor(self._threads, run, work, *args)

    async def _take(self, driver: GroupDriver, work: Callable[[], Batch | None]) -> Batch | None:
        """A batch that a thread takes; one that comes when nobody waits for it any more is given back."""
        if self.closed:
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
            self._threads.submit(driver.finish, batch, self._now())

    def _call(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do something in the loop in which it runs, from whatever thread or loop."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(act, *arguments)

    def wake(self, most: int | None = None) -> None:
        """There may be something to do, for so many tasks of each group; from whatever thread."""
        for post in list(self._posts.values()):
            self._call(self._wake, post, most)

    def nudge(self) -> None:
        """Let all look again: the ticker, and who waits; from whatever thread, also from a signal handler."""
        self._call(self._notify)
        self._ticker.rouse()

    def forked(self) -> None:
        """In a child process: the loop is the parent's, and with it the tasks; nothing of them runs here."""

    def _wake(self, post: _Post, count: int | None = None) -> None:
        self._news += 1
        post.idle.rouse(count)

    def _notify(self) -> None:
        """Let those look again who wait until something is so."""
        self._changes += 1
        self._waiting.rouse()

    def _ticked(self, driver: GroupDriver) -> None:
        if queued := driver.queued:
            self._call(self._wake, self._posts[driver.group.name], queued)

    def _rounded(self) -> None:
        if self._waiting:
            self._call(self._notify)

    def _end_start_before(self) -> None:
        """End what still runs of a start before, that was ended by an error or with its loop; the loop waits for it."""
        self._ticker.stop()
        if self._abandoned is not None:
            wait([self._abandoned], CANCEL_S)
            if not self._abandoned.done():
                raise StoreUnavailableError("events are still being given back after an error: start again later")
            self._abandoned = None
        self._ticker.join(CANCEL_S)  # one that hangs ends by itself
        for task in [*self._tasks, *self._handling]:
            task.cancel()
        self._tasks.clear()
        self._handling.clear()
        self._give_back()  # what tasks had that were cancelled in the midst of it

    def _enter_loop(self) -> None:
        """Belong to the loop that runs; what is left in one that is over is given back."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return
        if self._tasks and self._loop is not None and not self._loop.is_closed():
            raise LoopError("the processor runs in another asyncio loop: stop it there, or make one for each loop")
        self._tasks.clear()
        self._handling.clear()
        self._stopping = True
        self._ticker.stop()
        self._left_behind.clear()
        self._loop, self._waiting, self._troubled = loop, _Sleepers(), _Sleepers()
        for post in self._posts.values():
            post.idle = _Sleepers()
        self._give_back()

    def _give_back(self) -> None:
        """What no task runs any more is delivered again; what it did is stored."""
        for post in self._posts.values():
            for batch in list(post.driver.group.batches):
                post.driver.finish(batch, self._now())
                batch.events.clear()  # a handler that was left behind begins no other

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
        first, self.failure = self.failure is None, self.failure or error
        self._stopping = True
        self._ticker.stop()
        if first:
            self._troubles.failed(error)
            self._engine.failed(error)
            with suppress(RuntimeError):  # it is closed
                self._abandoned = self._threads.submit(self._engine.consumers.abandon)
        for post in self._posts.values():
            post.idle.rouse()
        self._troubled.rouse()
        self._notify()

    async def _work(self, post: _Post) -> None:
        who = f"a worker of group {post.driver.group.name}"
        while not self._stopping:
            try:
                await self._work_once(post, who)
            except Exception as error:
                if await self.do(post.driver.misses, error):
                    continue
                if not passes(error):
                    raise
                self._ticker.stir()
                await self._troubled.sleep(self._troubles.met(who, error))  # rounds do not rouse

    async def _work_once(self, post: _Post, who: str) -> None:
        """Handle a batch and what follows it, or sleep until there may be one."""
        news = self._news
        full = len(self._handling) >= self._concurrency
        batch = None if full else await self._take(post.driver, lambda: post.driver.next(self._now()))
        if batch is None:
            if full or self._news == news:
                await post.idle.sleep()
            return
        while batch is not None:
            self._ticker.stir()
            batch = await self._run(post, batch)
            self._troubles.over(who)
        self._ticker.stir()
        self._notify()

    async def _run(self, post: _Post, batch: Batch) -> Batch | None:
        """Run the keys of a batch at once, each one's events in order; the next batch. Goes on without those that are slow."""
        delivery = post.runner.delivery(batch)
        by_key: dict[tuple[int, bytes], list[tuple[Row, int]]] = {}
        for row, attempt in batch.events:
            by_key.setdefault((row[PARTITION], row[KEY]), []).append((row, attempt))
        noted = asyncio.Event()
        tasks = [
            asyncio.get_running_loop().create_task(post.runner.run(batch, delivery, events, noted))
            for events in by_key.values()
        ]
        self._handling.update(tasks)
        batch.began = self._now()
        whole = asyncio.gather(*tasks, return_exceptions=True)  # nobody takes its result
        while not batch.slow and not whole.done():
            await asyncio.wait([whole], timeout=TICK_S)
        if whole.done():
            batch.events.clear()
            batch.ended = self._now()
            more = not self._stopping and len(self._handling) - len(tasks) < self._concurrency
            return await self._finish(post, batch, tasks, more=more)
        self._launch(self._finish_late(post, batch, whole, tasks, noted))
        return None

    async def _finish_late(
        self, post: _Post, batch: Batch, whole: Any, tasks: list[asyncio.Task[None]], noted: asyncio.Event
    ) -> None:
        driver = post.driver
        while not whole.done():
            await noted.wait()
            await asyncio.wait([whole], timeout=TICK_S)
            noted.clear()
            if batch.done or batch.failed:
                await self._tried(driver.report, driver, batch)
        self._handling.difference_update(tasks)
        await self._tried(driver.finish, driver, batch)
        self._wake(post)
        self._notify()

    async def _tried(self, work: Callable[[Batch, float], Any], driver: GroupDriver, batch: Batch) -> None:
        """Store something; what may pass is left to whoever claims the partitions anew."""
        try:
            await self.do(work, batch, self._now())
        except Exception as error:
            if not (await self.do(driver.misses, error) or passes(error)):
                raise
            self._troubles.met(f"a worker of group {driver.group.name}", error)
        self._ticker.stir()

    async def _finish(
        self, post: _Post, batch: Batch, tasks: list[asyncio.Task[None]], *, more: bool = False
    ) -> Batch | None:
        self._handling.difference_update(tasks)
        following = await self._take(post.driver, lambda: post.driver.finish(batch, self._now(), more=more))
        self._ticker.stir()
        self._wake(post, 1)  # there may be room again
        return following

    # --- ending

    async def stop(self, timeout_s: float) -> bool:
        """Finish what is in flight, hand the partitions over, and end the tasks; whether all was done in time."""
        cancelled = isinstance(self.failure, CancelledTasksError)
        if self._tasks or cancelled:
            self._enter_loop()
        deadline = self._now() + timeout_s
        if cancelled:
            await self._end(deadline)
            return False
        if not self._tasks:
            if self.failure is not None:
                raise self.failure
            return not self._left_behind
        self._engine.consumers.leave()
        rounds = self._ticker.begun  # one that is under way may still store that members join
        self._ticker.rouse()
        try:
            done = await self.wait(partial(self._all_left, rounds), timeout_s, stopping=True)
        except CancelledTasksError:  # meanwhile
            done = False
        finally:
            ended = await self._end(deadline)
        return done and ended

    def _all_left(self, rounds: int) -> bool:
        """Whether nothing is in flight, and no member is in a membership after so many rounds."""
        return not self._handling and self._ticker.past(rounds) and self._engine.consumers.gone

    async def _end(self, deadline: float) -> bool:
        """End the tasks; whether all did. A handler that takes no cancelling is left behind."""
        self._stopping = True
        self._notify()
        self._ticker.stop()
        tasks = {*self._tasks, *self._handling}
        try:
            await self.do(self._ticker.join, self._time_until(deadline))
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
            self._handling.clear()
        await self.do(self._give_back)
        return not self._left_behind

    def _time_until(self, deadline: float) -> float:
        return min(max(deadline - self._now(), CANCEL_S), STOP_S)

    async def failure_over(self) -> None:
        """Wait until others can have what the error left behind that ended the tasks."""
        if self._abandoned is not None and not self.closed:
            await asyncio.wait([asyncio.wrap_future(self._abandoned)])

    def close(self) -> None:
        """Let go of the threads."""
        self.closed = True
        self._threads.shutdown(wait=False)  # the loop waits for no thread; they end when they are done

    async def wait(self, until: Callable[[], bool], timeout_s: float | None, *, stopping: bool = False) -> bool:
        """Wait until something is so, looking whenever there is news; whether it is."""
        deadline = None if timeout_s is None else self._now() + timeout_s
        while True:
            news = self._news, self._changes
            if self.failure is not None:
                raise self.failure
            if await self.do(until):
                return True
            left = LONGEST_S if deadline is None else deadline - self._now()
            if left <= 0:
                return False
            if not self.started and self.failure is None:
                if stopping:  # another task has stopped it
                    return not self._handling and not self._left_behind
                raise StoreClosedError("the processor was stopped")
            if (self._news, self._changes) == news:
                await self._waiting.sleep(min(left, LONGEST_S))
