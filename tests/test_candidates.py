"""Candidates where a walk along the ring would be long: heavy nodes, large zones, small parts, most nodes down."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import HashRing, Member, PartitionedRing
from strategies import FEW

import ringward as rw

HASHES = rw.hash_keys(np.arange(300))
MANY = rw.hash_keys(np.arange(20_000))


def by_name(router: rw.Router, count: int) -> list[list[str]]:
    """Of many keys at once: few would not be worth the levels."""
    ids = router.assign_hashes(np.tile(HASHES, 40), count=count)[: len(HASHES)]
    return [[router.names[i] for i in row if i != rw.NO_NODE] for row in ids.tolist()]


@given(
    weights=st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, 30.0, 200.0]), min_size=1, max_size=9),
    zones=st.lists(st.sampled_from([None, "a", "b"]), min_size=9, max_size=9),
    down=st.sets(st.integers(0, 8), max_size=6),
    spread=st.sampled_from([None, "zone"]),
    counts=st.permutations([1, 2, 3, 9]),
)
@FEW
def test_candidates_of_a_ring_are_those_of_the_oracle(
    weights: list, zones: list, down: set, spread: Any, counts: list
) -> None:
    """Whatever the weights and zones are, whoever is down, and however many were asked for before."""
    members = {f"n{i}": Member(weight, zones[i]) for i, weight in enumerate(weights)}
    router = rw.HashRing([rw.Node(n, m.weight, m.zone) for n, m in members.items()], points_per_node=4, spread=spread)
    gone = [f"n{i}" for i in down if i < len(weights)]
    if gone:
        router.mark_down(*gone)
    if not router._state.table.live:
        return
    reference = HashRing(members, gone, points_per_node=4, spread=spread)
    expected = [reference.candidates(int(h)) for h in HASHES]
    for count in counts:
        wanted = min(count, len(members))
        assert by_name(router, wanted) == [row[:wanted] for row in expected]
        assert router.candidates("event1", wanted) == reference.candidates(router.hash("event1"))[:wanted]


@given(
    weights=st.lists(st.sampled_from([0.0, 1.0, 50.0]), min_size=1, max_size=12),
    size=st.sampled_from([1, 2, 5]),
    down=st.sets(st.integers(0, 11), max_size=9),
)
@FEW
def test_candidates_of_parts_are_those_of_the_oracle(weights: list, size: int, down: set) -> None:
    """The part's live nodes first, then all others."""
    members = {f"n{i}": Member(weight) for i, weight in enumerate(weights)}
    router = rw.PartitionedRing({n: m.weight for n, m in members.items()}, points_per_node=4, part_size=size)
    gone = [f"n{i}" for i in down if i < len(weights)]
    if gone:
        router.mark_down(*gone)
    if not router._state.table.live:
        return
    parts = {name: number for number, names in enumerate(router.parts) for name in names}
    reference = PartitionedRing(members, gone, points_per_node=4, parts=parts)
    expected = [reference.candidates(int(h)) for h in HASHES]
    for wanted in (min(2, len(members)), len(members)):
        assert by_name(router, wanted) == [row[:wanted] for row in expected]


def seconds(router: rw.Router, count: int) -> float:
    best = 100.0
    for _ in range(3):
        began = time.process_time()
        router.assign_hashes(MANY, count=count, threads=1)
        best = min(best, time.process_time() - began)
    return best


def zoned(first: int, *others: int) -> list[rw.Node]:
    return [rw.Node(f"{zone}-{i}", zone=str(zone)) for zone, size in enumerate((first, *others)) for i in range(size)]


def with_most_down() -> rw.HashRing:
    ring = rw.HashRing([f"n{i}" for i in range(1_000)], points_per_node=40)
    ring.mark_down(*[f"n{i}" for i in range(996)])
    return ring


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (lambda: rw.HashRing({"a": 4_000.0, "b": 1.0, "c": 1.0, "d": 1.0}), 3),
        (lambda: rw.HashRing({"a": 2_000.0, "b": 2_000.0, "c": 1.0, "d": 1.0}), 4),
        (lambda: rw.HashRing({"a": 1_000.0, "b": 30.0, "c": 1.0}), 3),
        (lambda: rw.HashRing(zoned(2_000, 1), spread="zone", points_per_node=40), 2),
        (lambda: rw.HashRing(zoned(1_000, 1_000, 1), spread="zone", points_per_node=40), 3),
        (lambda: rw.PartitionedRing([f"n{i}" for i in range(2_000)], part_size=3, points_per_node=40), 3),
        (lambda: rw.PartitionedRing({"a": 4_000.0, "b": 1.0, "c": 1.0}, part_size=3), 3),
        (with_most_down, 3),
    ],
    ids=["one heavy", "two heavy", "heavier and heavier", "one zone", "two zones", "parts", "one part", "down"],
)
def test_a_candidate_is_never_far(make: Any, count: int) -> None:
    """Walks passed thousands of points a key, up to 23 us; on rings of equal nodes it is a tenth of one."""
    plain, skewed = rw.HashRing([f"n{i}" for i in range(1_000)]), make()
    # Ten tries, since whatever else runs on the machine disturbs now and then.
    assert any(seconds(skewed, count) < 12 * seconds(plain, count) for _ in range(10))
