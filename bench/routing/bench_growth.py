"""How the cost grows with nodes and keys.

Each number of nodes has a process of its own, which builds a ring, tells what memory it holds and
times columns of 1e3 to 1e8 uint64 keys (800 MB) beside `np.copyto` of the same keys.
"""

from __future__ import annotations

import gc
import re
import tracemalloc
from functools import partial
from pathlib import Path
from time import perf_counter_ns

import numpy as np
from harness.catalogue import works_of
from harness.declare import Case, Written
from harness.markdown import short, table

import ringward as rw
from routing.tables import DOCUMENT
from routing.workload import POINTS_PER_NODE, node_names

NODES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
KEYS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
QUICK_NODES, QUICK_KEYS = 100, (10**3, 10**4)
ROUND_S = 0.02  # short calls are repeated until a round takes this long
ROUNDS_S = 1.0  # for all rounds of one measurement
ROUNDS = (3, 15)
ENOUGH = 4_000_000  # lookups after which a ring has its direct table, if it is to have one
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
VISIBLE = 1_000_000  # bytes; less drowns in what the allocator keeps


def least_ns(call, count):
    """Nanoseconds a key, the least of the rounds that the time allows."""
    call()
    start = perf_counter_ns()
    call()
    once_s = (perf_counter_ns() - start) * 1e-9
    repeats = max(1, int(ROUND_S / once_s))
    rounds = min(ROUNDS[1], max(ROUNDS[0], int(ROUNDS_S / (repeats * once_s))))
    return min(timed(call, repeats) for _ in range(rounds)) / repeats / count


def timed(call, repeats):
    start = perf_counter_ns()
    for _ in range(repeats):
        call()
    return perf_counter_ns() - start


def resident():
    """The bytes of memory that this process occupies."""
    import psutil

    return psutil.Process().memory_info().rss


def traced(make):
    """The bytes of arrays and objects that `make` leaves behind, and its result."""
    gc.collect()
    tracemalloc.start()
    result = make()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held, result


def one_size(nodes, effort):
    """Everything measured with one number of nodes."""
    if effort.quick and nodes > QUICK_NODES:
        return {}
    key_counts = QUICK_KEYS if effort.quick else KEYS
    names = node_names(nodes)
    rw.HashRing(names[:10]).assign(np.zeros(10**5, np.uint64))  # what is loaded once is no ring's memory
    before = resident()
    ring = rw.HashRing(names, points_per_node=POINTS_PER_NODE)
    occupied = resident() - before
    built, ring = traced(lambda: rw.HashRing(names, points_per_node=POINTS_PER_NODE))
    keys = np.random.default_rng(1).integers(0, 2**64, max(key_counts), dtype=np.uint64)
    ids = np.zeros(len(keys), np.uint32)
    direct, _ = traced(lambda: ring.assign_hashes(np.resize(keys, ENOUGH)) is None)
    held = {"points": nodes * POINTS_PER_NODE, "built_b": built, "direct_b": direct, "resident_b": occupied}
    other = np.zeros_like(keys)  # a target for copies, then the hashes
    return {"memory": held} | {
        str(count): times(ring, keys[:count], other[:count], ids[:count]) for count in key_counts
    }


def times(ring, keys, other, ids):
    """Nanoseconds a key of one column."""
    count = len(keys)
    copy = least_ns(lambda: np.copyto(other, keys), count)
    assign = least_ns(lambda: ring.assign(keys, out=ids, threads=1), count)
    np.copyto(other, rw.hash_keys(keys))
    return {
        "copyto_ns": copy,
        "assign_ns": assign,
        "assign_hashes_ns": least_ns(lambda: ring.assign_hashes(other, out=ids, threads=1), count),
    }


def caches(_effort):
    """Level → bytes, where the system tells."""
    found = {}
    for index in sorted(CACHES.glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        amount = re.fullmatch(r"(\d+)([KM]?)", size)
        if kind != "Instruction" and amount:
            found[f"L{level}"] = int(amount[1]) * {"": 1, "K": 2**10, "M": 2**20}[amount[2]]
    return {"": found}


def sizes(results):
    """Nodes → what was measured: `memory`, and the times of each number of keys."""
    found = {}
    for nodes in NODES:
        if work(str(nodes), "memory") in results:
            held = results.runs(work(str(nodes), "memory"))[-1]
            keys = {n: work(str(nodes), str(n)) for n in KEYS if work(str(nodes), str(n)) in results}
            found[nodes] = held | {
                "keys": {
                    n: {call: results.least(row, f"{call}_ns") for call in ("copyto", "assign", "assign_hashes")}
                    for n, row in keys.items()
                }
            }
    return found


def lookup_bytes(size):
    """The bytes of the table that columns are looked up in: the direct one, or the lines of the points."""
    return size["direct_b"] if size["direct_b"] > size["points"] else size["built_b"]


def about(results):
    """Where it was measured."""
    found = results.machine(work("10", "memory"))
    return f"{found['cpu']}, {found['python']}, ringward {found['ringward']} at its {found['level']} level, one core; {found['date']}."


def time_table(results):
    """ns a key by nodes and keys, and × np.copyto of as many keys."""
    measured = sizes(results)
    key_counts = list(next(iter(measured.values()))["keys"])
    rows = [(f"{nodes:,} nodes", *(told(size["keys"][n]) for n in key_counts)) for nodes, size in measured.items()]
    copies = [min(size["keys"][n]["copyto"] for size in measured.values()) for n in key_counts]
    rows.append(("*`np.copyto`*", *(short(ns) for ns in copies)))
    return table(("keys:", *(f"{n:,}" for n in key_counts)), rows)


def told(figures):
    return f"{short(figures['assign'])} ({short(figures['assign'] / figures['copyto'])} ×)"


def memory_table(results):
    """What a ring holds on to."""
    rows = [
        (
            f"{nodes:,}",
            f"{size['points']:,}",
            f"{size['built_b'] / 1e6:.2f} MB",
            f"{size['built_b'] / size['points']:.1f}",
            f"{size['direct_b'] / size['points']:.1f}" if size["direct_b"] > size["points"] else "none",
            f"{size['resident_b'] / size['points']:.1f}" if size["built_b"] > VISIBLE else "too little to see",
        )
        for nodes, size in sizes(results).items()
    ]
    head = ("nodes", "points", "built", "bytes a point", "direct table, bytes a point", "resident, bytes a point")
    return table(head, rows)


def draw(results, images):
    """docs/images/growth.svg."""
    from routing.growth_plot import growth_plot

    measured = sizes(results)
    known = results.runs(work("caches"))[0]
    growth_plot(measured, known, {nodes: lookup_bytes(size) for nodes, size in measured.items()}, images / "growth.svg")


CASES = {
    **{str(nodes): Case(partial(one_size, nodes), timeout_s=900) for nodes in NODES},
    "caches": Case(caches, runs_most=1),
}
work = works_of(__file__)
SMALLEST = {work("10", "memory"), work("10", "1000")}
TABLES = [
    Written(DOCUMENT, "growth-about", about, SMALLEST),
    Written(DOCUMENT, "growth-time", time_table, SMALLEST),
    Written(DOCUMENT, "growth-memory", memory_table, SMALLEST),
]
