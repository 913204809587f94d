"""What the state machine of a group asks its driver to do with the store."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from ringward.events.model.membership import Membership
from ringward.events.model.partition_state import PartitionState

__all__ = ["ChangeMembership", "Claim", "Effect", "Read", "Release", "Waits"]


class Claim(NamedTuple):
    """Claim partitions for a lease of this process: `Store.claim`, then `Group.claimed`.

    Attributes
    ----------
    owner : str
        The lease.
    epochs : dict of int to int
        partition → the epoch that it has.
    orphans : frozenset of int
        Partitions that nobody gave back.
    """

    owner: str
    epochs: dict[int, int]
    orphans: frozenset[int]


class Release(NamedTuple):
    """Give partitions back: `Store.settle` with these states, then `Group.released`."""

    states: dict[int, PartitionState]


class ChangeMembership(NamedTuple):
    """Propose a membership: `Store.change_membership`; the next `tick` shows what came of it."""

    membership: Membership


Effect = Claim | Release | ChangeMembership

Read: TypeAlias = tuple[int, int, int, int]


class Waits(NamedTuple):
    """What a member needs from the store before it can go on.

    Attributes
    ----------
    reads : list of (int, int, int, int)
        (partition, after, limit) for `Store.read`, and the highest seq that was known; then `Group.fetched`.
    rows, dead_letters : dict of int to list of int
        partition → seqs for `Store.rows` and `Store.bodies`, then `Group.recalled`.
    size : int or None
        Payload bytes that the reads may reach, all together.
    """

    reads: list[Read]
    rows: dict[int, list[int]]
    dead_letters: dict[int, list[int]]
    size: int | None
