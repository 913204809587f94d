"""The laws that every router keeps, whatever its placement: contract tests over all of them."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import subprocess
import sys
import threading
from typing import Any

import numpy as np
import oracle
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import LAST, Member, difference
from strategies import (
    FEW,
    KINDS,
    PARTITIONED,
    PRIMARY,
    RING,
    RINGS,
    SOME,
    STAYING,
    TABLE,
    TABLES,
    TRICKY_NAMES,
    ZONED,
    Kind,
    arcs_by_name,
    as_nodes,
    edges,
    fingerprint,
    hashes,
    histories,
    keys,
    liveness,
    memberships,
    names,
    orders,
    owners,
    perform,
)

import ringward as rw

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
steady = pytest.mark.parametrize("kind", [k for k in KINDS if k is not STAYING], ids=str)
minimal = pytest.mark.parametrize("kind", [RING, ZONED, PRIMARY], ids=str)
of_rings = pytest.mark.parametrize("kind", RINGS, ids=str)

FIVE = {
    "a": Member(1.0, "x"),
    "b": Member(2.0, "x"),
    "c": Member(1.0, "y"),
    "d": Member(1.0),
    "e": Member(0.0, "y"),
}
FOUR = {"a": Member(), "c": Member(2.0), "b": Member(), "z": Member()}
KEYS = [f"event{i}" for i in range(300)]
SPACE = np.arange(1000, dtype=np.uint64) * np.uint64(LAST // 999)
lively = st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0])


def spots(kind: Kind, *routers: rw.Router) -> np.ndarray:
    """Return hashes spread over the space, and those beside the ends of arcs of these routers."""
    beside = [SPACE[::40]]
    for router in routers:
        members = {node.name: Member(node.weight, node.zone) for node in router.nodes}
        beside.append(edges(kind.oracle(router, kind.model(members)), limit=30))
    return np.unique(np.concatenate(beside))


def owners_by_hash(kind: Kind, before: rw.Router, after: rw.Router) -> list[tuple]:
    """Return (owner before, owner after) of hashes that tell two states of a router apart."""
    h = spots(kind, before, after)
    return list(zip(owners(before, h), owners(after, h), strict=True))


# ---- scalar = bulk = oracle ----------------------------------------------------------------------------


@every_kind
@given(data=st.data(), members=memberships(), drawn=st.lists(keys, min_size=1, max_size=10))
@SOME
def test_scalar_bulk_and_oracle_agree(kind: Kind, data: st.DataObject, members: dict, drawn: list) -> None:
    """route, [], candidates, assign, assign_hashes and the oracle give the same answer."""
    down = data.draw(liveness(members, spare=1))
    assume(oracle.can_own(members, down))
    router = kind.make(members, down)
    reference = kind.oracle(router, kind.model(members, down))
    h = rw.hash_keys(drawn, router.hash)
    expected = [reference.owner(x) for x in h.tolist()]
    assert [router.route(key) for key in drawn] == expected
    assert [router[key] for key in drawn] == expected
    assert list(router.names[router.assign(drawn)]) == expected
    assert list(router.names[router.assign_hashes(h)]) == expected
    walks = [reference.candidates(x) for x in h.tolist()]
    assert [router.candidates(key) for key in drawn] == walks
    for count in range(1, len(router) + 1):
        table = router.assign(drawn, count=count)
        assert table.dtype == np.uint32
        assert table.shape == (len(drawn), count)
        assert table.tolist() == router.assign_hashes(h, count=count).tolist()
        for key, row, walk in zip(drawn, table.tolist(), walks, strict=True):
            named = [None if i == rw.NO_NODE else router.names[i] for i in row]
            assert named == (walk + [None] * count)[:count]
            assert router.candidates(key, count) == walk[:count]


@every_kind
@given(data=st.data(), members=memberships(), drawn=st.lists(hashes, max_size=20))
@SOME
def test_every_hash_agrees_with_the_oracle(kind: Kind, data: st.DataObject, members: dict, drawn: list) -> None:
    """Owners and orders agree on random hashes and beside the ends of every arc."""
    down = data.draw(liveness(members))
    router = kind.make(members, down)
    reference = kind.oracle(router, kind.model(members, down))
    h = np.concatenate([np.array(drawn, np.uint64), edges(reference)])
    assert owners(router, h) == [reference.owner(int(x)) for x in h]
    assert orders(router, h) == [reference.candidates(int(x)) for x in h]


@every_kind
@given(data=st.data(), members=memberships())
@FEW
def test_candidates_are_distinct_and_prefix_stable(kind: Kind, data: st.DataObject, members: dict) -> None:
    """All that can own are candidates, once each, and a shorter list is the start of a longer one."""
    down = data.draw(liveness(members, spare=1))
    able = oracle.can_own(members, down)
    assume(able)
    router = kind.make(members, down)
    for key in KEYS[:20]:
        everybody = router.candidates(key)
        assert sorted(everybody) == sorted(able)
        assert everybody[0] == router.route(key)
        for count in range(1, len(router) + 1):
            assert router.candidates(key, count) == everybody[:count]


@every_kind
@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
def test_out_is_filled_and_returned(kind: Kind, dtype: type) -> None:
    """out= of each dtype, contiguous or strided, one column or several, holds the ids."""
    router = kind.make(FIVE, ["a", "c"])
    expected, table = router.assign(KEYS), router.assign(KEYS, count=4)
    h = rw.hash_keys(KEYS)
    for step in (1, 3):
        out = np.full(len(KEYS) * step, 7, dtype)[::step]
        assert router.assign(KEYS, out=out) is out
        assert out.tolist() == expected.tolist()
        out[:] = 7
        assert router.assign_hashes(h, out=out) is out
        assert out.tolist() == expected.tolist()
        wide = np.full((len(KEYS), 4 * step), 7, dtype)[:, ::step]
        assert router.assign(KEYS, count=4, out=wide) is wide
        nobody = np.iinfo(dtype).max
        assert wide.tolist() == np.where(table == rw.NO_NODE, nobody, table.astype(np.int64)).tolist()
        assert (wide == nobody).any()


@every_kind
def test_hashes_in_any_layout_are_assigned_alike(kind: Kind) -> None:
    """Strided, backward and read-only arrays of hashes give what their copies give."""
    router = kind.make(FIVE)
    read_only = SPACE.copy()
    read_only.flags.writeable = False
    for h in (
        SPACE[::3],
        SPACE[::-1],
        read_only,
        np.repeat(SPACE, 2).reshape(-1, 2)[:, 1],
        SPACE[:0],
    ):
        assert router.assign_hashes(h).tolist() == router.assign_hashes(h.copy()).tolist()
        assert router.assign_hashes(h).tolist() == [int(router.id_of(n)) for n in owners(router, h)]


@every_kind
def test_out_may_be_the_memory_of_the_keys(kind: Kind) -> None:
    """Aliased arrays are right: keys that are overwritten while they are read, and shifted ones."""
    router = kind.make(FIVE)
    plain = np.arange(5000, dtype=np.int64) * 7919
    expected = router.assign(plain).tolist()
    same = plain.copy()
    router.assign(same, out=same)
    assert same.tolist() == expected
    for keys_at, out_at in ((slice(0, -1), slice(1, None)), (slice(1, None), slice(0, -1))):
        memory = np.empty(5001, np.int64)
        memory[keys_at] = plain
        router.assign(memory[keys_at], out=memory[out_at])
        assert memory[out_at].tolist() == expected
    h = rw.hash_keys(plain)
    halves = h.view(np.uint32)[::2]
    by_hash = router.assign_hashes(h.copy()).tolist()
    router.assign_hashes(h, out=halves)
    assert halves.tolist() == by_hash


# ---- minimal movement ------------------------------------------------------------------------------------


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


# ---- ids, names, membership --------------------------------------------------------------------------------


@every_kind
@given(data=st.data(), members=memberships(min_size=0))
@SOME
def test_ids_names_and_epochs_follow_the_history(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Names only grow, ids are given in UTF-8 order and never reused, every change is one epoch."""
    router, model = kind.make(members), kind.model(members)
    for change in [[], *data.draw(histories(members))]:
        if change:
            perform(router, change)
            model.apply(change)
        assert list(router.names) == model.names
        assert router.names.dtype == object
        assert router.epoch == model.epoch
        assert router.down == frozenset(model.down)
        assert len(router) == len(model.members)
        assert sorted(router) == sorted(model.members)
        expected = [rw.Node(n, weight=m.weight, zone=m.zone) for n, m in model.members.items()]
        in_order = kind in (PRIMARY, STAYING)
        assert router.nodes == tuple(expected if in_order else sorted(expected, key=lambda n: n.name))
        for name in model.names:
            assert (name in router) is (name in model.members)
        for name in model.members:
            assert router.id_of(name) == model.names.index(name)


@every_kind
def test_initial_ids_follow_the_utf8_order_of_the_names(kind: Kind) -> None:
    """Code points decide, not UTF-16 units, not the order given."""
    router = kind.make(dict.fromkeys(TRICKY_NAMES, Member()))
    assert list(router.names) == sorted(TRICKY_NAMES, key=str.encode)
    assert list(router.names).index("\uffff") < list(router.names).index("\U00010000")


@every_kind
def test_names_added_in_one_change_get_the_next_ids_in_utf8_order(kind: Kind) -> None:
    """New names follow those that were ever there; a name that comes back has its old id."""
    router = kind.make({"m": Member(), "k": Member()})
    router.add("z", "b")
    assert list(router.names) == ["k", "m", "b", "z"]
    router.remove("m", "b")
    router.add("a", "m")
    assert list(router.names) == ["k", "m", "b", "z", "a"]
    assert router.id_of("m") == 1
    assert "b" not in router
    assert len(router) == 4


@every_kind
def test_a_removed_node_that_comes_back_is_live(kind: Kind) -> None:
    """Removal takes the down mark along."""
    router = kind.make(FIVE, ["b"])
    router.remove("b")
    assert router.down == frozenset()
    router.add(rw.Node("b", weight=2.0, zone="x"))
    assert router.down == frozenset()
    assert "b" in router.candidates("event1")


@every_kind
def test_names_cannot_be_written_through(kind: Kind) -> None:
    """What a caller does to the array of names changes no router."""
    router = kind.make(FIVE)
    table = router.names
    if table.flags.writeable:
        table[0] = "forged"
    assert list(router.names) == sorted(FIVE)
    assert router.route("event1") in FIVE


@every_kind
def test_a_router_is_true_even_without_nodes(kind: Kind) -> None:
    """bool() is not about members, so that `router or default` is safe."""
    assert bool(kind.make({})) is True
    assert len(kind.make({})) == 0
    assert list(kind.make({})) == []
    assert bool(kind.make({}).snapshot()) is True


# ---- nobody alive --------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("case", ["no nodes", "all weights 0", "all down"])
def test_with_nobody_alive_routing_raises(kind: Kind, case: str) -> None:
    """What asks for the owner raises NoNodeError, and never returns None; what asks for candidates gets none."""
    members = {} if case == "no nodes" else {"a": Member(), "b": Member()}
    if case == "all weights 0":
        members = {"a": Member(0.0), "b": Member(0.0)}
    router = kind.make(members, members if case == "all down" else ())
    out = np.full(3, 77, np.uint32)
    for call in (
        lambda: router.route("event1"),
        lambda: router["event1"],
        lambda: router.assign(["a", "b"]),
        lambda: router.assign(["a", "b", "c"], out=out),
        lambda: router.assign_hashes(SPACE),
        lambda: router.snapshot().route("event1"),
    ):
        with pytest.raises(rw.NoNodeError):
            call()
    assert (out == 77).all()
    assert (router.assign(["a", "b"], count=2) == rw.NO_NODE).all()
    assert router.candidates("event1", 2) == []


@every_kind
def test_with_nobody_alive_there_are_no_candidates(kind: Kind) -> None:
    """With fewer live nodes candidates returns those there are, down to none at all."""
    router = kind.make({"a": Member(), "b": Member(), "c": Member()})
    for name, left in (("a", 2), ("b", 1), ("c", 0)):
        router.mark_down(name)
        assert len(router.candidates("event1")) == left
        assert len(router.snapshot().candidates("event1", 3)) == left


@every_kind
@given(data=st.data(), members=memberships(min_size=1))
@SOME
def test_on_empty_owns_every_key_while_nobody_can(kind: Kind, data: st.DataObject, members: dict) -> None:
    """The named member, drained or itself down, owns all keys while nobody else can, and only then."""
    last = data.draw(st.sampled_from(sorted(members)))
    router = kind.make(members, on_empty=last)
    down = data.draw(liveness(members))
    if down:
        router.mark_down(*down)
    able = oracle.can_own(members, down)
    if able:
        plain = kind.make(members, down)
        assert orders(router, SPACE[:50]) == orders(plain, SPACE[:50])
        router.mark_down(*able)
    assert owners(router, SPACE) == [last] * len(SPACE)
    assert router.route("event1") == router["event1"] == last
    assert router.candidates("event1") == [last]
    assert orders(router, SPACE[:5]) == [[last]] * 5


@steady
def test_a_transfer_to_nobody_and_back_has_no_node(kind: Kind) -> None:
    """When the last one goes down all keys go to NO_NODE; when it returns they come from it."""
    router = kind.make({"a": Member(), "b": Member()}, ["a"])
    for dtype in (np.uint16, np.uint32, np.int64):
        ids = router.assign_hashes(SPACE, out=np.empty(len(SPACE), dtype))
        kept = ids.copy()
        lost = router.mark_down("b")
        assert arcs_by_name(lost) == [(0, LAST, "b", None)]
        assert set(lost.arcs["target"].tolist()) == {0xFFFFFFFF} == {rw.NO_NODE}
        assert lost.share == 1.0
        assert (lost.arrivals, lost.departures) == ({}, {"b": 1.0})
        assert lost.apply(ids, SPACE).tolist() == list(range(len(SPACE)))
        assert (ids == np.iinfo(dtype).max).all()
        back = router.mark_up("b")
        assert arcs_by_name(back) == [(0, LAST, None, "b")]
        assert (back.arrivals, back.departures) == ({"b": 1.0}, {})
        back.apply(ids, SPACE)
        assert (ids == kept).all()


# ---- transfers -----------------------------------------------------------------------------------------


def check_arcs(transfer: rw.Transfer) -> None:
    """Check the form of arcs: uint64 fields, sorted, both ends inclusive, never wrapping, apart."""
    arcs = transfer.arcs
    assert arcs.dtype.names == ("start", "end", "source", "target")
    assert all(arcs.dtype[field] == np.uint64 for field in arcs.dtype.names)
    assert (arcs["start"] <= arcs["end"]).all()
    assert (arcs["start"][1:] > arcs["end"][:-1]).all()
    assert (arcs["source"] != arcs["target"]).all()


def check_transfer(transfer: rw.Transfer, before: oracle.Placement, after: oracle.Placement) -> None:
    """Check arcs, share, arrivals, departures and truth against the difference of two oracles."""
    check_arcs(transfer)
    expected = difference(before, after)
    assert arcs_by_name(transfer) == expected
    assert transfer.share == pytest.approx(oracle.share(expected), rel=1e-9, abs=1e-18)
    arrivals = oracle.shares_by(expected, lambda arc: arc.target)
    departures = oracle.shares_by(expected, lambda arc: arc.source)
    assert transfer.arrivals == pytest.approx(arrivals, rel=1e-9)
    assert transfer.departures == pytest.approx(departures, rel=1e-9)


def check_moves(transfer: rw.Transfer, h: np.ndarray, before: Any, after: Any) -> None:
    """Check moved() and apply() against owners before and after, by name, for every dtype of ids."""
    was, now = owners(before, h), owners(after, h)
    expected = [i for i, (a, b) in enumerate(zip(was, now, strict=True)) if a != b]
    moved = transfer.moved(h)
    assert moved.dtype == np.int64
    assert moved.tolist() == expected
    for dtype in (np.uint16, np.uint32, np.int64):
        nobody = np.iinfo(dtype).max
        index = {name: i for i, name in enumerate(transfer.names)}
        ids = np.array([nobody if n is None else index[n] for n in was], dtype)
        applied = transfer.apply(ids, h)
        assert applied.dtype == np.int64
        assert applied.tolist() == expected
        assert [None if i == nobody else transfer.names[i] for i in ids.tolist()] == now


@every_kind
@given(data=st.data(), members=memberships(min_size=0, max_size=6))
@SOME
def test_a_transfer_is_the_difference_of_before_and_after(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Arcs, shares, moved and apply of every change agree with the oracles of its two states."""
    router, model = kind.make(members), kind.model(members)
    for change in data.draw(histories(members, max_size=3)):
        before, earlier = kind.oracle(router, model), router.snapshot()
        transfer = perform(router, change)
        model.apply(change)
        after = kind.oracle(router, model)
        assert (transfer.epoch_before, transfer.epoch) == (earlier.epoch, router.epoch)
        assert list(transfer.names) == list(router.names)
        check_transfer(transfer, before, after)
        assert bool(transfer) is bool(transfer.share or (transfer.rows is not None and len(transfer.rows)))
        h = np.concatenate([edges(before, after, limit=40), SPACE[::50]])
        check_moves(transfer, h, earlier, router)


@every_kind
def test_apply_is_reassigning(kind: Kind) -> None:
    """Over a long history, ids kept up by apply() are the ids that assign gives, for any key order."""
    router = kind.make({f"node{i}": Member(1.0 + i % 2, "xyz"[i % 3]) for i in range(8)})
    h = rw.hash_keys(np.arange(20_000))
    kept = {dtype: router.assign_hashes(h, out=np.empty(len(h), dtype)) for dtype in "HIq"}
    history = (
        ("mark_down", "node3"), ("add", "extra"), ("mark_down", "node1", "extra"), ("remove", "node3"),
        ("mark_up", "node1"), ("reweigh", "node5", 3.0), ("add", "node3"), ("mark_up", "extra"),
        ("reweigh", "node6", 0.0), ("remove", "node0", "node2"),
    )  # fmt: skip
    for operation, *arguments in history:
        before = router.assign_hashes(h)
        transfer = getattr(router, operation)(*arguments)
        after = router.assign_hashes(h)
        for ids in kept.values():
            moved = transfer.apply(ids, h)
            assert (ids == after).all()
            assert (moved == np.flatnonzero(before != after)).all()
        assert (transfer.moved(h) == np.flatnonzero(before != after)).all()


@every_kind
def test_apply_takes_strided_ids_and_hashes(kind: Kind) -> None:
    """Every second id of an array and every third hash of another are brought up to date."""
    router = kind.make(FIVE)
    h = np.repeat(SPACE, 3)[::3]
    memory = np.full(2 * len(h), 9999, np.uint32)
    ids = memory[::2]
    router.assign_hashes(h, out=ids)
    transfer = router.mark_down("a", "b")
    transfer.apply(ids, h)
    assert ids.tolist() == router.assign_hashes(h).tolist()
    assert (memory[1::2] == 9999).all()


@every_kind
def test_share_is_the_sum_of_the_arcs(kind: Kind) -> None:
    """The share is that of the hash space which the arcs cover."""
    router = kind.make(FIVE)
    for transfer in (router.mark_down("a", "b"), router.add("f"), router.remove("c")):
        covered = sum(end - start + 1 for start, end, *_ in transfer.arcs.tolist())
        assert transfer.share == pytest.approx(covered / 2**64)
        assert sum(transfer.arrivals.values()) == pytest.approx(transfer.share)
        assert sum(transfer.departures.values()) == pytest.approx(transfer.share)


@every_kind
def test_marks_that_change_nothing_keep_the_epoch(kind: Kind) -> None:
    """Down twice, up twice, the same weight again: the epoch stays and the transfer is empty."""
    router = kind.make(FIVE)
    router.mark_down("a")
    for call in (
        lambda: router.mark_down("a"),
        lambda: router.mark_up("b"),
        lambda: router.mark_up("b", "c"),
        lambda: router.reweigh("b", 2.0),
        lambda: router.reweigh("e", 0.0),
    ):
        transfer = call()
        assert router.epoch == 1
        assert (transfer.epoch_before, transfer.epoch) == (1, 1)
        assert not transfer
        assert (len(transfer.arcs), transfer.share) == (0, 0.0)
        assert (transfer.arrivals, transfer.departures) == ({}, {})
        assert transfer.moved(SPACE).tolist() == []
        assert transfer.rows is None or len(transfer.rows) == 0


@every_kind
def test_a_change_that_moves_nothing_is_a_change_all_the_same(kind: Kind) -> None:
    """A drained node that goes down changes the liveness: a new epoch, and nothing moved."""
    router = kind.make(FIVE)
    transfer = router.mark_down("e")
    assert (transfer.epoch_before, transfer.epoch, router.epoch) == (0, 1, 1)
    assert not transfer
    assert router.down == {"e"}


@pytest.mark.parametrize("second", KINDS, ids=str)
@pytest.mark.parametrize("first", KINDS, ids=str)
def test_between_compares_any_two_routers_by_name(first: Kind, second: Kind) -> None:
    """Routers with other ids, other nodes and another strategy are compared by the owners' names."""
    mine = first.make(FOUR, ["b"])
    theirs = second.make({"b": Member()})
    theirs.add("z", "a", "new", "c")
    theirs.remove("c")
    before = first.oracle(mine, first.model(FOUR, ["b"]))
    later = second.model({"b": Member()})
    later.apply([("add", name, 1.0, None) for name in ("z", "a", "new", "c")])
    later.apply([("remove", "c")])
    after = second.oracle(theirs, later)
    sides = [(a, b) for a in (mine, mine.snapshot()) for b in (theirs, theirs.snapshot())]
    for a, b in sides:
        transfer = rw.Transfer.between(a, b)
        assert (transfer.epoch_before, transfer.epoch) == (mine.epoch, theirs.epoch)
        check_transfer(transfer, before, after)
        check_moves(transfer, SPACE, mine, theirs)
        h = rw.hash_keys(KEYS)
        ids = mine.assign_hashes(h)
        transfer.apply(ids, h)
        assert list(transfer.names[ids]) == owners(theirs, h)


@every_kind
def test_between_a_router_and_itself_nothing_moves(kind: Kind) -> None:
    """A router, its snapshot and its copy are the same placement."""
    router = kind.make(FIVE, ["a"])
    for other in (router, router.snapshot(), router.copy()):
        assert not rw.Transfer.between(router, other)
        assert rw.Transfer.between(other, router).share == 0


@every_kind
def test_a_copy_allows_a_dry_run(kind: Kind) -> None:
    """What a change of a copy moves is what the same change of the router moves later."""
    router = kind.make(FIVE)
    before = fingerprint(router)
    trial = router.copy()
    tried = trial.remove("a")
    assert fingerprint(router) == before
    done = router.remove("a")
    assert arcs_by_name(tried) == arcs_by_name(done)
    assert fingerprint(trial) == fingerprint(router)
    assert arcs_by_name(rw.Transfer.between(trial, router)) == []


# ---- change() --------------------------------------------------------------------------------------------


@every_kind
@given(data=st.data(), members=memberships(min_size=1))
@SOME
def test_a_change_is_one_epoch_and_ends_where_its_operations_end(
    kind: Kind, data: st.DataObject, members: dict
) -> None:
    """Several operations in one change() leave the membership that the same ones leave one by one."""
    (change,) = data.draw(histories(members, max_size=1)) or [[("mark_down", min(members))]]
    together, apart = kind.make(members), kind.make(members)
    with together.change() as c:
        for operation, name, *rest in change:
            c.add(rw.Node(name, *rest)) if operation == "add" else getattr(c, operation)(name, *rest)
    for operation in change:
        perform(apart, [operation])
    assert (together.nodes, together.down) == (apart.nodes, apart.down)
    assert together.epoch <= 1
    assert c.transfer.epoch == together.epoch
    assert sorted(together.names) == sorted(apart.names)


@every_kind
def test_nothing_of_a_change_shows_before_it_ends(kind: Kind) -> None:
    """Operations are recorded: until the exit the router answers as before."""
    router = kind.make(FIVE)
    before = fingerprint(router)
    with router.change() as change:
        change.mark_down("a")
        change.add("f", "g")
        change.remove("b")
        change.reweigh("e", 1.0)
        change.mark_up("a")
        change.mark_down("c")
        assert fingerprint(router) == before
    assert router.epoch == 1
    assert sorted(router) == ["a", "c", "d", "e", "f", "g"]
    assert router.down == {"c"}
    assert (change.transfer.epoch_before, change.transfer.epoch) == (0, 1)


@every_kind
def test_a_change_of_liveness_and_membership_is_their_difference(kind: Kind) -> None:
    """The transfer of a mixed change is between the states before and after it, with no step between."""
    router = kind.make(FIVE)
    before = router.snapshot()
    with router.change() as change:
        change.mark_down("a")
        change.add(rw.Node("f", zone="z"))
        change.remove("c")
    check_arcs(change.transfer)
    assert arcs_by_name(change.transfer) == arcs_by_name(rw.Transfer.between(before, router))
    check_moves(change.transfer, SPACE, before, router)


@every_kind
def test_a_change_that_ends_where_it_began_is_none(kind: Kind) -> None:
    """Down and up again within one change, or no operation at all: the epoch stays."""
    router = kind.make(FIVE, ["b"])
    before = fingerprint(router)
    with router.change() as change:
        change.mark_down("a")
        change.reweigh("c", 5.0)
        change.mark_up("a", "b")
        change.reweigh("c", 1.0)
        change.mark_down("b")
    assert not change.transfer
    with router.change() as empty:
        pass
    assert not empty.transfer
    assert (empty.transfer.epoch_before, empty.transfer.epoch) == (1, 1)
    assert fingerprint(router) == before


@every_kind
def test_an_exception_inside_a_change_applies_nothing(kind: Kind) -> None:
    """An error of the caller, of an operation or at the exit leaves the router as it was, and usable."""
    router = kind.make(FIVE)
    before = fingerprint(router)

    def fail(spoil: Any, error: type[BaseException]) -> None:
        with pytest.raises(error), router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
            change.mark_down("a")
            change.add("f")
            spoil(change)
        assert fingerprint(router) == before

    def divide(_: Any) -> float:
        return 1 / 0

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    fail(divide, ZeroDivisionError)
    fail(interrupt, KeyboardInterrupt)
    fail(lambda change: change.remove("unknown"), rw.UnknownNodeError)
    fail(lambda change: change.mark_up("unknown"), rw.UnknownNodeError)
    fail(lambda change: change.add("a"), rw.DuplicateNodeError)
    fail(lambda change: change.add("f"), rw.DuplicateNodeError)
    fail(lambda change: change.reweigh("a", float("nan")), rw.ArgumentError)
    router.mark_down("a")
    assert router.epoch == 1


@every_kind
def test_a_nested_or_a_direct_change_inside_a_change_is_an_error(kind: Kind) -> None:
    """Inside change() the same router can be changed through it alone; nothing is applied."""
    router = kind.make(FIVE)
    before = fingerprint(router)
    for inner in (
        lambda: router.mark_down("b"),
        lambda: router.mark_up("b"),
        lambda: router.add("g"),
        lambda: router.remove("b"),
        lambda: router.reweigh("b", 9.0),
        lambda: router.change().__enter__(),
    ):
        with pytest.raises(rw.ChangeError) as caught, router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
            change.mark_down("a")
            inner()
        assert isinstance(caught.value, RuntimeError)
        assert fingerprint(router) == before
    with router.change() as change:
        change.mark_down("a")
        with pytest.raises(rw.ChangeError):
            router.mark_down("b")
    assert router.down == {"a"}


@every_kind
def test_another_router_may_be_changed_inside_a_change(kind: Kind) -> None:
    """The rule is about the same router: a copy is another one."""
    router = kind.make(FIVE)
    other = router.copy()
    with router.change() as change, other.change() as second:
        change.mark_down("a")
        second.mark_down("b")
    assert (router.down, other.down) == ({"a"}, {"b"})


@every_kind
def test_other_threads_may_change_the_router_meanwhile(kind: Kind) -> None:
    """A change() holds nobody up, and is applied to the state of the moment at which it ends."""
    router = kind.make(FIVE)
    seen: list = []

    def elsewhere() -> None:
        seen.append(router.mark_down("b"))
        with router.change() as theirs:
            theirs.add("f")
        seen.append(theirs.transfer)

    with router.change() as change:
        change.mark_down("a")
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive()
        assert [transfer.epoch for transfer in seen] == [1, 2]
    assert (change.transfer.epoch_before, change.transfer.epoch) == (2, 3)
    assert router.down == {"a", "b"}
    assert "f" in router


@every_kind
def test_a_change_that_another_thread_made_impossible_applies_nothing(kind: Kind) -> None:
    """What was recorded is checked against the state at the exit."""
    router = kind.make(FIVE)
    with pytest.raises(rw.UnknownNodeError), router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
        change.mark_down("b")
        change.reweigh("a", 3.0)
        thread = threading.Thread(target=router.remove, args=("a",))
        thread.start()
        thread.join()
    assert router.epoch == 1
    assert router.down == frozenset()


# ---- snapshots, bytes, pickles, resuming -----------------------------------------------------------------


def same_answers(one: Any, other: Any) -> None:
    """Check that two readers answer alike in all that routers and snapshots share."""
    assert fingerprint(one) == fingerprint(other)
    assert one.hash == other.hash
    assert [one.route(key) for key in KEYS[:50]] == [other.route(key) for key in KEYS[:50]]
    assert [one[key] for key in KEYS[:50]] == [other[key] for key in KEYS[:50]]
    assert [one.candidates(key) for key in KEYS[:50]] == [other.candidates(key) for key in KEYS[:50]]
    assert one.assign(KEYS).tolist() == other.assign(KEYS).tolist()
    assert one.assign(KEYS, count=3).tolist() == other.assign(KEYS, count=3).tolist()
    assert [one.id_of(name) for name in one] == [other.id_of(name) for name in other]
    assert [name in other for name in ("a", "f", "zz")] == [name in one for name in ("a", "f", "zz")]
    assert one.report() == other.report()


def with_history(kind: Kind, **options: Any) -> rw.Router:
    """Return a router with a history: removed and returned names, weights, marks, several epochs."""
    router = kind.make(FIVE, **options)
    router.add("f", "zz")
    router.remove("b", "zz")
    router.mark_down("a")
    router.reweigh("e", 1.5)
    router.add("b")
    router.mark_down("c")
    router.mark_up("a")
    return router


@every_kind
def test_a_snapshot_answers_as_the_router_did_and_is_not_changed_by_it(kind: Kind) -> None:
    """Later changes of the router, of any sort, leave a snapshot as it was."""
    router = with_history(kind)
    twin = router.copy()
    snapshot = router.snapshot()
    same_answers(snapshot, twin)
    router.mark_down("f")
    router.remove("a")
    router.add("new")
    same_answers(snapshot, twin)
    assert snapshot.epoch == twin.epoch == router.epoch - 3
    assert snapshot.strategy == kind.strategy.__name__


@every_kind
def test_a_snapshot_tells_its_options(kind: Kind) -> None:
    """Snapshot.options is a dict that holds what the router was made with."""
    options = with_history(kind).snapshot().options
    assert isinstance(options, dict)
    assert options.items() >= kind.options.items()


@every_kind
@pytest.mark.parametrize("family", ["XXH3", "SipHash", "Multiplicative"])
def test_the_byte_form_gives_the_same_answers(kind: Kind, family: str) -> None:
    """from_bytes(to_bytes()) routes and assigns like the router at that epoch."""
    made = {
        "XXH3": rw.XXH3(seed=77),
        "SipHash": rw.SipHash(bytes(range(16))),
        "Multiplicative": rw.Multiplicative(10, 2**61 - 1),
    }[family]
    router = with_history(kind, hash=made)
    data = router.snapshot().to_bytes()
    assert type(data) is bytes
    again = rw.Snapshot.from_bytes(data, hash=made)
    same_answers(again, router)
    assert again.strategy == kind.strategy.__name__
    assert again.options == router.snapshot().options
    assert again.to_bytes() == data
    if family != "SipHash":
        same_answers(rw.Snapshot.from_bytes(data), router)


@every_kind
def test_the_byte_form_never_holds_a_siphash_key(kind: Kind) -> None:
    """No piece of the key is in the bytes."""
    key16 = bytes.fromhex("8badf00ddeadbeeffeedfacecafed00d")
    data = with_history(kind, hash=rw.SipHash(key16)).snapshot().to_bytes()
    for start in range(13):
        assert key16[start : start + 4] not in data
        assert key16[start : start + 4][::-1] not in data


@every_kind
def test_the_byte_form_needs_no_pickle(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither way of the byte form pickles or unpickles anything."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickled")

    for name in ("dumps", "loads", "dump", "load", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    data = with_history(kind).snapshot().to_bytes()
    assert rw.Snapshot.from_bytes(data).epoch == 7


@every_kind
@given(data=st.data(), members=memberships(min_size=0, max_size=5))
@FEW
def test_any_state_survives_its_byte_form(kind: Kind, data: st.DataObject, members: dict) -> None:
    """After any history the bytes give the same fingerprint, failover orders and next changes."""
    router = kind.make(members)
    for change in data.draw(histories(members)):
        perform(router, change)
    again = rw.Snapshot.from_bytes(router.snapshot().to_bytes())
    assert fingerprint(again) == fingerprint(router)
    resumed = kind.strategy.resume(again)
    assert fingerprint(resumed) == fingerprint(router)
    nodes = {node.name: Member(node.weight, node.zone) for node in router.nodes}
    for change in data.draw(histories(nodes, max_size=2)):
        perform(router, change)
        perform(resumed, change)
        assert fingerprint(resumed) == fingerprint(router)


@every_kind
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_routers_and_snapshots_pickle(kind: Kind, protocol: int) -> None:
    """Both come back with the same answers, and a router goes on from there on its own."""
    router = with_history(kind, hash=rw.SipHash(bytes(range(16))))
    again = pickle.loads(pickle.dumps(router, protocol))
    assert type(again) is type(router)
    same_answers(again, router)
    snapshot = pickle.loads(pickle.dumps(router.snapshot(), protocol))
    same_answers(snapshot, router)
    again.mark_down("f")
    router.mark_down("f")
    same_answers(again, router)


@every_kind
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda router: router.copy()])
def test_copies_are_independent(kind: Kind, how: Any) -> None:
    """A copy has the epoch, ids and answers of its router; changes of one don't show in the other."""
    router = with_history(kind)
    other = how(router)
    assert type(other) is type(router)
    same_answers(other, router)
    before = fingerprint(router)
    other.remove("f")
    other.add("another")
    assert fingerprint(router) == before
    after = fingerprint(other)
    router.mark_down("d")
    assert fingerprint(other) == after


@every_kind
def test_resume_goes_on_with_epochs_and_ids(kind: Kind) -> None:
    """A resumed router continues the epochs, keeps old ids for old names and makes the same changes."""
    router = with_history(kind)
    resumed = kind.strategy.resume(rw.Snapshot.from_bytes(router.snapshot().to_bytes()))
    assert type(resumed) is kind.strategy
    same_answers(resumed, router)
    for operation, *arguments in (
        ("add", "zz", "aaa"), ("mark_up", "c"), ("remove", "a"), ("reweigh", "b", 2.0), ("add", "a"),
    ):  # fmt: skip
        mine = getattr(router, operation)(*arguments)
        theirs = getattr(resumed, operation)(*arguments)
        assert (mine.epoch_before, mine.epoch) == (theirs.epoch_before, theirs.epoch)
        assert arcs_by_name(mine) == arcs_by_name(theirs)
        same_answers(resumed, router)
    assert resumed.id_of("zz") == list(router.names).index("zz") == 6
    assert resumed.id_of("aaa") == 7


@every_kind
def test_resume_takes_the_hash_of_the_snapshot_unless_told(kind: Kind) -> None:
    """hash= of resume is that of the snapshot; another one that differs is refused."""
    family = rw.SipHash(bytes(range(16)))
    snapshot = with_history(kind, hash=family).snapshot()
    assert kind.strategy.resume(snapshot).hash == family
    assert kind.strategy.resume(snapshot, hash=family).hash == family
    with pytest.raises((rw.SnapshotError, rw.ArgumentError)):
        kind.strategy.resume(snapshot, hash=rw.XXH3())


@every_kind
def test_resume_refuses_the_snapshot_of_another_strategy(kind: Kind) -> None:
    """A snapshot goes on as what it was."""
    snapshot = with_history(kind).snapshot()
    for other in {rw.HashRing, rw.PartitionedRing, rw.PartitionTable, rw.PrimaryBackup}:
        if other is not kind.strategy:
            with pytest.raises(rw.RingwardError):
                other.resume(snapshot)


# ---- what is shown -------------------------------------------------------------------------------------


@every_kind
def test_the_report_is_a_frozen_value_that_prints(kind: Kind) -> None:
    """report() is a frozen dataclass of the current liveness, with to_dict()."""
    router = with_history(kind)
    report = router.report()
    assert dataclasses.is_dataclass(report)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(report, dataclasses.fields(report)[0].name, None)
    assert isinstance(report.to_dict(), dict)
    assert str(report)
    assert report == router.report()
    router.mark_down("a", "d")
    assert report != router.report()


@every_kind
def test_explain_and_the_html_form_name_the_owner_and_the_members(kind: Kind) -> None:
    """explain(key) says who owns the key, and the HTML form escapes names."""
    router = with_history(kind)
    router.add("<script>")
    for key in KEYS[:5]:
        assert router.route(key) in str(router.explain(key))
    for reader in (router, router.snapshot()):
        assert isinstance(reader._repr_html_(), str)
        assert "<script>" not in reader._repr_html_()


def test_a_node_is_a_frozen_value() -> None:
    """Node has a name, a weight of 1.0 and no zone unless told, and cannot be changed."""
    node = rw.Node("a")
    assert (node.name, node.weight, node.zone) == ("a", 1.0, None)
    assert node == rw.Node("a", weight=1, zone=None)
    assert hash(node) == hash(rw.Node("a"))
    assert node != rw.Node("a", zone="z")
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.weight = 2.0


@of_rings
def test_nodes_of_a_router_can_make_the_same_router_again(kind: Kind) -> None:
    """router.nodes is in the form in which nodes are given."""
    router = kind.make(FIVE)
    again = kind.strategy(router.nodes, **kind.options)
    assert fingerprint(again) == fingerprint(router)
    assert again.nodes == tuple(as_nodes(dict(sorted(FIVE.items()))))
