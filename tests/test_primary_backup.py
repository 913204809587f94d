"""PrimaryBackup: the exact rules of priority, failback, term and fencing."""

from __future__ import annotations

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import LAST, Model
from strategies import MANY, SOME, as_nodes, edges, histories, memberships, orders, owners, perform

import ringward as rw

EDGES = edges(oracle.PrimaryBackup({}))
failbacks = pytest.mark.parametrize("failback", [True, False])


def check(router: rw.PrimaryBackup, model: Model) -> None:
    """Check primary, owners, candidates, term and epoch against the model."""
    expected = oracle.PrimaryBackup(model.members, model.down, primary=model.primary)
    assert router.primary == model.primary
    assert owners(router, EDGES) == [model.primary] * len(EDGES)
    assert orders(router, EDGES) == [expected.order] * len(EDGES)
    assert (router.epoch, router.term) == (model.epoch, model.term)


@failbacks
@given(data=st.data(), members=memberships(min_size=0, max_size=5))
@MANY
def test_every_history_has_the_primary_of_the_rules(failback: bool, data: st.DataObject, members: dict) -> None:
    """Primary, failover order, term and epoch agree with the model after every change."""
    router = rw.PrimaryBackup(as_nodes(members), failback=failback)
    model = Model(members, failback=failback)
    check(router, model)
    for change in data.draw(histories(members, max_size=8)):
        perform(router, change)
        model.apply(change)
        check(router, model)


def test_the_order_of_the_list_is_the_priority() -> None:
    """The first of the list owns every key; the others follow in the order of the list."""
    router = rw.PrimaryBackup(["zeta", "alpha", "mid"])
    assert router.primary == "zeta"
    assert router.candidates("event1") == ["zeta", "alpha", "mid"]
    assert [node.name for node in router.nodes] == ["zeta", "alpha", "mid"]
    assert list(router.names) == ["alpha", "mid", "zeta"]
    assert router.assign(["a", b"b", 3]).tolist() == [2, 2, 2]


def test_a_dict_of_weights_has_the_priority_of_its_order() -> None:
    """A dict keeps its order, and weights above 0 make no difference."""
    router = rw.PrimaryBackup({"b": 1.0, "a": 100.0})
    assert router.candidates("event1") == ["b", "a"]


def test_when_the_primary_fails_the_next_one_takes_over() -> None:
    """Takeover goes down the list, one failure after the other."""
    router = rw.PrimaryBackup(["c", "b", "a"])
    for failing, following in (("c", "b"), ("b", "a")):
        transfer = router.mark_down(failing)
        assert router.primary == router.route("event1") == following
        assert transfer.share == 1.0
        assert transfer.arrivals == {following: 1.0}
        assert transfer.departures == {failing: 1.0}
    router.mark_down("a")
    assert router.primary is None
    with pytest.raises(rw.NoNodeError):
        router.route("event1")


def test_with_failback_a_recovered_better_node_takes_over_again() -> None:
    """By default the list decides at every moment."""
    router = rw.PrimaryBackup(["c", "b", "a"])
    router.mark_down("c")
    router.mark_up("c")
    assert router.primary == "c"


def test_without_failback_the_new_primary_stays() -> None:
    """A recovered better node becomes a backup until the primary fails; backups keep their order."""
    router = rw.PrimaryBackup(["c", "b", "a"], failback=False)
    router.mark_down("c")
    assert not router.mark_up("c")
    assert router.candidates("event1") == ["b", "c", "a"]
    router.mark_down("b")
    assert router.primary == "c"
    router.mark_down("c")
    router.mark_up("b", "c")
    assert router.candidates("event1") == ["a", "c", "b"]


def test_nodes_that_are_added_come_last() -> None:
    """Added nodes are the lowest in priority, in the order in which they were given."""
    router = rw.PrimaryBackup(["m"])
    assert not router.add("z", "a")
    assert router.candidates("event1") == ["m", "z", "a"]
    router.remove("m")
    router.add("m")
    assert router.candidates("event1") == ["z", "a", "m"]
    assert router.id_of("m") == 0


def test_a_drained_node_is_neither_primary_nor_backup() -> None:
    """Weight 0 hands over, and a weight again takes its place in the list again."""
    router = rw.PrimaryBackup(["c", "b"])
    router.reweigh("c", 0)
    assert router.candidates("event1") == ["b"]
    router.reweigh("c", 1)
    assert router.candidates("event1") == ["c", "b"]


# ---- term and fencing ----------------------------------------------------------------------------------


def test_the_term_is_the_epoch_of_the_last_change_of_owner() -> None:
    """A backup's failure raises the epoch and leaves the term."""
    router = rw.PrimaryBackup(["c", "b", "a"])
    assert (router.epoch, router.term) == (0, 0)
    router.mark_down("a")
    assert (router.epoch, router.term) == (1, 0)
    router.mark_down("c")
    assert (router.epoch, router.term) == (2, 2)
    router.mark_up("a")
    router.add("d")
    assert (router.epoch, router.term) == (4, 2)
    router.mark_up("c")
    assert (router.epoch, router.term) == (5, 5)


@failbacks
@given(data=st.data(), members=memberships(min_size=1, max_size=4))
@SOME
def test_check_takes_the_tokens_from_term_to_epoch(failback: bool, data: st.DataObject, members: dict) -> None:
    """A token below the term or above the current epoch is stale, every other one is good."""
    router = rw.PrimaryBackup(as_nodes(members), failback=failback)
    for change in data.draw(histories(members, max_size=8)):
        perform(router, change)
    for token in range(-2, router.epoch + 3):
        if router.term <= token <= router.epoch:
            router.check(token)
        else:
            with pytest.raises(rw.StaleEpochError) as caught:
                router.check(token)
            seen = caught.value
            assert (seen.token, seen.term, seen.epoch) == (token, router.term, router.epoch)


def test_an_old_primary_is_fenced_and_a_healthy_one_is_not() -> None:
    """The token of before a takeover is refused; that of before a backup's failure is good."""
    router = rw.PrimaryBackup(["c", "b", "a"])
    old = router.epoch
    router.mark_down("a")
    router.check(old)
    router.mark_down("c")
    with pytest.raises(rw.StaleEpochError):
        router.check(old)
    fresh = router.epoch
    router.mark_up("a")
    router.check(fresh)
    router.mark_up("c")
    with pytest.raises(rw.StaleEpochError):
        router.check(fresh)


def test_a_primary_that_fails_and_recovers_within_one_change_keeps_its_term() -> None:
    """A change that leaves everybody as they were fences nobody."""
    for failback in (True, False):
        router = rw.PrimaryBackup(["c", "b"], failback=failback)
        with router.change() as change:
            change.mark_down("c")
            change.mark_up("c")
        assert not change.transfer
        assert (router.primary, router.epoch, router.term) == ("c", 0, 0)


@failbacks
def test_copies_snapshots_and_resumed_routers_keep_primary_and_term(failback: bool) -> None:
    """Which node is primary is state, not only a result of the list: every copy carries it."""
    router = rw.PrimaryBackup(["c", "b", "a"], failback=failback)
    router.mark_down("c")
    router.mark_up("c")
    router.mark_down("a")
    data = router.snapshot().to_bytes()
    resumed = rw.PrimaryBackup.resume(rw.Snapshot.from_bytes(data))
    for other in (router.copy(), resumed):
        assert (other.primary, other.term, other.epoch) == (router.primary, router.term, 3)
        assert other.candidates("event1") == router.candidates("event1")
        other.mark_up("a")
        assert other.primary == router.primary
        with pytest.raises(rw.StaleEpochError):
            other.check(router.term - 1)


def test_all_keys_are_one_arc() -> None:
    """A takeover's transfer is the whole hash space, and a backup's failure moves nothing."""
    router = rw.PrimaryBackup(["b", "a"])
    transfer = router.mark_down("b")
    assert transfer.arcs.tolist() == [(0, LAST, 1, 0)]
    assert transfer.moved(np.array([0, 5, LAST], np.uint64)).tolist() == [0, 1, 2]
    router.mark_up("b")
    quiet = router.mark_down("a")
    assert (len(quiet.arcs), quiet.share, bool(quiet)) == (0, 0.0, False)


def test_on_empty_owns_when_the_whole_list_is_down() -> None:
    """A member of weight 0 can be the last resort, and hands over to the first that recovers."""
    router = rw.PrimaryBackup({"b": 1.0, "a": 1.0, "parking": 0.0}, on_empty="parking")
    assert router.candidates("event1") == ["b", "a"]
    router.mark_down("a", "b")
    assert router.route("event1") == "parking"
    assert router.candidates("event1") == ["parking"]
    transfer = router.mark_up("a")
    assert router.route("event1") == "a"
    assert transfer.departures == {"parking": 1.0}


def test_a_member_without_any_weight_left_is_no_primary() -> None:
    """With all weights 0 there is no primary, and no token of before is good any more."""
    router = rw.PrimaryBackup({"a": 1.0})
    router.reweigh("a", 0)
    assert router.primary is None
    assert router.term == 1
    with pytest.raises(rw.StaleEpochError):
        router.check(0)
