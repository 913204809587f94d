"""Arcs that are found where a change happened are those of dividing the whole hash space twice."""

from __future__ import annotations

import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import COLLIDING
from strategies import SOME

import ringward as rw
from ringward import transfer as transfers
from ringward._core import ARC, NO_NODE, ArcIndex, difference

NAMES = [f"node{i}" for i in range(30)] + list(COLLIDING)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "mark_down", "mark_up", "reweigh", "settle", "replace"]),
        st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True),
        st.sampled_from([0.0, 0.5, 1.0, 2.0]),
    ),
    max_size=10,
)


def perform(router: rw.Router, kind: str, names: list[str], weight: float) -> rw.Transfer | None:
    """The change, of those names that it applies to."""
    inside = [name for name in names if name in router]
    outside = [rw.Node(name, weight) for name in names if name not in router]
    if kind == "settle":
        router.assign_hashes(np.arange(3, dtype=np.uint64)) if router._state.table.live else None
        return None
    if kind == "add":
        return router.add(*outside) if outside else None
    if not inside:
        return None
    if kind == "reweigh":
        return router.reweigh(inside[0], weight)
    if kind == "replace":
        with router.change() as change:
            change.mark_up(*inside)
            change.remove(inside[0])
            for node in outside:
                change.add(node)
            change.mark_down(*[node.name for node in outside], *inside[1:]) if outside or inside[1:] else None
        return change.transfer
    return getattr(router, kind)(*inside)


@pytest.mark.parametrize(
    "make",
    [
        lambda nodes: rw.HashRing(nodes, points_per_node=6),
        lambda nodes: rw.HashRing(nodes, points_per_node=6, spread="zone"),
        lambda nodes: rw.PartitionedRing(nodes, points_per_node=6, part_size=4),
        lambda nodes: rw.PartitionTable(nodes, partitions=97, replicas=2),
        lambda nodes: rw.PartitionTable(nodes, partitions=2),
        lambda nodes: rw.PartitionTable(nodes, partitions=1),
    ],
    ids=["ring", "zones", "parts", "table", "two", "one"],
)
@given(first=st.lists(st.sampled_from(NAMES), unique=True), steps=STEPS)
@SOME
def test_arcs_are_the_difference_of_both_divisions(make: Any, first: list[str], steps: list) -> None:
    """After every change of every kind, single or joined, on tables that are compiled or not."""
    router = make(first)
    for step in steps:
        transfer = perform(router, *step)
        if transfer is None:
            continue
        arcs = transfer.arcs.copy()
        before, after = transfer._before.table.arcs(), transfer._after.table.arcs()
        expected = difference(*before, *after) if transfer.epoch != transfer.epoch_before else arcs[:0]
        assert arcs.tolist() == expected.tolist()


def test_a_change_is_found_where_it_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole space was divided twice for each, or all points compared: it took longer than routing the column again."""
    hashes = rw.hash_keys(np.arange(10_000))
    for router in (
        rw.HashRing([f"n{i}" for i in range(300)]),
        rw.PartitionedRing([f"n{i}" for i in range(300)], part_size=8),
        rw.PartitionTable([f"n{i}" for i in range(300)]),
    ):
        ids = router.assign_hashes(hashes)
        monkeypatch.setattr(transfers, "difference", None)
        monkeypatch.setattr(transfers, "owner_moves", None)
        for change in (router.mark_down, router.mark_up, router.mark_down):
            change("n7").apply(ids, hashes)
        router.add("new").apply(ids, hashes)
        router.remove("n5").apply(ids, hashes)
        router.reweigh("n6", 2.0).apply(ids, hashes)
        monkeypatch.undo()
        assert (ids == router.assign_hashes(hashes)).all()


@pytest.mark.parametrize(
    ("make", "nodes", "quick"),
    [
        (rw.HashRing, 1_024, ["mark_down", "mark_up"]),
        (lambda names: rw.PartitionedRing(names, part_size=8), 4_096, ["mark_down", "mark_up"]),
        (lambda names: rw.PartitionTable(names, partitions=128 * len(names), replicas=3), 1_024, ["mark_down"]),
    ],
    ids=["ring", "parts", "table"],
)
def test_the_first_apply_takes_less_than_routing_the_column_again(make: Any, nodes: int, quick: list[str]) -> None:
    """On a ring of 1,024 nodes it took five times as long, with 4,096 nodes in parts twice, on a table half as long again."""
    names = [f"n{i}" for i in range(nodes)]
    hashes = rw.hash_keys(np.arange(86_466))
    router = make(names)
    ids = router.assign_hashes(hashes)
    applied: dict[str, list[float]] = {"mark_down": [], "mark_up": []}
    routed = []
    for name in names[:6]:
        for change, taken in applied.items():
            transfer = getattr(router, change)(name)
            began = time.process_time()
            transfer.apply(ids, hashes, threads=1)
            taken.append(time.process_time() - began)
            router.assign_hashes(hashes[:1])  # compiles
            began = time.process_time()
            again = router.assign_hashes(hashes, threads=1)
            routed.append(time.process_time() - began)
            assert (ids == again).all()
    assert all(min(applied[change]) < min(routed) for change in quick)


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (64, 3), (97, 2), (4_096, 1)], ids=str)
@given(
    first=st.lists(st.sampled_from(NAMES), unique=True, max_size=12),
    steps=STEPS,
    width=st.sampled_from([np.uint16, np.uint32, np.int64]),
    seed=st.integers(0, 2**32 - 1),
)
@SOME
def test_partitions_tell_what_arcs_tell(
    shape: tuple[int, int], first: list[str], steps: list, width: Any, seed: int
) -> None:
    """After every change, at the ends of partitions, for ids that are right and wrong, whatever is asked first."""
    partitions, replicas = shape
    rng = np.random.default_rng(seed)
    table = rw.PartitionTable(first, partitions=partitions, replicas=replicas)
    starts = np.array([-(-p * 2**64 // partitions) for p in range(partitions)], np.uint64)
    hashes = np.concatenate([starts, starts - np.uint64(1), rng.integers(0, 2**64, 1_500, dtype=np.uint64)])
    nobody = np.iinfo(width).max
    for step in steps:
        before = table._state.table
        transfer = perform(table, *step)
        if transfer is None or transfer.epoch == transfer.epoch_before:
            continue
        owners = before.owners[[int(h) * len(before.owners) >> 64 for h in hashes]]
        owners = np.where(rng.random(len(hashes)) < 0.1, rng.integers(0, 5, len(hashes), dtype=np.uint32), owners)
        ids = np.where(owners == NO_NODE, nobody, owners.astype(np.int64)).astype(width)
        expected, index = ids.copy(), ArcIndex(transfer.arcs)
        written = index.apply(expected, hashes, 1)
        if rng.random() < 0.5:
            assert transfer.moved(hashes).tolist() == index.moved(hashes, 1).tolist()
        assert transfer.apply(ids, hashes).tolist() == written.tolist()
        assert ids.tolist() == expected.tolist()
        assert transfer.moved(hashes).tolist() == index.moved(hashes, 1).tolist()
        assert transfer.apply(ids, hashes).tolist() == index.apply(expected, hashes, 1).tolist()
        assert ids.tolist() == expected.tolist()


@pytest.mark.parametrize("marked", [1, 2, 4, 5, 60])
def test_a_table_that_was_resumed_tells_what_moved(marked: int) -> None:
    """For few and many nodes, with no arc asked for; several threads that ask at once are told the same."""
    names = [f"n{i}" for i in range(120)]
    hashes = rw.hash_keys(np.arange(20_000))
    first = rw.PartitionTable(names, partitions=10_000, replicas=2)
    table = rw.PartitionTable.resume(rw.Snapshot.from_bytes(first.snapshot().to_bytes()))
    for change in (table.mark_down, table.mark_up):
        ids = table.assign_hashes(hashes)
        transfer = change(*names[:marked])
        expected = table.assign_hashes(hashes)
        with ThreadPoolExecutor(4) as pool:
            columns = [ids.copy() for _ in range(4)]
            moved = [pool.submit(transfer.moved, hashes) for _ in columns]
            written = [pool.submit(transfer.apply, column, hashes, threads=2) for column in columns]
        assert "arcs" not in vars(transfer)
        for indices in (*moved, *written):
            assert indices.result().tolist() == np.flatnonzero(ids != expected).tolist()
        assert all((column == expected).all() for column in columns)
        assert pickle.loads(pickle.dumps(transfer)).apply(ids, hashes).tolist() == written[0].result().tolist()


@pytest.mark.parametrize("partitions", [1, 2, 127, 128, 129, 4096, 70_001])
@pytest.mark.parametrize("nodes", [3, 40])
def test_tables_of_all_sizes_are_compared_to_their_ends(partitions: int, nodes: int) -> None:
    """Owners are compared in blocks: the first and the last partition of each, and whole blocks that differ."""
    table = rw.PartitionTable([f"n{i}" for i in range(nodes)], partitions=partitions)
    for down in ([f"n{i}" for i in range(nodes - 1)], [f"n{nodes - 1}"]):
        before, transfer = table.snapshot(), table.mark_down(*down)
        owners = [view._state.table.owners for view in (before, table)]
        arcs = transfer.arcs
        starts = -(-np.arange(partitions, dtype=object) * 2**64 // partitions)
        inside = [
            bool(((arcs["start"] <= start) & (start <= arcs["end"])).any())
            for start in starts[:: max(1, partitions // 500)]
        ]
        assert inside == (owners[0] != owners[1])[:: max(1, partitions // 500)].tolist()
        table.mark_up(*down)


@given(
    arcs=st.integers(0, 40),
    seed=st.integers(0, 2**32 - 1),
    sources=st.integers(1, 9),
    width=st.sampled_from([np.uint16, np.uint32, np.int64]),
)
@SOME
def test_an_index_of_arcs_finds_what_a_plain_search_finds(arcs: int, seed: int, sources: int, width: Any) -> None:
    """At all ends of arcs, narrow and wide ones, for few and many sources, and with NO_NODE on either side."""
    rng = np.random.default_rng(seed)
    edges = np.unique(
        rng.integers(0, 2**64, 2 * arcs, dtype=np.uint64) >> rng.integers(0, 60, 2 * arcs, dtype=np.uint64)
    )
    made = np.zeros(len(edges) // 2, ARC)
    made["start"], made["end"] = edges[0 : 2 * len(made) : 2], edges[1 : 2 * len(made) : 2]
    ids_there = np.array([*range(sources - 1), NO_NODE], np.uint64)
    made["source"], made["target"] = (
        rng.choice(ids_there, len(made)),
        rng.choice(np.array([70, 71, NO_NODE], np.uint64), len(made)),
    )
    hashes = np.concatenate(
        [edges, edges + np.uint64(1), edges - np.uint64(1), rng.integers(0, 2**64, 3000, dtype=np.uint64)]
    )
    nobody = np.iinfo(width).max
    ids = rng.choice(ids_there, len(hashes))
    ids = np.where(ids == NO_NODE, np.uint64(nobody), ids).astype(width)
    inside = (made["start"][:, None] <= hashes) & (hashes <= made["end"][:, None])
    arc = np.where(inside.any(axis=0), inside.argmax(axis=0) if len(made) else 0, -1)
    source, target = (np.append(made[end], np.uint64(0))[arc] for end in ("source", "target"))
    moves = (arc >= 0) & (np.where(source == NO_NODE, np.uint64(nobody), source) == ids.astype(np.uint64))
    index = ArcIndex(made)
    assert index.moved(hashes, 1).tolist() == np.flatnonzero(arc >= 0).tolist()
    expected = np.where(moves, np.where(target == NO_NODE, np.uint64(nobody), target), ids.astype(np.uint64)).astype(
        width
    )
    assert index.apply(ids, hashes, 1).tolist() == np.flatnonzero(moves).tolist()
    assert ids.tolist() == expected.tolist()
    named = np.append(made["source"], made["target"])
    assert index.largest == named[named != NO_NODE].max(initial=0)


def test_a_ring_whose_heavy_node_is_down_still_tells_what_moves() -> None:
    """Its points are passed over one by one as long as that is faster than dividing the space."""
    ring = rw.HashRing({"heavy": 2_000.0, **{f"n{i}": 1.0 for i in range(20)}}, points_per_node=20)
    hashes = rw.hash_keys(np.arange(20_000))
    ids = ring.assign_hashes(hashes)
    for change, name in (("mark_down", "heavy"), ("mark_down", "n1"), ("mark_up", "n1"), ("mark_up", "heavy")):
        getattr(ring, change)(name).apply(ids, hashes)
        assert (ids == ring.assign_hashes(hashes)).all()


@pytest.mark.parametrize("kept", [False, True], ids=["here", "pickled"])
def test_nobody_can_write_to_what_a_transfer_goes_by(kept: bool) -> None:
    """Whoever did, in place, had another share, and `apply` moved other keys."""
    table = rw.PartitionTable(NAMES[:5], partitions=64, replicas=2)
    transfer = table.add("new")
    if kept:
        transfer = pickle.loads(pickle.dumps(transfer))
    assert transfer.rows is not None
    for array, field in ((transfer.arcs, "target"), (transfer.rows, "target"), (transfer.arcs, "end")):
        with pytest.raises(ValueError, match="read-only"):
            array[field] = 0
    with pytest.raises(ValueError, match="read-only"):
        transfer.names[0] = "other"
    ordered = np.sort(transfer.arcs, order="target")  # a copy is anybody's
    ordered["target"] = 0


def test_two_secret_keys_are_told_apart_without_being_told() -> None:
    """The error was that a hash must be the one that it was."""
    first, second = (rw.HashRing(["a"], hash=rw.SipHash(bytes([i] * 16))) for i in range(2))
    with pytest.raises(rw.ArgumentError, match=r"hashed by SipHash\(.*\), with the same key, as before is"):
        rw.Transfer.between(first, second)
    with pytest.raises(rw.ArgumentError, match=r"hashed by SipHash\(key=<secret>, rounds=\(1, 3\)\), as before is"):
        rw.Transfer.between(first, rw.HashRing(["a"]))
