"""`Stock`: what the partitions of one group hold in memory together, and which of their keys wait until when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import count

from ringward.events.core.key_queue import QueueKey
from ringward.events.model.event import Row, payload_of, size_of

__all__ = ["Stock"]


class Stock:
    """Shared by the owned partitions of a group, so that nobody has to go through all of them.

    Parameters
    ----------
    most : int or None
        Payload bytes that may be read ahead.

    Attributes
    ----------
    bytes : int
        Of payloads that were read and are not handled yet.
    largest : int
        Payload bytes of the largest event of late.
    dead_letters : int
        Dead and parked events.
    full : bool
        No more dead letters may be made.
    """

    __slots__ = ("_count", "_most", "_waits", "bytes", "dead_letters", "full", "largest")

    def __init__(self, most: int | None) -> None:
        self.bytes = 0
        self.dead_letters = 0
        self.full = False
        self._most = most
        self.largest = 1
        self._waits: list[tuple[float, int, int, QueueKey]] = []
        self._count = count()  # keys are not to be compared

    @property
    def room(self) -> int | None:
        """How many bytes more may be read; None where the store has its rows in memory anyway."""
        return None if self._most is None else self._most - self.bytes

    @property
    def has_room(self) -> bool:
        """Whether more may be read."""
        return self._most is None or self.bytes < self._most

    @property
    def rows_max(self) -> int:
        """How many rows may be asked for whose size is not known; one always can be."""
        return 2**62 if self._most is None else max(1, (self._most - self.bytes) // self.largest)

    def size_of(self, rows: Sequence[Row]) -> int:
        """Payload bytes of rows; 0 where they do not count."""
        return 0 if self._most is None else size_of(rows)

    def add(self, rows: Sequence[Row]) -> int:
        """Rows were read; their size."""
        if self._most is None:
            return 0
        sizes = list(map(len, map(payload_of, rows)))
        self.largest = max(1, max(sizes, default=0), self.largest - self.largest // 8)
        size = sum(sizes)
        self.bytes += size
        return size

    def wait(self, due: float, partition: int, key: QueueKey) -> None:
        """A key of a partition waits until then."""
        heappush(self._waits, (due, next(self._count), partition, key))

    def due(self, now: float) -> Iterator[tuple[int, QueueKey]]:
        """The partitions and keys whose wait is over, or was given up."""
        while self._waits and self._waits[0][0] <= now:
            _, _, partition, key = heappop(self._waits)
            yield partition, key

    @property
    def next_due(self) -> float | None:
        """When the first wait is over."""
        return self._waits[0][0] if self._waits else None
