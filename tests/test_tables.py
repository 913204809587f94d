"""Kinds of tables: each describes itself, so that a new one is one file."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from strategies import KINDS

import ringward as rw
from ringward._core import ListTable, Table
from ringward.router import Placed
from ringward.tables import TableKind, Way, kind, kind_named, kind_of, register
from ringward.tables.arrays import demand

SOURCE = Path(rw.__file__).parent


class Ladder(ListTable):
    """A table of a class of its own; looked up as a list is."""


class LadderKind(TableKind[Ladder]):
    """Whoever is on the lowest rung owns all; everybody holds two copies."""

    name = "ladder"
    table = Ladder

    def arrays(self, table):
        """The lowest rung apart from the others."""
        return {"lowest": table.order[:1], "others": table.order[1:]}

    def restored(self, arrays, cluster):
        """A ladder of all rungs."""
        order = np.concatenate([arrays["lowest"], arrays["others"]])
        demand(len(order) == len(cluster), "a rung for each member")
        return Ladder(order)

    def way(self, table, state, value):
        """Up all rungs."""
        rungs = [(str(state.names[node]), f"on rung {rung}") for rung, node in enumerate(table.order, 1)]
        return Way(f"at {value:#018x}, which is below all rungs", rungs)

    def for_heirs(self, table):
        """The two lowest rungs."""
        return Ladder(table.order[:2])

    def entries(self, table):
        """Two copies a rung."""
        return np.repeat(table.order, 2)


class LadderRouter(rw.Router):
    """The members, last name first."""

    __slots__ = ()

    def __init__(self, nodes):
        super().__init__(nodes, {}, rw.XXH3(), None)

    def _place(self, cluster, before, epoch):
        return Placed(Ladder(cluster.member_ids[::-1].copy()))


@pytest.fixture
def ladder(monkeypatch) -> Iterator[LadderRouter]:
    """A router with a table of a kind that the package does not know, and is told of here."""
    monkeypatch.setattr(kind, "_KINDS", {**kind._KINDS})
    register(LadderKind())
    return LadderRouter(["a", "b", "c"])


def test_a_table_of_a_new_kind_goes_through_snapshot_bytes(ladder):
    data = ladder.snapshot().to_bytes()
    size = struct.unpack_from("<8sIQ", data)[2]
    header = json.loads(data[20 : 20 + size])
    assert header["table"] == "ladder"
    assert header["arrays"] == {"lowest": ["<u4", [1]], "others": ["<u4", [2]]}
    again = rw.Snapshot.from_bytes(data)
    assert type(again._state.table) is Ladder
    assert again.candidates("event1") == ladder.candidates("event1") == ["c", "b", "a"]
    assert again.to_bytes() == data
    assert LadderRouter.resume(again).route("event1") == "c"


def test_bytes_of_a_new_kind_are_checked_by_it(ladder, monkeypatch):
    short = {"lowest": np.zeros(1, np.uint32), "others": np.zeros(1, np.uint32)}
    monkeypatch.setattr(LadderKind, "arrays", lambda self, table: short)
    data = ladder.snapshot().to_bytes()
    with pytest.raises(rw.SnapshotError, match="the snapshot must hold a rung for each member"):
        rw.Snapshot.from_bytes(data)


def test_a_table_of_a_new_kind_explains_itself(ladder):
    told = ladder.explain("event1")
    assert told.place.endswith("which is below all rungs")
    assert [(step.node, step.reason) for step in told.steps] == [
        ("c", "owner: on rung 1"),
        ("b", "candidate 2: on rung 2"),
        ("a", "candidate 3: on rung 3"),
    ]


def test_a_table_of_a_new_kind_is_reported_as_it_says(ladder):
    report = ladder.report()
    assert [node.name for node in report.nodes] == ["a", "b", "c"] == list(ladder)
    owner = report.nodes[2]
    assert (owner.share, owner.expected, owner.heirs) == (1.0, 1 / 3, {"b": 1.0})
    assert [node.held for node in report.nodes] == [1 / 3] * 3
    assert report.held_max == pytest.approx(1.0)


def test_a_change_between_tables_of_a_new_kind_is_found_by_their_arcs(ladder):
    transfer = ladder.add("d")
    assert (transfer.departures, transfer.arrivals, transfer.rows) == ({"c": 1.0}, {"d": 1.0}, None)


@pytest.mark.parametrize("kind_of_router", KINDS, ids=lambda kind: kind.label)
def test_a_table_is_described_by_the_kind_that_its_bytes_name(kind_of_router):
    router = kind_of_router.strategy(["a", "b", "c"], **kind_of_router.options)
    table = router._state.own.table
    described = kind_of(table)
    assert kind_named(described.name) is described
    again = described.restored(described.arrays(table), router._state.cluster)
    assert isinstance(again, described.table)
    for name, array in described.arrays(table).items():
        assert np.array_equal(array, described.arrays(again)[name])


def test_a_subclass_of_a_table_is_of_the_kind_of_the_class_above(ladder):
    class Higher(Ladder):
        pass

    class Listed(ListTable):
        pass

    nobody = np.empty(0, np.uint32)
    assert kind_of(Higher(nobody)).name == "ladder"
    assert kind_of(Listed(nobody)).name == "list"


def test_a_table_or_a_word_that_no_kind_has_is_refused():
    with pytest.raises(rw.SnapshotError, match=r"must be a PointTable, a PartitionMap or a ListTable \(was Table\)"):
        kind_of(Table())
    for word in ("heap", ["list"], None):
        with pytest.raises(rw.SnapshotError, match="must be of kind points, partitions or list"):
            kind_named(word)


def test_nothing_that_reads_tables_knows_their_classes():
    """Snapshots, explanations and reports once asked in five places which of three classes a table is of."""
    for name in ("snapshot", "explanation", "report"):
        text = (SOURCE / f"{name}.py").read_text(encoding="utf-8")
        assert not [cls for cls in ("PointTable", "PartitionMap", "ListTable") if cls in text], name
