"""`Agreed`: a node is suspected once so many of several watchers suspect it."""

from __future__ import annotations

from ringward.checks import checked_int
from ringward.errors import ArgumentError, ArgumentTypeError
from ringward.health.status import Detector, Status, fine, suspicion

__all__ = ["Agreed"]

_REASONS_MOST = 5


class Agreed:
    """Suspects a node once `least` of its watchers do: a quorum; of one, whoever of them has a doubt.

    What this is told, all watchers are told. Watchers that see a node from different places are told one by one instead:
    `agreed.watchers[i].heard(...)`.

    Parameters
    ----------
    least : int
        How many must agree, from 1 to the number of watchers.
    *watchers : Detector

    Attributes
    ----------
    watchers : tuple of Detector

    Notes
    -----
    The level is the one that `least` watchers have reached. The trouble is that of the most alarmed of those who suspect; the
    reason has what each of them says, the most alarmed first, up to five.

    It is as safe in threads as its watchers are, and raises what they raise.

    Examples
    --------
    >>> from ringward.health import Agreed, Deadline, PhiAccrual
    >>> either = Agreed(1, Deadline(after_s=60), PhiAccrual())
    >>> both = Agreed(2, *either.watchers)
    >>> both.heard("node1", 0.0)
    >>> either.status("node1", 10.0).suspected, both.status("node1", 10.0).suspected
    (True, False)
    """

    __slots__ = ("_least", "watchers")

    def __init__(self, least: int, *watchers: Detector) -> None:
        for watcher in watchers:
            if not isinstance(watcher, Detector):
                raise ArgumentTypeError("watchers", "detectors", watcher)
        if not watchers:
            raise ArgumentError("watchers", "at least one", watchers)
        self._least = checked_int("least", least, 1, len(watchers))
        self.watchers = watchers

    def __repr__(self) -> str:
        return f"Agreed({self._least}, {', '.join(map(repr, self.watchers))})"

    def heard(self, node: str, now_s: float) -> None:
        """A heartbeat came."""
        for watcher in self.watchers:
            watcher.heard(node, now_s)

    def failed(self, node: str, now_s: float) -> None:
        """A request failed."""
        for watcher in self.watchers:
            watcher.failed(node, now_s)

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """A request was answered."""
        for watcher in self.watchers:
            watcher.answered(node, now_s, latency_s)

    def status(self, node: str, now_s: float) -> Status:
        """What so many agree on."""
        found = sorted([watcher.status(node, now_s) for watcher in self.watchers], key=_alarm, reverse=True)
        worst, agreed = found[0], found[self._least - 1]
        if not worst.suspected:
            return agreed
        reasons = [status.reason for status in found if status.suspected]
        reason = f"{len(reasons)} of {len(found)} suspect it: {_together(reasons)}"
        if not agreed.suspected:
            return fine(agreed.level, reason)
        return suspicion(agreed.level, reason, worst.trouble or "failing")

    def forget(self, node: str) -> None:
        """The node left."""
        for watcher in self.watchers:
            watcher.forget(node)


def _together(reasons: list[str]) -> str:
    """What they say, each once, the most alarmed first."""
    told = [*dict.fromkeys(filter(None, reasons))]
    more = len(told) - _REASONS_MOST
    return "; ".join([*told[:_REASONS_MOST], *([f"and {more} more"] if more > 0 else [])])


def _alarm(status: Status) -> tuple[bool, float]:
    return status.suspected, status.level
