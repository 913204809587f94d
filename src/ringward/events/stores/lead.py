"""`Lead`: which of the threads that want to write commits for all of them, and when."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

__all__ = ["Job", "Lead"]

# How long a commit waits at most for threads that the one before has served, as a share of what a commit takes.
PATIENCE = 0.75
RESIGNED_MOST = 63  # so many commits do not wait, at most, after some that waited for nobody


class Job:
    """One operation, and what became of it."""

    __slots__ = ("alone", "done", "error", "gate", "leads", "operation", "otherwise", "result", "sync", "thread")

    def __init__(
        self,
        operation: Callable[[], Any],
        otherwise: Callable[[], Any] | None = None,
        *,
        sync: bool = True,
        alone: bool = False,
    ) -> None:
        self.operation = operation
        self.otherwise = otherwise
        self.sync = sync
        self.alone = alone  # whether it is no part of a commit of several
        self.thread = threading.get_ident()
        self.gate: threading.Lock | None = None  # locked while its thread waits
        self.leads = False
        self.done = False
        self.result: Any = None
        self.error: BaseException | None = None


class Lead:
    """Lets one thread after the other lead: it commits for all that wait.

    Threads whose jobs were in the commit before are likely to come again at once, so whoever comes first waits for
    them, and whoever comes last leads. The wait is a part of what a commit takes at most, and left out where it was in vain
    lately; a thread that nobody else writes beside never waits. Of those who come while somebody leads, the first leads
    next.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()  # held for a moment only
        self._waiting: deque[Job] = deque()
        self._led = False
        self._served: set[int] = set()  # the threads that were in the commit before
        self._served_at = self._commit_s = 0.0  # when it ended, and what one takes
        self._vain = 0  # how many commits do not wait after the next wait in vain, and how many are left of these
        self._resigned = 0

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._waiting)

    def join(self, job: Job) -> bool:
        """Wait until a job is done, or until its thread leads; whether it does. `pass_on` must follow then."""
        with self._mutex:
            self._waiting.append(job)
            wait_s = None if self._led else self._worthwhile_s(job)
            if wait_s == 0:
                return self._begin(job)
            gate = job.gate = threading.Lock()
            gate.acquire()
        try:
            if wait_s is not None and not gate.acquire(timeout=wait_s):
                with self._mutex:
                    if not (self._led or job.done):
                        self._resigned = self._vain = min(2 * self._vain + 1, RESIGNED_MOST)
                        return self._begin(job)
                gate.acquire()
            elif wait_s is None:
                gate.acquire()
        except BaseException:  # an interrupt: nobody waits for this job any more
            if job.leads:
                self.pass_on(job)
            else:
                self._forget(job)
            raise
        return job.leads

    def _begin(self, job: Job) -> bool:
        self._led = job.leads = True
        return True

    def _forget(self, job: Job) -> None:
        with self._mutex:
            if job in self._waiting:
                self._waiting.remove(job)

    def _worthwhile_s(self, job: Job) -> float:
        """How long to wait for those who may come at once."""
        if job.alone or not job.sync or self._served.issubset([each.thread for each in self._waiting]):
            if len(self._waiting) > 1:
                self._vain = 0
            return 0.0
        wait_s = self._served_at + PATIENCE * self._commit_s - perf_counter()
        if self._resigned and wait_s > 0:
            self._resigned -= 1
            return 0.0
        return max(0.0, wait_s)

    def collect(self, leader: Job) -> list[Job]:
        """Take the jobs that the leader is to commit."""
        jobs = []
        with self._mutex:
            if leader.alone:
                self._waiting.remove(leader)
                return [leader]
            while self._waiting and not self._waiting[0].alone:
                jobs.append(self._waiting.popleft())
        return jobs

    def served(self, jobs: Iterable[Job], leader: Job, took_s: float | None) -> None:
        """Jobs are done; what a commit of them took, if it was one that is synced."""
        self._served_at = perf_counter()
        self._served = {job.thread for job in jobs}
        if took_s is not None:
            self._commit_s += 0.1 * (took_s - self._commit_s)
        for job in jobs:
            job.done = True
            if job is not leader and job.gate is not None:
                job.gate.release()

    def pass_on(self, leader: Job) -> None:
        """Lead no more: the first that waits does, if there is one."""
        if not leader.done:
            self._forget(leader)
        with self._mutex:
            self._led = bool(self._waiting)
            if self._led:
                first = self._waiting[0]
                first.leads = True
                assert first.gate is not None  # noqa: S101 - whoever waits has one
                first.gate.release()
