"""Transfers: exactly what a change moved."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.cases import FIVE, FOUR, KEYS, SPACE, check_arcs, check_moves, every_kind
from oracle import Member, difference
from strategies import (
    KINDS,
    SOME,
    Kind,
    arcs_by_name,
    edges,
    fingerprint,
    histories,
    memberships,
    owners,
    perform,
)

import ringward as rw


def check_transfer(transfer: rw.Transfer, before: oracle.Placement, after: oracle.Placement) -> None:
    """Check arcs, share, arrivals, departures and truth against the difference of two oracles."""
    check_arcs(transfer)
    expected = difference(before, after)
    assert arcs_by_name(transfer) == expected
    assert transfer.share == pytest.approx(oracle.share(expected), rel=1e-9, abs=1e-18)
    arrivals = oracle.shares_by(expected, lambda arc: arc.target)
    departures = oracle.shares_by(expected, lambda arc: arc.source)
    assert transfer.arrivals == pytest.approx(arrivals, rel=1e-9)
    assert transfer.departures == pytest.approx(departures, rel=1e-9)


@every_kind
@given(data=st.data(), members=memberships(min_size=0, max_size=6))
@SOME
def test_a_transfer_is_the_difference_of_before_and_after(kind: Kind, data: st.DataObject, members: dict) -> None:
    """Arcs, shares, moved and apply of every change agree with the oracles of its two states."""
    router, model = kind.make(members), kind.model(members)
    for change in data.draw(histories(members, max_size=3)):
        before, earlier = kind.oracle(router, model), router.snapshot()
        transfer = perform(router, change)
        model.apply(change)
        after = kind.oracle(router, model)
        assert (transfer.epoch_before, transfer.epoch) == (earlier.epoch, router.epoch)
        assert list(transfer.names) == list(router.names)
        check_transfer(transfer, before, after)
        assert bool(transfer) is bool(transfer.share or (transfer.rows is not None and len(transfer.rows)))
        h = np.concatenate([edges(before, after, limit=40), SPACE[::50]])
        check_moves(transfer, h, earlier, router)


@every_kind
def test_apply_is_reassigning(kind: Kind) -> None:
    """Over a long history, ids kept up by apply() are the ids that assign gives, for any key order."""
    router = kind.make({f"node{i}": Member(1.0 + i % 2, "xyz"[i % 3]) for i in range(8)})
    h = rw.hash_keys(np.arange(20_000))
    kept = {dtype: router.assign_hashes(h, out=np.empty(len(h), dtype)) for dtype in "HIq"}
    history = (
        ("mark_down", "node3"), ("add", "extra"), ("mark_down", "node1", "extra"), ("remove", "node3"),
        ("mark_up", "node1"), ("reweigh", "node5", 3.0), ("add", "node3"), ("mark_up", "extra"),
        ("reweigh", "node6", 0.0), ("remove", "node0", "node2"),
    )  # fmt: skip
    for operation, *arguments in history:
        before = router.assign_hashes(h)
        transfer = getattr(router, operation)(*arguments)
        after = router.assign_hashes(h)
        for ids in kept.values():
            moved = transfer.apply(ids, h)
            assert (ids == after).all()
            assert (moved == np.flatnonzero(before != after)).all()
        assert (transfer.moved(h) == np.flatnonzero(before != after)).all()


@every_kind
def test_apply_takes_strided_ids_and_hashes(kind: Kind) -> None:
    """Every second id of an array and every third hash of another are brought up to date."""
    router = kind.make(FIVE)
    h = np.repeat(SPACE, 3)[::3]
    memory = np.full(2 * len(h), 9999, np.uint32)
    ids = memory[::2]
    router.assign_hashes(h, out=ids)
    transfer = router.mark_down("a", "b")
    transfer.apply(ids, h)
    assert ids.tolist() == router.assign_hashes(h).tolist()
    assert (memory[1::2] == 9999).all()


@every_kind
def test_share_is_the_sum_of_the_arcs(kind: Kind) -> None:
    """The share is that of the hash space which the arcs cover."""
    router = kind.make(FIVE)
    for transfer in (router.mark_down("a", "b"), router.add("f"), router.remove("c")):
        covered = sum(end - start + 1 for start, end, *_ in transfer.arcs.tolist())
        assert transfer.share == pytest.approx(covered / 2**64)
        assert sum(transfer.arrivals.values()) == pytest.approx(transfer.share)
        assert sum(transfer.departures.values()) == pytest.approx(transfer.share)


@every_kind
def test_marks_that_change_nothing_keep_the_epoch(kind: Kind) -> None:
    """Down twice, up twice, the same weight again: the epoch stays and the transfer is empty."""
    router = kind.make(FIVE)
    router.mark_down("a")
    for call in (
        lambda: router.mark_down("a"),
        lambda: router.mark_up("b"),
        lambda: router.mark_up("b", "c"),
        lambda: router.reweigh("b", 2.0),
        lambda: router.reweigh("e", 0.0),
    ):
        transfer = call()
        assert router.epoch == 1
        assert (transfer.epoch_before, transfer.epoch) == (1, 1)
        assert not transfer
        assert (len(transfer.arcs), transfer.share) == (0, 0.0)
        assert (transfer.arrivals, transfer.departures) == ({}, {})
        assert transfer.moved(SPACE).tolist() == []
        assert transfer.rows is None or len(transfer.rows) == 0


@every_kind
def test_a_change_that_moves_nothing_is_a_change_all_the_same(kind: Kind) -> None:
    """A drained node that goes down changes the liveness: a new epoch, and nothing moved."""
    router = kind.make(FIVE)
    transfer = router.mark_down("e")
    assert (transfer.epoch_before, transfer.epoch, router.epoch) == (0, 1, 1)
    assert not transfer
    assert router.down == {"e"}


@pytest.mark.parametrize("second", KINDS, ids=str)
@pytest.mark.parametrize("first", KINDS, ids=str)
def test_between_compares_any_two_routers_by_name(first: Kind, second: Kind) -> None:
    """Routers with other ids, other nodes and another strategy are compared by the owners' names."""
    mine = first.make(FOUR, ["b"])
    theirs = second.make({"b": Member()})
    theirs.add("z", "a", "new", "c")
    theirs.remove("c")
    before = first.oracle(mine, first.model(FOUR, ["b"]))
    later = second.model({"b": Member()})
    later.apply([("add", name, 1.0, None) for name in ("z", "a", "new", "c")])
    later.apply([("remove", "c")])
    after = second.oracle(theirs, later)
    sides = [(a, b) for a in (mine, mine.snapshot()) for b in (theirs, theirs.snapshot())]
    for a, b in sides:
        transfer = rw.Transfer.between(a, b)
        assert (transfer.epoch_before, transfer.epoch) == (mine.epoch, theirs.epoch)
        check_transfer(transfer, before, after)
        check_moves(transfer, SPACE, mine, theirs)
        h = rw.hash_keys(KEYS)
        ids = mine.assign_hashes(h)
        transfer.apply(ids, h)
        assert list(transfer.names[ids]) == owners(theirs, h)


@every_kind
def test_between_a_router_and_itself_nothing_moves(kind: Kind) -> None:
    """A router, its snapshot and its copy are the same placement."""
    router = kind.make(FIVE, ["a"])
    for other in (router, router.snapshot(), router.copy()):
        assert not rw.Transfer.between(router, other)
        assert rw.Transfer.between(other, router).share == 0


@every_kind
def test_a_copy_allows_a_dry_run(kind: Kind) -> None:
    """What a change of a copy moves is what the same change of the router moves later."""
    router = kind.make(FIVE)
    before = fingerprint(router)
    trial = router.copy()
    tried = trial.remove("a")
    assert fingerprint(router) == before
    done = router.remove("a")
    assert arcs_by_name(tried) == arcs_by_name(done)
    assert fingerprint(trial) == fingerprint(router)
    assert arcs_by_name(rw.Transfer.between(trial, router)) == []
