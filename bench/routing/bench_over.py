"""Routers over routers beside a router inside: single keys and a column, in turn within one process."""

from __future__ import annotations

from time import perf_counter

import numpy as np
from harness.catalogue import works_of
from harness.declare import OK, Case, Ratio, Row, Table

import ringward as rw
from ringward.failover import Adaptive, Clusters
from ringward.health import Deadline
from routing.workload import NODES, node_names, text_keys

ROUNDS = 25
HOT = 1_000
COLUMN = 2_000_000
CLUSTERS = 3


def routers():
    """One router inside each: of all nodes, and of a third of them."""
    ring = rw.HashRing(node_names(NODES))
    thirds = {f"cluster{i}": rw.HashRing(node_names(NODES)[i::CLUSTERS]) for i in range(CLUSTERS)}
    inside = thirds["cluster0"].copy()
    return {
        "ring": ring,
        "adaptive": Adaptive(ring.copy(), detector=Deadline()),
        "third": inside,
        "clusters": Clusters(thirds),
    }


def by_one(router, keys):
    start = perf_counter()
    for key in keys:
        router.route(key)
    return (perf_counter() - start) / len(keys)


def by_column(router, keys, out):
    start = perf_counter()
    router.assign(keys, out=out, threads=1)
    return (perf_counter() - start) / len(keys)


def beside(effort):
    """Least seconds a key of each, in turn."""
    made = routers()
    count = COLUMN // 100 if effort.quick else COLUMN
    keys, column = text_keys(HOT) * 20, np.random.default_rng(1).integers(0, 2**63, count)
    out = np.zeros(count, np.uint16)
    rounds = [
        {
            **{f"{name}, one": by_one(router, keys) for name, router in made.items()},
            **{f"{name}, column": by_column(router, column, out) for name, router in made.items()},
        }
        for _ in range(2 if effort.quick else ROUNDS)
    ]
    return {name: {"wall_s": min(each[name] for each in rounds)} for name in rounds[0]}


CASES = {"beside": Case(beside)}
work = works_of(__file__)


def row(label, reference, name, inside, most):
    """A ratio and its bound."""
    return Row(label, reference, Ratio(work("beside", name), work("beside", inside), at_most=most), f"{most:.3g}", OK)


TABLES = [
    Table("adaptive.md", "over-adaptive", ("`Adaptive`", "reference", "ratio", "at most", "ok"), [
        row("`route(key)`, 1,000 hot keys", "the ring inside, 1,000 nodes", "adaptive, one", "ring, one", 1.05),
        row("`assign`, 2,000,000 integers", "the ring inside, 1,000 nodes", "adaptive, column", "ring, column", 1.05),
    ]),
    Table("clusters.md", "over-clusters", ("`Clusters` of 3", "reference", "ratio", "at most", "ok"), [
        row("`route(key)`, 1,000 hot keys", "a ring inside, 334 nodes", "clusters, one", "third, one", 1.3),
        row("`assign`, 2,000,000 integers", "a ring inside, 334 nodes", "clusters, column", "third, column", 1.2),
    ]),
]  # fmt: skip
