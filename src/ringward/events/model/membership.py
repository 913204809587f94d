"""`Membership`: who the members of a group are, their leases, and how partitions are routed to them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Member", "Membership", "counter_of", "lease_of", "member_of"]


class Member(NamedTuple):
    """One member in a membership.

    Attributes
    ----------
    incarnation : int
        How many times it joined.
    process : str
        The process that it lives in, as `Store.process` names it.
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


def member_of(lease: str) -> str:
    """The member that a lease is of."""
    return lease.rpartition("#")[0]


def counter_of(name: str, member: Member) -> str:
    """The name of a lease's counter: when a group was deleted, two processes may know a lease of the same name."""
    return f"{lease_of(name, member.incarnation)}@{member.process}"


class Membership(NamedTuple):
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
