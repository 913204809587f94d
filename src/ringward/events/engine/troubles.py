"""`Troubles`: what a processor meets that may pass, since when, and how long to wait before the next try."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from ringward.errors import RingwardError
from ringward.events.logs import log
from ringward.events.texts import Texts
from ringward.mutex import Mutex

__all__ = ["Trouble", "Troubles", "passes"]

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 5.0
FORGOTTEN_S = 15.0  # what was not met again for so long is over, also when nobody says so

# Errors of the system that end by themselves: too many open files, no memory, no space, a disk or a server that is away.
_PASSING = {
    getattr(errno, name)
    for name in (
        *("EMFILE", "ENFILE", "ENOMEM", "ENOSPC", "EDQUOT", "EIO", "EAGAIN", "EINTR", "EBUSY", "ENOLCK"),
        *("ESTALE", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ENETUNREACH", "ECONNREFUSED", "ECONNRESET"),
    )
    if hasattr(errno, name)
}


def passes(error: BaseException) -> bool:
    """Whether an error may end by itself and leaves nothing in doubt, so that what met it can be tried again."""
    if isinstance(error, RingwardError):
        return error.transient
    return isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _PASSING)


class Trouble(NamedTuple):
    """What somebody met, and has met since.

    Attributes
    ----------
    error : BaseException
        The last.
    since_ms : int
        When it began, in milliseconds since 1970.
    times : int
        How often in a row.
    last : float
        When it was met last, in monotonic seconds.
    """

    error: BaseException
    since_ms: int
    times: int
    last: float


class Troubles:
    """Who meets what, until it is over. Any thread may call.

    Parameters
    ----------
    chance : callable
        A random number from [0, 1).
    texts : Texts
        What makes texts of errors.
    """

    def __init__(self, chance: Callable[[], float], texts: Texts = Texts()) -> None:
        self._chance = chance
        self._texts = texts
        self._lock = Mutex()
        self._met: dict[str, Trouble] = {}
        self._ended: dict[str, tuple[int, float]] = {}  # how often it was met, until when
        self.last: tuple[BaseException, int] | None = None  # and when it was, in milliseconds since 1970

    def met(self, who: str, error: BaseException) -> float:
        """Take down an error that may pass, and say it in the log if it is new; how long to wait before the next try."""
        at, now = int(time.time() * 1000), time.monotonic()
        with self._lock:
            before = self._met.get(who)
            if before is not None and now - before.last > FORGOTTEN_S:
                before = None
            times = (self._times_before(who, now) if before is None else before.times) + 1
            self._met[who] = Trouble(error, at if before is None else before.since_ms, times, now)
            self.last = (error, at)
        if before is None or type(before.error) is not type(error):
            text = self._texts.line(error)
            log(logging.WARNING, f"{who} has to wait and tries again: {text}", event="trouble", who=who, error=text)
        return _wait(times) * (0.5 + self._chance() / 2)

    def _times_before(self, who: str, now: float) -> int:
        """How often somebody met what seemed to be over and is not: it has not gone well for as long as the last wait.

        Who had nothing to store went on well, and reset the waits of who had.
        """
        times, until = self._ended.pop(who, (0, now))
        return times if times and now - until <= _wait(times) else 0

    def over(self, who: str) -> None:
        """It went well again; nothing happens where nothing was wrong."""
        if who in self._met:
            with self._lock:
                trouble = self._met.pop(who, None)
                if trouble is not None:
                    self._ended[who] = trouble.times, time.monotonic()
            if trouble is not None:
                text = f"{who} continues after {trouble.times} failed tries"
                log(logging.WARNING, text, event="trouble_over", who=who, times=trouble.times)

    def said(self, error: BaseException) -> str:
        """Type and text of an error, as it may be told."""
        return self._texts.line(error)

    def failed(self, error: BaseException) -> None:
        """Take down an error that ends the processor."""
        self.last = (error, int(time.time() * 1000))

    def clear(self) -> None:
        """Forget what is not over: whoever met it is gone."""
        with self._lock:
            self._met.clear()
            self._ended.clear()

    def now(self) -> dict[str, Trouble]:
        """What is not over, by who meets it."""
        since = time.monotonic() - FORGOTTEN_S
        with self._lock:
            met = dict(self._met)
        return {who: trouble for who, trouble in met.items() if trouble.last > since}


def _wait(times: int) -> float:
    """How many seconds to wait at most after so many tries in a row."""
    return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(times - 1, 16)))
