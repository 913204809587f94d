"""`LocalHealth`: a watcher that doubts itself first when its own loop is late, or when most nodes seem late at once."""

from __future__ import annotations

from ringward.checks import checked_float, checked_int
from ringward.errors import ArgumentError, ArgumentTypeError
from ringward.health.status import (
    Detector,
    Status,
    checked_above,
    checked_latency,
    checked_node,
    checked_now,
    fine,
    suspicion,
)

__all__ = ["LocalHealth"]

EVERY_S = 1.0
DOUBTS_MOST = 8  # "S" in section 4.A of the paper
CROWD = 0.5
HEARTBEAT_S = 1.0
_LATE = 2.0  # times as long as meant between two signs of life of the watcher
_CROWD_LEAST = 3  # of two nodes, one that fails is no crowd


class LocalHealth:
    """Wraps a detector; grants all nodes more time while it has reason to doubt the watcher, that is itself.

    It counts doubts, at least 0 and at most `doubts_most`, and suspects a node once the detector inside has suspected it for
    that many times `heartbeat_s`. Each round of questions adds one doubt or takes one away:

    - a round that comes later than meant adds one, and so does one in which more than `crowd` of the nodes that were trusted
      until then are late at once;
    - any other takes one away.

    A time without any report or question, longer than two rounds, is one in which the watcher itself stood still: a
    machine that slept, a stopped process, a blocked loop. It does not count as silence of the nodes.

    Parameters
    ----------
    inside : Detector
    every_s : float
        How often `status` is meant to be asked, in seconds. Set it to what your loop does: what is asked less often than
        every second round is late each time, and its nodes are suspected late.
    doubts_most : int
        How many doubts there may be: no node is granted more than that many times `heartbeat_s`.
    crowd : float
        The share of nodes, 0 to 1, beyond which their being late is blamed on the watcher. 1: never.
    heartbeat_s : float
        The time in which each node is heard once when all is well, in seconds: what each doubt grants. Nodes that would be
        late after so much more silence are late too, as those of a crowd are not all late at the very same moment.

    Attributes
    ----------
    inside : Detector
    doubts : int
        How many there are now.

    Notes
    -----
    The price: where more than `crowd` of the nodes really fail at once, they are suspected later, by `doubts_most` times
    `heartbeat_s` at most. Once they are, they are in no crowd any more.

    It is as safe in threads as the detector inside; rounds that begin in two threads at once may count as one or as two.

    References
    ----------
    Dadgar, Phillips, Currey: Lifeguard: local health awareness for more accurate failure detection, arXiv 1707.00788. What it
    counts are its own failed probes; here it is what any detector calls late, and the watcher's own clock. There too, each doubt
    makes the time to an answer longer by one interval, and there are at most 8.

    Examples
    --------
    >>> from ringward.health import Deadline, LocalHealth
    >>> detector = LocalHealth(Deadline(after_s=5), every_s=1)
    >>> for node in ("node1", "node2", "node3"):
    ...     detector.heard(node, 100.0)
    >>> detector.status("node1", 3700.0).suspected  # the laptop was closed for an hour
    False
    """

    __slots__ = (
        "_awake",
        "_crowd",
        "_doubts_most",
        "_every_s",
        "_heartbeat_s",
        "_known",
        "_late_s",
        "_round",
        "_suspected",
        "doubts",
        "inside",
    )

    def __init__(
        self,
        inside: Detector,
        *,
        every_s: float = EVERY_S,
        doubts_most: int = DOUBTS_MOST,
        crowd: float = CROWD,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        if not isinstance(inside, Detector):
            raise ArgumentTypeError("inside", "a detector", inside)
        self.inside = inside
        self._every_s = checked_above("every_s", every_s)
        self._doubts_most = checked_int("doubts_most", doubts_most, 0, 1_000)
        self._crowd = checked_float("crowd", crowd, zero=True)
        if self._crowd > 1:
            raise ArgumentError("crowd", "at least 0 and at most 1", crowd)
        self._heartbeat_s = checked_above("heartbeat_s", heartbeat_s)
        self._known: dict[str, None] = {}
        self._late_s: dict[str, float] = {}  # since when the detector inside suspects a node
        self._suspected: set[str] = set()
        self.doubts = 0
        self._awake: tuple[float, float] | None = None  # the last sign of life, and for how long it was asleep by then
        self._round: tuple[float, str | None] | None = None  # when the round began, and why it is one to doubt

    def __repr__(self) -> str:
        return f"LocalHealth({self.inside!r}, every_s={self._every_s:g}, doubts_most={self._doubts_most})"

    def heard(self, node: str, now_s: float) -> None:
        """A heartbeat came."""
        node, awake_s = self._told(node, now_s)
        self.inside.heard(node, awake_s)

    def failed(self, node: str, now_s: float) -> None:
        """A request failed."""
        node, awake_s = self._told(node, now_s)
        self.inside.failed(node, awake_s)

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """A request was answered."""
        checked_latency(latency_s)
        node, awake_s = self._told(node, now_s)
        self.inside.answered(node, awake_s, latency_s)

    def status(self, node: str, now_s: float) -> Status:
        """What the detector inside says, less what the watcher doubts."""
        now_s = checked_now(now_s)
        if type(node) is not str or node not in self._known:
            node = checked_node(node)
        if self._awake is not None and self._awake[0] - now_s > _LATE * self._every_s:  # the clock was set back
            self._awake = (now_s, self._awake[1] + now_s - self._awake[0])
        began_s, why = self._round or (now_s, None)
        if self._round is None or not began_s <= now_s < began_s + self._every_s / 2:
            why = self._next_round(began_s, now_s)
        node, awake_s = self._told(node, now_s)
        found = self.inside.status(node, awake_s)
        if not found.suspected:
            self._late_s.pop(node, None)
            self._suspected.discard(node)
            return found
        late_s = awake_s - self._late_s.setdefault(node, awake_s)
        if why is None:
            why = self._looked_around(awake_s)
        granted_s = self.doubts * self._heartbeat_s
        if late_s >= granted_s or node in self._suspected:
            self._suspected.add(node)
            return suspicion(found.level, found.reason, found.trouble or "silent")
        told = f"{granted_s:.2f} s more are granted" + (f", since {why}" if why else "")
        return fine(found.level, f"{found.reason}; {told}")

    def forget(self, node: str) -> None:
        """The node left."""
        name = checked_node(node)
        self._known.pop(name, None)
        self._late_s.pop(name, None)
        self._suspected.discard(name)
        self.inside.forget(name)

    def _told(self, node: str, now_s: float) -> tuple[str, float]:
        """The plain name and the awake time of a report or a question."""
        if type(node) is str and node in self._known:
            return node, self._awake_s(now_s)
        node, awake_s = checked_node(node), self._awake_s(now_s)
        self._known[node] = None
        return node, awake_s

    def _awake_s(self, now_s: float) -> float:
        """The time less all time in which the watcher stood still: the clock that the detector inside is told."""
        if self._awake is None:
            self._awake = (checked_now(now_s), 0.0)
        seen_s, asleep_s = self._awake
        try:
            passed_s = now_s - seen_s
            usual = 0 <= passed_s <= _LATE * self._every_s
        except (TypeError, OverflowError):
            usual = False
        if not usual:
            now_s = checked_now(now_s)
            passed_s = now_s - seen_s
            asleep_s += max(0.0, passed_s - self._every_s)
        if passed_s > 0:
            self._awake = (now_s, asleep_s)
        return max(0.0, now_s - asleep_s)

    def _next_round(self, began_s: float, now_s: float) -> str | None:
        """Count what the last round was like, and whether this one is late; say why there is doubt."""
        why = None
        if now_s - began_s > _LATE * self._every_s:
            why = f"the watcher came after {now_s - began_s:.1f} s instead of {self._every_s:g} s"
            self._doubt()
        elif self._round is not None and not self._round[1]:
            self.doubts = max(0, self.doubts - 1)
        self._round = (now_s, why)
        return why

    def _looked_around(self, awake_s: float) -> str:
        """Whether most nodes that were trusted are late at once: asked once a round, when the first of them is."""
        trusted = [name for name in [*self._known] if name not in self._suspected]
        late = sum(self.inside.status(name, awake_s + self._heartbeat_s).suspected for name in trusted)
        why = ""
        if len(trusted) >= _CROWD_LEAST and late > self._crowd * len(trusted):
            why = f"{late:,} of {len(trusted):,} nodes are late at once"
            self._doubt()
        if self._round is not None:
            self._round = (self._round[0], why)
        return why

    def _doubt(self) -> None:
        self.doubts = min(self._doubts_most, self.doubts + 1)
