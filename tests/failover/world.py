"""A world for `Adaptive`: nodes in trouble, operators, clocks that jump; and a witness who checks every decision, slowly.

The witness keeps all that ever happened and works every figure out anew from that, by the words of `Policy`'s docstring.
"""

from __future__ import annotations

import math
import pickle
import random

import numpy as np
from failover.told import Told

import ringward as rw
from ringward.failover import Adaptive, Policy

KINDS = {
    "ring": lambda nodes: rw.HashRing(nodes, points_per_node=20),
    "partitioned": lambda nodes: rw.PartitionedRing(nodes, part_size=3, points_per_node=20),
    "table": lambda nodes: rw.PartitionTable(nodes, partitions=256, replicas=2),
    "primary": rw.PrimaryBackup,
}
HASHES = np.arange(64, dtype=np.uint64) * np.uint64(2**64 // 64)
DEAD_FIRST = ["zone", "down", "up", "lower", "raise"]
TELLING = {"hold", "panic", "wait", "error"}
TROUBLES = ["silent", "failing", "slow", None]
POLICIES = [
    Policy(hold_down_s=10, half_life_s=60, suppressed_most_s=300, panic_s=40, slow_after_s=5, slow_every_s=10),
    Policy(hold_down_s=5, half_life_s=30, suppressed_most_s=100, out_most=0.34, panic_s=math.inf, moved_a_minute=0.2),
    Policy(
        hold_down_s=20, half_life_s=600, transitions_a_minute=4, zone_window_s=5, moved_a_minute=0.05, slow_step=0.3
    ),
    Policy(
        hold_down_s=0,
        half_life_s=10,
        suppressed_most_s=20,
        panic_s=0,
        out_most=1,
        moved_a_minute=10,
        transitions_a_minute=6,
    ),
]
EPSILON = 1e-6


class Seen:
    """All that was ever said of one node, and done to it."""

    def __init__(self) -> None:
        self.history: list[tuple[float, str]] = []
        self.out_s: float | None = None
        self.outages: list[float] = []
        self.in_outage = self.counted = False
        self.factor, self.stepped_s = 1.0, -math.inf
        self.pardoned = False

    def for_s(self, *verdicts: str) -> float:
        """For how long it has had one of these verdicts without a break; -1: not now."""
        since = None
        for time, verdict in reversed(self.history):
            if verdict not in verdicts:
                break
            since = time
        return -1.0 if since is None else self.history[-1][0] - since

    def suppressed(self, now_s: float, policy: Policy) -> bool:
        """Whether it flaps, by all outages there were."""
        value, at_s, until_s = 0.0, 0.0, -math.inf
        ceiling = max(policy.suppress_at, policy.reuse_at * 2 ** (policy.suppressed_most_s / policy.half_life_s))
        for time in self.outages:
            value = min(value * 0.5 ** ((time - at_s) / policy.half_life_s) + 1, ceiling)
            at_s = time
            if value >= policy.suppress_at or time < until_s - EPSILON:
                fall_s = policy.half_life_s * max(0.0, math.log2(value / policy.reuse_at))
                until_s = time + min(fall_s, policy.suppressed_most_s)
        return now_s < until_s - EPSILON


class World:
    """An Adaptive, what it is told, and the witness."""

    def __init__(self, kind: str, nodes: list[rw.Node], policy: Policy) -> None:
        self.kind, self.policy = kind, policy
        self.told = Told()
        self.adaptive = Adaptive(KINDS[kind](nodes), detector=self.told, policy=policy)
        self.given_s = self.now_s = 1000.0
        self.base_s = self.now_s
        self.seen: dict[str, Seen] = {}
        self.changes: list[float] = []
        self.moves: list[tuple[float, float, bool]] = []
        self.sound_before: set[str] = set()
        self.ids = self.owners()

    # --- what happens

    def owners(self):
        """Who owns what now."""
        return self.adaptive.assign_hashes(HASHES, count=1)[:, 0].copy()

    def say(self, name: str, trouble: str | None) -> None:
        """The detector changes its mind."""
        self.told.say(name, trouble=trouble)

    def by_hand(self, operation: str, name: str, *, inside: bool = False, weight: float = 1.0) -> None:
        """An operator changes the router."""
        router = self.adaptive.inside if inside else self.adaptive
        epoch, was_down = self.adaptive.epoch, name in self.adaptive.down
        if operation == "add":
            transfer = router.add(rw.Node(name, weight, "z" if weight > 1 else None))
        elif operation == "reweigh":
            transfer = router.reweigh(name, weight)
        else:
            transfer = getattr(router, operation)(name)
        if operation == "mark_up" and not inside and was_down:
            seen = self.seen.setdefault(name, Seen())
            seen.out_s, seen.factor, seen.outages, seen.in_outage = None, 1.0, [], False
            seen.pardoned = True
        if operation == "remove":
            self.seen.pop(name, None)
        self._let_go()
        if inside:
            self.ids = self.owners()
        else:
            assert transfer.epoch_before == epoch
            transfer.apply(self.ids, HASHES)
        self.agrees()

    def _let_go(self) -> None:
        """Who cannot own keys is left to the operator; who alone could comes back."""
        able = self.able()
        gone = {name for name in self.seen if name not in able}
        if able and able <= self.out():
            gone |= {name for name in able if self.seen[name].for_s("well") >= 0} or able
        for name in gone:
            self.seen[name].out_s, self.seen[name].factor = None, 1.0

    def restart(self) -> None:
        """Go on with a pickle."""
        self.adaptive = pickle.loads(pickle.dumps(self.adaptive))
        self.told = self.adaptive.detector
        self.agrees()

    def tick(self, step_s: float) -> list:
        """Time goes on, or back."""
        self.given_s = max(0.0, self.given_s + step_s)
        self.now_s += max(0.0, step_s)
        self._see()
        self.rank = 0
        decisions = self.adaptive.tick(self.given_s)
        for decision in decisions:
            self._judge(decision)
        self._after()
        self.agrees()
        return decisions

    # --- what the witness checks

    def able(self) -> set[str]:
        """Who could own keys if nobody but operators decided."""
        inside = self.adaptive.inside
        return {node.name for node in inside.nodes if node.weight > 0 and node.name not in inside.down}

    def _see(self) -> None:
        for name in self.adaptive.inside:
            seen = self.seen.setdefault(name, Seen())
            trouble = self.told.troubles.get(name)
            slow_s = next((time for time, said in self._bad(seen) if said in {"slow", "drag"}), self.now_s)
            verdict = {None: "well", "slow": "slow"}.get(trouble, "dead")
            if verdict == "slow" and self.kind == "primary":
                verdict = "drag" if self.now_s - slow_s >= self.policy.slow_after_s else "slow"
            seen.history.append((self.now_s, verdict))
            if verdict == "well":
                seen.pardoned = False
                seen.in_outage &= seen.for_s("well") < self.policy.hold_down_s
            elif verdict in {"dead", "drag"} and not seen.in_outage:
                seen.in_outage, seen.counted = True, False
            self._count(seen)
        self.start_out = {name for name, seen in self.seen.items() if seen.out_s is not None}

    @staticmethod
    def _bad(seen: Seen) -> list:
        """What was said since it was last well."""
        last = max((i for i, (_, said) in enumerate(seen.history) if said == "well"), default=-1)
        return seen.history[last + 1 :]

    def _count(self, seen: Seen) -> None:
        if seen.in_outage and not seen.counted and seen.out_s is not None:
            seen.outages.append(self.now_s)
            seen.counted = True

    def dead(self) -> set[str]:
        """Who could own keys and is called dead."""
        return {name for name in self.able() if self.seen[name].for_s("dead", "drag") >= 0}

    def out(self) -> set[str]:
        """Who is out by policy."""
        return {name for name, seen in self.seen.items() if seen.out_s is not None}

    def _judge(self, decision) -> None:
        assert decision.time_s == self.given_s
        assert decision.reason
        assert decision.nodes
        if decision.kind in TELLING:
            assert decision.transfer is None
            assert decision.kind == "error" or any(char.isdigit() for char in decision.reason)
            return
        assert decision.transfer.epoch_before < decision.transfer.epoch
        decision.transfer.apply(self.ids, HASHES)
        last_resort = decision.kind == "up" and self.able() - self.out() <= self.dead()
        if not last_resort:
            self._within_limits(decision)
            rank = DEAD_FIRST.index(decision.kind)
            assert rank >= self.rank, "balance before dead owners"
            self.rank = rank
        self.changes.append(self.now_s)
        self.moves.append((self.now_s, decision.moved, decision.kind in {"down", "zone"} or last_resort))
        getattr(self, f"_{decision.kind}")(decision, *([last_resort] if decision.kind == "up" else []))

    def _within_limits(self, decision) -> None:
        urgent = decision.kind in {"down", "zone"}
        most = self.policy.transitions_a_minute
        recent = sum(time > self.now_s - 60 for time in self.changes)
        assert recent < (most if urgent else most // 2), "more changes a minute than allowed"
        if not urgent:
            budget, at_s, most = self.policy.moved_a_minute, self.base_s, self.policy.moved_a_minute
            for time, moved, _ in self.moves:
                budget = max(-1.0, min(most, budget + (time - at_s) * most / 60) - moved)
                at_s = time
            budget = min(most, budget + (self.now_s - at_s) * most / 60)
            assert budget > -EPSILON, "moved without a budget"
            if self.kind in {"ring", "partitioned"} and len(decision.nodes) > 1:
                assert decision.moved < 3 * budget + 0.35, "moved far more than the budget"

    def _room(self) -> int:
        return max(1, math.floor(self.policy.out_most * len(self.able()) + EPSILON))

    def _down(self, decision, zone=frozenset()) -> None:
        dead, out = self.dead(), self.out() & self.able()
        for name in decision.nodes:
            seen = self.seen[name]
            assert name in dead | zone, "marked down without being suspected"
            assert name not in out
            assert not seen.pardoned, "marked down although an operator marked it up"
        assert self.able() - out - {*decision.nodes} - dead, "nobody well is left"
        if len(out) + len(decision.nodes) > self._room():
            assert not zone
            for name in decision.nodes:
                assert self.seen[name].for_s("dead", "drag") >= self.policy.panic_s, "too many at once"
        for name in decision.nodes:
            self.seen[name].out_s = self.now_s
            self._count(self.seen[name])

    def _zone(self, decision) -> None:
        zones = {node.name: node.zone for node in self.adaptive.inside.nodes}
        (zone,) = {zones[name] for name in decision.nodes}
        of_zone = {name for name in self.able() if zones[name] == zone}
        fell_s = sorted(self.now_s - self.seen[name].for_s("dead", "drag") for name in of_zone & self.dead())
        recent = [time for time in fell_s if fell_s[-1] - time <= self.policy.zone_window_s]
        assert zone is not None
        assert len(of_zone) >= 2
        assert len(recent) > self.policy.zone_share * len(of_zone), "a zone that did not fall"
        self._down(decision, of_zone)

    def _up(self, decision, last_resort) -> None:
        for name in decision.nodes:
            seen = self.seen[name]
            assert seen.out_s is not None
            assert seen.for_s("well") >= 0
            if not last_resort:
                assert seen.for_s("well") >= self.policy.hold_down_s, "back before it was well for long"
                assert self.now_s - seen.out_s >= self.policy.hold_down_s, "back before the hold-down"
                assert not seen.suppressed(self.now_s, self.policy), "back although it flaps"
            seen.out_s = None

    def _lower(self, decision) -> None:
        troubled = {name for name in self.able() if self.seen[name].for_s("well") < 0}
        assert len(troubled | (self.out() & self.able())) <= self._room()
        self._step(decision)
        for name in decision.nodes:
            seen = self.seen[name]
            assert seen.history[-1][1] == "slow", "lowered though it is not slow"
            slow_s = next(time for time, said in self._bad(seen) if said == "slow")
            assert self.now_s - slow_s >= self.policy.slow_after_s
            seen.factor = max(self.policy.slow_least, seen.factor * self.policy.slow_step)

    def _raise(self, decision) -> None:
        self._step(decision)
        for name in decision.nodes:
            seen = self.seen[name]
            assert seen.for_s("well") >= self.policy.slow_every_s
            seen.factor = min(1.0, seen.factor / self.policy.slow_step)

    def _step(self, decision) -> None:
        assert self.kind != "primary"
        for name in decision.nodes:
            seen = self.seen[name]
            assert seen.out_s is None
            assert seen.factor == 1 or self.now_s - seen.stepped_s >= self.policy.slow_every_s, "steps too fast"
            seen.stepped_s = self.now_s

    def _after(self) -> None:
        """Whoever is dead is out, or it is told what it waits for; whoever may return has returned, or likewise.

        Room that a return makes is used at the next tick.
        """
        waiting = self.adaptive.waiting
        for name in self.dead() - self.out():
            seen = self.seen[name]
            room = len((self.start_out | self.out()) & self.able()) + len(self.dead() - self.out()) <= self._room()
            free = sum(time > self.now_s - 60 for time in self.changes) < self.policy.transitions_a_minute
            believed = (room or seen.for_s("dead", "drag") >= self.policy.panic_s) and free
            alone = self.able() - self.out() <= self.dead()
            assert seen.pardoned or alone or not believed, f"{name} is dead and in use"
            assert seen.pardoned or name in waiting, f"nobody tells why {name} is in use"
        for name in self.out() & self.able():
            seen = self.seen[name]
            due = min(seen.for_s("well"), self.now_s - seen.out_s) >= self.policy.hold_down_s
            if due and not seen.suppressed(self.now_s, self.policy):
                assert name in waiting, f"nobody tells why {name} is still out"
                assert waiting[name].startswith("wait"), f"{name} is held down for longer than it should be"

    def agrees(self) -> None:
        """The router is the one inside with what was decided laid over it."""
        adaptive, inside = self.adaptive, self.adaptive.inside
        assert adaptive.down == inside.down | {name for name in self.out() if name in inside}
        weights = {node.name: node.weight for node in adaptive.nodes}
        for node in inside.nodes:
            factor = self.seen[node.name].factor if node.name in self.seen else 1.0
            assert math.isclose(weights[node.name], node.weight * factor)
        assert {*adaptive.held} == {n for n, s in self.seen.items() if s.out_s is not None or s.factor != 1}
        assert adaptive.inside.nodes == tuple(inside.nodes)
        if self.able():
            assert adaptive.route("event1") in self.able()
        names = [None if i == rw.NO_NODE else adaptive.names[i] for i in self.ids.tolist()]
        assert names == [None if i == rw.NO_NODE else adaptive.names[i] for i in self.owners().tolist()]

    def heal(self) -> None:
        """All is well for long: everything is as the operator made it, and nothing is remembered."""
        self.told.troubles.clear()
        for _ in range(400):
            self.tick(self.policy.suppressed_most_s / 40)
        assert self.adaptive.held == {}, "not returned"
        assert self.adaptive.waiting == {}
        assert self.adaptive._judge.records == {}
        assert self.adaptive.down == self.adaptive.inside.down
        if self.kind in {"ring", "primary"}:  # the rows of a table and the parts of a ring depend on the way there
            assert (self.adaptive.assign_hashes(HASHES, count=2) == self.named_inside()).all()

    def named_inside(self):
        """What the router inside assigns, in the ids of this one."""
        inside, adaptive = self.adaptive.inside, self.adaptive
        ids = inside.assign_hashes(HASHES, count=2)
        own = [adaptive.id_of(name) if name in adaptive else rw.NO_NODE for name in inside.names.tolist()]
        return np.array([*own, rw.NO_NODE], np.uint32)[np.minimum(ids, len(own))]


def run(seed: int, steps: int = 120) -> None:
    """One history; an AssertionError where a rule is broken."""
    rng = random.Random(seed)
    kind = rng.choice([*KINDS])
    zones = rng.choice([[None], ["a", "b"], ["a", "b", "c"]])
    count = rng.randint(1, 9)
    nodes = [rw.Node(f"n{i}", rng.choice([1, 1, 1, 2, 0.5]), zones[i % len(zones)]) for i in range(count)]
    world = World(kind, nodes, rng.choice(POLICIES))
    for _ in range(steps):
        names = [*world.adaptive]
        what = rng.random()
        if what < 0.35 and names:
            world.say(rng.choice(names), rng.choice(TROUBLES))
        elif what < 0.4 and names:
            zone = rng.choice(zones)
            for node in world.adaptive.nodes:
                if node.zone == zone:
                    world.say(node.name, rng.choice(["silent", "silent", None]))
        elif what < 0.45:
            _by_hand(world, rng)
        elif what < 0.46:
            world.restart()
        elif what < 0.47:
            world.tick(-rng.random() * 500)
        elif what < 0.49 and names:
            _flap(world, rng, rng.choice(names))
        else:
            world.tick(rng.choice([0.0, 0.5, 1.0, 3.0, 5.0, 20.0, 70.0]))
    world.tick(0.0)
    world.heal()


def _flap(world: World, rng: random.Random, name: str) -> None:
    """A node falls and recovers again and again, and is well at last."""
    for _ in range(rng.randint(2, 6)):
        world.say(name, "failing")
        world.tick(rng.choice([1.0, 5.0]))
        world.say(name, None)
        world.tick(1.0)
        world.tick(world.policy.hold_down_s * rng.choice([0.5, 1.0, 1.0, 2.0]))
    for _ in range(10):
        world.tick(world.policy.half_life_s / 4)


def _by_hand(world: World, rng: random.Random) -> None:
    names = [*world.adaptive]
    operation = rng.choice(["mark_down", "mark_up", "add", "remove", "reweigh"])
    fresh = f"n{rng.randint(9, 14)}"
    if operation == "add":
        if fresh not in names:
            world.by_hand("add", fresh, inside=rng.random() < 0.5, weight=rng.choice([1.0, 2.0]))
    elif len(names) > 1:
        world.by_hand(operation, rng.choice(names), inside=rng.random() < 0.5, weight=rng.choice([0.5, 1.0, 2.0]))
