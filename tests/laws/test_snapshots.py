"""Snapshots: bytes, pickles, copies and resuming."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws.cases import KEYS, every_kind, with_history
from oracle import Member
from strategies import (
    FEW,
    Kind,
    arcs_by_name,
    fingerprint,
    histories,
    memberships,
    perform,
)

import ringward as rw


def same_answers(one: Any, other: Any) -> None:
    """Check that two readers answer alike in all that routers and snapshots share."""
    assert fingerprint(one) == fingerprint(other)
    assert one.hash == other.hash
    assert [one.route(key) for key in KEYS[:50]] == [other.route(key) for key in KEYS[:50]]
    assert [one[key] for key in KEYS[:50]] == [other[key] for key in KEYS[:50]]
    assert [one.candidates(key) for key in KEYS[:50]] == [other.candidates(key) for key in KEYS[:50]]
    assert one.assign(KEYS).tolist() == other.assign(KEYS).tolist()
    assert one.assign(KEYS, count=3).tolist() == other.assign(KEYS, count=3).tolist()
    assert [one.id_of(name) for name in one] == [other.id_of(name) for name in other]
    assert [name in other for name in ("a", "f", "zz")] == [name in one for name in ("a", "f", "zz")]
    assert one.report() == other.report()


@every_kind
def test_a_snapshot_answers_as_the_router_did_and_is_not_changed_by_it(kind: Kind) -> None:
    """Later changes of the router, of any sort, leave a snapshot as it was."""
    router = with_history(kind)
    twin = router.copy()
    snapshot = router.snapshot()
    same_answers(snapshot, twin)
    router.mark_down("f")
    router.remove("a")
    router.add("new")
    same_answers(snapshot, twin)
    assert snapshot.epoch == twin.epoch == router.epoch - 3
    assert snapshot.strategy == kind.strategy.__name__


@every_kind
def test_a_snapshot_tells_its_options(kind: Kind) -> None:
    """Snapshot.options is a dict that holds what the router was made with."""
    options = with_history(kind).snapshot().options
    assert isinstance(options, dict)
    assert options.items() >= kind.options.items()


@every_kind
@pytest.mark.parametrize("family", ["XXH3", "SipHash", "Multiplicative"])
def test_the_byte_form_gives_the_same_answers(kind: Kind, family: str) -> None:
    """from_bytes(to_bytes()) routes and assigns like the router at that epoch."""
    made = {
        "XXH3": rw.XXH3(seed=77),
        "SipHash": rw.SipHash(bytes(range(16))),
        "Multiplicative": rw.Multiplicative(10, 2**61 - 1),
    }[family]
    router = with_history(kind, hash=made)
    data = router.snapshot().to_bytes()
    assert type(data) is bytes
    again = rw.Snapshot.from_bytes(data, hash=made)
    same_answers(again, router)
    assert again.strategy == kind.strategy.__name__
    assert again.options == router.snapshot().options
    assert again.to_bytes() == data
    if family != "SipHash":
        same_answers(rw.Snapshot.from_bytes(data), router)


@every_kind
def test_the_byte_form_never_holds_a_siphash_key(kind: Kind) -> None:
    """No piece of the key is in the bytes."""
    key16 = bytes.fromhex("8badf00ddeadbeeffeedfacecafed00d")
    data = with_history(kind, hash=rw.SipHash(key16)).snapshot().to_bytes()
    for start in range(13):
        assert key16[start : start + 4] not in data
        assert key16[start : start + 4][::-1] not in data


@every_kind
def test_the_byte_form_needs_no_pickle(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither way of the byte form pickles or unpickles anything."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("pickled")

    for name in ("dumps", "loads", "dump", "load", "Pickler", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    data = with_history(kind).snapshot().to_bytes()
    assert rw.Snapshot.from_bytes(data).epoch == 7


@every_kind
@given(data=st.data(), members=memberships(min_size=0, max_size=5))
@FEW
def test_any_state_survives_its_byte_form(kind: Kind, data: st.DataObject, members: dict) -> None:
    """After any history the bytes give the same fingerprint, failover orders and next changes."""
    router = kind.make(members)
    for change in data.draw(histories(members)):
        perform(router, change)
    again = rw.Snapshot.from_bytes(router.snapshot().to_bytes())
    assert fingerprint(again) == fingerprint(router)
    resumed = kind.strategy.resume(again)
    assert fingerprint(resumed) == fingerprint(router)
    nodes = {node.name: Member(node.weight, node.zone) for node in router.nodes}
    for change in data.draw(histories(nodes, max_size=2)):
        perform(router, change)
        perform(resumed, change)
        assert fingerprint(resumed) == fingerprint(router)


@every_kind
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_routers_and_snapshots_pickle(kind: Kind, protocol: int) -> None:
    """Both come back with the same answers, and a router goes on from there on its own."""
    router = with_history(kind, hash=rw.SipHash(bytes(range(16))))
    again = pickle.loads(pickle.dumps(router, protocol))
    assert type(again) is type(router)
    same_answers(again, router)
    snapshot = pickle.loads(pickle.dumps(router.snapshot(), protocol))
    same_answers(snapshot, router)
    again.mark_down("f")
    router.mark_down("f")
    same_answers(again, router)


@every_kind
@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy, lambda router: router.copy()])
def test_copies_are_independent(kind: Kind, how: Any) -> None:
    """A copy has the epoch, ids and answers of its router; changes of one don't show in the other."""
    router = with_history(kind)
    other = how(router)
    assert type(other) is type(router)
    same_answers(other, router)
    before = fingerprint(router)
    other.remove("f")
    other.add("another")
    assert fingerprint(router) == before
    after = fingerprint(other)
    router.mark_down("d")
    assert fingerprint(other) == after


@every_kind
def test_resume_goes_on_with_epochs_and_ids(kind: Kind) -> None:
    """A resumed router continues the epochs, keeps old ids for old names and makes the same changes."""
    router = with_history(kind)
    resumed = kind.strategy.resume(rw.Snapshot.from_bytes(router.snapshot().to_bytes()))
    assert type(resumed) is kind.strategy
    same_answers(resumed, router)
    for operation, *arguments in (
        ("add", "zz", "aaa"), ("mark_up", "c"), ("remove", "a"), ("reweigh", "b", 2.0), ("add", "a"),
    ):  # fmt: skip
        mine = getattr(router, operation)(*arguments)
        theirs = getattr(resumed, operation)(*arguments)
        assert (mine.epoch_before, mine.epoch) == (theirs.epoch_before, theirs.epoch)
        assert arcs_by_name(mine) == arcs_by_name(theirs)
        same_answers(resumed, router)
    assert resumed.id_of("zz") == list(router.names).index("zz") == 6
    assert resumed.id_of("aaa") == 7


@every_kind
def test_resume_takes_the_hash_of_the_snapshot_unless_told(kind: Kind) -> None:
    """hash= of resume is that of the snapshot; another one that differs is refused."""
    family = rw.SipHash(bytes(range(16)))
    snapshot = with_history(kind, hash=family).snapshot()
    assert kind.strategy.resume(snapshot).hash == family
    assert kind.strategy.resume(snapshot, hash=family).hash == family
    with pytest.raises((rw.SnapshotError, rw.ArgumentError)):
        kind.strategy.resume(snapshot, hash=rw.XXH3())


@every_kind
def test_resume_refuses_the_snapshot_of_another_strategy(kind: Kind) -> None:
    """A snapshot goes on as what it was."""
    snapshot = with_history(kind).snapshot()
    for other in {rw.HashRing, rw.PartitionedRing, rw.PartitionTable, rw.PrimaryBackup}:
        if other is not kind.strategy:
            with pytest.raises(rw.RingwardError):
                other.resume(snapshot)
