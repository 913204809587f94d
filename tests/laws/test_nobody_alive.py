"""Nobody alive: errors, and the stand-in."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.cases import SPACE, every_kind, steady
from oracle import LAST, Member
from strategies import (
    SOME,
    Kind,
    arcs_by_name,
    liveness,
    memberships,
    orders,
    owners,
)

import ringward as rw


@every_kind
@pytest.mark.parametrize("case", ["no nodes", "all weights 0", "all down"])
def test_with_nobody_alive_routing_raises(kind: Kind, case: str) -> None:
    """What asks for the owner raises NoNodeError, and never returns None; what asks for candidates gets none."""
    members = {} if case == "no nodes" else {"a": Member(), "b": Member()}
    if case == "all weights 0":
        members = {"a": Member(0.0), "b": Member(0.0)}
    router = kind.make(members, members if case == "all down" else ())
    out = np.full(3, 77, np.uint32)
    for call in (
        lambda: router.route("event1"),
        lambda: router["event1"],
        lambda: router.assign(["a", "b"]),
        lambda: router.assign(["a", "b", "c"], out=out),
        lambda: router.assign_hashes(SPACE),
        lambda: router.snapshot().route("event1"),
    ):
        with pytest.raises(rw.NoNodeError):
            call()
    assert (out == 77).all()
    assert (router.assign(["a", "b"], count=2) == rw.NO_NODE).all()
    assert router.candidates("event1", 2) == []


@every_kind
def test_with_nobody_alive_there_are_no_candidates(kind: Kind) -> None:
    """With fewer live nodes candidates returns those there are, down to none at all."""
    router = kind.make({"a": Member(), "b": Member(), "c": Member()})
    for name, left in (("a", 2), ("b", 1), ("c", 0)):
        router.mark_down(name)
        assert len(router.candidates("event1")) == left
        assert len(router.snapshot().candidates("event1", 3)) == left


@every_kind
@given(data=st.data(), members=memberships(min_size=1))
@SOME
def test_on_empty_owns_every_key_while_nobody_can(kind: Kind, data: st.DataObject, members: dict) -> None:
    """The named member, drained or itself down, owns all keys while nobody else can, and only then."""
    last = data.draw(st.sampled_from(sorted(members)))
    router = kind.make(members, on_empty=last)
    down = data.draw(liveness(members))
    if down:
        router.mark_down(*down)
    able = oracle.can_own(members, down)
    if able:
        plain = kind.make(members, down)
        assert orders(router, SPACE[:50]) == orders(plain, SPACE[:50])
        router.mark_down(*able)
    assert owners(router, SPACE) == [last] * len(SPACE)
    assert router.route("event1") == router["event1"] == last
    assert router.candidates("event1") == [last]
    assert orders(router, SPACE[:5]) == [[last]] * 5


@steady
def test_a_transfer_to_nobody_and_back_has_no_node(kind: Kind) -> None:
    """When the last one goes down all keys go to NO_NODE; when it returns they come from it."""
    router = kind.make({"a": Member(), "b": Member()}, ["a"])
    for dtype in (np.uint16, np.uint32, np.int64):
        ids = router.assign_hashes(SPACE, out=np.empty(len(SPACE), dtype))
        kept = ids.copy()
        lost = router.mark_down("b")
        assert arcs_by_name(lost) == [(0, LAST, "b", None)]
        assert set(lost.arcs["target"].tolist()) == {0xFFFFFFFF} == {rw.NO_NODE}
        assert lost.share == 1.0
        assert (lost.arrivals, lost.departures) == ({}, {"b": 1.0})
        assert lost.apply(ids, SPACE).tolist() == list(range(len(SPACE)))
        assert (ids == np.iinfo(dtype).max).all()
        back = router.mark_up("b")
        assert arcs_by_name(back) == [(0, LAST, None, "b")]
        assert (back.arrivals, back.departures) == ({"b": 1.0}, {})
        back.apply(ids, SPACE)
        assert (ids == kept).all()
