"""What a detector makes of a trace: heartbeats go to the real detector, on a virtual clock, around everything that happens."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import numpy.typing as npt

from ringward.health import Detector, Status
from ringward.health.status import fine, suspicion
from ringward.simulation.traces import Trace
from ringward.simulation.workload import latencies

__all__ = ["Sighting", "Sightings", "Watch", "perfect_sightings"]

_WARM_BEATS = 20  # that a detector hears of a node before something happens to it
_CALM_BEATS = 3  # that it is still watched once all is well
_SETTLED_BEATS = 3  # after which a node that is down and suspected is forgotten until it comes back,
_ASLEEP_BEATS = 120  # if that is so far away: no detector's grace lasts that long
_CALM_WINDOWS = 20  # stretches in which nothing happens, for mistakes
_CALM_WINDOW_BEATS = 300
_DRAWN = 1 << 14


@dataclass(frozen=True, slots=True)
class Sighting:
    """From a moment on, a node is suspected, or no longer is.

    Attributes
    ----------
    time_s : float
    node : int
        Its place in `Trace.nodes`.
    status : Status
    """

    time_s: float
    node: int
    status: Status


@dataclass
class Sightings:
    """All that a detector said of a trace.

    Attributes
    ----------
    changes : list of Sighting
        In the order of time.
    mistakes : int
        How often it suspected a node that was up.
    watched_h : float
        For how many hours nodes were watched while they were up, in sum.
    """

    changes: list[Sighting] = field(default_factory=list)
    mistakes: int = 0
    watched_h: float = 0.0

    @property
    def mistake_rate(self) -> float:
        """Mistakes an hour of a node that is up."""
        return self.mistakes / self.watched_h if self.watched_h else 0.0


def perfect_sightings(trace: Trace) -> Sightings:
    """What somebody says who knows at once."""
    suspected, well = suspicion(1.0, "down", "silent"), fine(0.0)
    changes = [
        Sighting(time, node, suspected) for time, node in zip(trace.start_s.tolist(), trace.node.tolist(), strict=True)
    ]
    changes += [
        Sighting(time, node, well)
        for time, node in zip(trace.end_s.tolist(), trace.node.tolist(), strict=True)
        if time < trace.span_s
    ]
    return Sightings(sorted(changes, key=lambda each: each.time_s))


@dataclass(slots=True)
class _Session:
    """One node while it is watched."""

    node: int
    until_s: float  # it is watched at least so long
    phase_s: float
    waiting: list[tuple[float, float]] = field(
        default_factory=list
    )  # answers under way: (when, latency; -1 for a failure)
    suspected: bool = False
    settled: int = 0
    companion: bool = False
    asleep: bool = False  # in the middle of a long outage
    returning: bool = False  # from then until the first answer


class Watch:
    """Watches the nodes of a trace with a detector.

    Each node sends a heartbeat in each interval, which the watcher answers for: it arrives after a latency that is drawn
    from what was measured, or fails after the time-out. Once in each interval the detector is asked about all that are watched.
    Stretches in which nothing happens to a node are left out, but for some that are drawn, in which mistakes are made too;
    the clock that the detector sees stops where nobody is watched.

    Parameters
    ----------
    trace : Trace
    detector : Detector
    seed : int
    interval_s, timeout_s : float
    companions : int
        Nodes that are watched whenever somebody is: a detector that compares nodes needs them.
    latency : callable
        (random, count) → round trips in seconds.
    """

    def __init__(
        self,
        trace: Trace,
        detector: Detector,
        seed: int,
        *,
        interval_s: float = 1.0,
        timeout_s: float = 5.0,
        companions: int = 0,
        latency: Callable[[np.random.Generator, int], npt.NDArray[np.float64]] = latencies,
    ) -> None:
        self._trace, self._detector = trace, detector
        self._interval_s, self._timeout_s = interval_s, timeout_s
        self._random = np.random.default_rng([seed, 2])
        self._latencies = _drawn(self._random, latency)
        self._result = Sightings()
        self._sessions: dict[int, _Session] = {}
        self._queue: list[tuple[float, int, int]] = []  # when, a number that keeps ties in order, node
        self._numbers = count()
        self._awake = 0  # sessions but for companions and those that have settled
        self._cut_s = -(_WARM_BEATS + 2) * interval_s  # of the trace's clock, which is not in the detector's
        self._outages = _outages_by_node(trace)
        self._place = [0] * len(trace.nodes)  # of the outage that has not ended yet
        chosen = self._random.permutation(len(trace.nodes))[:companions]
        self._companions = sorted(chosen.tolist())

    def run(self) -> Sightings:
        """All that the detector says."""
        wakes = iter(self._wakes())
        wake = next(wakes, None)
        before_s = -(_WARM_BEATS + 1) * self._interval_s
        while self._queue or wake is not None:
            if wake is not None and (not self._queue or wake[0] <= self._queue[0][0]):
                self._pass(before_s, wake[0])
                before_s = max(before_s, wake[0])
                self._wake(*wake)
                wake = next(wakes, None)
                continue
            time_s, _, node = heapq.heappop(self._queue)
            self._pass(before_s, time_s)
            before_s = time_s
            session = self._sessions.get(node)
            if session is not None and time_s < self._trace.span_s:
                self._beat(session, time_s)
        self._result.changes.sort(key=lambda each: each.time_s)
        return self._result

    def _wakes(self) -> list[tuple[float, float, int]]:
        """From when until when which node has to be watched at least, in the order of time."""
        trace, warm_s = self._trace, _WARM_BEATS * self._interval_s
        wakes = list(zip((trace.start_s - warm_s).tolist(), trace.end_s.tolist(), trace.node.tolist(), strict=True))
        moments = self._random.random(_CALM_WINDOWS) * trace.span_s
        nodes = self._random.integers(0, len(trace.nodes), _CALM_WINDOWS)
        length_s = _CALM_WINDOW_BEATS * self._interval_s
        wakes += [
            (moment, moment + length_s, node) for moment, node in zip(moments.tolist(), nodes.tolist(), strict=True)
        ]
        return sorted(wakes)

    def _pass(self, before_s: float, now_s: float) -> None:
        """The detector's clock stops while nobody is watched."""
        idle_s = now_s - before_s - self._interval_s
        if not self._awake and idle_s > 0:
            self._cut_s += idle_s

    def _wake(self, begin_s: float, until_s: float, node: int) -> None:
        session = self._sessions.get(node)
        if session is None or (session.companion and not session.asleep):
            self._rouse(begin_s)
        if session is None:
            self._sessions[node] = session = _Session(node, until_s, float(self._random.random()) * self._interval_s)
            self._schedule(session, self._tick_at(begin_s))
        session.until_s, session.companion = max(session.until_s, until_s), False

    def _rouse(self, begin_s: float) -> None:
        """One more is watched, and if it was the first, its companions are too."""
        self._awake += 1
        if self._awake > 1:
            return
        for node in self._companions:
            if node not in self._sessions:
                session = _Session(node, begin_s, float(self._random.random()) * self._interval_s, companion=True)
                self._sessions[node] = session
                self._schedule(session, self._tick_at(begin_s))

    def _tick_at(self, time_s: float) -> float:
        """The first moment from then on in which all that are watched are asked about."""
        return math.ceil(time_s / self._interval_s) * self._interval_s

    def _schedule(self, session: _Session, time_s: float) -> None:
        heapq.heappush(self._queue, (time_s, next(self._numbers), session.node))

    def _beat(self, session: _Session, now_s: float) -> None:
        """What has arrived is told, the detector is asked, and the next heartbeat goes out."""
        if session.asleep:
            session.asleep, session.returning = False, True
            if not session.companion:
                self._rouse(now_s)
        name, detector = self._trace.nodes[session.node], self._detector
        waiting = session.waiting
        while waiting and waiting[0][0] <= now_s:
            arrival_s, latency_s = heapq.heappop(waiting)
            told_s = (
                max(arrival_s, now_s - self._interval_s) - self._cut_s
            )  # what came while nobody looked is found now
            if latency_s < 0:
                detector.failed(name, told_s)
            else:
                detector.answered(name, told_s, latency_s)
                session.returning = False
        down = self._outage_at(session.node, now_s)
        status = None if session.returning else detector.status(name, now_s - self._cut_s)
        if status is not None and status.suspected != session.suspected:
            session.suspected, session.settled = status.suspected, 0
            self._result.changes.append(Sighting(max(now_s, 0.0), session.node, status))
            self._result.mistakes += status.suspected and down is None
        session.settled += 1
        if down is None:
            self._result.watched_h += self._interval_s / 3600
        if self._ended(session, now_s, down) or self._sleeps(session, now_s, down):
            return
        if down is None and (latency_s := next(self._latencies)) < self._timeout_s:
            heapq.heappush(waiting, (now_s + session.phase_s + latency_s, latency_s))
        else:
            heapq.heappush(waiting, (now_s + session.phase_s + self._timeout_s, -1.0))
        self._schedule(session, now_s + self._interval_s)

    def _sleeps(self, session: _Session, now_s: float, down: float | None) -> bool:
        """Whether the node is left alone: its outage is known, and lasts. To the detector it is a new node afterwards."""
        if down is None or not session.suspected or session.settled < _SETTLED_BEATS:
            return False
        if down - now_s < _ASLEEP_BEATS * self._interval_s:
            return False
        if not session.companion:
            self._awake -= 1
        session.asleep = True
        session.waiting.clear()
        self._detector.forget(self._trace.nodes[session.node])
        heapq.heappush(self._queue, (self._tick_at(down), next(self._numbers), session.node))
        return True

    def _ended(self, session: _Session, now_s: float, down: float | None) -> bool:
        """Whether the node needs no watching any more; a companion is remembered until it is needed again."""
        if session.companion:
            if self._awake or session.suspected:
                return False
            del self._sessions[session.node]
            return True
        if down is not None or session.suspected or now_s < session.until_s or session.settled < _CALM_BEATS:
            return False
        self._awake -= 1
        if session.node in self._companions:
            session.companion = True
            return False
        self._detector.forget(self._trace.nodes[session.node])
        del self._sessions[session.node]
        return True

    def _outage_at(self, node: int, now_s: float) -> float | None:
        """The end of the outage that the node is in; None while it is up."""
        outages, place = self._outages[node], self._place[node]
        while place < len(outages) and outages[place][1] <= now_s:
            place += 1
        self._place[node] = place
        return outages[place][1] if place < len(outages) and outages[place][0] <= now_s else None


def _outages_by_node(trace: Trace) -> list[list[tuple[float, float]]]:
    result: list[list[tuple[float, float]]] = [[] for _ in trace.nodes]
    for node, start, end in zip(trace.node.tolist(), trace.start_s.tolist(), trace.end_s.tolist(), strict=True):
        result[node].append((start, end))
    return result


def _drawn(
    random: np.random.Generator, latency: Callable[[np.random.Generator, int], npt.NDArray[np.float64]]
) -> Iterator[float]:
    while True:
        yield from latency(random, _DRAWN).tolist()
