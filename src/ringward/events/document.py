"""The documents that a store keeps for a group: one a partition, and one view of its members."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

__all__ = ["ERROR_MOST", "NEW", "Document", "Letter", "Member", "View", "counter_of", "lease_of"]

ERROR_MOST = 2000  # characters of an error in a letter


class Document(NamedTuple):
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
    marked : tuple of (int, int)
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
    marked: tuple[tuple[int, int], ...] = ()
    generation: int = 0

    def resolved(self, seq: int) -> bool:
        """Whether the partition's event of this seq is resolved."""
        if seq <= self.cursor:
            return True
        at = bisect_right(self.done, (seq, 2**63)) - 1
        return at >= 0 and seq <= self.done[at][1]


NEW = Document()


class Member(NamedTuple):
    """One member in a view.

    Attributes
    ----------
    incarnation : int
        How many times it joined.
    process : str
        The process that it lives in, as `Store.alive` knows it.
    up : bool
        False from when it is declared dead, or leaves, until it joins again.
    deaths : int
        How often it was declared dead since it last stayed for long.
    """

    incarnation: int
    process: str
    up: bool
    deaths: int = 0


def lease_of(name: str, incarnation: int) -> str:
    """The name of a lease: that of one incarnation of a member."""
    return f"{name}#{incarnation}"


def counter_of(name: str, member: Member) -> str:
    """The name of a lease's counter: when a group was deleted, two processes may know a lease of the same name."""
    return f"{lease_of(name, member.incarnation)}@{member.process}"


class View(NamedTuple):
    """Who the members of a group are, and how partitions are routed to them; replaced by compare-and-set.

    Attributes
    ----------
    number : int
        Raised by every change, from 1.
    members : tuple of (str, Member)
        By name.
    router : bytes
        A router's snapshot.
    """

    number: int
    members: tuple[tuple[str, Member], ...]
    router: bytes

    def counters(self) -> list[str]:
        """The counters of the leases that are held; all others mean nothing any more."""
        return [counter_of(name, member) for name, member in self.members if member.up]


class Letter(NamedTuple):
    """A dead event, or one that is parked behind it.

    Attributes
    ----------
    seq, partition : int
    key : bytes
        As it is hashed.
    state : str
        "dead", "parked", or "redrive" for a dead one that is to be delivered again.
    error : str
        Why it is dead.
    attempts : int
        How often it was delivered.
    """

    seq: int
    partition: int
    key: bytes
    state: str
    error: str = ""
    attempts: int = 0
