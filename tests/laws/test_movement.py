"""Movement: only what must move does."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from laws.cases import every_kind, lively, minimal, owners_by_hash, spots, steady
from strategies import (
    KINDS,
    PARTITIONED,
    PRIMARY,
    SOME,
    STAYING,
    TABLE,
    TABLES,
    Kind,
    fingerprint,
    liveness,
    memberships,
    names,
    orders,
    owners,
)

import ringward as rw


@every_kind
@given(data=st.data(), members=memberships(min_size=2))
@SOME
def test_a_node_that_goes_down_moves_only_its_own_keys(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Whoever is down already, only keys of the node that goes down change their owner."""
    before = kind.make(members, data.draw(liveness(members)))
    after = before.copy()
    name = data.draw(st.sampled_from(sorted(members)))
    after.mark_down(name)
    for was, now in owners_by_hash(kind, before, after):
        assert now == was != name or (was == name != now)


@steady
@given(data=st.data(), members=memberships(min_size=2))
@SOME
def test_a_node_that_comes_up_takes_keys_only_to_itself(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Whoever is down otherwise, a key that changes its owner goes to the node that came up."""
    name = data.draw(st.sampled_from(sorted(members)))
    before = kind.make(members, data.draw(liveness(members)) | {name})
    after = before.copy()
    after.mark_up(name)
    for was, now in owners_by_hash(kind, before, after):
        assert now in {was, name}


@steady
@given(data=st.data(), members=memberships(min_size=2))
@SOME
def test_down_then_up_is_the_identity(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Marks in any order leave owners and failover orders as they were once all are taken back."""
    router = kind.make(members)
    h = spots(kind, router)
    before = owners(router, h), orders(router, h)
    marked = data.draw(st.lists(st.sampled_from(sorted(members)), unique=True, min_size=1))
    for name in marked:
        router.mark_down(name)
    for name in data.draw(st.permutations(marked)):
        router.mark_up(name)
    assert (owners(router, h), orders(router, h)) == before


@minimal
@given(data=st.data(), members=memberships(min_size=1), name=names)
@SOME
def test_a_node_that_is_added_takes_keys_only_to_itself(
    kind: Kind, data: st.DataObject, members: dict, name: str
) -> None:
    """Whoever is down, a key that changes its owner goes to the new node."""
    assume(name not in members)
    before = kind.make(members, data.draw(liveness(members)))
    after = before.copy()
    after.add(rw.Node(name, weight=2.0))
    for was, now in owners_by_hash(kind, before, after):
        assert now in {was, name}


@minimal
@given(data=st.data(), members=memberships(min_size=2))
@SOME
def test_a_node_that_is_removed_moves_only_its_own_keys(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Whoever is down, only keys of the removed node change their owner."""
    before = kind.make(members, data.draw(liveness(members)))
    after = before.copy()
    name = data.draw(st.sampled_from(sorted(members)))
    after.remove(name)
    for was, now in owners_by_hash(kind, before, after):
        assert now == was != name or (was == name != now)


@given(data=st.data(), members=memberships(min_size=2, weight=lively), name=names)
@SOME
def test_membership_of_a_partitioned_ring_moves_least_while_all_live(
    data: st.DataObject, members: dict, name: str
) -> None:
    """With nobody down, a node added takes only to itself and one removed gives only its own."""
    assume(name not in members)
    before = PARTITIONED.make(members)
    after = before.copy()
    after.add(name)
    for was, now in owners_by_hash(PARTITIONED, before, after):
        assert now in {was, name}
    gone = data.draw(st.sampled_from(sorted(members)))
    after = before.copy()
    after.remove(gone)
    for was, now in owners_by_hash(PARTITIONED, before, after):
        assert now == was != gone or (was == gone != now)


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in (*TABLES, STAYING)], ids=str)
@given(data=st.data(), members=memberships(min_size=2), heavier=st.sampled_from([1.0, 3.5, 8.0]))
@SOME
def test_a_heavier_weight_loses_a_node_nothing(kind: Kind, data: st.DataObject, members: dict, heavier: float) -> None:
    """Every key of a node is still its own when its weight grows; others lose keys only to it."""
    name = data.draw(st.sampled_from(sorted(members)))
    before = kind.make(members)
    after = before.copy()
    after.reweigh(name, members[name].weight + heavier)
    for was, now in owners_by_hash(kind, before, after):
        assert now in {was, name}


@given(data=st.data(), members=memberships(min_size=2), heavier=st.sampled_from([1.0, 3.5, 8.0]))
@SOME
def test_a_heavier_weight_loses_a_node_of_a_table_nothing(data: st.DataObject, members: dict, heavier: float) -> None:
    """With one replica the fewest moves leave the partitions of the node that grew where they are."""
    name = data.draw(st.sampled_from(sorted(members)))
    before = TABLE.make(members)
    after = before.copy()
    after.reweigh(name, members[name].weight + heavier)
    for was, now in owners_by_hash(TABLE, before, after):
        assert was != name or now == name


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in (PRIMARY, STAYING)], ids=str)
@given(members=memberships(min_size=1), order=st.randoms())
@SOME
def test_the_order_in_which_nodes_are_given_does_not_matter(kind: Kind, members: dict, order: Any) -> None:
    """Nodes in another order have the same ids, owners and failover orders."""
    shuffled = list(members.items())
    order.shuffle(shuffled)
    mine, theirs = kind.make(members), kind.make(dict(shuffled))
    assert fingerprint(mine) == fingerprint(theirs)
    h = spots(kind, mine)
    assert orders(mine, h) == orders(theirs, h)


PRINT_IDS = """
import hashlib, numpy as np, ringward as rw
h = np.arange(5000, dtype=np.uint64) * np.uint64((2**64 - 1) // 4999)
nodes = [rw.Node(f"node{i}", weight=1 + i % 3, zone="xyz"[i % 3]) for i in range(17)]
for router in (rw.HashRing(nodes, spread="zone"), rw.PartitionedRing(nodes, part_size=4),
               rw.PartitionTable(nodes, replicas=3), rw.PrimaryBackup(nodes)):
    router.mark_down("node3"); router.add("zeta", "alpha"); router.remove("node5", "node7")
    print(hashlib.sha256(router.assign_hashes(h, count=5).tobytes()).hexdigest())
"""


def test_nothing_depends_on_the_hash_seed_of_python() -> None:
    """Processes with different PYTHONHASHSEED give the same ids for the same history."""
    printed = {
        subprocess.run(
            [sys.executable, "-c", PRINT_IDS],
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "12345")
    }
    assert len(printed) == 1
    assert len(printed.pop().split()) == 4
