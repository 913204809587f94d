"""`Judge`: what a policy wants, from what a detector says. No router, clock or thread inside."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

from ringward.cluster import Cluster
from ringward.failover.decision import Wish
from ringward.failover.limits import Limits
from ringward.failover.policy import Policy
from ringward.failover.record import Record
from ringward.health import Status
from ringward.texts import percent, shown

__all__ = ["Judge"]

_ROUNDING = 1e-9


class Judge:
    """What is remembered of nodes in trouble, and the wishes that follow from it.

    `look` takes in what the detector says, `wishes` yields what should change, the most urgent first. After each wish
    the caller says `done` or `refused`, since the next depends on it.

    Attributes
    ----------
    records : dict of str to Record
        Of the members that gave trouble lately; of no others.
    given_s : float
        The time of the last look.
    """

    def __init__(self, policy: Policy, *, lowers: bool) -> None:
        self.policy = policy
        self.records: dict[str, Record] = {}
        self._lowers = lowers
        self._limits = Limits(policy)
        self._zones_out: set[str] = set()
        self._now_s = 0.0  # of its own: it never goes back
        self.given_s = 0.0
        self._looked = False
        self._cluster = Cluster()
        self._able: frozenset[str] = frozenset()
        self._weight_able = 0.0
        self._zones: dict[str, list[str]] = {}

    @property
    def out(self) -> frozenset[str]:
        """The nodes that the policy has marked down."""
        return frozenset([name for name, record in [*self.records.items()] if record.out_s is not None])

    @property
    def factors(self) -> dict[str, float]:
        """The nodes whose share is lowered, and to which share of their own weight."""
        return {name: record.factor for name, record in [*self.records.items()] if record.factor != 1}

    @property
    def held(self) -> dict[str, str]:
        """The nodes that are out or have a lowered share, and why."""
        troubled = [each for each in [*self.records.items()] if each[1].out_s is not None or each[1].factor != 1]
        return {name: record.why for name, record in sorted(troubled, key=lambda each: each[0])}

    @property
    def waiting(self) -> dict[str, str]:
        """The nodes for which something is due that waits, and for what."""
        told = [each for each in [*self.records.items()] if each[1].told]
        return {name: f"{record.told}: {record.waits}" for name, record in sorted(told, key=lambda each: each[0])}

    def __getstate__(self) -> dict[str, Any]:
        """Without what follows from the cluster, which may be large and is looked at anew."""
        return {**vars(self), "_cluster": Cluster(), "_able": frozenset(), "_zones": {}}

    def look(self, now_s: float, cluster: Cluster, statuses: Mapping[str, Status]) -> None:
        """Take in what the detector says of the members. Of whom it says nothing, nothing is new.

        A clock that went back stands still until it goes on.
        """
        self._now_s += max(0.0, now_s - self.given_s) if self._looked else 0.0
        self.given_s, self._looked = now_s, True
        self._limits.at(self._now_s)
        self.follow(cluster)
        for name, status in statuses.items():
            record = self.records.get(name)
            if record is None:
                if not status.suspected or name not in cluster.members:
                    continue
                record = self.records[name] = Record()
            record.see(status, self._now_s, self.policy, lowers=self._lowers)
        idle = [name for name, record in self.records.items() if record.is_idle(self._now_s, self.policy)]
        for name in idle:
            del self.records[name]
        self._zones_out = {zone for zone in self._zones_out if self._fell(zone)}

    def follow(self, cluster: Cluster) -> list[str]:
        """Take in what operators made of the membership; returns who comes back since nobody else could own a key.

        Of who left nothing is remembered. Who cannot own keys is left to the operator.
        """
        if cluster is self._cluster:
            return []
        self._cluster = cluster
        self.forget([name for name in self.records if name not in cluster.members])
        able = [node for node in cluster if cluster.can_own(node)]
        self._able = frozenset([node.name for node in able])
        self._weight_able = sum(node.weight for node in able)
        self._zones = {}
        for node in able:
            if node.zone is not None:
                self._zones.setdefault(node.zone, []).append(node.name)
        for name in self.records.keys() - self._able:
            self.records[name].let_go()
        if not self._able or not self._able <= self.out:
            return []
        well = [name for name in self._able if self.records[name].well_s is not None]
        back = sorted(well or self._able)
        for name in back:
            self.records[name].let_go()
        return back

    def forget(self, names: Iterable[str]) -> None:
        """Remember nothing of nodes that left."""
        for name in names:
            self.records.pop(name, None)

    def restore(self) -> None:
        """Nobody's share is lowered any more."""
        for record in self.records.values():
            record.factor = 1.0

    def pardon(self, names: Iterable[str]) -> None:
        """An operator marked nodes up by hand."""
        for name in names:
            self.records.setdefault(name, Record()).pardon()

    # --- what should change

    def wishes(self) -> Iterator[Wish]:
        """What should change now: the keys of dead nodes first, balance last."""
        yield from self._last_resort()
        believed = yield from self._believed()
        yield from self._downs(believed)
        yield from self._held()
        yield from self._ups()
        if self._lowers:
            yield from self._lowered()
            yield from self._raised()

    def done(self, wish: Wish, moved: float) -> None:
        """A wish was carried out."""
        self._limits.changed(moved)
        for name in wish.reasons:
            record = self.records.setdefault(name, Record(well_s=self._now_s))
            record.told, record.why = "", wish.reasons[name]
            if wish.kind == "up":
                record.out_s = None
            elif wish.kind in {"down", "zone"}:
                record.out_s = self._now_s
                if record.outage and not record.counted:
                    record.penalty = record.penalty.failed(self._now_s, self.policy)
                    record.counted = True
            else:
                record.factor, record.stepped_s = wish.factors[name], self._now_s

    def refused(self, wish: Wish) -> None:
        """A wish about shares could not be carried out: it is tried again after a step's time."""
        for name in wish.factors:
            self.records[name].stepped_s = self._now_s

    def _tell(self, kind: str, reasons: Mapping[str, str]) -> Iterator[Wish]:
        """Why nothing happens: once to each node and kind."""
        fresh = {name: reason for name, reason in reasons.items() if self.records[name].told != kind}
        for name, reason in fresh.items():
            self.records[name].told, self.records[name].waits = kind, reason
        if fresh:
            yield Wish(kind, fresh)

    def _dead(self) -> list[str]:
        """Nodes in use that the detector believes dead, the first of them first."""
        found = [
            (record.dead_s, name)
            for name, record in self.records.items()
            if record.dead_s is not None and record.out_s is None and name in self._able
        ]
        return [name for _, name in sorted(found)]

    def _live(self) -> int:
        return len(self._able) - len(self.out & self._able)

    def _room(self) -> int:
        """How many nodes may be out at once."""
        return max(1, int(self.policy.out_most * len(self._able) + _ROUNDING))

    def _last_resort(self) -> Iterator[Wish]:
        """Where all that are in use are dead, who is well comes back at once."""
        if len(self._dead()) < self._live():
            return
        well = [name for name in sorted(self.out & self._able) if self.records[name].well_s is not None]
        if well:
            yield Wish("up", dict.fromkeys(well, "it is well, and no node in use is"))

    def _believed(self) -> Generator[Wish, None, list[str]]:
        """Yields what is told of a panic; returns the dead nodes that may be marked down."""
        dead = self._dead()
        names = [name for name in dead if not self.records[name].pardoned]
        if not names:
            return []
        out, room = len(self.out & self._able), self._room()
        if len(dead) >= self._live():
            reason = f"all {len(dead)} nodes in use are suspected: detector or network is likelier wrong than they are"
            yield from self._tell("panic", dict.fromkeys(names, reason))
            return []
        if out + len(names) <= room:
            return names
        lasting = [name for name in names if self._now_s - (self.records[name].dead_s or 0) >= self.policy.panic_s]
        reason = (
            f"{out + len(names)} of {len(self._able)} nodes are suspected or out, more than {room} (out_most): detector or "
            f"network is likelier wrong; believed after {self.policy.panic_s:g} s"
        )
        yield from self._tell("panic", {name: reason for name in names if name not in lasting})
        return lasting

    def _downs(self, names: list[str]) -> Iterator[Wish]:
        for zone in sorted({str(self._cluster.members[name].zone) for name in names} & self._zones.keys()):
            told = self._fell(zone)
            whole = {name for name in self._zones[zone] if not self._is_out(name) and not self._is_pardoned(name)}
            out = self.out & self._able
            alone = self._able - out - whole <= {*self._dead()}  # nobody well would be left
            fits = len(out) + len(whole | {*names}) <= self._room()
            if told and zone not in self._zones_out and fits and not alone and self._limits.may_change(dead=True):
                self._zones_out.add(zone)
                yield Wish("zone", {name: self._why_down(name, told) for name in sorted(whole)})
        names = [name for name in names if not self._is_out(name)]
        if not names:
            return
        if self._limits.may_change(dead=True):
            yield Wish("down", {name: self._why_down(name) for name in names})
        else:
            reason = f"{self.policy.transitions_a_minute} changes within a minute (transitions_a_minute): it waits to be marked down"
            yield from self._tell("wait", dict.fromkeys(names, reason))

    def _is_out(self, name: str) -> bool:
        return name in self.records and self.records[name].out_s is not None

    def _is_pardoned(self, name: str) -> bool:
        return name in self.records and self.records[name].pardoned

    def _fell(self, zone: str) -> str:
        """How a zone as a whole fell; "" when it did not."""
        names = self._zones.get(zone, [])
        times = sorted(self.records[name].dead_s or 0 for name in names if self._is_dead(name))
        newest = times[-1] if times else 0.0
        fell = sum(newest - time <= self.policy.zone_window_s for time in times)
        if len(names) < 2 or fell <= self.policy.zone_share * len(names):
            return ""
        return f"{fell} of {len(names)} nodes of zone {shown(zone)} fell within {self.policy.zone_window_s:g} s"

    def _is_dead(self, name: str) -> bool:
        return name in self.records and self.records[name].dead_s is not None

    def _why_down(self, name: str, zone: str = "") -> str:
        reason = self.records[name].reason if self._is_dead(name) else ""
        return " – ".join(text for text in (zone, reason) if text)

    def _held(self) -> Iterator[Wish]:
        """Told once: who flaps, and for how long it is held down."""
        now_s, policy = self._now_s, self.policy
        flapping = {
            name: f"it fails often: penalty {record.penalty.now(now_s, policy):.2f} after reaching {policy.suppress_at:g}; it "
            f"comes back at {policy.reuse_at:g}, in {record.penalty.left_s(now_s, policy):.0f} s if it stays well"
            for name, record in self.records.items()
            if record.out_s is not None and record.penalty.suppressed
        }
        yield from self._tell("hold", flapping)

    # --- what can wait

    def _ups(self) -> Iterator[Wish]:
        now_s = self._now_s
        due = [
            (record.well_s, name)
            for name, record in self.records.items()
            if name in self._able and record.may_return(now_s, self.policy)
        ]
        names = [name for _, name in sorted(due)]
        wants = {name: self._weight(name) for name in names}
        allowed, waiting = self._allowed(wants)
        if allowed:
            reasons = {}
            for name in allowed:
                record = self.records[name]
                reasons[name] = f"well for {record.well_for(now_s):.1f} s, down for {now_s - (record.out_s or 0):.1f} s"
            yield Wish("up", reasons)
        yield from self._tell("wait", waiting)

    def _lowered(self) -> Iterator[Wish]:
        now_s, policy = self._now_s, self.policy
        slow = sorted(
            name
            for name, record in self.records.items()
            if record.slow_s is not None and record.dead_s is None and name in self._able
        )
        troubled = {*slow, *self.out, *self._dead()} & self._able
        if slow and (len(troubled) > self._room() or len(troubled) == len(self._able)):
            reason = f"{len(troubled)} of {len(self._able)} nodes are slow, suspected or out, more than out_most allows"
            yield from self._tell("panic", dict.fromkeys(slow, reason))
            return
        factors = {}
        for name in slow:
            record = self.records[name]
            due = record.slow_for(now_s) >= policy.slow_after_s and (
                record.factor == 1 or now_s - record.stepped_s >= policy.slow_every_s
            )
            if due and record.out_s is None and not record.pardoned and record.factor > policy.slow_least:
                factors[name] = max(policy.slow_least, record.factor * policy.slow_step)
        yield from self._stepped("lower", factors)

    def _raised(self) -> Iterator[Wish]:
        now_s, policy = self._now_s, self.policy
        factors = {
            name: min(1.0, record.factor / policy.slow_step)
            for name, record in sorted(self.records.items())
            if record.factor < 1
            and record.out_s is None
            and name in self._able
            and min(record.well_for(now_s), now_s - record.stepped_s) >= policy.slow_every_s
        }
        yield from self._stepped("raise", factors)

    def _stepped(self, kind: str, factors: dict[str, float]) -> Iterator[Wish]:
        """Change shares as far as the limits allow."""
        records = self.records
        wants = {
            name: abs(factor - records[name].factor) * self._cluster.members[name].weight
            for name, factor in factors.items()
        }
        allowed, waiting = self._allowed(wants)
        if allowed:
            reasons = {}
            for name in allowed:
                why = (
                    records[name].reason if kind == "lower" else f"well for {records[name].well_for(self._now_s):.1f} s"
                )
                reasons[name] = f"{why}; {percent(records[name].factor)} → {percent(factors[name])} of its weight"
            yield Wish(kind, reasons, {name: factors[name] for name in allowed})
        yield from self._tell("wait", waiting)

    def _weight(self, name: str) -> float:
        factor = self.records[name].factor if name in self.records else 1.0
        return self._cluster.members[name].weight * factor

    def _allowed(self, wants: Mapping[str, float]) -> tuple[list[str], dict[str, str]]:
        """Of changes by so much weight, in this order, those that the limits allow; and of the others, what they wait for."""
        if not wants:
            return [], {}
        if not self._limits.may_change(dead=False):
            most = self.policy.transitions_a_minute
            return [], dict.fromkeys(
                wants, f"{most // 2} changes within a minute (half of transitions_a_minute): it waits"
            )
        total = self._weight_able - sum(
            self._cluster.members[name].weight - (0.0 if self._is_out(name) else self._weight(name))
            for name in self.records
            if name in self._able
        )
        allowed: list[str] = []
        moved = 0.0
        for name, weight in wants.items():
            moved += weight
            total += weight if self._is_out(name) else 0.0
            share = moved / total
            if not self._limits.may_move(share) or (allowed and share > self.policy.moved_a_minute):
                left_s = self._limits.wait_s(share)
                reason = f"the budget of movement is used (moved_a_minute): it waits for about {left_s:.0f} s"
                return allowed, {other: reason for other in wants if other not in allowed}
            allowed.append(name)
        return allowed, {}
