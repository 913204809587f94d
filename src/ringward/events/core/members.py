"""`Members`: who belongs to a group, whose lease has ended, and which partition is whose."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from ringward.events.core.absences import Absences
from ringward.events.core.effects import ChangeMembership, Claim
from ringward.events.core.options import Options
from ringward.events.core.routing import NAMES_MOST, RouterLike, Routing
from ringward.events.model.membership import Member, Membership, counter_of, lease_of, member_of
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import Hint

__all__ = ["Members"]

DEATHS_FREE = 3  # so often a member may die before it is made to wait
DAMPING_S = 0.5
DAMPING_MOST_S = 30.0
HEARTBEATS_S = 0.25  # between two looks at the leases of others
STEADY_S = 60.0  # a member that stayed for so long is no longer held to its deaths


def _long_gone(members: dict[str, Member]) -> list[str]:
    """Forget who is gone beyond the bound, whoever joined first: names that were taken out."""
    gone = sorted((member.incarnation, name) for name, member in members.items() if not member.up)
    forgotten = [name for _, name in gone[: max(0, len(members) - NAMES_MOST)]]
    for name in forgotten:
        del members[name]
    return forgotten


class _Seen(NamedTuple):
    heartbeats: int
    since: float


class _Local:
    """A member of this process."""

    __slots__ = ("due", "heartbeats", "hung", "incarnation", "joined", "leaving", "named", "not_before")

    def __init__(self, *, named: bool) -> None:
        self.named = named
        self.incarnation = 0  # 0: not joined yet
        self.heartbeats = 0
        self.due = 0.0
        self.hung = False
        self.leaving = False
        self.joined = 0.0
        self.not_before = 0.0


class Members:
    """The members of one group, as this process sees and wants them. Pure: `tick` is told the time and what is stored.

    Parameters
    ----------
    process : str
        The name of this process in memberships.
    middles : ndarray of uint64, shape (partitions,)
        The hash that a router is asked for, for each partition.
    router : Router, callable or None
        A router, or a function that makes one of names. A router's own nodes that are not there are down. None:
        the stored one, or a `HashRing`.
    options : Options
    presence : "proof", "hint" or None
        What it is worth when a process is said to be gone; as `Abilities.presence`.
    """

    def __init__(
        self,
        process: str,
        middles: npt.NDArray[np.uint64],
        router: RouterLike | None,
        options: Options,
        presence: Literal["proof", "hint"] | None = "proof",
    ) -> None:
        self.process = process
        self.options = options
        self.membership: Membership | None = None
        self.members: dict[str, Member] = {}
        self.local: dict[str, _Local] = {}
        self.routing = Routing(middles, router)
        self._seen: dict[str, _Seen] = {}
        self._absences = Absences(presence, options.lease_s)
        self._looked = 0.0
        self._unnamed = 0
        self._away = False
        self._mine: frozenset[str] = frozenset()  # of whom, and of which owners, the next is
        self._routed_to: list[str | None] = []
        self._wanted: frozenset[int] = frozenset()
        self._phase = crc32(process.encode()) % 1000 / 1000

    # --- what this process wants

    def join(self, names: Iterable[str]) -> None:
        """Members of these names are to be in the group."""
        for name in names:
            local = self.local.setdefault(name, _Local(named=True))
            local.leaving = False

    def join_unnamed(self, count: int) -> None:
        """So many members are to be in the group, under names that are free."""
        self._unnamed += count

    def leave(self, name: str) -> None:
        """A member is to go, once the group has nothing of it any more."""
        self.local[name].leaving = True

    def stay_away(self) -> None:
        """All are to leave, and who has not joined yet does not."""
        self._away = True
        for local in self.local.values():
            local.leaving = True

    def stay(self) -> None:
        """Who was to leave stays, or joins again."""
        self._away = False
        for local in self.local.values():
            local.leaving = False

    @property
    def present(self) -> bool:
        """Whether any member of this process is in the membership."""
        return any(self.is_in(name) for name in self.local)

    def reroute(self, router: RouterLike) -> None:
        """The group is to be routed by another router."""
        self.routing.reroute(router)

    # --- what is known

    @property
    def owners(self) -> list[str | None]:
        """The member that each partition is routed to; another list when another router is adopted."""
        return self.routing.owners

    def owner_of(self, name: str) -> str:
        """The lease of a local member."""
        return lease_of(name, self.local[name].incarnation)

    def is_up(self, lease: str) -> bool:
        """Whether the membership says that a lease is held."""
        name = member_of(lease)
        member = self.members.get(name)
        return member is not None and member.up and lease == lease_of(name, member.incarnation)

    def is_in(self, name: str) -> bool:
        """Whether a local member is in the membership, in its present incarnation."""
        local, member = self.local.get(name), self.members.get(name)
        if local is None or member is None:
            return False
        return member.up and member.incarnation == local.incarnation and member.process == self.process

    @property
    def wanted(self) -> frozenset[int]:
        """Partitions that are routed to members of this process which are to stay; the same object while nothing changed."""
        mine = frozenset(name for name, local in self.local.items() if self.is_in(name) and not local.leaving)
        if mine != self._mine or self.owners is not self._routed_to:
            self._mine, self._routed_to = mine, self.owners
            self._wanted = frozenset(partition for partition, owner in enumerate(self.owners) if owner in mine)
        return self._wanted

    @property
    def others(self) -> set[str]:
        """The other processes that have members in the membership who are up."""
        return self.strangers(self.members.values())

    def strangers(self, members: Iterable[Member]) -> set[str]:
        """The other processes that have any of these members up."""
        return {member.process for member in members if member.up and member.process != self.process}

    def due(self, now: float) -> float:
        """When `tick` has something to do next, unless something new is stored before."""
        if (self._unnamed and not self._away) or (self.routing.rerouting and self.members):
            return now
        due = min((seen.since + self.options.lease_s for seen in self._seen.values()), default=float("inf"))
        if any(member.up and member.process != self.process for member in self.members.values()):
            due = min(due, now + HEARTBEATS_S)
        for name, local in self.local.items():
            if self.is_in(name):
                if local.leaving:
                    return now
                due = due if local.hung else min(due, local.due)
            elif not (local.leaving or local.hung or self._elsewhere(name, ())):
                due = min(due, local.not_before)
        return due

    def damped(self, now: float) -> tuple[str, ...]:
        """Local members that wait before they join, as they died often."""
        return tuple(name for name, local in self.local.items() if local.not_before > now and not self.is_in(name))

    def claims(self, states: Mapping[int, PartitionState], size: int) -> list[Claim]:
        """What can be claimed, for members of this process, of partitions that it does not hold; so many at a time."""
        mine = {self.owner_of(name) for name in self.local if self.is_in(name)}
        wanted = self.wanted
        found: defaultdict[str, list[int]] = defaultdict(list)
        orphans = set()
        for partition, state in states.items():
            if state.owner in mine:  # and lost; wherever it is routed, nobody else can claim it
                found[state.owner].append(partition)
            elif partition in wanted and (state.owner is None or not self.is_up(state.owner)):
                owner = self.owners[partition]
                assert owner is not None  # noqa: S101 - it is wanted
                found[self.owner_of(owner)].append(partition)
                if state.owner is not None:
                    orphans.add(partition)
        return [
            Claim(lease, {p: states[p].epoch for p in partitions[at : at + size]}, frozenset(orphans))
            for lease, partitions in found.items()
            for at in range(0, len(partitions), size)
        ]

    def heartbeats(self, now: float) -> dict[str, int]:
        """The counters to store, of local members whose time has come and that are not hung."""
        due = {}
        for name, local in self.local.items():
            if not local.hung and now >= local.due and self.is_in(name):
                due[counter_of(name, self.members[name])] = local.heartbeats + 1
        return due

    def heartbeats_stored(self, now: float, heartbeats: Mapping[str, int]) -> None:
        """These counters are stored; others are due until they are, and meanwhile nobody's silence is noticed."""
        for name, local in self.local.items():
            if self.is_in(name) and (count := heartbeats.get(counter_of(name, self.members[name]))) is not None:
                local.heartbeats = count
                local.due = self._next_heartbeat(now)

    def _next_heartbeat(self, now: float) -> float:
        """The same times for all groups of a process, so that it wakes once for all, and others for other processes."""
        every = self.options.heartbeat_s
        return now + every - (now - self._phase * every) % every

    def tick(
        self,
        now: float,
        membership: Membership | None,
        heartbeats: Mapping[str, int],
        hints: Mapping[str, Hint],
        owned: Collection[str] = (),
        session: object = None,
    ) -> ChangeMembership | None:
        """Look at what is stored; the change of membership that it needs, if any.

        `hints` say of processes whether they live, as far as this one's own `session` can tell. A member that leaves stays in the membership as
        long as it is `holding` partitions.
        """
        if membership != self.membership:
            self._adopt(membership)
        expired = self._expired(now, heartbeats, self._absences.gone(now, hints, session))
        joining = self._joining(now, expired)
        leaving = [
            name for name, local in self.local.items() if local.leaving and self.is_in(name) and name not in owned
        ]
        if expired or joining or leaving or (self.routing.rerouting and self.members):
            return ChangeMembership(self._next_membership(now, expired, joining, leaving))
        return None

    def _adopt(self, membership: Membership | None) -> None:
        self.membership = membership
        self.members = {} if membership is None else dict(membership.members)
        self.routing.adopt(b"" if membership is None else membership.router)
        up = {counter_of(name, member) for name, member in self.members.items() if member.up}
        self._seen = {counter: seen for counter, seen in self._seen.items() if counter in up}

    def _expired(self, now: float, heartbeats: Mapping[str, int], gone: Collection[str]) -> list[str]:
        """Members whose process is gone, or whose counter stood still for the lease time on our clock."""
        if not self._returned(heartbeats):  # what was read is older than what we stored: others may have stored, too
            return [name for name, member in self.members.items() if member.up and member.process in gone]
        self._discount(now)
        expired = []
        for name, member in self.members.items():
            if not member.up:
                continue
            counter = counter_of(name, member)
            count, seen = heartbeats.get(counter, 0), self._seen.get(counter)
            if seen is None or seen.heartbeats != count:
                self._seen[counter] = _Seen(count, now)
            if member.process in gone or now - self._seen[counter].since > self.options.lease_s:
                expired.append(name)
        return expired

    def _returned(self, heartbeats: Mapping[str, int]) -> bool:
        """Whether our own heartbeats are among those that were read."""
        return all(
            heartbeats.get(counter_of(name, self.members[name]), 0) >= local.heartbeats
            for name, local in self.local.items()
            if self.is_in(name)
        )

    def _discount(self, now: float) -> None:
        """Leave out time in which this process did not look: it saw nobody being silent then."""
        unseen = now - self._looked - self.options.heartbeat_s
        self._looked = now
        if unseen > 0:
            self._seen = {counter: _Seen(seen.heartbeats, seen.since + unseen) for counter, seen in self._seen.items()}

    def _joining(self, now: float, expired: Sequence[str]) -> list[str]:
        if self._away:
            return []
        for name, local in list(self.local.items()):
            if not local.named and self._elsewhere(name, expired):
                del self.local[name]
                self._unnamed += 1
        while self._unnamed:
            taken = {name for name, member in self.members.items() if member.up and name not in expired} | set(
                self.local
            )
            name = next(f"member-{i}" for i in range(1, len(taken) + 2) if f"member-{i}" not in taken)
            self.local[name] = _Local(named=False)
            self._unnamed -= 1
        joining = []
        for name, local in self.local.items():
            stored = self.members.get(name)
            if local.leaving or local.hung or (self.is_in(name) and name not in expired):
                continue
            if self._elsewhere(name, expired):
                continue  # wait for it to go
            if not local.not_before:
                local.not_before = now + self._damping_s(local, stored)
            if now >= local.not_before or self._needed(expired):
                joining.append(name)
        return joining

    def _elsewhere(self, name: str, expired: Sequence[str]) -> bool:
        """Whether another process has a member of this name."""
        stored = self.members.get(name)
        return stored is not None and stored.up and name not in expired and stored.process != self.process

    def _needed(self, expired: Sequence[str]) -> bool:
        """Whether partitions have no owner, or will have none, unless those join that wait."""
        return self.routing.unowned or not any(
            member.up and name not in expired and not self._idles(name, member) for name, member in self.members.items()
        )

    def _idles(self, name: str, member: Member) -> bool:
        """Whether a member of this process takes nothing any more: it hangs, or is to leave."""
        local = self.local.get(name)
        return local is not None and member.process == self.process and (local.hung or local.leaving)

    def _damping_s(self, local: _Local, stored: Member | None) -> float:
        """How long a member that died often has to wait, while others do its work.

        A name that was not given is anybody's, so what happened to it in another process says nothing of this one.
        """
        if stored is None or not (local.named or stored.process == self.process):
            return 0.0
        over = stored.deaths - DEATHS_FREE
        return 0.0 if over < 0 else min(DAMPING_MOST_S, DAMPING_S * 2.0 ** min(over, 16))

    def _next_membership(
        self, now: float, expired: Sequence[str], joining: Sequence[str], leaving: Sequence[str]
    ) -> Membership:
        members = dict(self.members)
        for name in expired:
            members[name] = members[name]._replace(up=False, deaths=members[name].deaths + 1)
        for name in leaving:
            members[name] = members[name]._replace(up=False, deaths=0)
        for name in joining:
            # A name that may have been forgotten begins above all that it can have been: each took a membership of its own.
            new = Member(
                self.membership.number if self.membership is not None and len(members) >= NAMES_MOST else 0,
                "",
                up=False,
            )
            before = members.get(name) or new
            local = self.local[name]
            local.incarnation = max(before.incarnation, local.incarnation) + 1  # above its own of a deleted group
            local.heartbeats = 0
            local.due = 0.0
            local.joined = now
            local.not_before = 0.0
            deaths = before.deaths if local.named or before.process == self.process else 0
            members[name] = Member(local.incarnation, self.process, up=True, deaths=deaths)
        for name, local in self.local.items():
            if self.is_in(name) and now - local.joined > STEADY_S and name not in expired:
                members[name] = members[name]._replace(deaths=0)
        up = [name for name, member in sorted(members.items()) if member.up]
        forgotten = _long_gone(members)
        router = self.routing.next(up, [*leaving, *forgotten])
        number = 1 if self.membership is None else self.membership.number + 1
        return Membership(number, tuple(sorted(members.items())), router)

    def shown(self, proposed: Membership) -> None:
        """A proposed membership was stored."""
        self.routing.rerouted()
        self._adopt(proposed)
