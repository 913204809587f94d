"""What assigning a column and changing a ring are made of.

Hashing alone, looking hashes up alone, and both in `assign`, each on the same keys by one thread, at each instruction
set in a process of its own. The steps of a membership change, each alone.
"""

from __future__ import annotations

import timeit
from functools import partial
from time import perf_counter

import numpy as np
from harness.catalogue import works_of
from harness.declare import Case, Figure, Row, Table

import ringward as rw
from routing.tables import DOCUMENT, LEVELS
from routing.whole_column import TEXTS, seconds
from routing.workload import CONTAINERS, NODE_COUNTS, hash_ring, integers

ROUNDS = 9
CHANGES, CHANGES_QUICK = 300, 3
NEW = "node-new"
COLUMNS = ("S16", "Arrow string", "StringDType", "list")
SMALL = 100  # nodes, whose direct table lies in the second cache
PARTS = {  # of a column → how the table calls it
    "hashing": "hashing",
    "lookup": "lookup",
    "lookup, 100 nodes": "on 100 nodes",
    "hashing and lookup": "hashing + lookup",
    "assign": "`assign`",
    "copy": "`np.copyto` of 8 bytes",
}
STEPS = {"members": "who belongs", "ids": "ids and weights", "table": "the table", "whole": "the change as a whole"}


def of_column(column, effort):
    """Least seconds a key: of hashing, of looking up on a ring and on a small one, of both, and of copying integers."""
    count = TEXTS // 100 if effort.quick else TEXTS
    keys, ring, small = CONTAINERS[column](count), hash_ring(), hash_ring(SMALL)
    hashes, out = rw.hash_keys(keys), np.zeros(count, np.uint16)
    copied = integers()
    target = np.zeros_like(copied)
    works = {
        "hashing": lambda: seconds(lambda keys: rw.hash_keys(keys, threads=1), keys),
        "lookup": lambda: seconds(lambda hashes: ring.assign_hashes(hashes, out=out, threads=1), hashes),
        "lookup, 100 nodes": lambda: seconds(lambda hashes: small.assign_hashes(hashes, out=out, threads=1), hashes),
        "assign": lambda: seconds(lambda keys: ring.assign(keys, out=out, threads=1), keys),
        "copy": lambda: seconds(lambda copied: np.copyto(target, copied), copied),
    }
    rounds = [[work() for work in works.values()] for _ in range(ROUNDS + 1)][1:]
    least = dict(zip(works, map(min, zip(*rounds, strict=True)), strict=True))
    least["hashing and lookup"] = least["hashing"] + least["lookup"]
    return {part: {"wall_s": least[part]} for part in PARTS}


def of_change(effort):
    """Least seconds of the steps of a change: the new membership, the new table, and the change as a whole."""
    repeat, found = CHANGES_QUICK if effort.quick else CHANGES, {}
    for nodes in NODE_COUNTS:
        ring = hash_ring(nodes).copy()
        ring.add(NEW)  # a name's first time costs an id
        ring.remove(NEW)
        for name, change, operation in (
            ("add", ring.add, lambda before: before.add([rw.Node(NEW)])),
            ("remove", ring.remove, lambda before: before.remove([NEW])),
        ):
            before = ring._state
            sealed = partial(operation(before.cluster).sealed, before.cluster, ordered=False)
            steps = (partial(operation, before.cluster), sealed, partial(ring._place, sealed(), before, 1))
            least = [min(timeit.repeat(step, number=1, repeat=repeat)) for step in steps]
            # A change can be made once only, so what it made is taken back in between.
            whole = []
            for _ in range(repeat):
                start = perf_counter()
                change(NEW)
                whole.append(perf_counter() - start)
                (ring.remove if change == ring.add else ring.add)(NEW)
            change(NEW)
            for step, taken in zip(STEPS, (*least, min(whole)), strict=True):
                found[f"{name}, {nodes}, {step}"] = {"wall_s": taken}
    return found


def case_of(column, level):
    """The name of the case."""
    return f"{column}-{level}".replace(" ", "-")


CASES = {
    **{
        case_of(column, level): Case(partial(of_column, column), environment={"RINGWARD_CPU": level})
        for level in LEVELS
        if level in rw.cpu().levels
        for column in COLUMNS
    },
    "change": Case(of_change),
}
work = works_of(__file__)
TABLES = [
    Table(DOCUMENT, "column-parts", ("ns a key", "column", *PARTS.values()), [
        Row(level, column, *(
            Figure(work(case_of(column, level), part), lambda seconds: f"{seconds * 1e9:.2f}") for part in PARTS
        ))
        for level in LEVELS
        for column in COLUMNS
    ]),
    Table(DOCUMENT, "change-parts", ("µs", "nodes", *STEPS.values()), [
        Row(f"`{name}`", f"{nodes:,}", *(
            Figure(work("change", f"{name}, {nodes}, {step}"), lambda seconds: f"{seconds * 1e6:.1f}") for step in STEPS
        ))
        for nodes in NODE_COUNTS
        for name in ("add", "remove")
    ]),
]  # fmt: skip
