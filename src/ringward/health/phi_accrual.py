"""`PhiAccrual`: silence is held against the intervals in which a node was heard until then."""

from __future__ import annotations

import math
from typing import Literal, get_args

from ringward.checks import checked_float, checked_int
from ringward.errors import ArgumentError
from ringward.health.status import (
    LATEST_S,
    Status,
    checked_above,
    checked_latency,
    checked_node,
    checked_now,
    fine,
    suspicion,
)

__all__ = ["PhiAccrual"]

Form = Literal["normal", "exponential"]

THRESHOLD = 8.0
INTERVAL_S = 1.0
PAUSE = 3.0  # intervals
DEVIATION_LEAST = 0.1  # intervals
WINDOW = 1_000
_THRESHOLD_MOST = 300.0  # 10 ** -300 is about the least that a float holds
_FIRST = 2  # a node begins as if two intervals were known: a quarter below and a quarter above the one expected
_TAIL_MOST = 30.0  # deviations, beyond which erfc comes close to what a float can hold


# What is known of a node, replaced as a whole so that every thread sees one moment of it: when it was last heard, the mean
# and the variance of its intervals, how many are known, at most the window, and whether the last one was an outage.
_Heard = tuple[float, float, float, int, bool]


class PhiAccrual:
    """Suspects a node once its silence is so long as it hardly ever was before.

    phi = -log10(the probability that a heartbeat comes later than this), from the intervals of the node until now. So
    at phi 1 one suspicion in 10 is wrong, at phi 3 one in 1,000, if intervals are distributed as assumed.

    Parameters
    ----------
    threshold : float
        The phi at which suspicion begins, at most 300.
    form : "normal" or "exponential"
        How intervals are taken to be distributed: around their mean with their deviation, or without memory.
        The exponential form needs no deviation; it grants `threshold × ln 10` mean intervals.
    interval_s : float
        The interval that is expected before anything is known of a node, in seconds.
    pause_s : float, optional
        The pause that is acceptable whatever the intervals were, as of a collection of garbage, in seconds; by default three
        of the intervals expected.
    deviation_least_s : float, optional
        The least deviation that is believed, in seconds: intervals that never vary would make any delay a failure. By default a
        tenth of the interval expected.
    window : int
        About how many intervals count. The mean and the variance are exact for that many; then older ones fade.

    Notes
    -----
    A node that never reported is expected from the first time that it is named, as if it had been heard then.

    A silence in which the node was suspected is an outage and no interval, so that the detector is as quick after it as
    before. Only the second of two in a row counts, as an interval as long as was granted: the node reports less often now.

    Reports may come late and twice: they are no intervals. If `status` is asked at a time before the last report by more
    than the silence granted, the clock was set back, and the silence begins anew.

    Any method may be called from any thread. Two reports of one node at the same moment may count as one.

    docs/health.md has the table from which the defaults are chosen.

    References
    ----------
    Hayashibara, Défago, Yared, Katayama: The phi accrual failure detector, 2004. The acceptable pause, the least deviation and
    the first estimate are Akka's, and so are their defaults in its clusters.

    Examples
    --------
    >>> from ringward.health import PhiAccrual
    >>> detector = PhiAccrual(threshold=8, interval_s=1)
    >>> for second in range(100):
    ...     detector.heard("node1", float(second))
    >>> detector.status("node1", 103.2).suspected
    False
    >>> detector.status("node1", 104.5)  # doctest: +ELLIPSIS
    Status(level=6.30..., suspected=True, reason='silent for 5.50 s: phi is 50.4 of 8.0', trouble='silent')
    """

    __slots__ = ("_always_s", "_deviation_least_s", "_form", "_interval_s", "_nodes", "_normal", "_pause_s", "_reach", "_threshold",
                 "_window")  # fmt: skip

    def __init__(
        self,
        *,
        threshold: float = THRESHOLD,
        form: Form = "normal",
        interval_s: float = INTERVAL_S,
        pause_s: float | None = None,
        deviation_least_s: float | None = None,
        window: int = WINDOW,
    ) -> None:
        if form not in get_args(Form):
            raise ArgumentError("form", "'normal' or 'exponential'", form)
        self._threshold = checked_above("threshold", threshold, _THRESHOLD_MOST)
        self._form = form
        self._normal = form == "normal"
        self._interval_s = checked_above("interval_s", interval_s)
        pause_s = PAUSE * self._interval_s if pause_s is None else pause_s
        self._pause_s = checked_float("pause_s", pause_s, zero=True)
        deviation_least_s = DEVIATION_LEAST * self._interval_s if deviation_least_s is None else deviation_least_s
        self._deviation_least_s = checked_above("deviation_least_s", deviation_least_s)
        self._window = checked_int("window", window, _FIRST, 1 << 31)
        self._reach = _deviations_at(self._threshold) if self._normal else self._threshold * math.log(10)
        self._always_s = self._pause_s + self._reach * self._deviation_least_s if self._normal else 0.0
        self._nodes: dict[str, _Heard] = {}

    def __repr__(self) -> str:
        return f"PhiAccrual(threshold={self._threshold:g}, form={self._form!r}, pause_s={self._pause_s:g})"

    def heard(self, node: str, now_s: float) -> None:
        """A heartbeat came."""
        try:
            last_s, mean_s, variance_s2, known, was_out = self._nodes[node]
            interval_s = now_s - last_s
            usual = 0 < interval_s <= LATEST_S
        except (KeyError, TypeError, OverflowError):
            usual = False
        if not usual:
            self._heard_unusually(node, now_s)
            return
        off_s = interval_s - mean_s
        is_out = False
        if off_s > self._always_s:  # else it was granted, whatever the deviation is
            granted_s = self._granted_s(mean_s, variance_s2) - mean_s
            is_out = off_s > granted_s
            if is_out and not was_out:
                self._nodes[node] = (now_s, mean_s, variance_s2, known, True)
                return
            off_s = min(off_s, granted_s)
        if known < self._window:
            known += 1
        # Welford's way, with a count that stops at the window: each figure stays a weighted mean of what was seen, so
        # nothing adds up that rounding could make drift.
        weight = 1 / known
        mean_s += weight * off_s
        variance_s2 = (1 - weight) * (variance_s2 + weight * off_s * off_s)
        self._nodes[node] = (now_s, mean_s, variance_s2, known, is_out)

    def failed(self, node: str, now_s: float) -> None:
        """A request failed, which is no news: whether the node lives is told by its silence."""
        self._known(checked_node(node), checked_now(now_s))

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """A request was answered: the node was heard."""
        checked_latency(latency_s)
        self.heard(node, now_s)

    def status(self, node: str, now_s: float) -> Status:
        """What its silence says."""
        try:
            last_s, mean_s, variance_s2, *_ = self._nodes[node]
            silent_s = now_s - last_s
            usual = 0 <= silent_s <= LATEST_S
        except (KeyError, TypeError, OverflowError):
            usual = False
        if not usual:
            node, now_s = checked_node(node), checked_now(now_s)
            last_s, mean_s, variance_s2, known, was_out = self._known(node, now_s)
            if last_s - now_s > self._granted_s(mean_s, variance_s2):
                last_s = now_s
                self._nodes[node] = (now_s, mean_s, variance_s2, known, was_out)
            silent_s = max(0.0, now_s - last_s)
        phi = self._phi(silent_s, mean_s, variance_s2)
        level = phi / self._threshold
        if level < 1:
            return fine(level)
        return suspicion(level, f"silent for {silent_s:.2f} s: phi is {phi:.1f} of {self._threshold:.1f}", "silent")

    def forget(self, node: str) -> None:
        """The node left."""
        self._nodes.pop(checked_node(node), None)

    def _heard_unusually(self, node: str, now_s: float) -> None:
        """Of a node that is new, of no node, at no time, late or twice."""
        name, now_s = checked_node(node), checked_now(now_s)
        if type(node) is str:
            self._known(name, now_s)
        else:  # of a subclass, which hashes as it likes
            self.heard(name, now_s)

    def _known(self, node: str, now_s: float) -> _Heard:
        found = self._nodes.get(node)
        if found is None:
            found = self._nodes.setdefault(node, (now_s, self._interval_s, (self._interval_s / 4) ** 2, _FIRST, False))
        return found

    def _granted_s(self, mean_s: float, variance_s2: float) -> float:
        """The silence at which suspicion begins."""
        if self._normal:
            return self._pause_s + mean_s + self._reach * max(math.sqrt(variance_s2), self._deviation_least_s)
        return self._pause_s + self._reach * mean_s

    def _phi(self, silent_s: float, mean_s: float, variance_s2: float) -> float:
        if self._normal:
            deviation_s = max(math.sqrt(variance_s2), self._deviation_least_s)
            return _phi_of((silent_s - mean_s - self._pause_s) / deviation_s)
        return max(0.0, silent_s - self._pause_s) / (mean_s * math.log(10))


def _phi_of(deviations: float) -> float:
    """-log10 of the probability that a normal variable lies so many deviations above its mean, or further."""
    if deviations < _TAIL_MOST:
        return max(0.0, -math.log10(0.5 * math.erfc(deviations / math.sqrt(2))))
    x = min(deviations, 1e100)
    tail = x + 1 / (x + 2 / (x + 3 / x))  # the continued fraction of Mills' ratio
    return (x * x / 2 + math.log(tail * math.sqrt(2 * math.pi))) / math.log(10)


def _deviations_at(phi: float) -> float:
    """The deviations at which phi is reached."""
    low, high = -40.0, 40.0
    for _ in range(80):
        middle = (low + high) / 2
        if _phi_of(middle) < phi:
            low = middle
        else:
            high = middle
    return high
