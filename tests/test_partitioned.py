"""PartitionedRing: the exact rules of parts, of failover inside them and of the spill-over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import Member, Model
from strategies import (
    MANY,
    POINTS,
    SOME,
    as_nodes,
    edges,
    histories,
    liveness,
    memberships,
    names,
    orders,
    owners,
    perform,
)

import ringward as rw

part_sizes = st.integers(1, 5)


def make(members: dict, part_size: int, down: Iterable[str] = ()) -> rw.PartitionedRing:
    """Return a small partitioned ring."""
    router = rw.PartitionedRing(as_nodes(members), part_size=part_size, points_per_node=POINTS)
    if down:
        router.mark_down(*down)
    return router


def reference(router: rw.PartitionedRing, members: dict, down: Iterable[str] = ()) -> oracle.Placement:
    """Return the oracle of a router, given its parts."""
    parts = {name: router.part_of(name) for name in members}
    return oracle.PartitionedRing(members, down, parts=parts, points_per_node=POINTS)


def check_parts(router: rw.PartitionedRing, members: dict, part_size: int) -> None:
    """Check that there are ceil(n / k) parts whose sizes differ by at most one, and hold everybody."""
    assert len(router.parts) == math.ceil(len(members) / part_size)
    assert sorted(itertools.chain(*router.parts)) == sorted(members)
    sizes = [len(part) for part in router.parts]
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert max(sizes, default=0) <= part_size
    for index, part in enumerate(router.parts):
        assert all(router.part_of(name) == index for name in part)


def nodes_that_changed_part(before: Iterable[Iterable[str]], after: Iterable[Iterable[str]]) -> int:
    """Return how many survivors left the part they were in, however parts are numbered."""
    old, new = [set(part) for part in before], [set(part) for part in after]
    survivors = len(set().union(*old) & set().union(*new))
    # Each part goes on as at most one; the numbering that leaves most nodes where they were counts.
    return survivors - oracle.heaviest_matching([[len(a & b) for b in new] for a in old])


# ---- the parts ---------------------------------------------------------------------------------------


@given(members=memberships(min_size=0, max_size=12), part_size=part_sizes)
@MANY
def test_the_first_cut_orders_names_by_hash(members: dict, part_size: int) -> None:
    """Names ordered by (XXH3-64, name) are cut into P consecutive pieces, larger ones first."""
    router = make(members, part_size)
    check_parts(router, members, part_size)
    expected = oracle.first_cut(members, part_size) if members else []
    assert [set(part) for part in router.parts] == [set(piece) for piece in expected]


def test_the_number_of_parts_is_that_of_the_formula() -> None:
    """P(n, k) = ceil(n / k), with members that are down or drained counted."""
    for n, k in itertools.product((1, 2, 3, 7, 10, 12), (1, 2, 3, 4, 100)):
        members = {f"node{i}": Member(float(i != 1)) for i in range(n)}
        router = make(members, k, down=["node0"])
        assert len(router.parts) == -(-n // k)
        check_parts(router, members, k)


@given(data=st.data(), members=memberships(max_size=6), part_size=st.integers(1, 4))
@MANY
def test_later_changes_move_the_fewest_nodes_between_parts(data: st.DataObject, members: dict, part_size: int) -> None:
    """After each change the sizes differ by at most one, and as few nodes as can be changed part."""
    router, model = make(members, part_size), Model(members)
    for change in data.draw(histories(members)):
        before = router.parts
        perform(router, change)
        model.apply(change)
        check_parts(router, model.members, part_size)
        fewest = oracle.fewest_part_changes(before, router.parts)
        assert nodes_that_changed_part(before, router.parts) == fewest


@given(members=memberships(min_size=2), part_size=part_sizes, down=st.data())
@SOME
def test_liveness_and_weights_leave_the_parts_alone(members: dict, part_size: int, down: st.DataObject) -> None:
    """Marks and weights cut nothing anew."""
    router = make(members, part_size)
    parts = router.parts
    marked = down.draw(liveness(members)) or {min(members)}
    router.mark_down(*marked)
    assert router.parts == parts
    router.reweigh(max(members), 9.0)
    assert router.parts == parts
    router.mark_up(*marked)
    assert router.parts == parts


def test_growing_one_node_at_a_time_moves_at_most_a_few_nodes() -> None:
    """From 1 to 40 nodes in parts of 4, and back, no single change moves more than a part's worth."""
    router = make({"node0": Member()}, 4)
    for i in [*range(1, 40), *range(39, 0, -1)]:
        before = router.parts
        name = f"node{i}"
        (router.remove if name in router else router.add)(name)
        sizes = {len(part) for part in router.parts}
        assert max(sizes) - min(sizes) <= 1
        fewest = oracle.fewest_part_changes(before, router.parts)
        assert nodes_that_changed_part(before, router.parts) == fewest <= 4


# ---- owners and candidates -----------------------------------------------------------------------------


@given(data=st.data(), members=memberships(), part_size=part_sizes)
@MANY
def test_candidates_are_the_part_in_ring_order_and_then_the_others(
    data: st.DataObject, members: dict, part_size: int
) -> None:
    """Owners and candidates agree with the oracle on and beside every point."""
    down = data.draw(liveness(members))
    router = make(members, part_size, down)
    expected = reference(router, members, down)
    h = edges(expected)
    assert owners(router, h) == [expected.owner(int(x)) for x in h]
    assert orders(router, h) == [expected.candidates(int(x)) for x in h]


@given(data=st.data(), members=memberships(min_size=3, weight=st.just(1.0)))
@SOME
def test_a_failure_stays_in_its_part(data: st.DataObject, members: dict) -> None:
    """While one node of a part lives, the part's keys stay inside it, and no other key moves."""
    router = make(members, 3)
    down = data.draw(liveness(members, spare=1))
    h = edges(oracle.HashRing(members, points_per_node=POINTS))
    before = owners(router, h)
    if down:
        router.mark_down(*down)
    for was, now in zip(before, owners(router, h), strict=True):
        home = router.parts[router.part_of(was)]
        assert now == was or was in down
        if set(home) - down:
            assert now in home


def test_a_part_that_is_down_spills_over_to_the_next_on_the_ring() -> None:
    """With a whole part down, its keys go to the first live node of the ring, whatever its part."""
    members = {f"node{i}": Member() for i in range(9)}
    router = make(members, 3)
    down = router.parts[1]
    h = edges(oracle.HashRing(members, points_per_node=POINTS))
    before = owners(router, h)
    router.mark_down(*down)
    plain = oracle.HashRing(members, down, points_per_node=POINTS)
    after = owners(router, h)
    for x, was, now in zip(h, before, after, strict=True):
        assert now == (plain.owner(int(x)) if was in down else was)
    assert len(set(after)) == 6


def test_a_keys_part_is_that_of_its_first_point_even_when_that_node_is_down() -> None:
    """The part of a key doesn't follow the living: it is that of the first point, alive or not."""
    members = {f"node{i}": Member() for i in range(8)}
    for part_size in (2, 4):
        router = make(members, part_size)
        alone = {part[0] for part in router.parts}
        down = set(members) - alone
        router.mark_down(*down)
        plain = oracle.HashRing(members, points_per_node=POINTS)
        h = edges(plain)
        for x, now in zip(h, owners(router, h), strict=True):
            assert now == router.parts[router.part_of(plain.owner(int(x)))][0]


# ---- membership ----------------------------------------------------------------------------------------


@given(data=st.data(), members=memberships(max_size=6), part_size=part_sizes)
@SOME
def test_membership_changes_move_what_a_plain_ring_moves(data: st.DataObject, members: dict, part_size: int) -> None:
    """While all are live, every change has the arcs of the same change of a HashRing."""
    router = make(members, part_size)
    plain = rw.HashRing(as_nodes(members), points_per_node=POINTS)
    for change in data.draw(histories(members)):
        lasting = [operation for operation in change if not operation[0].startswith("mark")]
        if not lasting:
            continue
        mine, theirs = perform(router, lasting), perform(plain, lasting)
        assert mine.share == pytest.approx(theirs.share, abs=1e-15)
        h = edges(oracle.HashRing({n.name: Member(n.weight) for n in plain.nodes}, points_per_node=POINTS))
        assert owners(router, h) == owners(plain, h)


def test_recutting_the_parts_moves_no_key_of_a_live_node() -> None:
    """With some down, a change that re-cuts the parts leaves keys of live first nodes alone."""
    members = {f"node{i}": Member() for i in range(6)}
    router = make(members, 2, down=["node1", "node4"])
    plain = oracle.HashRing(members, points_per_node=POINTS)
    h = edges(plain)
    before = owners(router, h)
    router.add("extra1", "extra2", "extra3")
    grown = members | dict.fromkeys(["extra1", "extra2", "extra3"], Member())
    after = owners(router, h)
    assert after == [reference(router, grown, ["node1", "node4"]).owner(int(x)) for x in h]
    for x, was, now in zip(h, before, after, strict=True):
        if plain.owner(int(x)) not in {"node1", "node4"}:
            assert now == was or now.startswith("extra")


def test_removing_a_node_that_is_down_moves_its_keys_a_second_time() -> None:
    """The price: they leave the part that stood in for it, and go where a plain ring has them."""
    members = {f"node{i}": Member() for i in range(8)}
    router = make(members, 2)
    victim = "node3"
    h = edges(oracle.HashRing(members, points_per_node=POINTS))
    mine = [x for x, name in zip(h, owners(router, h), strict=True) if name == victim]
    router.mark_down(victim)
    (stand_in,) = set(owners(router, np.array(mine)))
    assert router.part_of(stand_in) == router.part_of(victim)
    transfer = router.remove(victim)
    left = {name: member for name, member in members.items() if name != victim}
    plain = oracle.HashRing(left, points_per_node=POINTS)
    assert owners(router, np.array(mine)) == [plain.owner(int(x)) for x in mine]
    assert transfer.share > 0
    assert set(transfer.departures) == {stand_in}


@given(members=memberships(min_size=1), part_size=part_sizes, order=st.randoms())
@SOME
def test_the_cut_does_not_depend_on_the_order_of_the_nodes(members: dict, part_size: int, order: object) -> None:
    """Nodes given in another order fall into the same parts."""
    shuffled = list(members.items())
    order.shuffle(shuffled)
    assert make(members, part_size).parts == make(dict(shuffled), part_size).parts


@given(name=names)
@SOME
def test_part_of_refuses_a_name_that_is_no_member(name: str) -> None:
    """A name that isn't a member has no part."""
    router = make({"member of the ring": Member()}, 2)
    with pytest.raises(rw.UnknownNodeError) as caught:
        router.part_of(name)
    assert caught.value.node == name


def test_a_part_size_above_the_membership_is_a_plain_ring() -> None:
    """With one part for all, owners and candidates are those of a HashRing, whoever is down."""
    members = {f"node{i}": Member() for i in range(5)}
    router = make(members, 100, down=["node2"])
    expected = oracle.HashRing(members, ["node2"], points_per_node=POINTS)
    h = edges(expected)
    assert orders(router, h) == [expected.candidates(int(x)) for x in h]
