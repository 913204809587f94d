"""`PartitionState`: what a store keeps of one partition for a group."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

__all__ = ["NEW", "PartitionState"]


class PartitionState(NamedTuple):
    """All that is known of one partition in one group; replaced as a whole, by compare-and-set.

    Attributes
    ----------
    epoch : int
        Raised by every claim, redrive, drop and reset; never falls.
    revision : int
        Raised by every replacement: the compare of the compare-and-set, together with the epoch.
    owner : str or None
        The lease ("member#incarnation") that claimed it.
    cursor : int
        Every event of the partition up to this seq is resolved.
    done : tuple of (int, int)
        Ranges of seqs above the cursor, both ends inclusive: the partition's events inside are resolved.
    attempts : tuple of (int, int)
        (seq, deliveries that count) of unresolved events that have any.
    in_flight : tuple of (int, int)
        Ranges of seqs, both ends inclusive: the partition's unresolved events inside are with handlers, or suspects.
        After a crash they are suspects.
    generation : int
        Raised by a reset.
    """

    epoch: int = 0
    revision: int = 0
    owner: str | None = None
    cursor: int = 0
    done: tuple[tuple[int, int], ...] = ()
    attempts: tuple[tuple[int, int], ...] = ()
    in_flight: tuple[tuple[int, int], ...] = ()
    generation: int = 0

    def resolved(self, seq: int) -> bool:
        """Whether the partition's event of this seq is resolved."""
        if seq <= self.cursor:
            return True
        at = bisect_right(self.done, (seq, 2**63)) - 1
        return at >= 0 and seq <= self.done[at][1]


NEW = PartitionState()
