"""`Adaptive`: each kind of trouble gets its own answer, and whoever holds it wrongly gets a right one."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import threading

import numpy as np
import pytest
from failover.told import Told

import ringward as rw
from ringward.failover import Adaptive, Decision, Policy
from ringward.health import Status

NODES = [rw.Node(f"n{i:02}", zone="abc"[i // 4]) for i in range(12)]
KEYS = np.arange(2000)
KINDS = {
    "ring": lambda: rw.HashRing(NODES),
    "partitioned": lambda: rw.PartitionedRing(NODES, part_size=4),
    "table": lambda: rw.PartitionTable(NODES, replicas=2),
    "primary": lambda: rw.PrimaryBackup(NODES),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind="ring", policy=None, **more):
    """An Adaptive over a router of a kind, and the detector that it asks."""
    told = Told()
    return Adaptive(KINDS[kind](), detector=told, policy=policy or Policy(), **more), told


def run(adaptive, until_s, since_s=0.0, step_s=1.0):
    """Tick from one time to another; what was decided."""
    decisions, now_s = [], since_s
    while now_s <= until_s:
        decisions += adaptive.tick(now_s)
        now_s += step_s
    return decisions


def kinds(decisions):
    """What was decided, in short."""
    return [(decision.kind, decision.nodes) for decision in decisions]


# --- a router like any other


@every_kind
def test_it_reads_like_the_router_inside(kind) -> None:
    """Owners, candidates, names, reports and snapshots are those of the router inside, epoch by epoch."""
    adaptive, told = made(kind)
    plain = KINDS[kind]()
    assert isinstance(adaptive, rw.Router)
    for names in ([], ["n03"], ["n05"]):
        told.say(*names)
        adaptive.tick(0.0)
        if names:
            plain.mark_down(*names)
        assert (adaptive.assign(KEYS) == plain.assign(KEYS)).all()
        assert adaptive["event1"] == adaptive.route("event1") == plain.route("event1")
        assert adaptive.candidates("event1") == plain.candidates("event1")
        assert adaptive.report() == plain.report()
        assert adaptive.snapshot().to_bytes() == plain.snapshot().to_bytes()
        assert (adaptive.down, adaptive.epoch, adaptive.nodes) == (plain.down, plain.epoch, plain.nodes)
    assert type(plain).resume(adaptive.snapshot()).down == {"n03", "n05"}
    assert adaptive.inside.down == frozenset()


def test_the_compiled_calls_are_its_own() -> None:
    """No Python stands between a call and the compiled code. A `__getattr__` once made `route` take twice as long."""
    for name in ("route", "candidates", "assign", "assign_hashes"):
        assert Adaptive.__dict__[name].__objclass__ is Adaptive
        assert type(made()[0]).__dict__[name].__objclass__ is type(made()[0])
    assert "__getattr__" not in dir(made()[0])


def test_what_only_the_placement_has_is_read_from_what_was_decided() -> None:
    """The primary is the one after the failure, and the fence refuses the one before."""
    adaptive, told = made("primary")
    token = adaptive.term
    told.say("n00")
    adaptive.tick(0.0)
    assert (adaptive.primary, adaptive.inside.primary) == ("n01", "n00")
    with pytest.raises(rw.StaleEpochError):
        adaptive.check(token)
    parted, _ = made("partitioned")
    assert parted.part_of("n00") == parted.inside.part_of("n00")
    with pytest.raises(AttributeError, match="primary"):
        parted.primary  # noqa: B018
    assert Adaptive(adaptive, detector=told).primary == "n01"


# --- each kind of trouble


@every_kind
def test_a_dead_node_goes_down_at_once_and_comes_back_after_the_hold_down(kind) -> None:
    """The transfer of either is what the change moved, and the ids kept by transfers alone stay right."""
    adaptive, told = made(kind)
    hashes = rw.hash_keys(KEYS, adaptive.hash)
    ids = adaptive.assign_hashes(hashes)
    told.say("n03", trouble="failing")
    decisions = run(adaptive, 9)
    told.say("n03", trouble=None)
    decisions += run(adaptive, 60, since_s=10)
    assert [(each.time_s, each.kind, each.nodes) for each in decisions] == [
        (0.0, "down", ("n03",)),
        (40.0, "up", ("n03",)),
    ]
    assert "9 errors in 2 s" in decisions[0].reason
    assert "well for 30.0 s, down for 40.0 s" in decisions[1].reason
    for decision in decisions:
        decision.transfer.apply(ids, hashes)
        assert decision.moved == decision.transfer.share
    assert (ids == KINDS[kind]().assign_hashes(hashes)).all()


def test_a_lull_shorter_than_the_hold_down_is_part_of_the_outage() -> None:
    """Overlapping and repeated reports of one outage count once."""
    adaptive, told = made()
    for second in range(120):
        told.say("n03", trouble="silent" if second % 10 < 5 else None)
        adaptive.tick(float(second))
    assert kinds(adaptive.log()) == [("down", ("n03",))]
    assert adaptive._judge.records["n03"].penalty.value == 1


def test_a_node_that_flaps_is_held_down_for_longer_and_longer_and_forgiven_in_time() -> None:
    """After RFC 2439: the second outage in short order suppresses it until the penalty has fallen."""
    policy = Policy(hold_down_s=10, half_life_s=600, suppressed_most_s=3600, suppress_at=1.9)
    adaptive, told = made(policy=policy)
    decisions = []
    for second in range(8000):
        told.say("n03", trouble="silent" if second < 300 and second % 60 < 5 else None)
        decisions += adaptive.tick(float(second))
    assert [each.kind for each in decisions] == ["down", "up", "down", "hold", "up"]
    down_s = decisions[4].time_s - decisions[2].time_s
    assert 600 < down_s <= 3600
    assert "n03" not in adaptive._judge.records


def test_a_slow_node_loses_its_share_by_steps_and_gets_it_back_by_steps() -> None:
    """Keys leave it only, and come back to it only."""
    adaptive, told = made()
    told.say("n03", trouble="slow")
    lowered = run(adaptive, 200)
    weights = {node.name: node.weight for node in adaptive.nodes}
    assert [each.kind for each in lowered] == ["lower"] * 3
    assert weights["n03"] == 0.125
    assert [each.time_s for each in lowered] == [10.0, 40.0, 70.0]
    assert all({*each.transfer.departures} == {"n03"} for each in lowered)
    assert adaptive.inside.nodes == tuple(NODES)
    told.say("n03", trouble=None)
    raised = run(adaptive, 400, since_s=201)
    assert [each.kind for each in raised] == ["raise"] * 3
    assert "25.00 % → 50.00 % of its weight" in raised[1].reason
    assert adaptive.nodes == tuple(NODES)
    assert (adaptive.assign(KEYS) == adaptive.inside.assign(KEYS)).all()


def test_a_node_that_fell_silent_after_it_was_slow_is_dead_and_no_longer_slow() -> None:
    """It once was lowered, "silent for 5 s", in the tick in which a return made room for its going down."""
    adaptive, told = made(policy=Policy(out_most=0.26, panic_s=math.inf))
    told.say("n01")
    told.say("n05", trouble="slow")
    run(adaptive, 5)
    told.say("n05", "n06", "n09")
    run(adaptive, 20, since_s=6)
    told.say("n01", "n09", trouble=None)
    decisions = run(adaptive, 60, since_s=21)
    assert "lower" not in {each.kind for each in decisions}
    assert adaptive.down == {"n05", "n06"}


def test_a_slow_primary_is_replaced_because_it_has_no_share_to_lose() -> None:
    """Where one node owns everything, slow for long is as good as down."""
    adaptive, told = made("primary")
    told.say("n00", trouble="slow")
    assert run(adaptive, 9) == []
    assert kinds(run(adaptive, 12, since_s=10)) == [("down", ("n00",))]
    assert adaptive.primary == "n01"


def test_a_zone_goes_down_as_one_change() -> None:
    """Keys move once, to the zones that live; who of it was well comes back after the hold-down, and stays."""
    adaptive, told = made()
    told.say("n04", "n05", "n06")
    decisions = run(adaptive, 100)
    assert kinds(decisions) == [("zone", ("n04", "n05", "n06", "n07")), ("up", ("n07",))]
    assert {*decisions[0].transfer.arrivals} == {f"n{i:02}" for i in (0, 1, 2, 3, 8, 9, 10, 11)}
    assert "3 of 4 nodes of zone 'b' fell within 60 s" in decisions[0].reason
    told.say("n04", "n05", "n06", trouble=None)
    assert kinds(run(adaptive, 200, since_s=101)) == [("up", ("n04", "n05", "n06"))]


@every_kind
def test_a_zone_moves_the_least_and_is_as_even_as_the_placement_can_be(kind) -> None:
    """What leaves is what the zone owned, and what is left is what one mark of the whole zone leaves."""
    adaptive, told = made(kind)
    plain = KINDS[kind]()
    owned = sum(node.share for node in plain.report().nodes if node.zone == "b")
    told.say("n04", "n05", "n06", "n07")
    (decision,) = adaptive.tick(0.0)
    assert decision.kind == "zone"
    assert decision.moved == pytest.approx(owned, abs=1e-12)
    plain.mark_down("n04", "n05", "n06", "n07")
    assert adaptive.report() == plain.report()


def test_a_detector_that_cannot_list_its_suspects_is_asked_about_each() -> None:
    """Its error is told once."""

    class Listing(Told):
        def suspects(self, now_s):
            raise OSError("no list")

    told = Listing()
    adaptive = Adaptive(KINDS["ring"](), detector=told)
    told.say("n03")
    decisions = run(adaptive, 20)
    assert [each.kind for each in decisions] == ["error", "down"]
    assert "OSError: no list" in decisions[0].reason


def test_too_many_at_once_are_not_believed_until_it_lasts() -> None:
    """Detector or network is likelier wrong."""
    names = [node.name for node in NODES[:7]]
    adaptive, told = made()
    told.say(*names)
    assert [each.kind for each in run(adaptive, 59)] == ["panic"]
    assert adaptive.down == frozenset()
    assert {*adaptive.waiting} == {*names}
    assert next(each.kind for each in run(adaptive, 70, since_s=60)) in {"down", "zone"}
    assert adaptive.down == {*names}
    never, told = made(policy=Policy(panic_s=math.inf))
    told.say(*names)
    run(never, 10_000, step_s=50)
    assert never.down == frozenset()


def test_it_never_empties_itself() -> None:
    """While all in use are suspected, nobody goes; who is well comes back before its time."""
    adaptive, told = made()
    told.say(*adaptive)
    assert [each.kind for each in run(adaptive, 500)] == ["panic"]
    assert adaptive.down == frozenset()
    one = Adaptive(rw.HashRing(["a", "b"]), detector=(told := Told()))
    told.say("a")
    one.tick(0.0)
    told.say("b")
    told.say("a", trouble=None)
    assert kinds(one.tick(1.0)) == [("up", ("a",)), ("down", ("b",))]
    assert one.route("event1") == "a"


def test_returns_wait_for_the_budget_of_movement_and_dead_owners_do_not() -> None:
    """What waits is told, with the time it takes."""
    adaptive, told = made(policy=Policy(moved_a_minute=0.1, hold_down_s=10))
    told.say("n00", "n04", "n08")
    assert adaptive.tick(0.0)[0].moved > 0.2
    told.say("n00", "n04", "n08", trouble=None)
    decisions = run(adaptive, 400, since_s=1)
    assert decisions[0].kind == "wait"
    assert "moved_a_minute" in decisions[0].reason
    ups = [each for each in decisions if each.kind == "up"]
    assert [len(each.nodes) for each in ups] == [1, 1, 1]
    assert all(later.time_s - one.time_s >= 40 for one, later in itertools.pairwise(ups))
    assert adaptive.down == frozenset()


def test_no_more_changes_a_minute_than_allowed() -> None:
    """Half of them are kept for dead owners."""
    adaptive, told = made(policy=Policy(transitions_a_minute=4, hold_down_s=0, moved_a_minute=100, suppress_at=50))
    for step in range(1000):
        told.say("n01", trouble="silent" if step % 2 else None)
        adaptive.tick(step * 0.5)
    times = [each.time_s for each in adaptive.log() if each.transfer or each.moved]
    assert max(sum(start <= time < start + 60 for time in times) for start in times) <= 4


# --- observe


@every_kind
def test_who_observes_decides_and_changes_nothing(kind) -> None:
    """The decisions are those of one who acts, and reads are those of the router inside at any time."""
    adaptive, told = made(kind)
    watching = Adaptive(KINDS[kind](), detector=told, observe=True)
    for second in range(100):
        told.say("n03", trouble="silent" if second < 20 else None)
        told.say("n05", trouble="slow" if second < 50 else None)
        acted, observed = adaptive.tick(float(second)), watching.tick(float(second))
        assert [(each.kind, each.nodes, each.reason, each.moved) for each in acted] == [
            (each.kind, each.nodes, each.reason, each.moved) for each in observed
        ]
        assert watching.epoch == 0
        assert watching.down == frozenset()
    watching.inside.mark_down("n01")
    assert watching.down == {"n01"}
    assert watching._state is watching.inside._state


# --- by hand


def test_changes_by_hand_go_through_and_are_respected() -> None:
    """A node that an operator marked down stays down, and one marked up is left alone until it was well."""
    adaptive, told = made()
    transfer = adaptive.mark_down("n02")
    assert (transfer.epoch_before, transfer.epoch) == (0, 1)
    assert adaptive.inside.down == adaptive.down == {"n02"}
    run(adaptive, 1000)
    assert adaptive.down == {"n02"}
    told.say("n03")
    adaptive.tick(1001.0)
    assert adaptive.mark_up("n03").arrivals.keys() == {"n03"}
    assert adaptive.tick(1002.0) == []
    told.say("n03", trouble=None)
    adaptive.tick(1003.0)
    told.say("n03")
    assert kinds(adaptive.tick(1004.0)) == [("down", ("n03",))]
    adaptive.mark_down("n03")
    told.say("n03", trouble=None)
    run(adaptive, 2000, since_s=1005)
    assert adaptive.down == {"n02", "n03"}
    adaptive.mark_up("n03")
    assert adaptive.down == {"n02"}


def test_a_weight_given_by_hand_is_lowered_like_the_one_before() -> None:
    """The share of a slow node is one of whatever weight its operator gives it."""
    adaptive, told = made()
    told.say("n03", trouble="slow")
    run(adaptive, 10)
    adaptive.reweigh("n03", 4)
    assert {node.name: node.weight for node in adaptive.nodes}["n03"] == 2
    told.say("n03", trouble=None)
    run(adaptive, 100, since_s=11)
    assert {node.name: node.weight for node in adaptive.nodes}["n03"] == 4


@every_kind
def test_members_come_and_go_while_they_are_out(kind) -> None:
    """Nothing of a node that left is remembered, by the detector neither."""
    adaptive, told = made(kind)
    told.say("n03", "n04")
    adaptive.tick(0.0)
    with adaptive.change() as change:
        change.remove("n03")
        change.add(rw.Node("n99", zone="a"))
    assert change.transfer.epoch == adaptive.epoch
    assert told.forgotten == ["n03"]
    assert adaptive.down == {"n04"}
    adaptive.add(rw.Node("n03", zone="a"))
    adaptive.tick(1.0)
    assert adaptive.down == {"n04"}
    assert {*adaptive} == {*adaptive.inside}
    assert {*adaptive._judge.records} == {"n04"}


@every_kind
def test_the_router_inside_may_be_changed_too(kind) -> None:
    """This one follows at once; of an error nothing is left; changes inside an open change are refused."""
    adaptive, told = made(kind)
    other = Adaptive(adaptive.inside, detector=told)
    told.say("n03")
    adaptive.tick(0.0)
    adaptive.inside.remove("n05")
    adaptive.inside.mark_down("n06")
    assert "n05" not in adaptive
    assert (adaptive.down, other.down) == ({"n03", "n06"}, {"n06"})
    assert (adaptive.assign(KEYS) != other.assign(KEYS)).any() or kind == "primary"
    with pytest.raises(rw.UnknownNodeError):
        adaptive.remove("n01", "n05")
    assert "n01" in adaptive.inside
    with pytest.raises(rw.ChangeError), adaptive.change():
        adaptive.mark_down("n01")
    with pytest.raises(rw.DuplicateNodeError):
        other.add("n01")
    other.add("n77")
    assert "n77" in adaptive


# --- held wrongly


def test_a_detector_that_raises_is_told_once_and_stops_nobody_else() -> None:
    """Of the node that it raises about nothing is new."""
    adaptive, told = made()
    told.raising["n01"] = ValueError("no such node")
    told.say("n03")
    decisions = run(adaptive, 20)
    assert kinds(decisions) == [("error", ("n01",)), ("down", ("n03",))]
    assert "ValueError: no such node" in decisions[0].reason


@pytest.mark.parametrize("said", [None, "down", Status(2.0, suspected=True, reason=5, trouble="silent")])
def test_a_detector_that_says_nonsense_is_told_once_and_stops_nobody_else(said) -> None:
    """It raised out of the tick, and no node was decided about any more."""

    class Nonsense(Told):
        def status(self, node, now_s):
            return said if node == "n01" else super().status(node, now_s)

    told = Nonsense()
    adaptive = Adaptive(KINDS["ring"](), detector=told)
    told.say("n03")
    decisions = run(adaptive, 20)
    assert kinds(decisions) == [("error", ("n01",)), ("down", ("n03",))]
    assert "status must be a Status" in decisions[0].reason


def test_a_detector_that_lists_nonsense_is_asked_about_each() -> None:
    """As one that raises."""

    class Listing(Told):
        def suspects(self, now_s):
            return [["n03"]]

    told = Listing()
    adaptive = Adaptive(KINDS["ring"](), detector=told)
    told.say("n03")
    assert [each.kind for each in run(adaptive, 20)] == ["error", "down"]


def test_a_detector_that_ticks_who_asks_it_is_refused() -> None:
    """It never ended."""

    class Ticking(Told):
        def status(self, node, now_s):
            adaptive.tick(now_s)

    adaptive = Adaptive(KINDS["ring"](), detector=Ticking())
    (decision,) = adaptive.tick(0.0)
    assert (decision.kind, len(decision.nodes)) == ("error", 12)
    assert "inside a tick of this thread" in decision.reason
    hooked, told = made(hooks=[lambda decision: hooked.tick(decision.time_s)])
    told.say("n03")
    assert kinds(hooked.tick(0.0)) == [("down", ("n03",))]


def test_a_detector_may_change_who_asks_it() -> None:
    """While it is asked, and while it forgets; what left is neither judged nor remembered."""

    class Changing(Told):
        def status(self, node, now_s):
            if "n05" in adaptive:
                adaptive.remove("n05")
            return super().status(node, now_s)

        def forget(self, node):
            super().forget(node)
            if node == "n05":
                adaptive.mark_down("n06")

    told = Changing()
    adaptive = Adaptive(KINDS["ring"](), detector=told)
    told.say("n03", "n05")
    assert kinds(adaptive.tick(0.0)) == [("down", ("n03",))]
    assert (adaptive.epoch, adaptive.down, adaptive.inside.down) == (3, {"n03", "n06"}, {"n06"})
    assert {*adaptive.held} == {"n03"}
    assert "n05" not in adaptive


def test_a_change_of_the_router_inside_in_the_middle_of_a_tick_is_followed_after_it() -> None:
    """A node that left between two wishes was remembered for ever, or ended the tick with a KeyError."""
    adaptive, told = made()
    wishes = adaptive._judge.wishes

    def leaving():
        for wish in wishes():
            thread = threading.Thread(target=lambda: "n03" in adaptive.inside and adaptive.inside.remove("n03"))
            thread.start()
            thread.join()
            yield wish

    adaptive._judge.wishes = leaving
    told.say("n03", "n09")
    adaptive.tick(0.0)
    assert "n03" not in adaptive
    assert ({*adaptive.held}, adaptive.down, {*adaptive._judge.records}) == ({"n09"}, {"n09"}, {"n09"})
    assert told.forgotten == ["n03"]


def test_a_detector_that_cannot_forget_is_told_and_the_node_has_left() -> None:
    """The change by hand is whole."""

    class Stubborn(Told):
        def forget(self, node):
            raise KeyError(node)

    adaptive = Adaptive(KINDS["ring"](), detector=Stubborn())
    adaptive.remove("n03")
    assert "n03" not in adaptive
    assert kinds(adaptive.log()) == [("error", ("n03",))]


def test_hooks_hear_every_decision_and_may_raise() -> None:
    """Their errors are told, and change nothing; a hook may change the router."""
    heard: list[Decision] = []

    def broken(decision: Decision) -> None:
        raise RuntimeError("the pager is off")

    adaptive, told = made(hooks=[broken, heard.append])
    told.say("n03")
    decisions = adaptive.tick(0.0)
    assert kinds(decisions) == [("down", ("n03",)), ("error", ("n03",))]
    assert kinds(heard) == [("down", ("n03",))]
    assert adaptive.log() == decisions


@pytest.mark.parametrize("now_s", [-1, math.nan, math.inf, "now", True, None])
def test_times_that_are_none_are_refused(now_s) -> None:
    """By the typed error of each."""
    with pytest.raises((rw.ArgumentError, rw.ArgumentTypeError), match="now_s"):
        made()[0].tick(now_s)


@pytest.mark.parametrize(
    ("more", "error", "text"),
    [
        ({"router": None}, rw.ArgumentTypeError, "router must be of type Router"),
        ({"detector": None}, rw.ArgumentTypeError, "detector must be of type Detector"),
        ({"policy": {}}, rw.ArgumentTypeError, "policy must be of type Policy"),
        ({"observe": 1}, rw.ArgumentTypeError, "observe must be of type bool"),
        ({"hooks": [1]}, rw.ArgumentTypeError, "hooks must be callable"),
    ],
)
def test_wrong_arguments_are_refused(more, error, text) -> None:
    """By name, bound and value."""
    given = {"router": rw.HashRing(["a"]), "detector": Told(), **more}
    with pytest.raises(error, match=text):
        Adaptive(given.pop("router"), **given)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"hold_down_s": -1}, "hold_down_s must be finite and at least 0"),
        ({"hold_down_s": math.inf}, "hold_down_s"),
        ({"half_life_s": 0}, "half_life_s must be finite and above 0"),
        ({"out_most": 1.01}, "out_most must be above 0 and at most 1"),
        ({"slow_step": 1}, "slow_step must be below 1"),
        ({"reuse_at": 3}, "reuse_at must be below suppress_at"),
        ({"transitions_a_minute": 1}, "transitions_a_minute must be at least 2"),
        ({"panic_s": math.nan}, "panic_s"),
        ({"moved_a_minute": "much"}, "moved_a_minute must be a number"),
    ],
)
def test_wrong_policies_are_refused(more, text) -> None:
    """By name, bound and value."""
    with pytest.raises(rw.RingwardError, match=text):
        Policy(**more)


def test_clocks_that_go_back_or_stand_still_hold_nothing_up_and_hurry_nothing() -> None:
    """A jump back is no time at all, and time goes on from there."""
    adaptive, told = made()
    told.say("n03")
    adaptive.tick(1000.0)
    told.say("n03", trouble=None)
    for _ in range(100):
        assert adaptive.tick(1000.0) == []
    assert adaptive.tick(5.0) == []
    assert run(adaptive, 34, since_s=6) == []
    assert kinds(run(adaptive, 36, since_s=35)) == [("up", ("n03",))]


@every_kind
def test_copies_and_pickles_go_on_by_themselves(kind) -> None:
    """They decide what the first one would have decided."""
    adaptive, told = made(kind)
    told.say("n03")
    told.say("n05", trouble="slow")
    run(adaptive, 20)
    others = [adaptive.copy(), copy.copy(adaptive), copy.deepcopy(adaptive), pickle.loads(pickle.dumps(adaptive))]
    expected = None
    for each in [*others, adaptive]:
        assert (each.down, each.epoch, each.held) == (adaptive.down, 2, adaptive.held)
        each.detector.say("n03", "n05", trouble=None)
        decisions = run(each, 200, since_s=21)
        found = [(one.time_s, one.kind, one.nodes, one.reason) for one in decisions]
        expected = expected or found
        assert found == expected
        each.mark_down("n01")
    assert [each.inside.epoch for each in others] == [1] * 4


def test_a_snapshot_is_one_of_the_router_inside_and_not_resumed_here() -> None:
    """Followers route by it."""
    adaptive, told = made()
    told.say("n03")
    adaptive.tick(0.0)
    snapshot = rw.Snapshot.from_bytes(adaptive.snapshot().to_bytes())
    assert rw.Router.named(snapshot.strategy).resume(snapshot).down == {"n03"}
    with pytest.raises(rw.ArgumentError, match="snapshot must be resumed by the class of the router inside"):
        Adaptive.resume(snapshot)


def test_ticks_and_changes_of_many_threads_end_in_one_state() -> None:
    """Two over one router, changed by hand from all sides: nobody waits for ever, and nothing is lost."""
    ring = rw.HashRing([f"n{i}" for i in range(20)])
    told = Told()
    adaptives = [Adaptive(ring, detector=told) for _ in range(2)]

    def work(number: int) -> None:
        mine = adaptives[number % 2] if number < 4 else ring
        for step in range(60):
            mine.add(f"t{number}-{step}")
            if isinstance(mine, Adaptive):
                mine.tick(float(step))
            mine.remove(f"t{number}-{step}")

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert {*ring} == {f"n{i}" for i in range(20)} == {*adaptives[0]} == {*adaptives[1]}
    assert (adaptives[0].assign(KEYS) == ring.assign(KEYS)).all() or adaptives[0].epoch


def test_day_400_costs_what_day_1_does() -> None:
    """Nodes come and go, and nothing of them stays; the log is bounded, and few of its transfers are kept."""
    adaptive, told = made()
    for day in range(400):
        name = f"pod{day}"
        adaptive.add(name)
        told.say(name)
        adaptive.tick(day * 86400.0)
        adaptive.tick(day * 86400.0 + 60)
        adaptive.remove(name)
        adaptive.add(f"x{day}")
        adaptive.remove(f"x{day}")
    adaptive.tick(1e9)
    assert adaptive._judge.records == {}
    assert len(adaptive.log()) <= 1000
    assert sum(each.transfer is not None for each in adaptive.log()) <= 16
    assert len(adaptive.names) <= 12 + 256 + 1
    assert {*told.forgotten} >= {"pod0", "pod399"}


def test_the_explanation_says_why_a_node_is_down() -> None:
    """And what waits is told, too."""
    adaptive, told = made()
    key = next(key for key in range(1000) if adaptive.route(key) == "n03")
    told.say("n03")
    adaptive.tick(0.0)
    explained = adaptive.explain(key)
    assert next(step.reason for step in explained.steps if step.node == "n03").endswith("by policy: silent for 5 s")
    assert adaptive.held == {"n03": "silent for 5 s"}
    assert repr(adaptive) == "<Adaptive over a HashRing of 12 nodes, 1 down, epoch 1: decides, 1 out, 0 lowered>"
    assert str(adaptive.log()[0]).startswith("0.000 s: down n03: silent for 5 s; ")
