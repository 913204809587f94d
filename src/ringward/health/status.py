"""`Status`, what a detector says of a node; `Detector`, what all detectors have."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from ringward.checks import checked_float, checked_text
from ringward.errors import ArgumentError

__all__ = [
    "LATEST_S",
    "Detector",
    "Status",
    "Trouble",
    "checked_above",
    "checked_latency",
    "checked_node",
    "checked_now",
]

LATEST_S = (
    sys.float_info.max
)  # what is no time, an int beyond all floats included, compares as later than this, or not at all
Trouble = Literal["silent", "failing", "slow"]
_BELOW = 1 - 2**-53  # the greatest level below 1


@dataclass(frozen=True, slots=True)
class Status:
    """What a detector says of a node at one moment. It is advice: epochs keep two owners apart, not detectors.

    Attributes
    ----------
    level : float
        0 = fine; at 1 suspicion begins, whatever the detector's own unit is: phi / threshold, silence / deadline.
    suspected : bool
    reason : str
        One short sentence with figures; "" when there is nothing to say.
    trouble : "silent", "failing", "slow" or None
        No news; errors; late answers. None while it is not suspected.
    """

    level: float
    suspected: bool
    reason: str
    trouble: Trouble | None


_new = Status.__new__
_set_level, _set_suspected, _set_reason, _set_trouble = [
    vars(Status)[name].__set__ for name in ("level", "suspected", "reason", "trouble")
]


def _status(level: float, suspected: bool, reason: str, trouble: Trouble | None) -> Status:
    """By way of the slots: the `__init__` of a frozen dataclass takes twice as long, and each node has one each tick."""
    status = _new(Status)
    _set_level(status, level)
    _set_suspected(status, suspected)
    _set_reason(status, reason)
    _set_trouble(status, trouble)
    return status


def fine(level: float, note: str = "") -> Status:
    """A status below suspicion."""
    return _status(level if level < _BELOW else _BELOW, False, note, None)  # noqa: FBT003, FURB136 - a call of `min` takes longer


def suspicion(level: float, reason: str, trouble: Trouble) -> Status:
    """A status of a node that is suspected."""
    return _status(max(level, 1.0), True, reason, trouble)  # noqa: FBT003 - by keywords it takes longer


@runtime_checkable
class Detector(Protocol):
    """Who is told how nodes fare, and says which of them it suspects.

    All times are seconds of one monotonic clock that the caller reads: `time.monotonic()`, a loop's `time()`, or the time
    of a simulation.
    """

    def heard(self, node: str, now_s: float) -> None:
        """A heartbeat came."""

    def failed(self, node: str, now_s: float) -> None:
        """A request or a probe failed."""

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """A request or a probe was answered after `latency_s`; that counts as heard too."""

    def status(self, node: str, now_s: float) -> Status:
        """What is to be said of the node now."""

    def forget(self, node: str) -> None:
        """The node left: all that is known of it goes."""


def checked_node(node: object) -> str:
    """The name of a node as a plain str."""
    return checked_text("node", node)


def checked_now(now_s: object) -> float:
    """A time: finite and at least 0."""
    if type(now_s) is float and 0 <= now_s <= LATEST_S:
        return now_s
    return checked_float("now_s", now_s, zero=True)


def checked_latency(latency_s: object) -> float:
    """A latency: finite and at least 0."""
    if type(latency_s) is float and 0 <= latency_s <= LATEST_S:
        return latency_s
    return checked_float("latency_s", latency_s, zero=True)


def checked_above(argument: str, value: object, most: float = math.inf) -> float:
    """A setting above 0, and at most `most`."""
    number = checked_float(argument, value, zero=False)
    if number > most:
        raise ArgumentError(argument, f"above 0 and at most {most:g}", value)
    return number
