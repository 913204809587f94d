"""HashRing: the exact rules of points, owners, candidates, weights and zones."""

from __future__ import annotations

import math

import numpy as np
import oracle
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracle import COLLIDING, LAST, Member
from strategies import (
    MANY,
    POINTS,
    SOME,
    TRICKY_NAMES,
    arcs_by_name,
    as_nodes,
    edges,
    hashes,
    liveness,
    memberships,
    orders,
    owners,
)
from xxhash import xxh3_64_intdigest

import ringward as rw


def check(router: rw.HashRing, reference: oracle.HashRing) -> None:
    """Check owners and failover orders on and beside every point."""
    h = edges(reference)
    assert owners(router, h) == [reference.owner(int(x)) for x in h]
    assert orders(router, h) == [reference.candidates(int(x)) for x in h]


# ---- owner and candidates --------------------------------------------------------------------------


@given(data=st.data(), members=memberships())
@MANY
def test_the_owner_is_the_first_live_node_at_or_after_the_key(data: st.DataObject, members: dict) -> None:
    """Owner and candidates agree with the oracle on, before and after every point."""
    down = data.draw(liveness(members))
    router = rw.HashRing(as_nodes(members), points_per_node=POINTS)
    if down:
        router.mark_down(*down)
    check(router, oracle.HashRing(members, down, points_per_node=POINTS))


@given(members=memberships(min_size=2, weight=st.just(1.0)), drawn=st.lists(hashes, min_size=1))
@SOME
def test_the_candidates_of_a_hash_are_the_nodes_in_ring_order(members: dict, drawn: list) -> None:
    """Arbitrary hashes, not only those beside points, meet the nodes in ring order."""
    router = rw.HashRing(as_nodes(members), points_per_node=POINTS)
    reference = oracle.HashRing(members, points_per_node=POINTS)
    assert orders(router, np.array(drawn, np.uint64)) == [reference.walk(h) for h in drawn]


def test_a_key_on_a_point_belongs_to_it_and_the_next_one_does_not() -> None:
    """The hash of a point is its own node's, the hash after it the next point's."""
    members = dict.fromkeys(["a", "b", "c"], Member())
    router = rw.HashRing(list(members), points_per_node=5)
    points = oracle.ring_points(members, 5, 1.0)
    for (h, _, name), (_, _, following) in zip(points, points[1:] + points[:1], strict=True):
        assert owners(router, np.array([h], np.uint64)) == [name]
        assert owners(router, np.array([(h + 1) % (LAST + 1)], np.uint64)) == [following]


def test_the_ring_wraps_after_its_last_point() -> None:
    """Hashes above the last point belong to the node of the first point."""
    members = dict.fromkeys(["a", "b", "c"], Member())
    router = rw.HashRing(list(members), points_per_node=2)
    points = oracle.ring_points(members, 2, 1.0)
    beyond = np.array([points[-1][0] + 1, LAST, 0], np.uint64)
    assert owners(router, beyond) == [points[0][2]] * 3


@pytest.mark.parametrize("count", [1, 2, 10, 100, 300])
def test_rings_of_every_size_agree_with_the_oracle(count: int) -> None:
    """From one node to hundreds, at the default 160 points, owners agree on a sample of all points."""
    members = {f"node{i}": Member() for i in range(count)}
    router = rw.HashRing(list(members))
    reference = oracle.HashRing(members, points_per_node=160)
    h = edges(reference, limit=700)
    assert owners(router, h) == [reference.owner(int(x)) for x in h]
    ids = router.assign_hashes(h[:20], count=min(count, 5))
    for x, row in zip(h[:20], ids, strict=True):
        assert list(router.names[row]) == reference.candidates(int(x))[:5]


@pytest.mark.parametrize("down", [0, 1_000])
def test_more_nodes_than_16_bits_can_tell_agree_with_a_search_in_their_points(down: int) -> None:
    """Such ids fit neither lines nor direct tables, so columns are looked up in the points, many keys side by side."""
    names = [f"node{i}" for i in range(65_700)]
    router = rw.HashRing(names, points_per_node=2)
    gone = set(names[:down])
    if gone:
        router.mark_down(*gone)
    labels = ((name, len(name).to_bytes(8, "little") + name.encode()) for name in names if name not in gone)
    points = sorted(
        (xxh3_64_intdigest(label + bytes([i, *bytes(7)])), name) for name, label in labels for i in range(2)
    )
    places = np.array([h for h, _ in points], np.uint64)
    rng = np.random.default_rng(1)
    h = np.concatenate([places[:500], places[-500:] + np.uint64(1), rng.integers(0, 2**64, 5_001, np.uint64)])
    expected = [points[i % len(points)][1] for i in np.searchsorted(places, h)]
    assert router.names[router.assign_hashes(h)].tolist() == expected
    assert router.names[router.assign_hashes(h, out=np.zeros(len(h), np.int64))].tolist() == expected


def test_a_ring_with_most_of_its_nodes_down_agrees_with_the_oracle() -> None:
    """With 97 of 100 nodes down, owners are found far along the ring."""
    members = {f"node{i}": Member() for i in range(100)}
    down = sorted(members)[:97]
    router = rw.HashRing(list(members), points_per_node=40)
    router.mark_down(*down)
    reference = oracle.HashRing(members, down, points_per_node=40)
    h = edges(reference, limit=500)
    assert owners(router, h) == [reference.owner(int(x)) for x in h]
    assert orders(router, h[:50]) == [reference.candidates(int(x)) for x in h[:50]]


# ---- points ----------------------------------------------------------------------------------------


@given(
    members=memberships(weight=st.floats(0.4, 9, allow_nan=False)),
    points=st.integers(3, 9),
    unit=st.sampled_from([0.5, 1.0, 1.3]),
)
@MANY
def test_a_node_has_points_in_proportion_to_its_weight(members: dict, points: int, unit: float) -> None:
    """A node has floor(points_per_node * weight / weight_unit + 1/2) points."""
    router = rw.HashRing(as_nodes(members), points_per_node=points, weight_unit=unit)
    check(router, oracle.HashRing(members, points_per_node=points, weight_unit=unit))


def test_halves_round_up() -> None:
    """Weights 0.5, 1.5 and 2.5 of one point a unit of weight give 1, 2 and 3 points."""
    members = {"a": Member(0.5), "b": Member(1.5), "c": Member(2.5)}
    router = rw.HashRing(as_nodes(members), points_per_node=1)
    points = oracle.ring_points(members, 1, 1.0)
    assert [sum(name == n for *_, n in points) for name in members] == [1, 2, 3]
    check(router, oracle.HashRing(members, points_per_node=1))


@given(members=memberships(min_size=2, weight=st.just(1.0)), weight=st.sampled_from([0.0, 2.0, 5.0]))
@SOME
def test_points_depend_on_a_nodes_own_name_and_weight_alone(members: dict, weight: float) -> None:
    """When one node is reweighed, no hash moves between two others."""
    name = min(members)
    before = rw.HashRing(as_nodes(members), points_per_node=POINTS)
    after = before.copy()
    transfer = after.reweigh(name, weight)
    assert all(name in {arc.source, arc.target} for arc in arcs_by_name(transfer))
    check(after, oracle.HashRing(members | {name: Member(weight)}, points_per_node=POINTS))


def test_a_weight_unit_scales_every_weight() -> None:
    """Weights in gigabytes with a unit of 1,000 place as weights in terabytes do."""
    small = rw.HashRing({"a": 1.0, "b": 2.0, "c": 0.5}, points_per_node=10)
    large = rw.HashRing({"a": 1000, "b": 2000, "c": 500}, points_per_node=10, weight_unit=1000.0)
    assert rw.Transfer.between(small, large).share == 0
    reference = oracle.HashRing({"a": Member(1.0), "b": Member(2.0), "c": Member(0.5)}, points_per_node=10)
    check(large, reference)


def test_a_node_of_weight_0_has_no_points() -> None:
    """A drained node owns nothing and is nobody's candidate, but keeps its id and its membership."""
    router = rw.HashRing({"a": 1.0, "b": 0.0, "c": 1.0})
    keys = [f"event{i}" for i in range(200)]
    assert set(router.names[router.assign(keys)]) == {"a", "c"}
    assert all(set(router.candidates(key)) == {"a", "c"} for key in keys)
    assert "b" in router
    assert router.id_of("b") == 1
    assert len(router) == 3


@pytest.mark.parametrize(("points", "weight"), [(1, 0.49), (10, 0.049), (160, 0.003), (160, 5e-324)])
def test_a_positive_weight_without_a_point_is_an_error_that_suggests_a_unit(points: int, weight: float) -> None:
    """A weight that rounds to no point at all would starve the node in silence."""
    with pytest.raises(rw.ArgumentError, match="weight_unit"):
        rw.HashRing({"a": weight, "b": 1.0}, points_per_node=points)
    router = rw.HashRing({"a": 1.0, "b": 1.0}, points_per_node=points)
    with pytest.raises(rw.ArgumentError, match="weight_unit"):
        router.reweigh("a", weight)
    assert router.epoch == 0


def test_points_are_hashed_the_same_whatever_hash_the_keys_use() -> None:
    """Rings that differ in hash= alone own the same arcs, and differ in where the keys fall."""
    hashes = (rw.XXH3(seed=9), rw.SipHash(bytes(16)), rw.Multiplicative(10, 2**61 - 1))
    plain = rw.HashRing(TRICKY_NAMES)
    h = edges(oracle.HashRing(dict.fromkeys(TRICKY_NAMES, Member()), points_per_node=160), limit=300)
    keys = [f"event{i}" for i in range(500)]
    for family in hashes:
        other = rw.HashRing(TRICKY_NAMES, hash=family)
        assert other.hash == family
        assert owners(other, h) == owners(plain, h)
        assert other.assign(keys).tolist() == other.assign_hashes(rw.hash_keys(keys, family)).tolist()
        assert other.assign(keys).tolist() != plain.assign(keys).tolist()


def test_names_that_end_in_digits_share_no_points() -> None:
    """Labels are framed by length: "a1" with point 1 and "a" with point 11 are different labels."""
    members = dict.fromkeys(["a", "a1", "a11", "a111", "a\0", "a\0\0"], Member())
    points = oracle.ring_points(members, 160, 1.0)
    assert len({h for h, *_ in points}) == len(points)
    router = rw.HashRing(list(members), points_per_node=160)
    h = np.array([point[0] for point in points], np.uint64)
    assert owners(router, h) == [point[2] for point in points]


# ---- points that collide ---------------------------------------------------------------------------


@given(others=memberships(min_size=0, max_size=4, weight=st.just(1.0)), zone=st.booleans())
@SOME
def test_of_points_that_collide_the_lower_name_owns_and_the_other_follows(others: dict, zone: bool) -> None:
    """Two nodes all of whose points collide are both kept, ordered by hash and name."""
    members = {name: Member() for name in reversed(COLLIDING)} | others
    spread = "zone" if zone else None
    router = rw.HashRing(as_nodes(members), points_per_node=POINTS, spread=spread)
    reference = oracle.HashRing(members, points_per_node=POINTS, spread=spread)
    check(router, reference)
    shared = np.array([h for h, _, name in reference.points if name in COLLIDING], np.uint64)
    assert owners(router, shared) == [COLLIDING[0]] * len(shared)
    if not zone:
        assert all(order[1] == COLLIDING[1] for order in orders(router, shared))


@pytest.mark.parametrize("gone", [0, 1])
def test_of_points_that_collide_only_those_of_the_removed_node_go(gone: int) -> None:
    """Removal is by identity: the other node keeps its points and takes over what it shared."""
    router = rw.HashRing([*COLLIDING, "other"], points_per_node=POINTS)
    transfer = router.remove(COLLIDING[gone])
    left = dict.fromkeys([COLLIDING[1 - gone], "other"], Member())
    check(router, oracle.HashRing(left, points_per_node=POINTS))
    assert bool(transfer) is (gone == 0)
    router.add(COLLIDING[gone])
    both = dict.fromkeys([*COLLIDING, "other"], Member())
    check(router, oracle.HashRing(both, points_per_node=POINTS))


@pytest.mark.parametrize("down", [0, 1])
def test_of_points_that_collide_those_of_the_live_node_answer(down: int) -> None:
    """With one of the two down, the other owns every arc that they share."""
    router = rw.HashRing([*COLLIDING, "other"], points_per_node=POINTS)
    router.mark_down(COLLIDING[down])
    members = dict.fromkeys([*COLLIDING, "other"], Member())
    check(router, oracle.HashRing(members, [COLLIDING[down]], points_per_node=POINTS))


# ---- zones -----------------------------------------------------------------------------------------


@given(data=st.data(), members=memberships(min_size=2))
@MANY
def test_spread_takes_distinct_zones_first(data: st.DataObject, members: dict) -> None:
    """The first node of each zone comes first, the rest after them, both in ring order."""
    down = data.draw(liveness(members, spare=1))
    assume(any(member.weight for member in members.values()))
    router = rw.HashRing(as_nodes(members), points_per_node=POINTS, spread="zone")
    if down:
        router.mark_down(*down)
    reference = oracle.HashRing(members, down, points_per_node=POINTS, spread="zone")
    check(router, reference)
    plain = oracle.HashRing(members, down, points_per_node=POINTS)
    h = edges(reference)
    assert owners(router, h) == [plain.owner(int(x)) for x in h]
    for order in orders(router, h):
        zones = [members[name].zone or (name,) for name in order]
        distinct = len(set(zones))
        assert len(set(zones[:distinct])) == distinct


def test_without_spread_zones_are_ignored() -> None:
    """A plain ring places nodes with zones as it places nodes without."""
    zoned = rw.HashRing([rw.Node("a", zone="x"), rw.Node("b", zone="x"), rw.Node("c", zone="y")])
    plain = rw.HashRing(["a", "b", "c"])
    h = edges(oracle.HashRing(dict.fromkeys("abc", Member()), points_per_node=160))
    assert orders(zoned, h) == orders(plain, h)


def test_a_node_without_a_zone_is_a_zone_of_its_own() -> None:
    """Three nodes without a zone and two in one: the second of the two always comes last."""
    nodes = [
        rw.Node("a"),
        rw.Node("b"),
        rw.Node("c"),
        rw.Node("x", zone="z"),
        rw.Node("y", zone="z"),
    ]
    router = rw.HashRing(nodes, spread="zone")
    lasts = {router.candidates(f"event{i}")[-1] for i in range(300)}
    assert lasts == {"x", "y"}


# ---- nodes as they may be given ----------------------------------------------------------------------


def test_nodes_may_be_names_nodes_weights_or_a_mixture() -> None:
    """A list of names, of Node, a dict of weights and a mixture make the same ring."""
    forms = (
        ["a", "b", "c"],
        ("c", "b", "a"),
        [rw.Node("b"), "a", rw.Node("c", weight=1.0)],
        {"c": 1, "a": 1.0, "b": 1.0},
    )
    made = [rw.HashRing(form) for form in forms]
    assert all(router.nodes == (rw.Node("a"), rw.Node("b"), rw.Node("c")) for router in made)
    assert all(rw.Transfer.between(made[0], router).share == 0 for router in made)


def test_balance_is_what_160_points_give() -> None:
    """Shares have a standard deviation of about 1/sqrt(160), and the report's maximum is of that size."""
    router = rw.HashRing([f"node{i}" for i in range(100)])
    ids = router.assign(np.arange(200_000, dtype=np.uint64))
    shares = np.bincount(ids, minlength=100) / 2_000
    assert shares.std() == pytest.approx(1 / math.sqrt(160), rel=0.35)
    assert shares.max() == pytest.approx(1.2, abs=0.12)
