"""What the laws are tried on: every kind of router, small memberships, hashes over the whole space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st
from oracle import LAST, Member
from strategies import (
    KINDS,
    PRIMARY,
    RING,
    RINGS,
    STAYING,
    ZONED,
    Kind,
    edges,
    owners,
)

import ringward as rw

every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
steady = pytest.mark.parametrize("kind", [k for k in KINDS if k is not STAYING], ids=str)
minimal = pytest.mark.parametrize("kind", [RING, ZONED, PRIMARY], ids=str)
of_rings = pytest.mark.parametrize("kind", RINGS, ids=str)
FIVE = {
    "a": Member(1.0, "x"),
    "b": Member(2.0, "x"),
    "c": Member(1.0, "y"),
    "d": Member(1.0),
    "e": Member(0.0, "y"),
}
FOUR = {"a": Member(), "c": Member(2.0), "b": Member(), "z": Member()}
KEYS = [f"event{i}" for i in range(300)]
SPACE = np.arange(1000, dtype=np.uint64) * np.uint64(LAST // 999)
lively = st.sampled_from([0.5, 1.0, 1.0, 2.0, 3.0])


def spots(kind: Kind, *routers: rw.Router) -> np.ndarray:
    """Return hashes spread over the space, and those beside the ends of arcs of these routers."""
    beside = [SPACE[::40]]
    for router in routers:
        members = {node.name: Member(node.weight, node.zone) for node in router.nodes}
        beside.append(edges(kind.oracle(router, kind.model(members)), limit=30))
    return np.unique(np.concatenate(beside))


def owners_by_hash(kind: Kind, before: rw.Router, after: rw.Router) -> list[tuple]:
    """Return (owner before, owner after) of hashes that tell two states of a router apart."""
    h = spots(kind, before, after)
    return list(zip(owners(before, h), owners(after, h), strict=True))


def check_arcs(transfer: rw.Transfer) -> None:
    """Check the form of arcs: uint64 fields, sorted, both ends inclusive, never wrapping, apart."""
    arcs = transfer.arcs
    assert arcs.dtype.names == ("start", "end", "source", "target")
    assert all(arcs.dtype[field] == np.uint64 for field in arcs.dtype.names)
    assert (arcs["start"] <= arcs["end"]).all()
    assert (arcs["start"][1:] > arcs["end"][:-1]).all()
    assert (arcs["source"] != arcs["target"]).all()


def check_moves(transfer: rw.Transfer, h: np.ndarray, before: Any, after: Any) -> None:
    """Check moved() and apply() against owners before and after, by name, for every dtype of ids."""
    was, now = owners(before, h), owners(after, h)
    expected = [i for i, (a, b) in enumerate(zip(was, now, strict=True)) if a != b]
    moved = transfer.moved(h)
    assert moved.dtype == np.int64
    assert moved.tolist() == expected
    for dtype in (np.uint16, np.uint32, np.int64):
        nobody = np.iinfo(dtype).max
        index = {name: i for i, name in enumerate(transfer.names)}
        ids = np.array([nobody if n is None else index[n] for n in was], dtype)
        applied = transfer.apply(ids, h)
        assert applied.dtype == np.int64
        assert applied.tolist() == expected
        assert [None if i == nobody else transfer.names[i] for i in ids.tolist()] == now


def with_history(kind: Kind, **options: Any) -> rw.Router:
    """Return a router with a history: removed and returned names, weights, marks, several epochs."""
    router = kind.make(FIVE, **options)
    router.add("f", "zz")
    router.remove("b", "zz")
    router.mark_down("a")
    router.reweigh("e", 1.5)
    router.add("b")
    router.mark_down("c")
    router.mark_up("a")
    return router
