"""`WorkerPool`: the threads of a processor: workers that run handlers, and one that keeps time."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ringward.errors import StoreClosedError
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.handlers import Runner
from ringward.events.engine.ticker import LONGEST_S, Ticker
from ringward.events.engine.troubles import Troubles, passes
from ringward.events.model.store import Store
from ringward.mutex import Mutex

__all__ = ["WorkerPool"]


class _Sleepers:
    """Threads that sleep until somebody rouses them.

    Whoever rouses may be interrupted between any two steps: whom it has let go on goes on, and nobody else is forgotten.
    """

    def __init__(self) -> None:
        self._gates: deque[threading.Lock] = deque()  # locked while a thread sleeps

    def sleep(self, quiet: Callable[[], bool], seconds: float = -1) -> None:
        """Sleep, for so long at most, if it is still quiet when others can see that this thread does."""
        gate = threading.Lock()
        gate.acquire()
        self._gates.append(gate)
        try:
            if quiet():
                gate.acquire(timeout=seconds)
        finally:
            with suppress(ValueError):
                self._gates.remove(gate)

    def rouse(self, most: int | None = None) -> None:
        """Let all go on, or so many."""
        if not self._gates:
            return
        with suppress(IndexError):
            while most != 0:
                gate = self._gates[0]
                try:
                    gate.release()  # before it is taken off: nobody would find it who sleeps on
                except RuntimeError:  # another was faster
                    pass
                else:
                    most = None if most is None else most - 1
                with suppress(ValueError):
                    self._gates.remove(gate)


def _alive(thread: threading.Thread) -> bool:
    return thread.is_alive()


class _Post:
    """One group's place in the worker pool."""

    def __init__(self, driver: GroupDriver, runner: Runner, members: int) -> None:
        self.driver = driver
        self.runner = runner
        self.members = members
        self.threads: set[threading.Thread] = set()  # changed with the worker pool's lock
        self.idle = _Sleepers()

    @property
    def slow(self) -> int:
        """How many handlers are slow; while workers take and finish batches."""
        return sum(batch.slow for batch in list(self.driver.group.batches))


class WorkerPool:
    """Threads that take drivers through their work.

    Parameters
    ----------
    store : Store
    now : callable
        Monotonic seconds.
    troubles : Troubles
    upkeep : callable
        Called in each round of the ticker with the time.
    failed : callable
        Called with the error that stops the threads.
    abandon : callable
        Called then, so that others get what the threads held.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        troubles: Troubles,
        upkeep: Callable[[float], None],
        failed: Callable[[BaseException], None],
        abandon: Callable[[], None],
    ) -> None:
        self._abandon = abandon
        self._now = now
        self._troubles = troubles
        self._failed = failed
        self._posts: dict[str, _Post] = {}
        self._lock = Mutex()
        self._failing = Mutex()  # held from a failure until what is left of it is given up
        self._news = 0  # rises where a worker may find something
        self._changes = (
            0  # rises where somebody who waits should look: no reason for workers, or many would never sleep
        )
        self._waiting = _Sleepers()
        self._stopping = threading.Event()
        self._started = False
        self.ticker = Ticker(
            store, now, troubles, upkeep=upkeep, ticked=self._ticked, rounded=self._notify, failed=self._fail
        )
        self.failure: BaseException | None = None

    @property
    def running(self) -> bool:
        """Whether the threads are there, and none has failed."""
        return self._started and self.failure is None

    @property
    def started(self) -> bool:
        """Whether the threads were started, and not stopped since."""
        return self._started

    @property
    def ended(self) -> bool:
        """Whether no thread of it runs, also none that was left behind."""
        with self._lock:
            threads = set().union(*[post.threads for post in self._posts.values()])
        return not any(thread.is_alive() for thread in threads)

    def add(self, driver: GroupDriver, runner: Runner, members: int) -> None:
        """Let a group be worked on, with a thread for each of its members."""
        self._posts[driver.group.name] = _Post(driver, runner, members)
        self.ticker.add(driver)

    def start(self, prepare: Callable[[], None] = lambda: None) -> None:
        """Start the threads, also after they failed; before, call what makes all ready."""
        with self._failing:
            prepare()
            self._stopping = threading.Event()  # threads of before that are in a handler still end after it
        self._troubles.clear()
        self.failure = None
        self._started = True
        self.ticker.start()

    def _quiet(self, news: int) -> bool:
        """Whether nothing has happened since there was this number of news."""
        return self._news == news and not self._stopping.is_set()

    def _unchanged(self, news: int, changes: int) -> bool:
        """Whether nothing has happened that whoever waits should look at."""
        return self._changes == changes and self._quiet(news)

    def wake(self, most: int | None = None) -> None:
        """There may be something to do, for so many threads of each group."""
        self._news += 1
        for post in list(self._posts.values()):
            post.idle.rouse(most)

    def _notify(self) -> None:
        """Let those look again who wait until something is so."""
        self._changes += 1
        self._waiting.rouse()

    def nudge(self) -> None:
        """Let all look again: the ticker, and who waits. May be called from a signal handler."""
        self._notify()
        self.ticker.rouse()

    def stop(self, timeout_s: float | None) -> bool:
        """End the threads; whether all did in time. A handler that hangs keeps its own."""
        self._stopping.set()
        self.ticker.stop()
        if timeout_s is not None:
            timeout_s = min(timeout_s, threading.TIMEOUT_MAX / 2)  # which the platform can wait for
        self.wake()
        self._waiting.rouse()
        deadline = None if timeout_s is None else self._now() + timeout_s
        ended = self.ticker.join(timeout_s)
        with self._lock:
            threads = [thread for post in list(self._posts.values()) for thread in post.threads]
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - self._now()))
                ended &= not thread.is_alive()
        self._started = False
        return ended

    def forked(self) -> None:
        """In a child process: the threads are the parent's."""
        self._lock = Mutex()
        self._started = False
        self._posts = {}

    # --- the ticker's thread

    def _ticked(self, driver: GroupDriver) -> None:
        post = self._posts[driver.group.name]
        self._man(post)
        # Nobody else wakes who has slept through a call: an interrupt may have swallowed it.
        if queued := driver.queued:
            self._news += 1
            post.idle.rouse(queued)

    def _man(self, post: _Post) -> None:
        """A thread for each member, and for each handler that is slow one more, up to a bound."""
        wanted = post.members + min(post.slow, post.members * 4 + post.driver.group.options.hung_handlers_max)
        name = f"ringward-{post.driver.group.name}"
        with self._lock:
            post.threads = set(filter(_alive, post.threads))
            missing = wanted - len(post.threads)
        try:
            for _ in range(missing):
                self._add_thread(post, name)
        except RuntimeError as error:  # the system gives no more threads: those that are there go on
            self._troubles.met(f"the workers of group {post.driver.group.name}", error)

    def _add_thread(self, post: _Post, name: str) -> None:
        thread = threading.Thread(target=self._work, args=(post, self._stopping), name=name, daemon=True)
        thread.start()
        with self._lock:
            post.threads.add(thread)

    def _fail(self, error: BaseException, stopping: threading.Event | None = None) -> None:
        """Stop all threads because of an error; what they held is given up."""
        with self._failing:  # who sees the failure and starts anew waits until what was left is given up
            if stopping is not None and stopping is not self._stopping:
                return  # of a start before
            first = False
            if not isinstance(error, StoreClosedError) or not self._stopping.is_set():
                with self._lock:
                    first, self.failure = self.failure is None, self.failure or error
            self._stopping.set()
            self.ticker.stop()
            if first:
                self._troubles.failed(error)
                self._failed(error)
                self._abandon()
        self.wake()
        self._waiting.rouse()

    # --- a worker

    def _work(self, post: _Post, stopping: threading.Event) -> None:
        who = f"a worker of group {post.driver.group.name}"
        try:
            while not stopping.is_set():
                try:
                    if self._work_once(post, stopping, who):
                        return
                except Exception as error:
                    if post.driver.misses(error):
                        continue
                    if not passes(error):
                        raise
                    self.ticker.stir()
                    stopping.wait(self._troubles.met(who, error))
        except BaseException as error:  # noqa: BLE001 - as the ticker's
            self._fail(error, stopping)

    def _work_once(self, post: _Post, stopping: threading.Event, who: str) -> bool:
        """Handle a batch and what follows it, or sleep until there is one; whether this thread is one too many."""
        news = self._news
        batch = post.driver.next(self._now())
        if batch is None:
            post.idle.sleep(partial(self._quiet, news))
        else:
            while batch is not None:
                self.ticker.stir()
                more = not stopping.is_set() and len(post.threads) <= post.members
                batch = post.runner.run(batch, more=more)
                self._news += 1
                self._troubles.over(who)
            self.ticker.stir()
            self._waiting.rouse()
        if len(post.threads) > post.members and self._surplus(post):
            post.idle.rouse(1)  # what roused this one is for another
            return True
        return False

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
            news, changes = self._news, self._changes
            if self.failure is not None:
                raise self.failure
            if until():
                return True
            left = LONGEST_S if deadline is None else deadline - self._now()
            if left <= 0:
                return False
            if self._stopping.is_set():
                raise self.failure or StoreClosedError("the processor was stopped")  # which may have come since
            quiet = partial(self._unchanged, news, changes)
            self._waiting.sleep(quiet, min(left, LONGEST_S))
