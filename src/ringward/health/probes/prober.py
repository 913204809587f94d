"""`Prober`: asks thousands of nodes again and again how they are, and tells a detector."""

from __future__ import annotations

import asyncio
import errno
import heapq
import inspect
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from ringward.checks import checked_callable, checked_float, checked_int, checked_text
from ringward.errors import ArgumentError, ArgumentTypeError, LoopError
from ringward.health.probes.calls import Calls
from ringward.health.probes.protocols import Tcp
from ringward.health.status import Detector, checked_above
from ringward.texts import bounded, error_text

__all__ = ["Prober", "Result"]

EVERY_S = 1.0
TIMEOUT_S = 1.0
AT_ONCE = 200
JITTER = 0.1
_CLOSE_S = 5.0
_CANCEL_S = 1.0
_ERROR_MOST = 200
_OWN_TROUBLE = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}  # says nothing of the node

_NEVER_RUN = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)  # by a call alone

_log = logging.getLogger("ringward.health")
_chance = random.random


@dataclass(frozen=True, slots=True)
class Result:
    """What one probe of one node found.

    Attributes
    ----------
    node : str
    time_s : float
        When it ended, by `time.monotonic`.
    latency_s : float
        How long it took.
    error : str or None
        Why it failed, on one line; None if it was answered.
    counts : bool
        False where this machine was at fault, as without free file descriptors: the detector is not told then.
    """

    node: str
    time_s: float
    latency_s: float
    error: str | None
    counts: bool = True


class Prober:
    """Probes nodes at regular times, at most so many at once, and tells a detector what each probe found.

    All runs in one thread of its own (`start`), or in a task of your loop (`run`). Only what blocks, a probe that is no
    coroutine function or the name of a host, is called in a further thread, one a node at most.

    Parameters
    ----------
    targets : mapping of str to object, or iterable of str
        Node → what the probe is called with. Of names alone, each is its own target.
    probe : callable
        A function or a coroutine function of a target. It fails if it raises, returns False, or takes longer than `timeout_s`.
    detector : Detector, optional
        It is told `answered` or `failed`.
    every_s : float
        How often each node is probed, in seconds.
    timeout_s : float
        How long a probe may take, in seconds.
    at_once : int
        How many probes run at most. Nodes that do not answer hold a place for `timeout_s` each: `at_once / timeout_s` of
        them a second hold up nobody.
    jitter : float
        By which share of `every_s` each pause is made longer or shorter, by chance, so that probes do not come in bursts;
        at least 0 and below 1.
    on_result : callable, optional
        Called with each `Result`, in the prober's thread. It should not block.

    Notes
    -----
    A child of a fork has no prober: `start` there begins anew. What detectors and `on_result` raise is logged, once a kind.

    Examples
    --------
    >>> import time
    >>> from ringward.health import Deadline
    >>> from ringward.health.probes import Prober
    >>> detector = Deadline(after_s=5)
    >>> with Prober(["cache1", "cache2"], lambda node: node != "cache2", detector=detector, every_s=0.01):
    ...     time.sleep(0.1)
    >>> detector.status("cache1", time.monotonic()).suspected
    False
    """

    def __init__(
        self,
        targets: Mapping[str, Any] | Iterable[str],
        probe: Callable[[Any], Any] | None = None,
        *,
        detector: Detector | None = None,
        every_s: float = EVERY_S,
        timeout_s: float = TIMEOUT_S,
        at_once: int = AT_ONCE,
        jitter: float = JITTER,
        on_result: Callable[[Result], object] | None = None,
    ) -> None:
        self._probe = checked_callable("probe", Tcp() if probe is None else probe)
        if any(kind(each) for kind in _NEVER_RUN for each in (self._probe, type(self._probe).__call__)):
            raise ArgumentTypeError("probe", "a function that returns: one with yield asks no node", probe)
        if detector is not None and not isinstance(detector, Detector):
            raise ArgumentTypeError("detector", "a detector", detector)
        self._detector = detector
        self._every_s = checked_above("every_s", every_s)
        self._timeout_s = checked_above("timeout_s", timeout_s)
        self._at_once = checked_int("at_once", at_once, 1, 1 << 16)
        self._jitter = checked_float("jitter", jitter, zero=True)
        if self._jitter >= 1:
            raise ArgumentError("jitter", "at least 0 and below 1", jitter)
        self._on_result = None if on_result is None else checked_callable("on_result", on_result)
        self._in_loop = any(map(inspect.iscoroutinefunction, (self._probe, type(self._probe).__call__)))
        self._targets: dict[str, Any] = {}
        self._running: _Running | None = None
        self._calls = Calls(self._at_once)
        self._told: set[type[BaseException]] = set()
        if isinstance(targets, str | bytes):
            raise ArgumentTypeError("targets", "a mapping or a collection of names", targets)
        pairs = targets.items() if isinstance(targets, Mapping) else [(each, each) for each in targets]
        for node, target in pairs:
            self.add(node, target)

    def add(self, node: str, target: Any = None) -> None:
        """Probe this node too, or at another target; by default its name is its target."""
        name = checked_text("node", node)
        target = name if target is None else target
        check = getattr(self._probe, "check", None)
        if check is not None:
            check(target)
        fresh = name not in self._targets
        self._targets[name] = target
        if fresh and (running := self._running) is not None:
            running.call(running.plan, name, self._every_s * _chance())

    def remove(self, node: str) -> None:
        """Probe this node no more. The detector is not told: `detector.forget` does that."""
        self._targets.pop(checked_text("node", node), None)

    def start(self) -> Self:
        """Begin, in a thread of its own; where it runs already, nothing."""
        if self._running is None or self._running.process != os.getpid():
            running = _Running(self, asyncio.new_event_loop())
            running.thread = threading.Thread(target=running.in_thread, name="ringward-prober", daemon=True)
            try:
                running.thread.start()
            except BaseException:
                running.loop.close()
                raise
            self._running = running
        return self

    def close(self) -> None:
        """End: no probe is waited for. It may be started again."""
        running, self._running = self._running, None
        if running is None or running.process != os.getpid():
            return
        running.call(running.stop)
        if running.thread is not None and running.thread is not threading.current_thread():
            running.thread.join(_CLOSE_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    async def run(self) -> None:
        """Probe in the running loop until this is cancelled, or `close` is called."""
        if self._running is not None and self._running.process == os.getpid():
            raise LoopError("this prober runs already: close() it, or make another")
        running = self._running = _Running(self, asyncio.get_running_loop())
        try:
            await running.main()
        finally:
            if self._running is running:
                self._running = None

    async def once(self) -> list[Result]:
        """Probe each node once, at most `at_once` at a time, and return what was found, in the order of the nodes."""
        places = asyncio.Semaphore(self._at_once)

        async def one(node: str, target: Any) -> Result:
            async with places:
                return await self.probed(node, target)

        return await asyncio.gather(*[one(node, target) for node, target in [*self._targets.items()]])

    async def probed(self, node: str, target: Any) -> Result:
        """Probe one node, and tell what was found."""
        began_s = time.monotonic()
        error, counts = await self._asked(node, target)
        now_s = time.monotonic()
        result = Result(node, now_s, now_s - began_s, error, counts)
        if node in self._targets:  # it may have been removed meanwhile
            self._tell(result)
        return result

    async def _asked(self, node: str, target: Any) -> tuple[str | None, bool]:
        """Why the probe failed, and whether that is the node's fault."""
        try:
            async with asyncio.timeout(self._timeout_s) as limit:
                if self._in_loop:
                    found = await self._probe(target)
                else:
                    found = await self._calls.result(node, self._probe, target)
                    if inspect.isawaitable(found):
                        found = await found
        except BaseException as error:
            if isinstance(error, TimeoutError) and limit.expired():
                return f"no answer within {self._timeout_s:g} s", True
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            number = error.errno if isinstance(error, OSError) else None
            return bounded(error_text(error), _ERROR_MOST), number not in _OWN_TROUBLE
        return ("the probe returned False", True) if found is False else (None, True)

    def _tell(self, result: Result) -> None:
        try:
            if self._detector is not None and result.counts:
                if result.error is None:
                    self._detector.answered(result.node, result.time_s, result.latency_s)
                else:
                    self._detector.failed(result.node, result.time_s)
            if self._on_result is not None:
                self._on_result(result)
        except BaseException as error:  # whatever it is, this node and the others are probed on
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            if type(error) not in self._told:
                self._told.add(type(error))
                _log.exception("a detector or on_result raised; further errors of this kind are not logged")


class _Running:
    """One run of a prober, in one loop."""

    def __init__(self, prober: Prober, loop: asyncio.AbstractEventLoop) -> None:
        self.process = os.getpid()
        self.thread: threading.Thread | None = None
        self.loop = loop
        self._prober = prober
        self._due: list[
            tuple[float, float, str]
        ] = []  # when, a number by chance so that equal times have no order, node
        self._planned: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._changed = asyncio.Event()

    def call(self, function: Callable[..., None], *args: Any) -> None:
        """Call a function in the loop's thread."""
        with suppress(RuntimeError):  # the loop has ended
            self.loop.call_soon_threadsafe(function, *args)

    def stop(self) -> None:
        """End the run."""
        self._stopped = True
        self._changed.set()

    def plan(self, node: str, in_s: float) -> None:
        """Probe a node in so many seconds, unless that is planned."""
        if node not in self._planned:
            self._planned.add(node)
            heapq.heappush(self._due, (time.monotonic() + in_s, _chance(), node))
            self._changed.set()

    def in_thread(self) -> None:
        """Run in a loop of this thread's own."""
        try:
            self.loop.run_until_complete(self.main())
        finally:
            with suppress(Exception):
                self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()

    async def main(self) -> None:
        """Probe what is due until it is over; then cancel all probes."""
        prober = self._prober
        nodes = [*prober._targets]
        for place, node in enumerate(nodes):  # the first probes are spread evenly
            self.plan(node, prober._every_s * place / len(nodes))
        try:
            while not self._stopped:
                self._changed.clear()
                wait_s = self._begin_what_is_due()
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
        finally:
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=_CANCEL_S)

    def _begin_what_is_due(self) -> float | None:
        """Begin as many probes as there are places for; return how long the next one has time, None where all is taken."""
        while self._due and len(self._tasks) < self._prober._at_once:
            in_s = self._due[0][0] - time.monotonic()
            if in_s > 0:
                return in_s
            node = heapq.heappop(self._due)[2]
            self._planned.discard(node)
            if node in self._prober._targets:
                task = self.loop.create_task(self._one(node, self._prober._targets[node]))
                self._tasks.add(task)
                task.add_done_callback(self._ended)
        return None

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed.set()

    async def _one(self, node: str, target: Any) -> None:
        prober = self._prober
        began_s = time.monotonic()
        await prober.probed(node, target)
        if node in prober._targets:
            pause_s = prober._every_s * (1 + prober._jitter * (2 * _chance() - 1))
            self.plan(node, max(0.0, began_s + pause_s - time.monotonic()))
