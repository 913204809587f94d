"""All detectors, whatever they are told: jumps, frozen clocks, unknown nodes, and reports that are late, doubled or contradict."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import FEW

from ringward.health import Agreed, Deadline, Detector, LocalHealth, Outlier, PhiAccrual

MAKE = {
    "deadline": lambda: Deadline(after_s=2),
    "phi": PhiAccrual,
    "exponential": lambda: PhiAccrual(form="exponential", threshold=2),
    "outlier": lambda: Outlier(failures=3, peers=2, requests=2, answers=2),
    "local": lambda: LocalHealth(Agreed(1, PhiAccrual(), Outlier(failures=3, peers=2, requests=2, answers=2))),
    "agreed": lambda: Agreed(2, Deadline(), PhiAccrual(), Outlier(failures=2)),
}
NODES = st.sampled_from("abcde")
TIMES = st.floats(0, 1e9) | st.floats(1_000, 1_100) | st.sampled_from([1_000.0, 1_001.0, 1_002.0, 1_060.0])
CALLS = st.lists(
    st.tuples(st.sampled_from(["heard", "failed", "answered", "status", "forget"]), NODES, TIMES, st.floats(0, 1e3)),
    max_size=60,
)
each = pytest.mark.parametrize("name", MAKE)


def call(detector: Detector, kind: str, node: str, now_s: float, latency_s: float) -> Any:
    """One report or question."""
    if kind == "forget":
        return detector.forget(node)
    if kind == "answered":
        return detector.answered(node, now_s, latency_s)
    return getattr(detector, kind)(node, now_s)


def held(value: Any) -> int:
    """How many nodes a detector still knows, in all that it has."""
    if isinstance(value, dict | set):
        return len(value)
    slots = [getattr(value, slot) for slot in getattr(type(value), "__slots__", ()) if slot != "_peers"]
    watchers = [inner for slot in slots if isinstance(slot, tuple) for inner in slot if isinstance(inner, Detector)]
    return sum(held(slot) for slot in [*slots, *watchers] if isinstance(slot, dict | set | Detector))


@each
@FEW
@given(calls=CALLS)
def test_a_status_is_whole_whatever_was_reported(name: str, calls: list[tuple[str, str, float, float]]) -> None:
    """Its level is finite, and suspicion, reason and trouble agree."""
    detector = MAKE[name]()
    for given_call in calls:
        status = call(detector, *given_call)
        if status is not None:
            assert 0 <= status.level < math.inf
            assert status.suspected == (status.level >= 1) == (status.trouble is not None)
            assert bool(status.reason) >= status.suspected


@each
@FEW
@given(calls=CALLS)
def test_who_answers_now_again_and_again_is_trusted_again(
    name: str, calls: list[tuple[str, str, float, float]]
) -> None:
    """Nothing that was reported before, from whatever time, holds for ever."""
    detector = MAKE[name]()
    for given_call in calls:
        call(detector, *given_call)
    for second in range(120):
        for node in "abcde":
            detector.status(node, 5_000.0 + second)
            detector.answered(node, 5_000.0 + second, 0.01)
    assert not any(detector.status(node, 5_119.5).suspected for node in "abcde")


@each
@FEW
@given(calls=CALLS)
def test_who_falls_silent_or_fails_is_suspected_in_the_end(
    name: str, calls: list[tuple[str, str, float, float]]
) -> None:
    """Nothing that was reported before hides it for ever, while the others are well."""
    detector = MAKE[name]()
    for given_call in calls:
        call(detector, *given_call)
    for second in range(100):
        detector.failed("a", 5_000.0 + second)
        for node in "bcdef":
            detector.answered(node, 5_000.0 + second, 0.01)
        found = [detector.status(node, 5_000.0 + second).suspected for node in "abcdef"]
    assert found[0]


@each
@FEW
@given(calls=CALLS)
def test_nothing_is_left_of_who_was_forgotten(name: str, calls: list[tuple[str, str, float, float]]) -> None:
    """A name that comes back begins anew; names that come and go take no memory."""
    detector = MAKE[name]()
    for given_call in calls:
        call(detector, *given_call)
    pickle.loads(pickle.dumps(detector))
    for node in "abcde":
        detector.forget(node)
    assert held(detector) == 0
