"""Histories of trouble, operators and clocks: the witness finds nothing wrong with any decision."""

from __future__ import annotations

import time

import pytest
from failover.told import Told
from failover.world import KINDS, POLICIES, TROUBLES, World, run
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

import ringward as rw
from ringward.failover import Adaptive, Policy
from ringward.health import Deadline

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


class Machine(RuleBasedStateMachine):
    """A world, whose history Hypothesis writes."""

    @initialize(
        kind=st.sampled_from([*KINDS]),
        policy=st.sampled_from(POLICIES),
        nodes=st.lists(
            st.tuples(st.sampled_from([1, 2, 0.5]), st.sampled_from([None, "a", "b", "c"])), min_size=1, max_size=9
        ),
    )
    def begin(self, kind, policy, nodes) -> None:
        """Some nodes, in zones or not."""
        self.world = World(kind, [rw.Node(f"n{i}", *each) for i, each in enumerate(nodes)], policy)

    def pick(self, data) -> str:
        """One of the members."""
        return data.draw(st.sampled_from(sorted(self.world.adaptive)))

    @rule(step_s=st.sampled_from([0.0, 0.5, 1.0, 5.0, 10.0, 30.0, 61.0, 400.0, -10.0, -1e4]))
    def tick(self, step_s) -> None:
        """Time goes on, stands still, jumps or goes back."""
        self.world.tick(step_s)

    @rule(data=st.data(), trouble=st.sampled_from(TROUBLES))
    def say(self, data, trouble) -> None:
        """The detector changes its mind, or contradicts itself."""
        self.world.say(self.pick(data), trouble)

    @rule(trouble=st.sampled_from(TROUBLES), zone=st.sampled_from([None, "a", "b"]))
    def say_zone(self, trouble, zone) -> None:
        """A whole zone is reported at once."""
        for node in self.world.adaptive.nodes:
            if node.zone == zone:
                self.world.say(node.name, trouble)

    @rule()
    def say_unknown(self) -> None:
        """Of a node that is no member."""
        self.world.say("nobody", "silent")

    @rule(data=st.data(), operation=st.sampled_from(["mark_down", "mark_up", "reweigh"]), inside=st.booleans(),
          weight=st.sampled_from([0.5, 1.0, 2.0, 0.0]))  # fmt: skip
    def by_hand(self, data, operation, inside, weight) -> None:
        """An operator knows better."""
        self.world.by_hand(operation, self.pick(data), inside=inside, weight=weight)

    @precondition(lambda self: len(self.world.adaptive) < 12)
    @rule(data=st.data(), inside=st.booleans())
    def add(self, data, inside) -> None:
        """A node comes, or comes back."""
        name = data.draw(st.sampled_from([f"n{i}" for i in range(14) if f"n{i}" not in self.world.adaptive]))
        self.world.by_hand("add", name, inside=inside)

    @precondition(lambda self: len(self.world.adaptive) > 1)
    @rule(data=st.data(), inside=st.booleans())
    def remove(self, data, inside) -> None:
        """A node leaves, also while it is out."""
        self.world.by_hand("remove", self.pick(data), inside=inside)

    @rule()
    def restart(self) -> None:
        """Go on with a pickle."""
        self.world.restart()


def test_the_witness_agrees_with_every_decision() -> None:
    """Whatever is said, done and jumped over."""
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=SLOW)
    )


@pytest.mark.parametrize("seed", range(1000, 1006))
def test_long_histories_end_well_once_all_is_healed(seed) -> None:
    """Everybody is back with all of its share, and nothing is remembered."""
    run(seed, steps=150)


def test_a_hundred_thousand_reports_in_one_tick() -> None:
    """Duplicate, late and contradictory ones of many nodes: one decision, in time."""
    names = [f"n{i}" for i in range(100)]
    detector = Deadline(after_s=5)
    adaptive = Adaptive(rw.HashRing(names), detector=detector)
    began = time.perf_counter()
    for report in range(100_000):
        name = names[report % 100]
        if name != "n7":
            (detector.failed if report % 3 == 0 else detector.heard)(name, 48.0 + report % 7 - (report % 11) * 4)
        elif report < 1000:
            detector.heard(name, 1.0)
    decisions = adaptive.tick(55.0)
    assert time.perf_counter() - began < 10
    assert [(each.kind, each.nodes) for each in decisions] == [("down", ("n7",))]


def test_thousands_of_nodes_are_looked_at_in_time() -> None:
    """A tick without news is quick, and so is one in which a tenth of them fall."""
    names = [f"n{i}" for i in range(5000)]
    told = Told()
    adaptive = Adaptive(rw.HashRing(names, points_per_node=20), detector=told, policy=Policy(transitions_a_minute=100))
    told.say(*names[:500])
    began = time.perf_counter()
    assert len(adaptive.tick(0.0)[0].nodes) == 500
    for second in range(1, 11):
        assert adaptive.tick(float(second)) == []
    assert time.perf_counter() - began < 5
