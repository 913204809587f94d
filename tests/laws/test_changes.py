"""`change()`: several operations, one epoch, all or nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.cases import FIVE, SPACE, check_arcs, check_moves, every_kind
from strategies import (
    SOME,
    Kind,
    arcs_by_name,
    fingerprint,
    histories,
    memberships,
    perform,
)

import ringward as rw


@every_kind
@given(data=st.data(), members=memberships(min_size=1))
@SOME
def test_a_change_is_one_epoch_and_ends_where_its_operations_end(
    kind: Kind, data: st.DataObject, members: dict
) -> None:
    """Several operations in one change() leave the membership that the same ones leave one by one."""
    (change,) = data.draw(histories(members, max_size=1)) or [[("mark_down", min(members))]]
    together, apart = kind.make(members), kind.make(members)
    with together.change() as c:
        for operation, name, *rest in change:
            c.add(rw.Node(name, *rest)) if operation == "add" else getattr(c, operation)(name, *rest)
    for operation in change:
        perform(apart, [operation])
    assert (together.nodes, together.down) == (apart.nodes, apart.down)
    assert together.epoch <= 1
    assert c.transfer.epoch == together.epoch
    assert sorted(together.names) == sorted(apart.names)


@every_kind
def test_nothing_of_a_change_shows_before_it_ends(kind: Kind) -> None:
    """Operations are recorded: until the exit the router answers as before."""
    router = kind.make(FIVE)
    before = fingerprint(router)
    with router.change() as change:
        change.mark_down("a")
        change.add("f", "g")
        change.remove("b")
        change.reweigh("e", 1.0)
        change.mark_up("a")
        change.mark_down("c")
        assert fingerprint(router) == before
    assert router.epoch == 1
    assert sorted(router) == ["a", "c", "d", "e", "f", "g"]
    assert router.down == {"c"}
    assert (change.transfer.epoch_before, change.transfer.epoch) == (0, 1)


@every_kind
def test_a_change_of_liveness_and_membership_is_their_difference(kind: Kind) -> None:
    """The transfer of a mixed change is between the states before and after it, with no step between."""
    router = kind.make(FIVE)
    before = router.snapshot()
    with router.change() as change:
        change.mark_down("a")
        change.add(rw.Node("f", zone="z"))
        change.remove("c")
    check_arcs(change.transfer)
    assert arcs_by_name(change.transfer) == arcs_by_name(rw.Transfer.between(before, router))
    check_moves(change.transfer, SPACE, before, router)


@every_kind
def test_a_change_that_ends_where_it_began_is_none(kind: Kind) -> None:
    """Down and up again within one change, or no operation at all: the epoch stays."""
    router = kind.make(FIVE, ["b"])
    before = fingerprint(router)
    with router.change() as change:
        change.mark_down("a")
        change.reweigh("c", 5.0)
        change.mark_up("a", "b")
        change.reweigh("c", 1.0)
        change.mark_down("b")
    assert not change.transfer
    with router.change() as empty:
        pass
    assert not empty.transfer
    assert (empty.transfer.epoch_before, empty.transfer.epoch) == (1, 1)
    assert fingerprint(router) == before


@every_kind
def test_an_exception_inside_a_change_applies_nothing(kind: Kind) -> None:
    """An error of the caller, of an operation or at the exit leaves the router as it was, and usable."""
    router = kind.make(FIVE)
    before = fingerprint(router)

    def fail(spoil: Any, error: type[BaseException]) -> None:
        with pytest.raises(error), router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
            change.mark_down("a")
            change.add("f")
            spoil(change)
        assert fingerprint(router) == before

    def divide(_: Any) -> float:
        return 1 / 0

    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    fail(divide, ZeroDivisionError)
    fail(interrupt, KeyboardInterrupt)
    fail(lambda change: change.remove("unknown"), rw.UnknownNodeError)
    fail(lambda change: change.mark_up("unknown"), rw.UnknownNodeError)
    fail(lambda change: change.add("a"), rw.DuplicateNodeError)
    fail(lambda change: change.add("f"), rw.DuplicateNodeError)
    fail(lambda change: change.reweigh("a", float("nan")), rw.ArgumentError)
    router.mark_down("a")
    assert router.epoch == 1


@every_kind
def test_a_nested_or_a_direct_change_inside_a_change_is_an_error(kind: Kind) -> None:
    """Inside change() the same router can be changed through it alone; nothing is applied."""
    router = kind.make(FIVE)
    before = fingerprint(router)
    for inner in (
        lambda: router.mark_down("b"),
        lambda: router.mark_up("b"),
        lambda: router.add("g"),
        lambda: router.remove("b"),
        lambda: router.reweigh("b", 9.0),
        lambda: router.change().__enter__(),
    ):
        with pytest.raises(rw.ChangeError) as caught, router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
            change.mark_down("a")
            inner()
        assert isinstance(caught.value, RuntimeError)
        assert fingerprint(router) == before
    with router.change() as change:
        change.mark_down("a")
        with pytest.raises(rw.ChangeError):
            router.mark_down("b")
    assert router.down == {"a"}


@every_kind
def test_another_router_may_be_changed_inside_a_change(kind: Kind) -> None:
    """The rule is about the same router: a copy is another one."""
    router = kind.make(FIVE)
    other = router.copy()
    with router.change() as change, other.change() as second:
        change.mark_down("a")
        second.mark_down("b")
    assert (router.down, other.down) == ({"a"}, {"b"})


@every_kind
def test_other_threads_may_change_the_router_meanwhile(kind: Kind) -> None:
    """A change() holds nobody up, and is applied to the state of the moment at which it ends."""
    router = kind.make(FIVE)
    seen: list = []

    def elsewhere() -> None:
        seen.append(router.mark_down("b"))
        with router.change() as theirs:
            theirs.add("f")
        seen.append(theirs.transfer)

    with router.change() as change:
        change.mark_down("a")
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(timeout=30)
        assert not thread.is_alive()
        assert [transfer.epoch for transfer in seen] == [1, 2]
    assert (change.transfer.epoch_before, change.transfer.epoch) == (2, 3)
    assert router.down == {"a", "b"}
    assert "f" in router


@every_kind
def test_a_change_that_another_thread_made_impossible_applies_nothing(kind: Kind) -> None:
    """What was recorded is checked against the state at the exit."""
    router = kind.make(FIVE)
    with pytest.raises(rw.UnknownNodeError), router.change() as change:  # noqa: PT012 - what is recorded raises at the exit
        change.mark_down("b")
        change.reweigh("a", 3.0)
        thread = threading.Thread(target=router.remove, args=("a",))
        thread.start()
        thread.join()
    assert router.epoch == 1
    assert router.down == frozenset()
