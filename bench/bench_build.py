"""Building routers and changing them, beside sorting as many numbers as a ring of 1,000 nodes has points."""

from __future__ import annotations

import numpy as np
import pytest
from workload import NODE_COUNTS, NODES, ONE_THREAD, POINTS_PER_NODE, hash_ring, hashes, integers, node_names

import ringward as rw

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
