"""The defects of the textbook code that these strategies usually come with, one test each."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from oracle import Member
from strategies import arcs_by_name, owners

import ringward as rw

NODES = [f"node_{i}" for i in range(5)]
KEYS = [f"event{i}" for i in range(2000)]


def test_a_lookup_finds_the_points_that_were_stored() -> None:
    """Textbook code stores points under "node_0" and looks them up under sha1(key) + "_0": none is found."""
    ring = rw.HashRing(NODES, points_per_node=20)
    points = oracle.ring_points(dict.fromkeys(NODES, Member()), 20, 1.0)
    stored = np.array([point[0] for point in points], np.uint64)
    assert owners(ring, stored) == [point[2] for point in points]
    assert {ring.route(key) for key in KEYS} == set(NODES)


def test_there_is_a_next_node_clockwise() -> None:
    """Textbook code keeps points in a dict without order: no node has a successor, and none fails over."""
    ring = rw.HashRing(NODES, points_per_node=20)
    walk = oracle.HashRing(dict.fromkeys(NODES, Member()), points_per_node=20).walk
    orders = {key: ring.candidates(key) for key in KEYS}
    for key, order in orders.items():
        assert order == walk(oracle.xxh3(key.encode()))
    failed = "node_2"
    ring.mark_down(failed)
    for key, order in orders.items():
        assert ring.route(key) == (order[1] if order[0] == failed else order[0])


@pytest.mark.parametrize("part_size", [1, 2, 3, 5])
def test_text_finds_its_part(part_size: int) -> None:
    """Textbook code takes key % partition_size of a string and raises TypeError."""
    ring = rw.PartitionedRing(NODES, part_size=part_size)
    for key in ("event1", b"event1", "100%", "%s", "节点", 7):
        owner = ring.route(key)
        assert ring.part_of(owner) == ring.part_of(ring.candidates(key)[0])
        assert owner in ring.parts[ring.part_of(owner)]
    assert {ring.route(key) for key in KEYS} == set(NODES)


def test_removing_a_node_says_which_keys_moved_and_moves_them() -> None:
    """Textbook code drops a removed node's label and leaves its keys where nobody looks, without a word."""
    for router in (
        rw.HashRing(NODES),
        rw.PartitionedRing(NODES, part_size=2),
        rw.PartitionTable(NODES),
        rw.PrimaryBackup(NODES),
    ):
        gone = "node_0"
        h = rw.hash_keys(KEYS)
        ids = router.assign_hashes(h)
        owned = np.flatnonzero(ids == router.id_of(gone))
        transfer = router.remove(gone)
        assert len(owned) > 0
        assert transfer.moved(h).tolist() == owned.tolist()
        assert {arc.source for arc in arcs_by_name(transfer)} == {gone}
        assert transfer.apply(ids, h).tolist() == owned.tolist()
        assert ids.tolist() == router.assign(KEYS).tolist()
        assert gone not in {router.route(key) for key in KEYS}


def test_down_for_a_minute_is_not_gone_for_good() -> None:
    """Textbook code has one "remove" for both: a node that is back finds its keys elsewhere, or a new id."""
    for router in (
        rw.HashRing(NODES),
        rw.PartitionedRing(NODES, part_size=2),
        rw.PartitionTable(NODES, replicas=2),
        rw.PrimaryBackup(NODES),
    ):
        before = router.assign(KEYS, count=5).tolist()
        router.mark_down("node_0", "node_3")
        assert "node_0" in router
        assert router.down == {"node_0", "node_3"}
        assert len(router) == 5
        router.mark_up("node_3", "node_0")
        assert router.assign(KEYS, count=5).tolist() == before
        router.remove("node_0")
        assert "node_0" not in router
        assert len(router) == 4
        with pytest.raises(rw.UnknownNodeError):
            router.mark_up("node_0")


def test_an_old_owner_is_fenced_after_the_takeover() -> None:
    """Textbook code has no epoch: an old primary that was only slow goes on beside the new one."""
    router = rw.PrimaryBackup(NODES)
    token_of_the_old = router.epoch
    router.check(token_of_the_old)
    router.mark_down(router.primary)
    token_of_the_new = router.epoch
    with pytest.raises(rw.StaleEpochError):
        router.check(token_of_the_old)
    router.check(token_of_the_new)
    for other in (
        rw.HashRing(NODES),
        rw.PartitionedRing(NODES, part_size=2),
        rw.PartitionTable(NODES),
    ):
        transfer = other.mark_down("node_1")
        assert (transfer.epoch_before, transfer.epoch, other.epoch) == (0, 1, 1)
