"""Balance, movement and memory: exact figures, the same on every machine but for memory."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
from harness.catalogue import works_of
from harness.declare import Case, Written
from harness.markdown import table

import ringward as rw
from routing.tables import DOCUMENT
from routing.workload import NODES, POINTS_PER_NODE, hashes, node_names

CLUSTERS = 20  # sets of names: one set alone is luck
KEYS = 1_000_000
RANDOM_POINTS = {10: 1.12, 100: 1.20, 1_000: 1.24}  # max/mean expected of 160 random points a node
MULTIPLIERS = {
    "`XXH3()`": rw.XXH3(),
    "`Multiplicative(0x9E3779B97F4A7C15, 2**61 - 1)`": rw.Multiplicative(0x9E3779B97F4A7C15, 2**61 - 1),
    "`Multiplicative(31, 2**61 - 1)`": rw.Multiplicative(31, 2**61 - 1),
    "`Multiplicative(31, 1_000_003)`": rw.Multiplicative(31, 1_000_003),
}
PATTERNS = {
    "0, 1, 2, ...": 1,
    "multiples of 1,000": 1_000,
    "multiples of 2^20": 2**20,
}
BALANCE = ("max/mean", "optimum", "one failure moves, mean", "at most", "optimum of the mean")
MEMORY = (
    "built",
    "bytes",
    "direct table, made by the first large column",
    "a state with a node down adds, once a short column is routed",
)


def parts(head, rows):
    """Each row as the figures of a part, already told: they are exact."""
    return {label: dict(zip(head, cells, strict=True)) for label, *cells in rows}


def balance_rows(nodes):
    """HashRing, PartitionedRing and PartitionTable of one size: max/mean, std, movement on one failure."""
    optimum = f"{RANDOM_POINTS[nodes]:.2f}"
    rows = []
    rings = [
        rw.HashRing([f"c{c}-node{i}" for i in range(nodes)], points_per_node=POINTS_PER_NODE).report()
        for c in range(CLUSTERS if nodes <= 100 else 5)
    ]
    largest = sorted(report.balance_max for report in rings)
    rows.append((
        f"`HashRing`, {nodes:,} nodes, {len(rings)} sets of names",
        f"{np.median(largest):.3f} ({largest[0]:.3f} to {largest[-1]:.3f})",
        optimum,
        *movement(rings),
    ))  # fmt: skip
    for partitions in (4096, 65_536):
        report = rw.PartitionTable(node_names(nodes), partitions=partitions).report()
        exact = -(-partitions // nodes) * nodes / partitions
        rows.append((
            f"`PartitionTable`, {nodes:,} nodes, {partitions:,} partitions",
            f"{report.balance_max:.3f}",
            f"{exact:.3f}",
            *movement([report]),
        ))  # fmt: skip
    return rows


def movement(reports):
    mean = np.mean([report.moved_on_failure_mean for report in reports])
    most = max(report.moved_on_failure_max for report in reports)
    return f"{mean:.3%}", f"{most:.3%}", f"{reports[0].moved_on_failure_optimal:.3%}"


def balance(effort):
    """Balance and movement."""
    return parts(
        BALANCE, [row for nodes in list(RANDOM_POINTS)[: 1 if effort.quick else None] for row in balance_rows(nodes)]
    )


def patterns(_effort):
    """Keys in arithmetic progression: the busiest of 100 nodes, in keys, by hash family."""
    rows = []
    for name, family in MULTIPLIERS.items():
        ring = rw.HashRing(node_names(100), points_per_node=POINTS_PER_NODE, hash=family)
        loads = []
        for step in PATTERNS.values():
            keys = np.arange(KEYS, dtype=np.uint64) * np.uint64(step)
            counts = np.bincount(ring.assign(keys), minlength=100)
            loads.append(f"{counts.max() / counts.mean():.3f}")
        rows.append((name, *loads))
    return parts(tuple(PATTERNS), rows)


def memory(_effort):
    """Bytes that routers hold on to, by tracemalloc (NumPy reports its buffers to it)."""
    hashes()  # made before anything is counted
    rows = []
    for nodes in (10, NODES, 10 * NODES):
        before, ring = held(lambda nodes=nodes: rw.HashRing(node_names(nodes), points_per_node=POINTS_PER_NODE))
        points = nodes * POINTS_PER_NODE
        after, _ = held(lambda ring=ring: ring.assign_hashes(hashes(), out=np.empty(len(hashes()), np.uint32)) is None)
        down, _ = held(lambda ring=ring: with_one_down(ring))
        rows.append((
            f"`HashRing`, {nodes:,} nodes × {POINTS_PER_NODE}",
            megabytes(before), f"{before / points:.1f} a point",
            f"{megabytes(after)}, {after / points:.1f} a point",
            megabytes(down),
        ))  # fmt: skip
    for partitions, replicas in ((4096, 1), (65_536, 3), (2**20, 1)):
        size, table = held(
            lambda p=partitions, r=replicas: rw.PartitionTable(node_names(NODES), partitions=p, replicas=r)
        )
        down, _ = held(lambda table=table: with_one_down(table))
        rows.append((
            f"`PartitionTable`, {NODES:,} nodes, {partitions:,} × {replicas}",
            megabytes(size), f"{size / partitions:.1f} a partition", "none", megabytes(down),
        ))  # fmt: skip
    return parts(MEMORY, rows)


def with_one_down(router):
    """The change, and a column, which has what the change put off compiled."""
    transfer = router.mark_down("node1")
    router.assign_hashes(hashes()[:10])
    return transfer


def held(make):
    """How many bytes `make` leaves behind, and what it returned."""
    gc.collect()
    tracemalloc.start()
    result = make()
    gc.collect()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return size, result


def megabytes(size):
    return f"{size / 1e6:.2f} MB"


def as_table(marker, first, case):
    """The table of what was told."""

    def write(results):
        rows = {
            row.partition("[")[2][:-1]: results.runs(row)[-1] for row in results if row.startswith(f"{work(case)}[")
        }
        return table((first, *next(iter(rows.values()))), [(label, *told.values()) for label, told in rows.items()])

    return Written(DOCUMENT, marker, write, {work(case, SOME[case])})


CASES = {
    "balance": Case(balance, runs_most=1),
    "patterns": Case(patterns, runs_most=1),
    "memory": Case(memory, runs_most=1),
}
work = works_of(__file__)
SOME = {
    "balance": "`PartitionTable`, 10 nodes, 4,096 partitions",
    "patterns": "`XXH3()`",
    "memory": f"`HashRing`, 10 nodes × {POINTS_PER_NODE}",
}
TABLES = [
    as_table("balance", "placement", "balance"),
    as_table("patterns", "hash", "patterns"),
    as_table("memory", "router", "memory"),
]
