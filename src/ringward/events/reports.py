"""What a processor reports: dead events, and figures."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import EventId, EventKey, Row, headers_from, key_from_bytes

__all__ = ["DeadEvent", "GroupStats", "Meter", "Stats"]


class DeadEvent(NamedTuple):
    """An event in a group's dead-letter queue.

    Attributes
    ----------
    state : str
        "dead"; "parked" behind a dead event of its key; or "redrive" while a dead event is being delivered again.
    """

    seq: int
    key: EventKey
    id: EventId | None
    payload: bytes
    headers: dict[str, str]
    state: str
    error: str
    attempts: int

    @classmethod
    def of(cls, dead_letter: DeadLetter, row: Row) -> DeadEvent:
        """A dead letter together with its body."""
        seq, _, kind, key, id, payload, headers, _ = row
        about = (dead_letter.state, dead_letter.error, dead_letter.attempts)
        return cls(seq, key_from_bytes(kind, key), id, payload, headers_from(headers), *about)


class GroupStats(NamedTuple):
    """A group, as the store and this process know it.

    Attributes
    ----------
    lag : dict of int to int
        partition → number of unresolved events; partitions without any are left out.
    dead, parked : int
    lowest : int
        The lowest unresolved seq; tail + 1 when there is none.
    waiting_since_ms : int or None
        When the event of that seq was accepted, in milliseconds since 1970.
    members : tuple of str
        The members that are up, in all processes.
    held : int
        Partitions that this process owns.
    handled, retries, deaths, takeovers, fenced : int
        Counts of this process: events, failed attempts that are tried again, dead events, partitions taken over,
        partitions lost to others.
    hung : int
        Handlers of this process that hung and were left behind.
    handled_per_s : float
        By this process, over the last ten seconds.
    """

    lag: dict[int, int]
    dead: int
    parked: int
    lowest: int
    waiting_since_ms: int | None
    members: tuple[str, ...]
    held: int = 0
    handled: int = 0
    retries: int = 0
    deaths: int = 0
    takeovers: int = 0
    fenced: int = 0
    hung: int = 0
    handled_per_s: float = 0.0


class Stats(NamedTuple):
    """What a processor's store holds, and how far its groups are.

    Attributes
    ----------
    tail, first : int
        The highest seq, and the lowest that is not pruned.
    bytes : int
        Payload bytes from `first` on.
    groups : dict of str to GroupStats
    accepted_per_s : float
        From all processes, over the last ten seconds in which this processor ran.
    """

    tail: int
    first: int
    bytes: int
    groups: dict[str, GroupStats]
    accepted_per_s: float = 0.0


class Meter:
    """How fast a count rises."""

    OVER_S = 10.0
    STEP_S = 0.5

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def due(self, now: float) -> bool:
        """Whether it is time for a sample."""
        return not self._samples or now - self._samples[-1][0] >= self.STEP_S

    def sample(self, now: float, count: int) -> None:
        """Remember how far the count is."""
        self._samples.append((now, count))
        while now - self._samples[0][0] > self.OVER_S:
            self._samples.popleft()

    def per_s(self, now: float, count: int) -> float:
        """Its rise a second, up to now; 0 before there is something to compare with."""
        recent = [sample for sample in tuple(self._samples) if now - sample[0] <= self.OVER_S]
        return (count - recent[0][1]) / (now - recent[0][0]) if recent and now > recent[0][0] else 0.0
