"""The times of events: what a clock says that may be set, and what stored stamps mean when one was wrong."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

__all__ = ["KNOTS_MOST", "LogTime", "WallClock", "boot_time"]

SLACK_S = 5.0  # a clock may be put right by so much at once
DOUBT_S = 60.0  # what a clock that jumped ahead says is believed when it has said so for so long
SKEW_MS = (
    86_400_000  # clocks of processes may differ by so much, as those that tell local time do: stamps stand still then
)
PLAUSIBLE_MS = 1_735_689_600_000  # the first of January 2025: no file of ours is older, so a clock before it is wrong
KNOTS_MOST = 32
AT_MOST_S = 253_402_300_799.0  # the end of the year 9999


# Monotonic seconds that go on while the machine is suspended, where the platform has such a clock.
boot_time: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)


class WallClock:
    """Seconds since 1970, by a clock that may be set: a jump ahead is believed when it has stood for a while.

    A jump back is believed at once: stamps do not fall because of that, they stand still.

    Parameters
    ----------
    wall : callable
        Seconds since 1970.
    monotonic : callable
        Seconds of a clock that nobody sets.
    """

    __slots__ = ("_ahead", "_doubted", "_monotonic", "_said", "_since", "_wall")

    def __init__(self, wall: Callable[[], float], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._ahead = wall() - monotonic()  # of the monotonic clock
        self._doubted: float | None = None  # how far ahead it is said to be, and since when
        self._said: float | None = None
        self._since = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        passed = self._monotonic()
        ahead = self._wall() - passed
        if not ahead - self._ahead > SLACK_S:  # nor is it NaN
            if ahead == ahead:  # noqa: PLR0124 - not NaN
                self._ahead, self._doubted = ahead, None
        elif self._doubted is None or abs(ahead - self._doubted) > SLACK_S:
            self._doubted, self._since = ahead, passed
        elif passed - self._since >= DOUBT_S:
            self._ahead, self._doubted = ahead, None
        said = passed + self._ahead
        return said if 0.0 <= said <= AT_MOST_S else min(max(0.0, said), AT_MOST_S)

    def _jump(self) -> list[str]:
        if self._doubted is None:
            return []
        return [
            f"the clock has jumped ahead by {self._doubted - self._ahead:,.0f} s: ignored for the first {DOUBT_S:.0f} s"
        ]

    def doubts(self) -> list[str]:
        """Why the clock is not believed just now, if that is so."""
        unset = self() * 1000 < PLAUSIBLE_MS
        return ["the clock shows a time before 2025: it is not set"] if unset else self._jump()

    def told(self) -> list[str]:
        """What is to be said of a jump, once."""
        if self._doubted == self._said:
            return []
        self._said = self._doubted
        return self._jump()


class Knot(NamedTuple):
    """From a time on, stamps go on from a stamp; both in milliseconds since 1970."""

    time_ms: int
    stamp: int


class LogTime(NamedTuple):
    """What stored stamps mean: from which time on stamps have run ahead of it, or had been behind.

    Stamps never fall. So a stamp of a clock that was ten years ahead lets all later ones be ten years ahead as well,
    and one of a clock that stood in 1970 makes events look old that are new. What was found out about that is kept as
    knots: from a time on, stamps go on from a stamp.

    Attributes
    ----------
    knots : tuple of Knot
        Both of their fields rise.
    """

    knots: tuple[Knot, ...] = ()

    def stamp_at(self, time_ms: int) -> int:
        """The highest stamp of events that were accepted up to a time."""
        knots = self.knots
        if not knots:
            return time_ms
        at = bisect_right(knots, time_ms, key=lambda knot: knot.time_ms)
        stamp = time_ms if not at else knots[at - 1].stamp + time_ms - knots[at - 1].time_ms
        return stamp if at == len(knots) else min(stamp, knots[at].stamp - 1)

    def time_of(self, stamp: int) -> int:
        """When an event of a stamp was accepted, or the latest time at which it can have been."""
        knots = self.knots
        if not knots:
            return stamp
        at = bisect_right(knots, stamp, key=lambda knot: knot.stamp)
        time_ms = stamp if not at else knots[at - 1].time_ms + stamp - knots[at - 1].stamp
        return time_ms if at == len(knots) else min(time_ms, knots[at].time_ms)

    def repaired(self, first: int, last: int, now_ms: int) -> LogTime:
        """Itself, or what is right now that a clock says `now_ms` and the log has stamps from `first` to `last`."""
        knots = self.knots
        if last < PLAUSIBLE_MS <= now_ms and self.time_of(last) < PLAUSIBLE_MS:
            # Of a clock that was not set yet: how old they are is not known, so they begin to age now.
            return LogTime((Knot(now_ms, first), Knot(now_ms + 1, max(now_ms, last + 1))))
        # What seemed to be in the future has come, or it was this clock that was behind.
        while (
            knots and knots[-1].stamp > knots[-1].time_ms + 1 and last <= LogTime(knots[:-1]).stamp_at(now_ms) + SKEW_MS
        ):
            knots = knots[:-1]
        seen = LogTime(knots)
        if last > seen.stamp_at(now_ms) + SKEW_MS and (
            not knots or (now_ms > knots[-1].time_ms and last > knots[-1].stamp)
        ):
            while len(knots) > 1 and knots[1].stamp <= first:  # they mean nothing that is still there
                knots = knots[1:]
            # Clocks that contradict each other would add without end.
            return LogTime((*knots, Knot(now_ms, last))) if len(knots) < KNOTS_MOST else seen
        return seen

    def ahead(self) -> list[str]:
        """By how much stamps run ahead of the time, in words, if they do."""
        days = (self.knots[-1].stamp - self.knots[-1].time_ms) / 86_400_000 if self.knots else 0
        return (
            [f"time stamps are {days:,.1f} days ahead, from a clock that was wrong: this is corrected"]
            if days > 1
            else []
        )

    def told(self, before: LogTime) -> list[str]:
        """What is to be said of knots that were not there before."""
        said = []
        for time_ms, stamp in self.knots:
            if (time_ms, stamp) in before.knots or abs(stamp - time_ms) <= 1:
                continue
            days = abs(stamp - time_ms) / 86_400_000
            if stamp > time_ms:
                said.append(
                    f"the time stamp of the last event is {days:,.1f} days ahead of the clock: from now on time stamps are ahead"
                    " by as much, and this is corrected"
                )
            else:
                said.append(
                    f"events have time stamps of a clock that was not set, {days:,.0f} days ago: they count as new"
                )
        return said
