"""The first `Transfer.apply` after a change, beside routing the column again.

Processor time of one thread; the least of 15 changes, each of another node.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from harness.catalogue import works_of
from harness.declare import Case, Effort, Figure, Row, Table

import ringward as rw
from routing.tables import DOCUMENT

KEYS = 86_466
CHANGES = 15
NODES = (54, 1_024, 4_096)
ROUTERS: dict[str, tuple[str, Callable[[list[str]], rw.Router]]] = {
    "ring": ("`HashRing`", rw.HashRing),
    "partitioned-ring": ("`PartitionedRing`, parts of 8", lambda nodes: rw.PartitionedRing(nodes, part_size=8)),
    "partition-table": (
        "`PartitionTable`, 128 partitions a node, 3 replicas",
        lambda nodes: rw.PartitionTable(nodes, partitions=128 * len(nodes), replicas=3),
    ),
}
FIGURES = {
    "first_down_ms": "first `apply`, `mark_down`",
    "first_up_ms": "`mark_up`",
    "again_ms": "`apply` again",
    "route_all_ms": "routing all again",
}


def seconds(router: rw.Router, changed: list[str], hashes: np.ndarray) -> list[float]:
    """The least of: first apply after mark_down and after mark_up, apply again, routing all again."""
    ids = router.assign_hashes(hashes, threads=1)
    best = [1e9] * 4
    for name in changed:
        for column, change in enumerate((router.mark_down, router.mark_up)):
            transfer = change(name)
            marks = [time.process_time()]
            for call in (transfer.apply, transfer.apply):
                call(ids, hashes, threads=1)
                marks.append(time.process_time())
            router.assign_hashes(hashes[:1])  # compiles what the change put off
            marks.append(time.process_time())
            router.assign_hashes(hashes, threads=1)
            marks.append(time.process_time())
            for place, taken in ((column, marks[1] - marks[0]), (2, marks[2] - marks[1]), (3, marks[4] - marks[3])):
                best[place] = min(best[place], taken)
    return best


def measure(router: str, effort: Effort) -> dict[str, dict[str, float]]:
    """One kind of router, with a few nodes and with many."""
    hashes, found = rw.hash_keys(np.arange(KEYS)), {}
    for count in NODES:
        nodes = [f"n{i}" for i in range(count)]
        least = seconds(ROUTERS[router][1](nodes), nodes[: 1 if effort.quick else CHANGES], hashes)
        found[str(count)] = {figure: 1e3 * taken for figure, taken in zip(FIGURES, least, strict=True)}
    return found


CASES = {name: Case(partial(measure, name)) for name in ROUTERS}
work = works_of(__file__)
TABLES = [
    Table(DOCUMENT, "first-apply", (f"{KEYS:,} keys, one of so many nodes", *FIGURES.values()), [
        Row(f"{label}, {count:,}", *(Figure(work(name, str(count)), "{:.3f} ms".format, figure) for figure in FIGURES))
        for name, (label, _) in ROUTERS.items()
        for count in NODES
    ]),
]  # fmt: skip
