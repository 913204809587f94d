"""`Crew`: the threads of a processor: workers that run handlers, and one that keeps time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ringward.errors import StoreClosedError
from ringward.events.agent import Agent
from ringward.events.runner import Runner
from ringward.mutex import Mutex

__all__ = ["Crew"]

TICK_S = 0.025
IDLE_S = 0.25  # how long a worker sleeps when nobody wakes it


class _Sleepers:
    """Threads that sleep until somebody rouses them.

    Whoever rouses may be interrupted between any two steps: then one of them sleeps for as long as it meant to.
    """

    def __init__(self) -> None:
        self._gates: deque[threading.Lock] = deque()  # locked while a thread sleeps

    def sleep(self, seconds: float, quiet: Callable[[], bool]) -> None:
        """Sleep for so long at most, if it is still quiet when others can see that this thread does."""
        gate = threading.Lock()
        gate.acquire()
        self._gates.append(gate)
        if quiet():
            gate.acquire(timeout=seconds)
        with suppress(ValueError):
            self._gates.remove(gate)

    def rouse(self, most: int | None = None) -> None:
        """Let all go on, or so many."""
        with suppress(IndexError):
            while self._gates and most != 0:
                self._gates.popleft().release()
                most = None if most is None else most - 1


def _alive(thread: threading.Thread) -> bool:
    return thread.is_alive()


class _Post:
    """One group's place in the crew."""

    def __init__(self, agent: Agent, runner: Runner, members: int) -> None:
        self.agent = agent
        self.runner = runner
        self.members = members
        self.threads: set[threading.Thread] = set()  # changed with the crew's lock
        self.idle = _Sleepers()

    @property
    def slow(self) -> int:
        """How many handlers are slow; while workers take and finish batches."""
        return sum(batch.slow for batch in list(self.agent.group.batches))


class Crew:
    """Threads that take agents through their work.

    Parameters
    ----------
    now : callable
        Monotonic seconds.
    upkeep : callable
        Called at every tick with the time.
    failed : callable
        Called with the error that stops the threads.
    """

    def __init__(
        self, now: Callable[[], float], upkeep: Callable[[float], None], failed: Callable[[BaseException], None]
    ) -> None:
        self._now = now
        self._upkeep = upkeep
        self._failed = failed
        self._posts: dict[str, _Post] = {}
        self._lock = Mutex()
        self._news = 0
        self._waiting = _Sleepers()
        self._stopping = threading.Event()
        self._ticker: threading.Thread | None = None
        self.failure: BaseException | None = None

    @property
    def running(self) -> bool:
        """Whether the threads are there."""
        return self._ticker is not None

    @property
    def ended(self) -> bool:
        """Whether no thread of it runs, also none that was left behind."""
        with self._lock:
            threads = set().union(*[post.threads for post in self._posts.values()])
        return not any(thread.is_alive() for thread in threads)

    def add(self, agent: Agent, runner: Runner, members: int) -> None:
        """Let a group be worked on, with a thread for each of its members."""
        self._posts[agent.group.name] = _Post(agent, runner, members)

    def start(self) -> None:
        """Start the threads."""
        self._stopping.clear()
        self.failure = None
        self._ticker = threading.Thread(target=self._keep_time, name="ringward-ticker", daemon=True)
        self._ticker.start()

    def _quiet(self, news: int) -> bool:
        """Whether nothing has happened since there was this number of news."""
        return self._news == news and not self._stopping.is_set()

    def wake(self, most: int | None = None) -> None:
        """There may be something to do, for so many threads of each group."""
        self._news += 1
        for post in list(self._posts.values()):
            post.idle.rouse(most)

    def stop(self, timeout_s: float | None) -> bool:
        """End the threads; whether all did in time. A handler that hangs keeps its own."""
        self._stopping.set()
        self.wake()
        self._waiting.rouse()
        deadline = None if timeout_s is None else self._now() + timeout_s
        ended = True
        with self._lock:
            threads = [thread for post in list(self._posts.values()) for thread in post.threads]
        for thread in [self._ticker, *threads]:
            if thread is not None and thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - self._now()))
                ended &= not thread.is_alive()
        self._ticker = None
        return ended

    # --- the ticker

    def _keep_time(self) -> None:
        try:
            while not self._stopping.is_set():
                now = self._now()
                for post in list(self._posts.values()):
                    post.agent.tick(now)
                    self._man(post)
                self._upkeep(now)
                self.wake()
                self._waiting.rouse()
                self._stopping.wait(TICK_S)
        except BaseException as error:  # noqa: BLE001 - a thread's error is shown to whoever waits
            self._fail(error)

    def _man(self, post: _Post) -> None:
        """A thread for each member, and for each handler that is slow one more, up to a bound."""
        wanted = post.members + min(post.slow, post.members * 4 + post.agent.group.options.hung)
        name = f"ringward-{post.agent.group.name}"
        with self._lock:
            post.threads = set(filter(_alive, post.threads))
            for _ in range(wanted - len(post.threads)):
                thread = threading.Thread(target=self._work, args=(post,), name=name, daemon=True)
                post.threads.add(thread)
                thread.start()

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, StoreClosedError) or not self._stopping.is_set():
            first, self.failure = self.failure is None, self.failure or error
            if first:
                self._failed(error)
        self._stopping.set()
        self.wake()
        self._waiting.rouse()

    # --- a worker

    def _work(self, post: _Post) -> None:
        try:
            while not self._stopping.is_set():
                news = self._news
                batch = post.agent.next(self._now())
                if batch is None:
                    post.idle.sleep(IDLE_S, partial(self._quiet, news))
                while batch is not None:
                    more = not self._stopping.is_set() and len(post.threads) <= post.members
                    batch = post.runner.run(batch, more=more)
                    self._news += 1
                if len(post.threads) > post.members and self._surplus(post):
                    post.idle.rouse(1)  # what roused this one is for another
                    return
        except BaseException as error:  # noqa: BLE001 - as the ticker's
            self._fail(error)

    def _surplus(self, post: _Post) -> bool:
        """Whether there are more threads than handlers that are slow, and members, need."""
        slow = post.slow
        with self._lock:
            if len(post.threads) <= post.members + slow:
                return False
            post.threads.discard(threading.current_thread())
            return True

    def wait(self, until: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until something is so, looking whenever there is news; whether it is."""
        deadline = None if timeout_s is None else self._now() + timeout_s
        while True:
            news = self._news
            if self.failure is not None:
                raise self.failure
            if until():
                return True
            if deadline is not None and self._now() >= deadline:
                return False
            if self._stopping.is_set():
                raise StoreClosedError("the processor was stopped") from None
            self._waiting.sleep(TICK_S, partial(self._quiet, news))
