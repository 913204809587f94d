"""Hypothesis strategies, and the routers that every law is tested on, each beside its oracle."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from oracle import (
    LAST,
    Arc,
    HashRing,
    Member,
    Members,
    Model,
    PartitionedRing,
    PartitionTable,
    Placement,
    PrimaryBackup,
    merged,
)

import ringward as rw

SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
MORE = int(os.environ.get("RINGWARD_EXAMPLES", "1"))  # times as many examples: the long runs of the gate
FEW = settings(max_examples=15 * MORE, deadline=None, suppress_health_check=SLOW_IS_FINE)
SOME = settings(max_examples=30 * MORE, deadline=None, suppress_health_check=SLOW_IS_FINE)
MANY = settings(max_examples=100 * MORE, deadline=None, suppress_health_check=SLOW_IS_FINE)

POINTS = 4
PARTITIONS = 61
PART_SIZE = 2
REPLICAS = 3

# ---- names, weights, zones, memberships --------------------------------------------------------------

TRICKY_NAMES = (
    "a", "a1", "a11", "a111", "1", "11", "node1", "node10", "node2", " ", "\0", "a\0", "é", "e\u0301",
    "節点", "\U0001f980", "\uffff", "\U00010000", "n" * 300,
)  # fmt: skip
"""Prefixes of each other, composed and not, and two whose UTF-16 order is not their UTF-8 order."""

names = st.sampled_from(TRICKY_NAMES) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
weights = st.sampled_from([0.5, 1.0, 1.0, 1.0, 2.0, 3.0, 7.0])
weights_or_none = weights | st.just(0.0)
zones = st.sampled_from([None, "a", "b", "c"])


@st.composite
def memberships(
    draw: st.DrawFn,
    min_size: int = 1,
    max_size: int = 8,
    weight: st.SearchStrategy[float] = weights_or_none,
    zone: st.SearchStrategy[str | None] = zones,
) -> dict[str, Member]:
    """Draw name -> Member in any order of names."""
    chosen = draw(st.lists(names, min_size=min_size, max_size=max_size, unique=True))
    return {name: Member(draw(weight), draw(zone)) for name in chosen}


@st.composite
def liveness(draw: st.DrawFn, members: Members, *, spare: int = 0) -> set[str]:
    """Draw names that are down, leaving at least `spare` that can own."""
    able = [name for name, member in members.items() if member.weight > 0]
    kept = draw(st.permutations(able))[:spare]
    return {name for name in members if name not in kept and draw(st.booleans())}


@st.composite
def operations(draw: st.DrawFn, members: Members) -> list[tuple]:
    """Draw one to four operations that make sense one after the other on a membership."""
    left, drawn = dict(members), []
    for _ in range(draw(st.integers(1, 4))):
        kinds = ["add"]
        kinds += ["reweigh", "mark_down", "mark_up"] * bool(left)
        kinds += ["remove"] * bool(members.keys() & left)
        kind = draw(st.sampled_from(kinds))
        # No name comes and goes in one change: whether it then has an id is nobody's promise.
        if kind == "add":
            name = draw(names.filter(lambda n: n not in left and n not in members))
            left[name] = Member(draw(weights_or_none), draw(zones))
            drawn.append((kind, name, *left[name]))
        elif kind == "remove":
            name = draw(st.sampled_from(sorted(members.keys() & left)))
            del left[name]
            drawn.append((kind, name))
        else:
            name = draw(st.sampled_from(sorted(left)))
            weight = [draw(weights_or_none)] if kind == "reweigh" else []
            drawn.append((kind, name, *weight))
    return drawn


@st.composite
def histories(draw: st.DrawFn, members: Members, max_size: int = 5) -> list[list[tuple]]:
    """Draw changes, each a list of operations, that make sense one after the other."""
    model, changes = Model(members), []
    for _ in range(draw(st.integers(0, max_size))):
        changes.append(draw(operations(model.members)))
        model.apply(changes[-1])
    return changes


# ---- keys ------------------------------------------------------------------------------------------

INTEGER_DTYPES = ("i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8")
hashes = st.integers(0, LAST) | st.sampled_from([0, 1, LAST - 1, LAST])
valid_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def numpy_integers(draw: st.DrawFn) -> np.integer:
    """Draw a NumPy integer scalar of any width."""
    dtype = np.dtype(draw(st.sampled_from(INTEGER_DTYPES)))
    info = np.iinfo(dtype)
    return dtype.type(draw(st.integers(int(info.min), int(info.max))))


keys = st.one_of(
    valid_text,
    valid_text.map(np.str_),
    st.binary(max_size=40),
    st.binary(max_size=40).map(np.bytes_),
    st.binary(max_size=40).map(bytearray),
    st.binary(max_size=40).map(memoryview),
    st.integers(-(2**63), LAST),
    numpy_integers(),
    st.binary(min_size=16, max_size=16).map(lambda raw: uuid.UUID(bytes=raw)),
)

# ---- routers -----------------------------------------------------------------------------------------


def as_nodes(members: Members) -> list[rw.Node]:
    """Return the nodes that a membership describes, in its order."""
    return [rw.Node(name, weight=m.weight, zone=m.zone) for name, m in members.items()]


@dataclass(frozen=True)
class Kind:
    """One way to make a router, and the oracle of what it should do."""

    label: str
    strategy: type
    options: dict[str, Any]
    oracle: Callable[[rw.Router, Model], Placement]
    model_options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.label

    def make(self, members: Members, down: Iterable[str] = (), **options: Any) -> rw.Router:
        """Make a router; those down are marked in one change, if any."""
        router = self.strategy(as_nodes(members), **self.options, **options)
        if set(down):
            router.mark_down(*down)
        return router

    def model(self, members: Members, down: Iterable[str] = ()) -> Model:
        """Make the model of what `make` returns."""
        model = Model(members, **self.model_options)
        model.apply([("mark_down", name) for name in down])
        return model


def rows_by_name(router: rw.PartitionTable) -> list[list[str]]:
    """Return the rows of a partition table as names, without what pads them."""
    table = router.names
    return [[str(table[i]) for i in row if i != rw.NO_NODE] for row in router.rows.tolist()]


def _ring(_: rw.Router, model: Model) -> Placement:
    return HashRing(model.members, model.down, points_per_node=POINTS)


def _zoned(_: rw.Router, model: Model) -> Placement:
    return HashRing(model.members, model.down, points_per_node=POINTS, spread="zone")


def _partitioned(router: rw.Router, model: Model) -> Placement:
    parts = {name: router.part_of(name) for name in model.members}
    return PartitionedRing(model.members, model.down, parts=parts, points_per_node=POINTS)


def _table(router: rw.Router, model: Model) -> Placement:
    return PartitionTable(model.members, model.down, rows=rows_by_name(router), names=list(router.names))


def _primary(_: rw.Router, model: Model) -> Placement:
    return PrimaryBackup(model.members, model.down, primary=model.primary)


RING = Kind("HashRing", rw.HashRing, {"points_per_node": POINTS}, _ring)
ZONED = Kind("HashRing, spread", rw.HashRing, {"points_per_node": POINTS, "spread": "zone"}, _zoned)
PARTITIONED = Kind(
    "PartitionedRing",
    rw.PartitionedRing,
    {"points_per_node": POINTS, "part_size": PART_SIZE},
    _partitioned,
)
TABLE = Kind("PartitionTable", rw.PartitionTable, {"partitions": PARTITIONS}, _table)
REPLICATED = Kind(
    "PartitionTable, replicas",
    rw.PartitionTable,
    {"partitions": PARTITIONS, "replicas": REPLICAS},
    _table,
)
PRIMARY = Kind("PrimaryBackup", rw.PrimaryBackup, {}, _primary)
STAYING = Kind(
    "PrimaryBackup, no failback",
    rw.PrimaryBackup,
    {"failback": False},
    _primary,
    {"failback": False},
)

KINDS = (RING, ZONED, PARTITIONED, TABLE, REPLICATED, PRIMARY, STAYING)
RINGS = (RING, ZONED, PARTITIONED)
TABLES = (TABLE, REPLICATED)


def perform(router: rw.Router, changes: Iterable[tuple]) -> rw.Transfer:
    """Apply operations as one change: directly if it is one, otherwise with change()."""
    changes = list(changes)
    if len(changes) == 1:
        return _perform_one(router, changes[0])
    with router.change() as change:
        for operation in changes:
            _perform_one(change, operation)
    return change.transfer


def _perform_one(target: Any, operation: tuple) -> Any:
    kind, name, *rest = operation
    if kind == "add":
        return target.add(rw.Node(name, weight=rest[0], zone=rest[1]))
    return getattr(target, kind)(name, *rest)


def edges(*placements: Placement, limit: int = 60) -> np.ndarray:
    """Return hashes on and beside the ends of arcs, and the ends of the hash space."""
    ends = sorted({end for placement in placements for end in placement.ends()})
    ends = ends[:: max(1, len(ends) // limit)]
    beside = {0, 1, 2**63, LAST - 1, LAST}
    for end in ends:
        beside |= {end, (end + 1) % (LAST + 1), (end - 1) % (LAST + 1)}
    return np.array(sorted(beside), dtype=np.uint64)


def owners(router: Any, h: np.ndarray) -> list[str | None]:
    """Return the names that own hashes, None where nobody does."""
    try:
        ids = router.assign_hashes(h)
    except rw.NoNodeError:
        return [None] * len(h)
    return [str(name) for name in router.names[ids]]


def orders(router: Any, h: np.ndarray) -> list[list[str]]:
    """Return the names in failover order of every hash."""
    if not len(router):
        return [[] for _ in h]
    try:
        ids = router.assign_hashes(h, count=len(router))
    except rw.NoNodeError:
        return [[] for _ in h]
    return [[str(router.names[i]) for i in row if i != rw.NO_NODE] for row in ids.tolist()]


def arcs_by_name(transfer: rw.Transfer) -> list[Arc]:
    """Return the arcs of a transfer with names for ids, neighbours that moved alike joined."""

    def name(node_id: int) -> str | None:
        return None if node_id == rw.NO_NODE else str(transfer.names[node_id])

    return merged(Arc(s, e, name(a), name(b)) for s, e, a, b in transfer.arcs.tolist())


def fingerprint(router: rw.Router) -> tuple:
    """Return all that a reader can see of a router, for telling that it did not change."""
    h = np.arange(64, dtype=np.uint64) * np.uint64(LAST // 63)
    return (
        router.epoch,
        tuple(router.names),
        router.nodes,
        router.down,
        len(router),
        owners(router, h),
        orders(router, h),
    )
