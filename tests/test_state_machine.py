"""Long histories of changes, with every invariant checked against the oracle after each of them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from oracle import LAST, Member
from strategies import (
    KINDS,
    MORE,
    Kind,
    arcs_by_name,
    edges,
    memberships,
    names,
    operations,
    orders,
    owners,
    perform,
    weights_or_none,
    zones,
)

import ringward as rw

SPREAD = np.arange(32, dtype=np.uint64) * np.uint64(LAST // 31)
KEYS = ["event1", b"event2", 3, -4, "节点"]


class RouterMachine(RuleBasedStateMachine):
    """A router, its model, ids kept up by transfers alone, and snapshots to come back to."""

    kind: ClassVar[Kind]
    snapshots = Bundle("snapshots")

    @initialize(members=memberships(min_size=0, max_size=6))
    def start(self, members: dict) -> None:
        """Make the router."""
        self.router = self.kind.make(members)
        self.model = self.kind.model(members)
        self.reference = self.kind.oracle(self.router, self.model)
        self.kept = np.full(len(SPREAD), rw.NO_NODE, np.uint32)
        if self.model.primary:
            self.router.assign_hashes(SPREAD, out=self.kept)

    def change(self, change: list[tuple]) -> None:
        """Make a change, and compare its transfer with the difference of the oracles."""
        before = self.reference
        transfer = perform(self.router, change)
        epoch = self.model.epoch
        self.model.apply(change)
        self.reference = self.kind.oracle(self.router, self.model)
        assert (transfer.epoch_before, transfer.epoch) == (epoch, self.model.epoch)
        expected = oracle.difference(before, self.reference)
        assert arcs_by_name(transfer) == expected
        assert transfer.share == pytest.approx(oracle.share(expected), rel=1e-9, abs=1e-18)
        moved = transfer.apply(self.kept, SPREAD).tolist()
        assert moved == transfer.moved(SPREAD).tolist()
        pairs = [(before.owner(int(h)), self.reference.owner(int(h))) for h in SPREAD]
        assert moved == [i for i, (was, now) in enumerate(pairs) if was != now]

    def pick(self, data: st.DataObject) -> str:
        """Draw a member."""
        return data.draw(st.sampled_from(sorted(self.model.members)))

    @rule(name=names, weight=weights_or_none, zone=zones)
    def add(self, name: str, weight: float, zone: str | None) -> None:
        """Add a node, unless it is there."""
        if name not in self.model.members:
            self.change([("add", name, weight, zone)])
        else:
            with pytest.raises(rw.DuplicateNodeError):
                self.router.add(rw.Node(name, weight=weight, zone=zone))

    @rule(name=names)
    def remove_unknown(self, name: str) -> None:
        """Remove a name that isn't there: nothing happens."""
        if name not in self.model.members:
            with pytest.raises(rw.UnknownNodeError):
                self.router.remove(name)

    @precondition(lambda self: self.model.members)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        """Remove a member."""
        self.change([("remove", self.pick(data))])

    @precondition(lambda self: self.model.members)
    @rule(data=st.data(), weight=weights_or_none)
    def reweigh(self, data: st.DataObject, weight: float) -> None:
        """Give a member another weight."""
        self.change([("reweigh", self.pick(data), weight)])

    @precondition(lambda self: self.model.members)
    @rule(data=st.data(), mark=st.sampled_from(["mark_down", "mark_up"]))
    def mark(self, data: st.DataObject, mark: str) -> None:
        """Mark a member, whatever it was."""
        self.change([(mark, self.pick(data))])

    @precondition(lambda self: self.model.members.keys() - self.model.down)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """Mark a live member as down."""
        self.change(
            [
                (
                    "mark_down",
                    data.draw(st.sampled_from(sorted(self.model.members.keys() - self.model.down))),
                )
            ]
        )

    @precondition(lambda self: self.model.down)
    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        """Mark a member that is down as up."""
        self.change([("mark_up", data.draw(st.sampled_from(sorted(self.model.down))))])

    @rule(data=st.data())
    def several(self, data: st.DataObject) -> None:
        """Make several changes as one."""
        change = data.draw(operations(self.model.members))
        if len(change) > 1:
            self.change(change)

    @rule()
    def go_on_from_bytes(self) -> None:
        """Go on with a router resumed from the byte form of this one."""
        data = self.router.snapshot().to_bytes()
        self.router = self.kind.strategy.resume(rw.Snapshot.from_bytes(data))

    @rule(target=snapshots)
    def keep_a_snapshot(self) -> tuple:
        """Keep a snapshot and what it answers."""
        return self.router.snapshot(), self.answers(self.router)

    @rule(kept=snapshots)
    def look_at_a_snapshot(self, kept: tuple) -> None:
        """A snapshot answers as it did, whatever happened to the router since."""
        snapshot, answers = kept
        assert self.answers(snapshot) == answers

    def answers(self, reader: object) -> tuple:
        """Return what a reader answers."""
        return (
            reader.epoch,
            reader.nodes,
            reader.down,
            owners(reader, SPREAD),
            orders(reader, SPREAD),
        )

    @invariant()
    def agrees_with_the_model(self) -> None:
        """Membership, ids and epoch are those of the model."""
        assert self.router.epoch == self.model.epoch
        assert list(self.router.names) == self.model.names
        assert self.router.down == self.model.down
        assert {n.name: Member(n.weight, n.zone) for n in self.router.nodes} == self.model.members

    @invariant()
    def agrees_with_the_oracle(self) -> None:
        """Owners and failover orders are those of the oracle, for hashes and for keys."""
        reference = self.reference
        h = np.concatenate([SPREAD, edges(reference, limit=12)])
        expected = [reference.owner(int(x)) for x in h]
        assert owners(self.router, h) == expected
        assert orders(self.router, h[::5]) == [reference.candidates(int(x)) for x in h[::5]]
        for key in KEYS:
            x = oracle.xxh3(oracle.key_bytes(key))
            if expected[0] is not None:
                assert self.router.candidates(key) == reference.candidates(x)
                assert self.router.route(key) == reference.owner(x)

    @invariant()
    def kept_ids_are_those_of_now(self) -> None:
        """Ids that were only ever changed by apply() are the ones that assign gives."""
        found = [None if i == rw.NO_NODE else self.router.names[i] for i in self.kept.tolist()]
        assert found == owners(self.router, SPREAD)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_invariant_holds_over_long_histories(kind: Kind) -> None:
    """Forty steps of adds, removals, weights, marks, changes and byte forms break no invariant."""
    machine = type("Machine", (RouterMachine,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25 * MORE,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
