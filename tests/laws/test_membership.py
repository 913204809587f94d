"""Membership: ids, names and epochs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from laws.cases import FIVE, every_kind
from oracle import Member
from strategies import (
    PRIMARY,
    SOME,
    STAYING,
    TRICKY_NAMES,
    Kind,
    histories,
    memberships,
    perform,
)

import ringward as rw


@every_kind
@given(data=st.data(), members=memberships(min_size=0))
@SOME
def test_ids_names_and_epochs_follow_the_history(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Names only grow, ids are given in UTF-8 order and never reused, every change is one epoch."""
    router, model = kind.make(members), kind.model(members)
    for change in [[], *data.draw(histories(members))]:
        if change:
            perform(router, change)
            model.apply(change)
        assert list(router.names) == model.names
        assert router.names.dtype == object
        assert router.epoch == model.epoch
        assert router.down == frozenset(model.down)
        assert len(router) == len(model.members)
        assert sorted(router) == sorted(model.members)
        expected = [rw.Node(n, weight=m.weight, zone=m.zone) for n, m in model.members.items()]
        in_order = kind in (PRIMARY, STAYING)
        assert router.nodes == tuple(expected if in_order else sorted(expected, key=lambda n: n.name))
        for name in model.names:
            assert (name in router) is (name in model.members)
        for name in model.members:
            assert router.id_of(name) == model.names.index(name)


@every_kind
def test_initial_ids_follow_the_utf8_order_of_the_names(kind: Kind) -> None:
    """Code points decide, not UTF-16 units, not the order given."""
    router = kind.make(dict.fromkeys(TRICKY_NAMES, Member()))
    assert list(router.names) == sorted(TRICKY_NAMES, key=str.encode)
    assert list(router.names).index("\uffff") < list(router.names).index("\U00010000")


@every_kind
def test_names_added_in_one_change_get_the_next_ids_in_utf8_order(kind: Kind) -> None:
    """New names follow those that were ever there; a name that comes back has its old id."""
    router = kind.make({"m": Member(), "k": Member()})
    router.add("z", "b")
    assert list(router.names) == ["k", "m", "b", "z"]
    router.remove("m", "b")
    router.add("a", "m")
    assert list(router.names) == ["k", "m", "b", "z", "a"]
    assert router.id_of("m") == 1
    assert "b" not in router
    assert len(router) == 4


@every_kind
def test_a_removed_node_that_comes_back_is_live(kind: Kind) -> None:
    """Removal takes the down mark along."""
    router = kind.make(FIVE, ["b"])
    router.remove("b")
    assert router.down == frozenset()
    router.add(rw.Node("b", weight=2.0, zone="x"))
    assert router.down == frozenset()
    assert "b" in router.candidates("event1")


@every_kind
def test_names_cannot_be_written_through(kind: Kind) -> None:
    """What a caller does to the array of names changes no router."""
    router = kind.make(FIVE)
    table = router.names
    if table.flags.writeable:
        table[0] = "forged"
    assert list(router.names) == sorted(FIVE)
    assert router.route("event1") in FIVE


@every_kind
def test_a_router_is_true_even_without_nodes(kind: Kind) -> None:
    """bool() is not about members, so that `router or default` is safe."""
    assert bool(kind.make({})) is True
    assert len(kind.make({})) == 0
    assert list(kind.make({})) == []
    assert bool(kind.make({}).snapshot()) is True
