"""`Deadline`: a node is suspected once it was silent for so long."""

from __future__ import annotations

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

__all__ = ["AFTER_S", "Deadline"]

AFTER_S = 5.0


class Deadline:
    """Suspects a node once it was silent for `after_s`.

    The simplest detector. Its deadline has to fit the worst pause of the best and of the worst node.

    Parameters
    ----------
    after_s : float
        How long a node may be silent, in seconds.

    Notes
    -----
    A node that never reported is expected from the first time that it is named: it is suspected `after_s` later.

    Reports may come late and twice: the latest time counts. If `status` is asked at a time more than `after_s` before the last
    report, the clock was set back, and the silence begins anew.

    Any method may be called from any thread: what is known of a node is one value that is replaced as a whole.

    Examples
    --------
    >>> from ringward.health import Deadline
    >>> detector = Deadline(after_s=5)
    >>> detector.heard("node1", 100.0)
    >>> detector.status("node1", 103.0).level
    0.6
    >>> detector.status("node1", 106.0)
    Status(level=1.2, suspected=True, reason='silent for 6.00 s, 5.00 s are granted', trouble='silent')
    """

    __slots__ = ("_after_s", "_heard_s")

    def __init__(self, *, after_s: float = AFTER_S) -> None:
        self._after_s = checked_above("after_s", after_s)
        self._heard_s: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"Deadline(after_s={self._after_s:g})"

    def heard(self, node: str, now_s: float) -> None:
        """A heartbeat came."""
        try:
            if self._heard_s[node] <= now_s <= LATEST_S:
                self._heard_s[node] = now_s
                return
        except (KeyError, TypeError):
            pass  # a node that is new, or no node or no time
        node, now_s = checked_node(node), checked_now(now_s)
        self._heard_s[node] = max(self._heard_s.get(node, now_s), now_s)

    def failed(self, node: str, now_s: float) -> None:
        """A request failed, which is no news: whether the node lives is told by its silence."""
        self._heard_s.setdefault(checked_node(node), checked_now(now_s))

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """A request was answered: the node was heard."""
        checked_latency(latency_s)
        self.heard(node, now_s)

    def status(self, node: str, now_s: float) -> Status:
        """What its silence says."""
        try:
            silent_s = now_s - self._heard_s[node]
            usual = 0 <= silent_s <= LATEST_S
        except (KeyError, TypeError, OverflowError):
            usual = False
        if not usual:
            silent_s = self._unusual_silence_s(checked_node(node), checked_now(now_s))
        level = silent_s / self._after_s
        if level < 1:
            return fine(level)
        return suspicion(level, f"silent for {silent_s:.2f} s, {self._after_s:.2f} s are granted", "silent")

    def forget(self, node: str) -> None:
        """The node left."""
        self._heard_s.pop(checked_node(node), None)

    def _unusual_silence_s(self, node: str, now_s: float) -> float:
        heard_s = self._heard_s.setdefault(node, now_s)
        if heard_s - now_s > self._after_s:
            heard_s = self._heard_s[node] = now_s
        return max(0.0, now_s - heard_s)
