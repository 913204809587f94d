"""`Clusters` through whatever may happen to nodes, requests, clocks and witnesses: what holds after each step."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from failover.owners import reference
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import ringward as rw
from ringward.failover import Clusters, Handover

NAMES = ("ap", "eu", "us", "za")
HASHES = np.random.default_rng(11).integers(0, 2**64, 400, np.uint64)
FEW = HASHES[:25]
POLICIES = (
    Handover(),
    Handover(part=False, return_after_s=0.0),
    Handover(capacity_least=1.0, return_at=1.0, return_after_s=30.0, outcomes_least=1, window_s=1.0),
    Handover(capacity_least=0.3, return_at=0.5, return_after_s=10.0, failure_share=1.0),
)
STEP_S = st.sampled_from((0.0, 0.5, 5.0, 20.0, 130.0, 5000.0))
CLUSTER = st.sampled_from(NAMES)


class Machine(RuleBasedStateMachine):
    """Keeps, beside the clusters, only what the words of the documentation speak of."""

    @initialize(
        policy=st.sampled_from(POLICIES),
        kind=st.sampled_from((rw.HashRing, rw.PartitionTable)),
        resident=st.sets(CLUSTER, max_size=1),
        watched=st.booleans(),
    )
    def begin(self, policy, kind, resident, watched):
        """Four clusters of three nodes."""
        self.now = 0.0
        self.policy, self.resident = policy, resident
        self.routers = {name: kind([f"{name}{i}" for i in range(3)]) for name in NAMES}
        self.agrees, self.epochs, self.refused = True, [], False
        witness = self.witness if watched else None
        self.clusters = Clusters(self.routers, policy=policy, resident=resident, witness=witness)
        self.epoch = self.clusters.epoch
        self.owners = self.clusters.assign_hashes(HASHES)
        self.given = dict.fromkeys(NAMES, 0.0)
        self.sound = dict.fromkeys(
            NAMES, 0.0
        )  # since when a cluster has been sound at every look, by the policy's words

    def witness(self, cluster, to, epoch):
        """Agree to an epoch once, and only when it is to agree at all."""
        if not self.agrees:
            self.refused = True
            return False
        assert epoch > max(self.epochs, default=0), "an epoch that was agreed to is asked for again"
        self.epochs.append(epoch)
        return True

    def live(self, name):
        """The share of a cluster's nodes that is live."""
        router = self.routers[name]
        return (len(router) - len(router.down)) / len(router) if len(router) else 0.0

    def look(self):
        """Who is sound at this moment."""
        for name in NAMES:
            if self.live(name) < self.policy.return_at:
                self.sound[name] = None
            elif self.sound[name] is None or self.sound[name] > self.now:
                self.sound[name] = self.now

    def taken(self, transfer):
        """Keys that are kept by transfers alone stay right, and what did not move keeps its owner."""
        before = self.owners.copy()
        moved = transfer.apply(self.owners, HASHES)
        assert {*np.flatnonzero(before != self.owners).tolist()} <= {*moved.tolist()}

    # --- what happens

    def changed(self, name):
        """Something inside has changed."""
        if self.live(name) < self.policy.return_at:
            self.sound[name] = None
        self.owners = self.clusters.assign_hashes(HASHES)

    @rule(name=CLUSTER, node=st.integers(0, 2), down=st.booleans())
    def mark(self, name, node, down):
        """A node goes down, or comes up."""
        if f"{name}{node}" in self.routers[name]:
            (self.routers[name].mark_down if down else self.routers[name].mark_up)(f"{name}{node}")
            self.changed(name)

    @rule(name=CLUSTER, leave=st.booleans())
    def outage(self, name, leave):
        """A whole cluster goes down, or leaves."""
        for node in [*self.routers[name]]:
            (self.routers[name].remove if leave else self.routers[name].mark_down)(node)
        self.changed(name)

    @rule(name=CLUSTER, node=st.integers(0, 3))
    def join(self, name, node):
        """A node joins, perhaps again."""
        if f"{name}{node}" not in self.routers[name]:
            self.routers[name].add(f"{name}{node}")
            self.changed(name)

    @rule(name=CLUSTER, failed=st.booleans(), count=st.integers(1, 8))
    def request(self, name, failed, count):
        """Requests fail or are answered."""
        for _ in range(count):
            (self.clusters.failed if failed else self.clusters.answered)(name, self.now)
        if failed:
            self.sound[name] = None

    @rule(step_s=STEP_S)
    def tick(self, step_s):
        """Time passes, and what is due is decided."""
        self.now += step_s
        before = {name: (self.given[name], self.clusters._standing[name].to) for name in NAMES}
        self.refused = False
        self.look()
        decisions = self.clusters.tick(self.now)
        for decision in decisions:
            assert decision.reason
            name = decision.nodes[0] if decision.nodes else ""
            if decision.transfer is not None:
                self.taken(decision.transfer)
            if decision.kind == "return" and "no other cluster can serve" not in decision.reason:
                assert self.sound[name] is not None
                assert self.now - self.sound[name] >= self.policy.return_after_s, "it came back too early"
            if decision.kind == "promote":
                share, to = before[name]
                assert decision.nodes[1] != to or self.clusters._standing[name].given > share, "nothing was handed over"
                self.sound[name] = None
        if self.refused and not any(decision.kind in {"promote", "return"} for decision in decisions):
            assert {
                name: (self.clusters._standing[name].given, self.clusters._standing[name].to) for name in NAMES
            } == before
        for name in NAMES:
            standing = self.clusters._standing[name]
            others_live = any(self.live(other) for other in NAMES if other != name)
            if not self.refused and not standing.by_hand and name not in self.resident and others_live:
                serving = standing.to if standing.given else name
                assert self.live(serving) or standing.given < 1, f"{name} is left with a cluster that is down"

    @rule(name=CLUSTER, to=CLUSTER)
    def promote(self, name, to):
        """An operator promotes."""
        epochs, given = len(self.epochs), self.clusters._standing[name].given
        try:
            self.taken(self.clusters.promote(name, to))
        except (rw.PromotionError, rw.ResidencyError, rw.ArgumentError):
            assert len(self.epochs) == epochs
            assert self.clusters._standing[name].given == given
        else:
            assert self.clusters._standing[name].to == to != name

    @rule(name=CLUSTER)
    def give_back(self, name):
        """An operator gives back."""
        try:
            self.taken(self.clusters.give_back(name))
        except rw.PromotionError:
            assert not self.agrees
        else:
            assert not self.clusters._standing[name].given

    @rule(agrees=st.booleans())
    def witness_says(self, agrees):
        """The witness agrees from now on, or refuses."""
        self.agrees = agrees

    @rule(pickled=st.booleans())
    def copy(self, pickled):
        """A copy answers alike, and is independent."""
        other = pickle.loads(pickle.dumps(self.clusters)) if pickled else self.clusters.copy()
        assert other.epoch == self.clusters.epoch
        assert (other.assign_hashes(HASHES) == self.clusters.assign_hashes(HASHES)).all()
        other.routers["eu"].add("one more")
        assert self.routers["eu"].epoch == self.clusters.routers["eu"].epoch

    # --- what holds

    @invariant()
    def owners_are_those_of_who_serves(self):
        """Scalar, bulk and the reference agree."""
        ids = self.clusters.assign_hashes(FEW)
        expected = [reference(self.clusters, int(value)) for value in FEW]
        assert self.clusters.owner_names(ids).tolist() == expected
        for key in ("a", "b", "c", "d"):
            owner = self.clusters.owner_names(self.clusters.assign([key]))[0]
            home, serving = self.clusters.home_of(key), self.clusters.serving(key)
            assert serving == home or (serving != home and home not in self.resident)
            if owner is None:
                assert not self.live(serving)
                with pytest.raises(rw.ResidencyError if home in self.resident else rw.NoNodeError):
                    self.clusters.route(key)
            else:
                assert self.clusters.route(key) == owner == self.routers[serving].route(key)

    @invariant()
    def keys_that_are_kept_by_transfers_are_right(self):
        """Nobody has to ask anew."""
        assert (self.owners == self.clusters.assign_hashes(HASHES)).all()

    @invariant()
    def epochs_only_rise(self):
        """The epoch is a fencing token."""
        assert self.clusters.epoch >= self.epoch
        self.epoch = self.clusters.epoch
        for name in NAMES:
            term = self.clusters.term(name)
            self.clusters.check(name, term)
            if term:
                with pytest.raises(rw.StaleEpochError):
                    self.clusters.check(name, term - 1)
            self.given[name] = self.clusters._standing[name].given


Machine.TestCase.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
TestClusters = Machine.TestCase
