"""Building routers and changing them, beside sorting as many numbers as a ring of 1,000 nodes has points."""

from __future__ import annotations

import numpy as np
import pytest
from harness.catalogue import works_of
from harness.declare import Ratio, Row, Table

import ringward as rw
from routing.tables import DOCUMENT, SORT, bounds, milliseconds
from routing.workload import NODE_COUNTS, NODES, ONE_THREAD, POINTS_PER_NODE, hash_ring, hashes, integers, node_names

ROUNDS_BUILD = 15
ROUNDS_CHANGE = 60
PARTITIONS = 65_536
REPLICAS = 3
CHANGES = 100


def nothing(_ring):
    """Prepare a ring for changes that need no preparation."""


# name → (what happens before, outside the time; what is timed)
RING_CHANGES = {
    "add": (nothing, lambda ring: ring.add("node-new")),
    "remove": (nothing, lambda ring: ring.remove("node500")),
    "mark_down": (nothing, lambda ring: ring.mark_down("node500")),
    "mark_up": (lambda ring: ring.mark_down("node500"), lambda ring: ring.mark_up("node500")),
    "mark_down_of_100_down": (
        lambda ring: ring.mark_down(*(f"node{i}" for i in range(100))),
        lambda ring: ring.mark_down("node500"),
    ),
}


def sort_reference(benchmark):
    """`np.sort` of 160,000 uint64."""
    numbers = integers(NODES * POINTS_PER_NODE)
    benchmark.pedantic(np.sort, args=(numbers,), rounds=ROUNDS_CHANGE, warmup_rounds=2)


@pytest.mark.benchmark(group="build")
def bench_sort(benchmark):
    sort_reference(benchmark)


@pytest.mark.benchmark(group="build")
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_build_ring(benchmark, nodes):
    names = node_names(nodes)
    benchmark.pedantic(rw.HashRing, args=(names,), rounds=ROUNDS_BUILD, warmup_rounds=1)


@pytest.mark.benchmark(group="build")
@pytest.mark.parametrize("change", RING_CHANGES)
@pytest.mark.parametrize("nodes", [NODES, 10 * NODES])
def bench_change_ring(benchmark, change, nodes):
    """One change of a ring that was just copied; the copy is not timed."""
    prepare, act = RING_CHANGES[change]
    template = hash_ring(nodes).copy()
    prepare(template)
    benchmark.pedantic(act, setup=lambda: ((template.copy(),), {}), rounds=ROUNDS_CHANGE, warmup_rounds=2)


@pytest.mark.benchmark(group="build")
@pytest.mark.parametrize("change", ["add", "remove", "mark_down"])
@pytest.mark.parametrize("nodes", [NODES, 10 * NODES])
def bench_settled_ring(benchmark, change, nodes):
    """A change and the first column after it, of one key: what compiling the changed ring costs on top."""
    act = RING_CHANGES[change][1]
    one = hashes()[:1]

    def settled(ring):
        act(ring)
        ring.assign_hashes(one)

    benchmark.pedantic(settled, setup=lambda: ((hash_ring(nodes).copy(),), {}), rounds=ROUNDS_CHANGE, warmup_rounds=2)


@pytest.mark.benchmark(group="build")
@pytest.mark.parametrize("change", ["add", "remove"])
def bench_arcs(benchmark, change):
    """Finding the arcs of a change, which happens when they are first asked for."""
    act = RING_CHANGES[change][1]
    benchmark.pedantic(
        lambda transfer: transfer.arcs,
        setup=lambda: ((act(hash_ring().copy()),), {}),
        rounds=ROUNDS_BUILD,
    )


@pytest.mark.benchmark(group="build")
def bench_direct_table(benchmark):
    """The direct table of a new state, built by the first large column: a whole call less a warm one is its price."""
    few = hashes(4 * NODES * POINTS_PER_NODE)
    out = np.zeros(len(few), np.uint32)

    def setup():
        ring = hash_ring().copy()
        ring.add("node-new")
        return (ring,), {}

    benchmark.pedantic(lambda ring: ring.assign_hashes(few, out=out, **ONE_THREAD), setup=setup, rounds=ROUNDS_BUILD)


@pytest.mark.benchmark(group="build")
def bench_snapshot_bytes(benchmark):
    snapshot = hash_ring().snapshot()
    benchmark.pedantic(snapshot.to_bytes, rounds=ROUNDS_BUILD, warmup_rounds=1)


@pytest.mark.benchmark(group="build, partition table")
def bench_sort_beside_partition_table(benchmark):
    sort_reference(benchmark)


@pytest.mark.benchmark(group="build, partition table")
def bench_build_partition_table(benchmark):
    names = node_names(NODES)
    benchmark.pedantic(
        lambda: rw.PartitionTable(names, partitions=PARTITIONS, replicas=REPLICAS), rounds=3, warmup_rounds=1
    )


def hundred_changes(table):
    """Fifty nodes go, fifty others come, in turn."""
    for i in range(CHANGES // 2):
        table.remove(f"node{7 * i}")
        table.add(f"node-new{i}")


@pytest.mark.benchmark(group="build, partition table")
def bench_hundred_changes_of_partition_table(benchmark):
    table = rw.PartitionTable(node_names(NODES), partitions=PARTITIONS, replicas=REPLICAS)
    benchmark.pedantic(hundred_changes, setup=lambda: ((table.copy(),), {}), rounds=1)


work = works_of(__file__)
SORTING = work("bench_sort")
TOLD = {
    "add": "`add` one node",
    "remove": "`remove` one node",
    "mark_down": "`mark_down` one node",
    "mark_up": "`mark_up` it again",
    "mark_down_of_100_down": "`mark_down` one node, 100 others down",
}


def changes(*rows):
    """The table of changes, of (label, work)."""
    told = [Row(label, Ratio(of, SORTING), milliseconds(of)) for label, of in rows]
    return Table(DOCUMENT, "changes", ("change", f"× {SORT}", "least"), told)


def of_size(nodes):
    """Changes of a ring of so many nodes."""
    return [
        *((f"{told}, {nodes:,} nodes", work("bench_change_ring", f"{nodes}-{name}")) for name, told in TOLD.items()),
        *(
            (
                f"{TOLD[name]} and route a column of one key, {nodes:,} nodes",
                work("bench_settled_ring", f"{nodes}-{name}"),
            )
            for name in ("add", "remove", "mark_down")
        ),
    ]


TABLES = [
    bounds(
        ("build 1,000 nodes × 160 points", SORT, Ratio(work("bench_build_ring", "1000"), SORTING, at_most=20)),
        ("add one node to 1,000, and compile the ring for columns", SORT,
         Ratio(work("bench_settled_ring", "1000-add"), SORTING, at_most=1)),
        ("remove one node of 1,000, and the same", SORT,
         Ratio(work("bench_settled_ring", "1000-remove"), SORTING, at_most=1)),
    ),
    changes(
        *((f"build {n:,} nodes × 160 points", work("bench_build_ring", str(n))) for n in NODE_COUNTS),
        *of_size(NODES),
        *of_size(10 * NODES),
        ("the arcs of an addition, when first asked for", work("bench_arcs", "add")),
        ("first column of 640,000 hashes after a change: direct table and lookup", work("bench_direct_table")),
        ("`snapshot().to_bytes()`, 1,000 nodes", work("bench_snapshot_bytes")),
        ("build a partition table, 1,000 × 65,536 × 3", work("bench_build_partition_table")),
        ("100 membership changes of it", work("bench_hundred_changes_of_partition_table")),
    ),
]  # fmt: skip
