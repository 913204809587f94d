"""`Clusters`: which cluster serves a key, against a slow reference; who may take over, and when keys return."""

from __future__ import annotations

import pickle
import random
import sys
import threading

import numpy as np
import pytest
from failover.owners import reference
from failover.told import Told

import ringward as rw
from ringward.failover import Adaptive, Clusters, Handover, Policy

HASHES = np.random.default_rng(7).integers(0, 2**64, 3000, np.uint64)
KEYS = [f"event{i}" for i in range(300)]


def three(kind=rw.HashRing, **more):
    """Three clusters of four nodes each."""
    routers = {name: kind([f"{name}{i}" for i in range(4)]) for name in ("ap", "eu", "us")}
    return Clusters(routers, **more), routers


def agree(*asked):
    """A witness that notes what it was asked, and agrees."""
    return lambda *about: (asked and asked[0].append(about)) or True


def kinds(decisions):
    """What was decided, in short."""
    return [(decision.kind, decision.nodes) for decision in decisions]


def agrees(clusters, sample=200) -> None:
    """Scalar, bulk, candidates and the reference agree."""
    ids = clusters.assign_hashes(HASHES)
    expected = [reference(clusters, int(value)) for value in HASHES[:sample]]
    assert clusters.owner_names(ids)[:sample].tolist() == expected
    rows = clusters.owner_names(clusters.assign_hashes(HASHES[:sample], count=5))
    assert rows[:, 0].tolist() == expected
    column = clusters.owner_names(clusters.assign(KEYS)).tolist()
    lists = clusters.owner_names(clusters.assign(KEYS, count=5)).tolist()
    for key, owner, row in zip(KEYS, column, lists, strict=True):
        if owner is None:
            with pytest.raises(rw.NoNodeError):
                clusters.route(key)
            continue
        assert clusters.route(key) == clusters[key] == owner
        found = clusters.candidates(key, 5)
        assert [name for name in row if name] == found
        assert found[0] == owner
        assert clusters.cluster_of(owner) == clusters.serving(key)
        assert len({*clusters.candidates(key)}) == len(clusters.candidates(key))


@pytest.mark.parametrize("kind", [rw.HashRing, rw.PartitionTable, rw.PrimaryBackup])
@pytest.mark.parametrize("home", [rw.PartitionTable, rw.HashRing, rw.PrimaryBackup])
def test_it_routes_as_the_cluster_that_serves_does(kind, home) -> None:
    """Whatever the routers are, and while nodes come, go, fail and return; ids kept by transfers alone stay right."""
    clusters, routers = three(kind, home=home(["ap", "eu", "us"]))
    rng = random.Random(3)
    kept = clusters.assign_hashes(HASHES)
    for step in range(25):
        name = rng.choice(list(routers))
        node = rng.choice(list(routers[name]))
        before = clusters.snapshot()
        what = rng.choice(["mark_down", "mark_down", "mark_up", "add", "remove"])
        if what == "add":
            routers[name].add(f"{name}-{step}")
        elif what != "remove" or len(routers[name]) > 1:
            getattr(routers[name], what)(node)
        rw.Transfer.between(before, clusters).moved(HASHES)
        kept = clusters.assign_hashes(HASHES)
        for decision in clusters.tick(float(step * 50)):
            moved = decision.transfer.apply(kept, HASHES) if decision.transfer else []
            assert decision.transfer is None or len(moved) == len(decision.transfer.moved(HASHES))
        agrees(clusters)
        assert (kept == clusters.assign_hashes(HASHES)).all()
        assert {*clusters} == {node for router in routers.values() for node in router}


def test_keys_are_handed_over_as_capacity_goes_and_return_when_it_lasts() -> None:
    """In parts that only grow; back with hysteresis, once it has been sound for long."""
    clusters, routers = three()
    eu = routers["eu"]
    shares = []
    for second, node in enumerate(["eu0", "eu1", "eu2", "eu3"]):
        eu.mark_down(node)
        for decision in clusters.tick(float(second)):
            assert {clusters.cluster_of(name) for name in decision.transfer.arrivals} == {"us"}
        shares.append(clusters._standing["eu"].given)
        agrees(clusters)
    assert shares == [0.0, 0.0, 0.5, 1.0]
    assert clusters.tick(10.0) == []
    eu.mark_up("eu0", "eu1")
    for second in range(20, 400, 10):
        assert clusters.tick(float(second)) == []
    eu.mark_up("eu2", "eu3")
    decisions = [each for second in range(400, 600, 10) for each in clusters.tick(float(second))]
    assert [(each.time_s, each.kind, each.nodes) for each in decisions] == [(520.0, "return", ("eu",))]
    assert clusters._standing["eu"].given == 0
    agrees(clusters)


def test_whole_clusters_only() -> None:
    """With part=False a cluster below its threshold hands over everything."""
    clusters, routers = three(policy=Handover(capacity_least=0.6, part=False, return_at=0.6))
    routers["eu"].mark_down("eu0", "eu1")
    assert clusters.tick(0.0)[0].moved == pytest.approx(1 / 3, abs=0.001)
    assert {clusters.serving(key) for key in KEYS if clusters.home_of(key) == "eu"} == {"us"}


def test_a_stand_in_that_fails_is_replaced_and_the_last_one_gives_back() -> None:
    """In the standby order; a cluster without anybody in its order waits."""
    clusters, routers = three(standby={"eu": ["ap", "us"], "ap": []})
    routers["eu"].mark_down(*routers["eu"])
    assert kinds(clusters.tick(0.0)) == [("promote", ("eu", "ap"))]
    routers["ap"].mark_down(*routers["ap"])
    assert kinds(clusters.tick(1.0)) == [("wait", ("ap",)), ("promote", ("eu", "us"))]
    agrees(clusters)
    routers["eu"].mark_up("eu0")
    routers["us"].mark_down(*routers["us"])
    assert ("return", ("eu",)) in kinds(clusters.tick(2.0))
    agrees(clusters)


def test_requests_that_fail_trip_it_at_low_traffic_too() -> None:
    """One request in ten minutes is enough, and few failures among many are not."""
    clusters, _ = three()
    for turn in range(4):
        clusters.failed("eu", turn * 600.0)
        assert clusters.tick(turn * 600.0) == []
    clusters.failed("eu", 2400.0)
    (decision,) = clusters.tick(2400.0)
    assert decision.nodes == ("eu", "us")
    assert "5 of its latest 5 requests failed" in decision.reason
    busy, _ = three()
    for request in range(1000):
        (busy.failed if request % 10 == 0 else busy.answered)("eu", 100.0 + request * 0.005)
    assert busy.tick(105.0) == []
    for request in range(500):
        busy.failed("eu", 105.0 + request * 0.005)
    assert kinds(busy.tick(108.0)) == [("promote", ("eu", "us"))]


def test_a_cluster_that_keeps_failing_returns_later_each_time() -> None:
    """Twice as late with each turn."""
    clusters, _ = three()
    times = []
    now_s = 0.0
    for _ in range(4):
        for _ in range(5):
            clusters.failed("eu", now_s)
        left_s = now_s
        clusters.tick(now_s)
        while clusters._standing["eu"].given:
            now_s += 10.0
            clusters.tick(now_s)
        times.append(now_s - left_s)
    assert times == [120.0 + 10, 240.0 + 10, 480.0 + 10, 960.0 + 10]


def test_resident_keys_never_leave() -> None:
    """They raise, and in columns get NO_NODE; all other keys are served, and theirs again once a node lives."""
    clusters, routers = three(resident=["eu"], witness=agree())
    routers["eu"].mark_down(*routers["eu"])
    assert clusters.tick(0.0) == []
    mine = [key for key in KEYS if clusters.home_of(key) == "eu"]
    other = [key for key in KEYS if clusters.home_of(key) != "eu"]
    for read in (clusters.route, clusters.__getitem__, clusters.explain):
        with pytest.raises(rw.ResidencyError, match="'eu' is live, and its keys must not leave it"):
            read(mine[0])
    assert clusters.candidates(mine[0]) == []
    assert (clusters.assign(mine) == rw.NO_NODE).all()
    assert (clusters.assign(mine, out=np.empty(len(mine), np.int64)) == np.iinfo(np.int64).max).all()
    assert (clusters.assign(other) != rw.NO_NODE).all()
    assert clusters.route(other[0])
    agrees(clusters)
    with pytest.raises(rw.ResidencyError):
        clusters.promote("eu", "us")
    routers["eu"].mark_up("eu2")
    assert {clusters.route(key) for key in mine} == {"eu2"}
    assert type(clusters) is Clusters
    agrees(clusters)


def test_nobody_anywhere() -> None:
    """An error for single keys, NO_NODE in columns; the first node that lives gets everything."""
    clusters, routers = three()
    for router in routers.values():
        router.mark_down(*router)
    assert {each.kind for each in clusters.tick(0.0)} == {"wait"}
    with pytest.raises(rw.NoNodeError, match="none is live where it may be served"):
        clusters.route("event1")
    assert (clusters.assign(KEYS) == rw.NO_NODE).all()
    routers["us"].mark_up("us1")
    clusters.tick(1.0)
    assert {*clusters.owner_names(clusters.assign(KEYS))} == {"us1"}
    agrees(clusters)


def test_a_promotion_needs_a_witness() -> None:
    """Without one, against one, and with one that raises nothing changes; with one the epoch fences the old cluster."""
    clusters, _ = three()
    with pytest.raises(rw.PromotionError, match="needs a witness"):
        clusters.promote("eu", "us")
    for witness in (lambda *about: False, lambda *about: 1 / 0):
        refused, _ = three(witness=witness)
        with pytest.raises(rw.PromotionError, match="the witness"):
            refused.promote("eu", "us")
        assert refused.epoch == 0
    asked: list = []
    clusters, routers = three(witness=agree(asked))
    token = clusters.term("eu")
    transfer = clusters.promote("eu", "us")
    assert asked == [("eu", "us", 1)]
    assert {clusters.cluster_of(name) for name in transfer.departures} == {"eu"}
    assert {clusters.cluster_of(name) for name in transfer.arrivals} == {"us"}
    with pytest.raises(rw.StaleEpochError):
        clusters.check("eu", token)
    clusters.check("eu", clusters.term("eu"))
    clusters.check("ap", token)
    for second in range(1000):
        assert clusters.tick(float(second)) == []
    clusters.give_back("eu")
    assert clusters.term("eu") == 2
    routers["us"].mark_down(*routers["us"])
    with pytest.raises(rw.PromotionError, match="no node of it is live"):
        clusters.promote("eu", "us")


def test_a_witness_that_refuses_is_told_once_and_asked_again() -> None:
    """Another process may have taken the keys over; the decision comes when it agrees."""
    answers = [False, False, True]
    clusters, routers = three(witness=lambda *about: answers.pop(0))
    routers["eu"].mark_down(*routers["eu"])
    assert kinds(clusters.tick(0.0)) == [("refused", ("eu",))]
    assert clusters.tick(1.0) == []
    assert kinds(clusters.tick(2.0)) == [("promote", ("eu", "us"))]


def test_two_processes_with_one_witness_promote_one_cluster() -> None:
    """A compare-and-set on the cluster's epoch: who comes second is refused, and fenced."""
    stored = {"eu": ("eu", 0)}

    def witness(cluster: str, to: str, epoch: int) -> bool:
        if epoch <= stored[cluster][1]:
            return False
        stored[cluster] = (to, epoch)
        return True

    one, _ = three(witness=witness)
    two, _ = three(witness=witness)
    one.promote("eu", "us")
    with pytest.raises(rw.PromotionError, match="refuses it for epoch 1"):
        two.promote("eu", "ap")
    assert stored["eu"] == ("us", one.term("eu"))


def test_the_explanation_tells_the_whole_way() -> None:
    """Home, why it is not there, where it is, when it returns."""
    clusters, routers = three()
    key = next(key for key in KEYS if clusters.home_of(key) == "eu")
    assert clusters.explain(key).steps[0].reason == "its home"
    routers["eu"].mark_down(*routers["eu"])
    clusters.tick(0.0)
    told = clusters.explain(key)
    assert told.owner == clusters.route(key)
    assert told.candidates == tuple(clusters.candidates(key, 3))
    assert told.steps[0].node == "eu"
    assert "handed over 100.00 % of its keys: no node of it is live; it returns once 80.00 %" in told.steps[0].reason
    assert (told.steps[1].node, told.steps[1].reason) == ("us", "stands in for eu")
    routers["eu"].mark_up(*routers["eu"])
    clusters.tick(10.0)
    assert "it returns in 120 s if it stays sound" in clusters.explain(key).steps[0].reason


def test_homes_by_a_rule_are_one_router_each() -> None:
    """All over the same routers inside, which tell all of them of a change."""
    _, routers = three()
    by_home = {name: Clusters(routers, home=rw.PrimaryBackup([name, *(routers.keys() - {name})])) for name in routers}
    for name, clusters in by_home.items():
        assert {clusters.home_of(key) for key in KEYS} == {name}
        assert [clusters.route(key) for key in KEYS] == [routers[name].route(key) for key in KEYS]
    routers["eu"].mark_down(*routers["eu"])
    decisions = {name: kinds(clusters.tick(0.0)) for name, clusters in by_home.items()}
    assert all(each == [("promote", ("eu", "us"))] for each in decisions.values())
    for clusters in by_home.values():
        agrees(clusters)
    assert [by_home["eu"].route(key) for key in KEYS] == [routers["us"].route(key) for key in KEYS]
    assert by_home["us"].epoch == by_home["us"].term("us") == 0 or by_home["us"].log()[0].moved == 0


def test_clusters_of_adaptives() -> None:
    """Nodes are decided inside, clusters here; what is decided inside holds here at once."""
    told = Told()
    adaptives = {
        name: Adaptive(rw.HashRing([f"{name}{i}" for i in range(4)]), detector=told, policy=Policy(panic_s=5))
        for name in ("eu", "us")
    }
    clusters = Clusters(adaptives)
    told.say("eu0")
    adaptives["eu"].tick(0.0)
    assert clusters.down == {"eu0"}
    told.say("eu1", "eu2")
    for second in range(10):
        adaptives["eu"].tick(float(second))
        clusters.tick(float(second))
    assert clusters.down == {"eu0", "eu1", "eu2"}
    assert clusters._standing["eu"].given == 0.5
    agrees(clusters)
    again = pickle.loads(pickle.dumps(clusters))
    assert isinstance(again.routers["eu"], Adaptive)
    agrees(again)


def test_copies_and_pickles_go_on_by_themselves() -> None:
    """Without witness and hooks: a dry run asks nobody."""
    asked: list = []
    clusters, routers = three(witness=agree(asked), resident=["ap"])
    clusters.promote("eu", "us")
    for other in (clusters.copy(), pickle.loads(pickle.dumps(clusters))):
        assert (other.assign_hashes(HASHES) == clusters.assign_hashes(HASHES)).all()
        assert (other.epoch, other.term("eu")) == (clusters.epoch, clusters.term("eu"))
        other.give_back("eu")
        other.routers["ap"].mark_down("ap0")
    assert len(asked) == 1
    assert routers["ap"].down == frozenset()
    snapshot = rw.Snapshot.from_bytes(clusters.snapshot().to_bytes())
    assert (snapshot.assign_hashes(HASHES) == clusters.assign_hashes(HASHES)).all()
    with pytest.raises(rw.ArgumentError):
        Clusters.resume(snapshot)


def test_nodes_are_changed_in_their_clusters() -> None:
    """Here they are refused, and what does not fit together is told and changes nothing here."""
    clusters, routers = three()
    for change in (lambda: clusters.mark_down("eu0"), lambda: clusters.add("x"), lambda: clusters.reweigh("eu0", 2)):
        with pytest.raises(rw.UnsupportedError, match="in the router of their cluster"):
            change()
    before = clusters.epoch
    routers["us"].add("eu0")
    assert [each.kind for each in clusters.log()] == ["error"]
    assert clusters.epoch == before
    routers["us"].remove("eu0")
    agrees(clusters)


def test_hooks_hear_what_tick_decides() -> None:
    """And what they raise is told."""
    heard = []
    clusters, routers = three(hooks=[heard.append, lambda told: 1 / 0])
    routers["eu"].mark_down(*routers["eu"])
    assert kinds(clusters.tick(0.0)) == [("promote", ("eu", "us")), ("error", ("eu", "us"))]
    assert kinds(heard) == [("promote", ("eu", "us"))]


RING = rw.HashRing(["a"])


@pytest.mark.parametrize(
    ("clusters", "more", "text"),
    [
        ({}, {}, "clusters must be a mapping of at least one name"),
        ([RING], {}, "clusters must be a mapping"),
        ({"x": 1}, {}, "router of x must be a Router"),
        ({"x": RING, "y": rw.HashRing(["b"], hash=rw.XXH3(seed=1))}, {}, "hashed by"),
        ({"x": RING, "y": RING}, {}, "node 'a' is a member already"),
        ({"x": rw.HashRing([])}, {}, "cluster x must be of at least one node"),
        ({"x": RING}, {"home": rw.HashRing(["y"])}, "home must be a router over the clusters"),
        ({"x": RING}, {"standby": {"x": ["z"]}}, "standby of x must be one of x"),
        ({"x": RING}, {"standby": {"x": ["x"]}}, "standby of x must be a list of other clusters"),
        ({"x": RING}, {"standby": {"x": None}}, "standby of x must be a list of other clusters"),
        ({"x": RING}, {"resident": "x"}, "resident must be a list of names"),
        ({"x": RING}, {"resident": 5}, "resident must be a list of names"),
        ({"x": RING}, {"resident": ["z"]}, "resident must be one of x"),
        ({"x": RING}, {"policy": Policy()}, "policy must be of type Handover"),
        ({"x": RING}, {"witness": 1}, "witness must be callable"),
    ],
)
def test_wrong_arguments_are_refused(clusters, more, text) -> None:
    """By name, bound and value."""
    with pytest.raises(rw.RingwardError, match=text):
        Clusters(clusters, **more)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"capacity_least": 1.1}, "capacity_least must be above 0 and at most 1"),
        ({"return_at": 0.4}, "return_at must be at least capacity_least"),
        ({"part": 1}, "part must be of type bool"),
        ({"outcomes_least": 0}, "outcomes_least must be at least 1"),
        ({"window_s": 0}, "window_s must be finite and above 0"),
    ],
)
def test_wrong_settings_are_refused(more, text) -> None:
    """By name, bound and value."""
    with pytest.raises(rw.RingwardError, match=text):
        Handover(**more)


# --- held wrongly


def compare_and_set():
    """A witness that agrees to each epoch of a cluster once."""
    stored: dict[str, int] = {}

    def witness(cluster: str, to: str, epoch: int) -> bool:
        agrees_to = epoch > stored.get(cluster, 0)
        stored[cluster] = max(epoch, stored.get(cluster, 0))
        return agrees_to

    return witness


def test_what_is_so_already_asks_no_witness() -> None:
    """Promoting twice used up an epoch of the witness without one here, and it refused everything after that."""
    clusters, _ = three(witness=compare_and_set())
    assert clusters.give_back("eu").share == 0
    first = clusters.promote("eu", "us")
    again = clusters.promote("eu", "us")
    assert (first.epoch, again.epoch, again.share) == (1, 1, 0.0)
    assert clusters.give_back("eu").epoch == clusters.term("eu") == 2


def test_an_epoch_that_a_witness_agreed_to_is_used_up_though_no_key_moves() -> None:
    """A cluster without keys of its own may change hands too."""
    home = rw.PrimaryBackup(["us", "eu", "ap"])
    clusters, _ = three(home=home, witness=compare_and_set())
    for epoch, to in enumerate(["ap", "us", "ap"], 1):
        assert clusters.promote("eu", to).epoch == clusters.epoch == clusters.term("eu") == epoch
    agrees(clusters)


def test_a_handover_that_cannot_be_compiled_changes_nothing() -> None:
    """A node that belongs to two clusters: it is told, and once that is mended all goes on. It raised, half-changed."""
    clusters, routers = three(witness=compare_and_set())
    routers["us"].add("ap0")
    with pytest.raises(rw.DuplicateNodeError):
        clusters.promote("eu", "us")
    assert (clusters.epoch, clusters.term("eu"), clusters._standing["eu"].given) == (0, 0, 0.0)
    for _ in range(5):
        clusters.failed("eu", 1.0)
    assert kinds(clusters.tick(1.0)) == [("error", ("eu",))]
    assert clusters.tick(2.0) == []
    routers["us"].remove("ap0")
    assert kinds(clusters.tick(3.0)) == [("promote", ("eu", "us"))]
    assert clusters.term("eu") == clusters.epoch
    agrees(clusters)


def test_while_a_witness_hangs_nodes_are_followed() -> None:
    """It is asked outside of the lock: its store may be down when clusters are."""
    asked, answer = threading.Event(), threading.Event()

    def witness(*about: object) -> bool:
        asked.set()
        return answer.wait(20)

    clusters, routers = three(witness=witness)
    thread = threading.Thread(target=clusters.promote, args=("eu", "us"), daemon=True)
    thread.start()
    assert asked.wait(20)
    routers["ap"].mark_down("ap0")
    assert clusters.down == {"ap0"}
    assert "ap0" not in clusters.owner_names(clusters.assign_hashes(HASHES))
    answer.set()
    thread.join(20)
    assert {clusters.serving(key) for key in KEYS if clusters.home_of(key) == "eu"} == {"us"}
    assert clusters.term("eu") == clusters.epoch == 2
    agrees(clusters)


def test_a_witness_that_promotes_meanwhile_wins() -> None:
    """Whoever asked before is refused, rather than that the later one is undone."""
    router: list[Clusters] = []

    def witness(cluster: str, to: str, epoch: int) -> bool:
        if to == "us":
            router[0].promote("eu", "ap")
        return True

    clusters, _ = three(witness=witness)
    router.append(clusters)
    with pytest.raises(rw.PromotionError, match="changed while the witness was asked"):
        clusters.promote("eu", "us")
    assert clusters._standing["eu"].to == "ap"
    agrees(clusters)


def test_a_clock_that_goes_back_keeps_no_cluster_away() -> None:
    """The wait begins anew, and requests of a time to come count no more than those long ago."""
    clusters, routers = three()
    routers["eu"].mark_down(*routers["eu"])
    clusters.tick(1e9)
    routers["eu"].mark_up(*routers["eu"])
    clusters.tick(1e9 + 1)
    decisions = [each for second in range(0, 200, 10) for each in clusters.tick(float(second))]
    assert [(each.time_s, each.kind) for each in decisions] == [(120.0, "return")]
    for _ in range(50):
        clusters.answered("eu", 1e9)
    for request in range(10):
        clusters.failed("eu", 200.0 + request / 10)
    (decision,) = clusters.tick(201.0)
    assert "10 of its latest 10 requests failed" in decision.reason


def test_requests_end_while_others_tick_and_copy() -> None:
    """A tick once raised, since the outcomes changed while it counted them."""
    clusters, _ = three()
    ended = threading.Event()

    def requests() -> None:
        while not ended.is_set():
            clusters.answered("eu", 1.0)

    threads = [threading.Thread(target=requests, daemon=True) for _ in range(2)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for _ in range(25):
            assert clusters.tick(1.0) == []
            assert clusters.copy().epoch == 0
    finally:
        sys.setswitchinterval(before)
        ended.set()
    for thread in threads:
        thread.join(20)
    assert len(clusters._standing["eu"]._outcomes) <= 1000


def test_a_router_of_homes_in_which_nobody_lives_is_told_and_changes_nothing() -> None:
    """Its mark_down once raised an IndexError, after it had happened."""
    clusters, _ = three()
    before = clusters.assign_hashes(HASHES)
    clusters.home.mark_down("ap", "eu", "us")
    (decision,) = clusters.log()
    assert "no cluster is live in the router of homes" in decision.reason
    assert (clusters.assign_hashes(HASHES) == before).all()
    clusters.home.mark_up("ap", "eu", "us")
    agrees(clusters)


def test_keys_of_live_nodes_keep_them_while_those_beside_have_nobody() -> None:
    """Who stands for nobody in the table is a node of the cluster that is down, and never one that serves keys."""
    clusters, routers = three(witness=agree())
    clusters.promote("ap", "eu")
    clusters.promote("eu", "us")
    routers["us"].mark_down(*routers["us"])
    names = clusters.owner_names(clusters.assign_hashes(HASHES))
    homes = clusters.home.names[clusters.home.assign_hashes(HASHES)]
    assert {name is None for name in names[homes != "ap"]} == {True}
    assert {str(name)[:2] for name in names[homes == "ap"]} == {"eu"}


@pytest.mark.parametrize("leave", [False, True])
def test_transfers_say_which_keys_have_lost_every_owner_and_which_have_one_again(leave) -> None:
    """Owners that are kept by transfers alone have NO_NODE where `assign` does; also after a pickle, and in a cluster of one node."""
    routers = {"eu": rw.HashRing(["eu0"]), "us": rw.HashRing(["us0", "us1"])}
    seen = []
    clusters = Clusters(routers, resident=["eu"], hooks=[seen.append])
    kept, before = clusters.assign_hashes(HASHES), clusters.snapshot()
    (routers["eu"].remove if leave else routers["eu"].mark_down)("eu0")
    lost = clusters.assign_hashes(HASHES)
    assert clusters.epoch == 1
    assert (lost != kept).any()
    assert {None} == {*clusters.owner_names(lost[lost != kept]).tolist()}
    with pytest.raises(rw.ResidencyError):
        [clusters.route(key) for key in KEYS]
    routers["eu"].add("eu1")
    again = clusters.assign_hashes(HASHES)
    assert {"eu1"} == {*clusters.owner_names(again[lost != kept]).tolist()}
    assert before.assign_hashes(HASHES).tolist() == kept.tolist()


def test_a_promotion_out_of_an_outage_brings_kept_owners_up_to_date() -> None:
    """Keys that had nobody have an owner then, and the transfer knows it, also once pickled."""
    clusters, routers = three()
    routers["ap"].mark_down(*routers["ap"])
    kept = clusters.assign_hashes(HASHES)
    (decision,) = clusters.tick(0.0)
    for transfer in (decision.transfer, pickle.loads(pickle.dumps(decision.transfer))):
        owners = kept.copy()
        moved = transfer.apply(owners, HASHES)
        assert (owners == clusters.assign_hashes(HASHES)).all()
        assert moved.tolist() == np.flatnonzero(clusters.owner_names(kept) == None).tolist()  # noqa: E711 - element by element
        assert "nobody" in str(transfer)


@pytest.mark.parametrize(("out", "error"), [
    ([1], rw.errors.ArgumentTypeError), (np.empty((3000, 2), np.float64), rw.errors.ArgumentTypeError),
    (np.empty((3000, 3), np.uint32), rw.errors.ArgumentError), (np.empty(3000, np.uint32), rw.errors.ArgumentError),
    (np.broadcast_to(np.uint32(0), (3000, 2)), rw.errors.ArgumentError),
])  # fmt: skip
def test_candidates_go_into_what_fits(out, error) -> None:
    """What does not is refused as by a router inside; and NO_NODE is the largest number of each width."""
    clusters, routers = three()
    with pytest.raises(error, match="out"):
        clusters.assign_hashes(HASHES, count=2, out=out)
    for hashes in ([1, 2], HASHES.reshape(2, -1), HASHES.astype(np.int64)):
        with pytest.raises((rw.ArgumentError, rw.errors.ArgumentTypeError), match="hashes"):
            clusters.assign_hashes(hashes, count=2)
    routers["ap"].mark_down("ap1", "ap2", "ap3")
    expected = clusters.owner_names(clusters.assign_hashes(HASHES, count=12)).tolist()
    for width in (np.uint16, np.uint32, np.int64):
        into = np.empty((len(HASHES), 12), width)
        assert clusters.assign_hashes(HASHES, count=12, out=into) is not None
        assert clusters.owner_names(into).tolist() == expected
