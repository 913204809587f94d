"""`LocalHealth`: who watches doubts itself first."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MANY

import ringward as rw
from ringward.health import Deadline, Detector, LocalHealth, PhiAccrual

NODES = [f"node{i}" for i in range(10)]


def watched(detector: Detector, up: dict[str, float], until_s: float, every_s: float = 1.0) -> dict[str, float]:
    """When each node was first suspected: rounds and heartbeats every second, until a node goes down as `up` says."""
    suspected: dict[str, float] = {}
    for step in range(int(until_s / every_s) + 1):
        now_s = step * every_s
        for node in NODES:
            if now_s <= up.get(node, math.inf):
                detector.heard(node, now_s)
        for node in NODES:
            if detector.status(node, now_s).suspected:
                suspected.setdefault(node, now_s)
    return suspected


@pytest.mark.parametrize("inside", [Deadline(after_s=5), PhiAccrual()], ids=repr)
def test_with_nothing_to_doubt_it_is_the_detector_inside(inside: Detector) -> None:
    """One node of ten fails, and is found at the very same time."""
    bare = watched(inside, {"node3": 20.0}, 60.0)
    assert bare
    assert watched(LocalHealth(type(inside)()), {"node3": 20.0}, 60.0) == bare


def test_a_machine_that_slept_suspects_nobody() -> None:
    """An hour passed for the clock, and nobody could have been heard: one second counts."""
    detector = LocalHealth(Deadline(after_s=5))
    watched(detector, {}, 20.0)
    for node in NODES:
        assert not detector.status(node, 3_620.0).suspected
    detector.heard("node0", 3_621.0)
    for now_s in range(3_621, 3_690):
        found = {node: detector.status(node, float(now_s)) for node in NODES[1:]}
    assert all(status.suspected for status in found.values())


def test_heartbeats_during_the_night_do_not_count_as_from_the_future() -> None:
    """What is heard first after a sleep wakes the watcher as a question does."""
    detector = LocalHealth(Deadline(after_s=5))
    watched(detector, {}, 20.0)
    detector.heard("node0", 3_620.0)
    assert not detector.status("node1", 3_620.5).suspected
    assert detector.status("node1", 3_620.5).level <= 0.5


def test_a_round_that_is_late_adds_a_doubt_and_one_on_time_takes_it_away() -> None:
    """The loop of the watcher is slow, though heartbeats are noted in time."""
    detector = LocalHealth(Deadline(after_s=5))
    now_s = 0.0
    for _ in range(4):
        for _ in range(30):
            now_s += 0.1
            for node in NODES[1:]:
                detector.heard(node, now_s)
        detector.status("node0", now_s)
    assert detector.doubts == 3
    late = detector.status("node0", now_s)
    assert not late.suspected
    assert (
        late.reason
        == "silent for 9.00 s, 5.00 s are granted; 3.00 s more are granted, since the watcher came after 3.0 s instead of 1 s"
    )
    for _ in range(5):
        now_s += 1
        for node in NODES[1:]:
            detector.heard(node, now_s)
        detector.status("node1", now_s)
    assert detector.doubts == 0
    assert detector.status("node0", now_s).suspected


def test_most_nodes_late_at_once_are_blamed_on_the_watcher() -> None:
    """Its network was away for 8 seconds; the detector inside suspects all ten."""

    def away(detector: Detector) -> set[str]:
        found = set()
        for now_s in range(60):
            for node in NODES:
                if not 20 <= now_s < 28:
                    detector.heard(node, float(now_s))
            found |= {node for node in NODES if detector.status(node, float(now_s)).suspected}
        return found

    assert away(Deadline(after_s=5)) == {*NODES}
    assert away(LocalHealth(Deadline(after_s=5))) == set()


def test_who_is_suspected_stays_so_when_doubts_come() -> None:
    """It was trusted again for a second, since the others were late half a second after it."""
    detector = LocalHealth(Deadline(after_s=5), every_s=0.25)
    found = []
    for step in range(27):
        now_s = step / 4
        for node in NODES:
            if now_s <= (0.0 if node == "node0" else 1.5):
                detector.heard(node, now_s)
        found.append(detector.status("node0", now_s).suspected)
        for node in NODES[1:]:
            detector.status(node, now_s)
    assert detector.doubts > 2
    assert found == [False] * 20 + [True] * 7


def test_nodes_that_came_back_make_a_crowd_again() -> None:
    """After an outage so long that all were suspected in the end."""
    detector = LocalHealth(Deadline(after_s=5))
    suspected = {}
    for now_s in range(200):
        for node in NODES:
            if not (20 <= now_s < 60 or 100 <= now_s < 108):
                detector.heard(node, float(now_s))
        suspected[now_s] = {node for node in NODES if detector.status(node, float(now_s)).suspected}
    assert suspected[50] == {*NODES}
    assert not set().union(*(suspected[now_s] for now_s in range(70, 200)))


def test_a_real_failure_of_most_nodes_is_found_later() -> None:
    """That is the price: at most doubts_most heartbeats."""
    down = dict.fromkeys(NODES[:8], 20.0)
    at_once = watched(Deadline(after_s=5), down, 100.0)
    doubted = watched(LocalHealth(Deadline(after_s=5), doubts_most=2), down, 100.0)
    assert {*at_once} == {*doubted} == {*down}
    assert all(25 <= at_once[node] < doubted[node] <= at_once[node] + 2 for node in down)


def test_nodes_that_are_long_dead_are_no_crowd() -> None:
    """Six of ten were; every later failure was then found nine times as late."""
    detector = LocalHealth(Deadline(after_s=5))
    watched(detector, dict.fromkeys(NODES[:6], 20.0), 120.0)
    suspected = [
        now_s
        for now_s in range(121, 160)
        if [detector.heard(node, float(now_s)) for node in NODES[7:]]
        and any([detector.status(node, float(now_s)).suspected for node in NODES][6:])
    ]
    assert suspected[0] == 125
    assert detector.doubts == 0


@pytest.mark.parametrize("share", [2, 5])
def test_no_more_than_half_is_no_crowd(share: int) -> None:
    """Nor are two nodes of which one fails."""
    down = dict.fromkeys(NODES[:share], 20.0)
    assert watched(LocalHealth(Deadline(after_s=5)), down, 40.0) == watched(Deadline(after_s=5), down, 40.0)
    pair = LocalHealth(Deadline(after_s=5))
    for node in NODES[:2]:
        pair.heard(node, 0.0)
    suspected = [now_s for now_s in range(12) if pair.status("node0", float(now_s)).suspected]
    assert suspected[0] == 5


def test_nodes_that_left_are_in_no_crowd() -> None:
    detector = LocalHealth(Deadline(after_s=5))
    watched(detector, dict.fromkeys(NODES[:8], 20.0), 22.0)
    for node in NODES[:7]:
        detector.forget(node)
    for now_s in range(23, 27):
        detector.heard("node8", float(now_s))
        detector.heard("node9", float(now_s))
        found = detector.status("node7", float(now_s))
    assert found.suspected
    assert not detector._known.keys() & {*NODES[:7]}


def test_a_clock_that_was_set_back_or_forward_makes_no_silence_and_hides_none() -> None:
    """Inside there is one clock, which goes on."""
    for jump_s in (-5_000.0, 5_000.0):
        detector = LocalHealth(Deadline(after_s=5))
        for second in range(20):
            for node in NODES:
                detector.heard(node, 10_000.0 + second)
            detector.status("node0", 10_000.0 + second)
        suspected = []
        for second in range(20, 40):
            now_s = 10_000.0 + second + jump_s
            for node in NODES[1:]:
                detector.heard(node, now_s)
            suspected += [second] if detector.status("node0", now_s).suspected else []
        assert suspected
        assert 24 <= suspected[0] <= 31


class Doubting:
    """By the definition, over a deadline of 5 s and rounds of 1 s: all reports are kept, and all is counted anew each time."""

    def __init__(self) -> None:
        self.calls: list[float] = []
        self.heard: dict[str, list[float]] = {}
        self.rounds: list[tuple[float, bool]] = []
        self.suspected: set[str] = set()
        self.late: dict[str, float] = {}
        self.doubts = 0

    def awake_s(self, until_s: float) -> float:
        """The time that passed between calls, of which a sleep counts as one second."""
        gaps = [after - before for before, after in itertools.pairwise([*self.calls, until_s])]
        return self.calls[0] + sum(1.0 if gap > 2 else gap for gap in gaps) if self.calls else until_s

    def silent_s(self, node: str, now_s: float) -> float:
        """For how long the watcher has been awake since it heard the node."""
        return self.awake_s(now_s) - max(self.heard.setdefault(node, [self.awake_s(now_s)]))

    def hear(self, node: str, now_s: float) -> None:
        """A heartbeat."""
        self.heard.setdefault(node, []).append(self.awake_s(now_s))
        self.calls.append(now_s)

    def status(self, node: str, now_s: float) -> bool:
        """Whether a node is suspected."""
        if not self.rounds or now_s >= self.rounds[-1][0] + 0.5:
            late = bool(self.rounds) and now_s - self.rounds[-1][0] > 2
            if late:
                self.doubts = min(8, self.doubts + 1)
            elif self.rounds and not self.rounds[-1][1]:
                self.doubts = max(0, self.doubts - 1)
            self.rounds.append((now_s, late))
            self.looked = late
        silent_s = self.silent_s(node, now_s)
        self.calls.append(now_s)
        if silent_s < 5:
            self.suspected.discard(node)
            self.late.pop(node, None)
            return False
        if not self.looked:
            self.looked = True
            trusted = [each for each in self.heard if each not in self.suspected]
            late_nodes = [each for each in trusted if self.silent_s(each, now_s) + 1 >= 5]
            if len(trusted) >= 3 and len(late_nodes) > len(trusted) / 2:
                self.doubts = min(8, self.doubts + 1)
                self.rounds[-1] = (now_s, True)
        if self.awake_s(now_s) - self.late.setdefault(node, self.awake_s(now_s)) >= self.doubts:
            self.suspected.add(node)
        return node in self.suspected


@MANY
@given(
    st.lists(
        st.tuples(st.sampled_from([0.25, 0.5, 1.0, 1.25, 1.75, 3.0, 500.0]), st.sets(st.sampled_from("abcd"))),
        max_size=80,
    )
)
def test_it_doubts_by_the_definition(rounds: list[tuple[float, set[str]]]) -> None:
    """Each round, some of four nodes are heard, then all are asked about; pauses and sleeps lie between rounds."""
    detector, oracle, now_s = LocalHealth(Deadline(after_s=5)), Doubting(), 0.0
    for pause_s, heard in rounds:
        now_s += pause_s
        for node in sorted(heard):
            detector.heard(node, now_s)
            oracle.hear(node, now_s)
        for node in "abcd":
            assert detector.status(node, now_s).suspected == oracle.status(node, now_s), (node, now_s)
        assert detector.doubts == oracle.doubts


@MANY
@given(
    st.lists(
        st.tuples(st.sampled_from(["heard", "failed", "status"]), st.sampled_from("abc"), st.floats(0, 1e9)),
        max_size=40,
    )
)
def test_whatever_comes_doubts_stay_within_bounds(calls: list[tuple[str, str, float]]) -> None:
    detector = LocalHealth(PhiAccrual(), doubts_most=3)
    for call, node, now_s in calls:
        status = getattr(detector, call)(node, now_s)
        assert 0 <= detector.doubts <= 3
        if status is not None:
            assert 0 <= status.level < math.inf
            assert status.suspected == (status.level >= 1) == (status.trouble is not None)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"inside": "phi"}, "inside must be a detector"),
        ({"every_s": 0}, "every_s"),
        ({"doubts_most": -1}, "doubts_most"),
        ({"crowd": 1.5}, "crowd must be at least 0 and at most 1"),
    ],
)
def test_settings_are_checked(options: dict[str, object], told: str) -> None:
    with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match=told):
        LocalHealth(**{"inside": Deadline(), **options})
