"""`Outlier`: a node is suspected once it fails or answers late where its peers do not."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from ringward.checks import checked_float, checked_int
from ringward.errors import ArgumentError
from ringward.health.status import (
    Status,
    checked_above,
    checked_latency,
    checked_node,
    checked_now,
    fine,
    suspicion,
)

__all__ = ["Outlier"]

FAILURES = 5
HOLD_S = 60.0
WINDOW_S = 10.0
PEERS = 5
REQUESTS = 100
DEVIATIONS = 1.9
DROP_LEAST = 0.05
ANSWERS = 20
SLOW_DEVIATIONS = 3.0
SLOW_LEAST = 2.0
_LATENCY_LEAST_S = 1e-6  # what is faster is as fast: clocks do not tell better, and 0 has no logarithm
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_LOOKS = 10  # at the peers, in a window

# Of one window: answers, failures, and the sum of the logarithms of the latencies.
_Counts = tuple[int, int, float]
_NOTHING: _Counts = (0, 0, 0.0)
# What is known of a node, replaced as a whole: which window it is, its counts and those of the one before, failures in a
# row, and when the last of them was.
_Known = tuple[float, _Counts, _Counts, int, float]


@dataclass(frozen=True, slots=True)
class _Peers:
    """The figures of all nodes that have enough requests, at one moment."""

    rated: int
    rate: float
    rate_deviation: float
    timed: int
    log_s: float
    log_deviation: float


class Outlier:
    """Suspects a node for its failures in a row, for a success rate below its peers', and for latencies above theirs.

    It learns from `failed` and `answered`; heartbeats tell it nothing. Put it beside a detector of silence with `Agreed(1, ...)`.

    Parameters
    ----------
    failures : int
        So many in a row are suspicious, whatever the peers do. One answer ends the row.
    hold_s : float
        A row of failures is forgotten when the last one is so long ago, in seconds: a node that gets no requests any more would
        otherwise be suspected for ever.
    window_s : float
        Rates and latencies are those of this window and of the one before, in seconds.
    peers : int
        Nodes are compared when at least so many have enough requests.
    requests : int
        So many in the two windows are enough for a success rate.
    deviations : float
        A success rate is suspicious when it is so many standard deviations below the mean of the peers ...
    drop_least : float
        ... and at least so far below it, 0 to 1. Where all nodes are well, deviations are next to nothing.
    answers : int
        So many in the two windows are enough for a latency.
    slow_deviations : float
        A latency is suspicious when it is so many deviations above the median of the peers, on a logarithmic scale ...
    slow_least : float
        ... and at least so many times as long, above 1.

    Notes
    -----
    The latency of a node is the geometric mean of its answers, so that one late answer does not make a slow node; the
    deviation is 1.4826 × the median distance from the median (MAD), which slow nodes do not widen until half of them are slow.
    So the bound moves with the peers: fixed bounds miss what is slow among the fast, and blame all when load is high.

    The level is the highest of the three. The figures of the peers are taken ten times a window, at most.

    A report that is late counts as of now. If `status` is asked at a time before the last report by more than a window, the
    clock was set back, and what is known counts from then.

    Any method may be called from any thread. Two reports of one node at the same moment may count as one.

    References
    ----------
    Envoy's outlier detection for the first two and their defaults; Tukey's median and MAD for the third.

    Examples
    --------
    >>> from ringward.health import Outlier
    >>> detector = Outlier(failures=3)
    >>> for second in range(3):
    ...     detector.failed("node1", 100.0 + second)
    >>> detector.status("node1", 103.0)
    Status(level=1.0, suspected=True, reason='3 failures in a row', trouble='failing')
    """

    __slots__ = ("_answers", "_deviations", "_drop_least", "_failures", "_hold_s", "_nodes", "_peers", "_peers_least",
                 "_requests", "_slow_deviations", "_slow_least_log", "_window_s")  # fmt: skip

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        hold_s: float = HOLD_S,
        window_s: float = WINDOW_S,
        peers: int = PEERS,
        requests: int = REQUESTS,
        deviations: float = DEVIATIONS,
        drop_least: float = DROP_LEAST,
        answers: int = ANSWERS,
        slow_deviations: float = SLOW_DEVIATIONS,
        slow_least: float = SLOW_LEAST,
    ) -> None:
        self._failures = checked_int("failures", failures, 1, 1 << 31)
        self._hold_s = checked_above("hold_s", hold_s)
        self._window_s = checked_above("window_s", window_s)
        self._peers_least = checked_int("peers", peers, 2, 1 << 31)
        self._requests = checked_int("requests", requests, 1, 1 << 31)
        self._deviations = checked_above("deviations", deviations)
        self._drop_least = checked_above("drop_least", drop_least, 1.0)
        self._answers = checked_int("answers", answers, 1, 1 << 31)
        self._slow_deviations = checked_above("slow_deviations", slow_deviations)
        if not checked_float("slow_least", slow_least, zero=False) > 1:
            raise ArgumentError("slow_least", "above 1", slow_least)
        self._slow_least_log = math.log(slow_least)
        self._nodes: dict[str, _Known] = {}
        self._peers: tuple[float, _Peers] | None = None

    def __repr__(self) -> str:
        return f"Outlier(failures={self._failures}, window_s={self._window_s:g}, peers={self._peers_least})"

    def heard(self, node: str, now_s: float) -> None:
        """A heartbeat came: it says nothing of requests."""
        if type(node) is not str or node not in self._nodes:
            checked_node(node)
        checked_now(now_s)

    def failed(self, node: str, now_s: float) -> None:
        """A request failed."""
        node, window, (_, now, before, row, _) = self._reported(node, now_s)
        good, bad, logs = now
        self._nodes[node] = (window, (good, bad + 1, logs), before, row + 1, now_s)

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """A request was answered after `latency_s`."""
        latency_s = checked_latency(latency_s)
        node, window, (_, now, before, _, failed_s) = self._reported(node, now_s)
        good, bad, logs = now
        logs += math.log(max(_LATENCY_LEAST_S, latency_s))
        self._nodes[node] = (window, (good + 1, bad, logs), before, 0, failed_s)

    def status(self, node: str, now_s: float) -> Status:
        """What its failures and its latencies say."""
        now_s = checked_now(now_s)
        known = self._nodes.get(node) if type(node) is str else None
        if known is None:
            node = checked_node(node)
            known = self._nodes.get(node)
        if known is None:
            return fine(0.0)
        window = now_s // self._window_s
        if window < known[0] - 1:
            known = self._nodes[node] = (window, *known[1:4], min(known[4], now_s))
        row = known[3] if now_s - known[4] <= self._hold_s else 0
        good, bad, logs = _counts(known, window)
        found = [row / self._failures, 0.0, 0.0]
        peers = self._peers_at(now_s)
        if good + bad >= self._requests and peers.rated >= self._peers_least:
            margin = max(self._deviations * peers.rate_deviation, self._drop_least)
            found[1] = (peers.rate - good / (good + bad)) / margin
        if good >= self._answers and peers.timed >= self._peers_least:
            margin = max(self._slow_deviations * peers.log_deviation, self._slow_least_log)
            found[2] = (logs / good - peers.log_s) / margin
        level = max(found)
        if level < 1:
            return fine(level)
        if level == found[0]:
            return suspicion(level, f"{row:,} failures in a row", "failing")
        if level == found[1]:
            told = f"{good / (good + bad):.1%} of {good + bad:,} requests succeed, {peers.rate:.1%} of {peers.rated:,} peers"
            return suspicion(level, told, "failing")
        told = f"answers in {_told(logs / good)}, the median of {peers.timed:,} peers is {_told(peers.log_s)}"
        return suspicion(level, told, "slow")

    def forget(self, node: str) -> None:
        """The node left."""
        self._nodes.pop(checked_node(node), None)

    def _reported(self, node: str, now_s: float) -> tuple[str, float, _Known]:
        """The node's plain name, the window that a report belongs to, and what is known, turned over to that window."""
        now_s = checked_now(now_s)
        if type(node) is not str or node not in self._nodes:
            node = checked_node(node)
        window = now_s // self._window_s
        known = self._nodes.get(node)
        if known is None:
            return node, window, (window, _NOTHING, _NOTHING, 0, 0.0)
        if window > known[0]:
            before = known[1] if window == known[0] + 1 else _NOTHING
            row = known[3] if now_s - known[4] <= self._hold_s else 0
            return node, window, (window, _NOTHING, before, row, known[4])
        return node, known[0], known

    def _peers_at(self, now_s: float) -> _Peers:
        if self._peers is None or not 0 <= now_s - self._peers[0] < self._window_s / _LOOKS:
            self._peers = now_s, self._compared(now_s // self._window_s)
        return self._peers[1]

    def _compared(self, window: float) -> _Peers:
        """The figures of the peers, those that are suspected included."""
        counts = [_counts(known, window) for known in [*self._nodes.values()]]
        rates = [good / (good + bad) for good, bad, _ in counts if good + bad >= self._requests]
        logs = [total / good for good, _, total in counts if good >= self._answers]
        log_s = statistics.median(logs) if logs else 0.0
        mad = statistics.median([abs(each - log_s) for each in logs]) if logs else 0.0
        rate = math.fsum(rates) / len(rates) if rates else 0.0
        variance = math.fsum([(each - rate) ** 2 for each in rates]) / len(rates) if rates else 0.0
        return _Peers(len(rates), rate, math.sqrt(variance), len(logs), log_s, _MAD_TO_DEVIATION * mad)


def _counts(known: _Known, window: float) -> _Counts:
    """What is known of a window and of the one before."""
    number, now, before, _, _ = known
    if window > number:
        return now if window == number + 1 else _NOTHING
    return now[0] + before[0], now[1] + before[1], now[2] + before[2]


def _told(log_s: float) -> str:
    seconds = math.exp(log_s)
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
