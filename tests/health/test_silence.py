"""`Deadline` and `PhiAccrual`: silence, against a slow reference that is written from the paper."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import statistics
import sys
import threading
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MANY

import ringward as rw
from ringward.health import Agreed, Deadline, Detector, LocalHealth, Outlier, PhiAccrual, Status

SECONDS = st.floats(0, 1e6, allow_subnormal=False)
GAPS = st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40)
FORMS = st.sampled_from(["normal", "exponential"])
ALL = [
    Deadline(after_s=5),
    PhiAccrual(),
    PhiAccrual(form="exponential"),
    Agreed(1, Deadline(after_s=5), PhiAccrual()),
    Agreed(2, Deadline(after_s=5), PhiAccrual()),
    LocalHealth(Deadline(after_s=5), every_s=100),
    Agreed(1, Outlier(), PhiAccrual()),
]
each = pytest.mark.parametrize("detector", ALL, ids=repr, indirect=True)


@pytest.fixture
def detector(request: pytest.FixtureRequest) -> Detector:
    return copy.deepcopy(request.param)


def fresh(detector: Detector) -> Detector:
    return copy.deepcopy(detector)


class PhiOracle:
    """Every interval with its weight, summed anew each time it is asked."""

    def __init__(self, *, threshold: float, form: str, interval_s: float, pause_s: float, least_s: float, window: int):
        self.threshold, self.form, self.pause_s, self.least_s, self.window = threshold, form, pause_s, least_s, window
        self.intervals = [interval_s * 0.75, interval_s * 1.25]
        self.weights = [0.5, 0.5]
        self.last_s: float | None = None
        self.outages = 0

    def heard(self, now_s: float) -> None:
        """A heartbeat."""
        if self.last_s is not None:
            self.outages = self.outages + 1 if now_s - self.last_s > self.granted_s() else 0
            if self.outages != 1:
                interval = min(now_s - self.last_s, self.granted_s())
                share = 1 / min(len(self.intervals) + 1, self.window)
                self.weights = [weight * (1 - share) for weight in self.weights] + [share]
                self.intervals.append(interval)
        self.last_s = now_s

    def figures(self) -> tuple[float, float]:
        """Mean and deviation."""
        mean = math.fsum(w * x for w, x in zip(self.weights, self.intervals, strict=True))
        variance = math.fsum(w * (x - mean) ** 2 for w, x in zip(self.weights, self.intervals, strict=True))
        return mean, max(math.sqrt(variance), self.least_s)

    def granted_s(self) -> float:
        """Where suspicion begins."""
        mean, deviation = self.figures()
        if self.form == "exponential":
            return self.pause_s + mean * self.threshold * math.log(10)
        return self.pause_s + mean - deviation * statistics.NormalDist().inv_cdf(10**-self.threshold)

    def phi(self, now_s: float) -> float:
        """By the definition."""
        mean, deviation = self.figures()
        silent_s = now_s - self.last_s
        if self.form == "exponential":
            later = math.exp(-max(0, silent_s - self.pause_s) / mean)
        else:
            later = math.erfc((silent_s - self.pause_s - mean) / deviation / math.sqrt(2)) / 2
        return -math.log10(later) if later else math.inf


SETTINGS = st.fixed_dictionaries(
    {"threshold": st.floats(1, 12), "form": FORMS, "pause_s": st.floats(0, 5), "window": st.integers(2, 50)}
)


@MANY
@given(GAPS, SETTINGS, st.floats(0, 20))
def test_phi_is_that_of_the_paper(gaps: list[float], settings: dict[str, Any], silent_s: float) -> None:
    """Means, variances and probabilities, with the window, the pause and the least deviation."""
    detector = PhiAccrual(interval_s=2, deviation_least_s=0.1, **settings)
    oracle = PhiOracle(interval_s=2, least_s=0.1, **settings)
    threshold = settings["threshold"]
    now_s = 10.0
    for gap in [0.0, *gaps]:
        now_s += gap
        detector.heard("a", now_s)
        oracle.heard(now_s)
    phi = oracle.phi(now_s + silent_s)
    told = detector.status("a", now_s + silent_s)
    if phi < 250:
        assert told.level == pytest.approx(phi / threshold, rel=1e-6, abs=1e-9)
    else:
        assert told.level > 240 / threshold
    if abs(phi - threshold) > 1e-6:
        assert told.suspected == (phi > threshold)
    granted_s = oracle.granted_s()
    assert not detector.status("a", now_s + granted_s * (1 - 1e-6)).suspected
    assert detector.status("a", now_s + granted_s * (1 + 1e-6)).suspected


@MANY
@given(st.lists(st.floats(0.5, 1.5), min_size=1, max_size=30))
def test_until_the_window_is_full_mean_and_variance_are_exact(gaps: list[float]) -> None:
    """What is kept is the mean and the variance of a list, in four numbers."""
    detector = PhiAccrual(interval_s=1, window=100)
    times = [0.0, *itertools.accumulate(gaps)]
    for now_s in times:
        detector.heard("a", now_s)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    _, mean_s, variance_s2, known, _ = detector._nodes["a"]
    intervals = [0.75, 1.25, *gaps]
    assert known == len(intervals)
    assert mean_s == pytest.approx(statistics.fmean(intervals))
    assert variance_s2 == pytest.approx(statistics.pvariance(intervals), rel=1e-6, abs=1e-12)


def test_a_million_heartbeats_make_nothing_drift() -> None:
    """Running sums of squares would: these figures stay those of a regular heartbeat, after an outage too."""
    detector = PhiAccrual(window=100)
    now_s = 1e6
    for beat in range(200_000):
        now_s += 0.9 if beat % 2 else 1.1
        detector.heard("a", now_s)
        if beat == 1_000:
            now_s += 1e5
    _, mean_s, variance_s2, *_ = detector._nodes["a"]
    assert mean_s == pytest.approx(1.0, abs=1e-3)
    assert math.sqrt(variance_s2) == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize("form", ["normal", "exponential"])
def test_phi_rises_with_the_silence_as_far_as_floats_go(form: str) -> None:
    """The tail of a normal distribution is 0 in floats from 39 deviations on."""
    detector = PhiAccrual(form=form)
    detector.heard("a", 0.0)
    silences = [1.0 + 0.01 * step for step in range(2_000)] + [10.0**power for power in range(2, 300, 7)]
    levels = [detector.status("a", silent_s).level for silent_s in silences]
    assert all(before <= after for before, after in itertools.pairwise(levels))
    assert all(map(math.isfinite, levels))


def test_a_node_that_flaps_is_found_as_fast_each_time() -> None:
    """Its outages once counted as intervals, and were granted to it the next time."""
    detector = PhiAccrual()
    now_s, found = 0.0, []
    for _ in range(30):
        for _ in range(20):
            now_s += 1
            detector.heard("a", now_s)
        found.append(next(after for after in range(60) if detector.status("a", now_s + after).suspected))
        now_s += 60
    assert max(found) <= min(found[:2])


def test_an_outage_is_no_interval() -> None:
    """An hour of silence once made the mean of ten intervals six minutes, and the next failure was found in an hour."""
    detector = PhiAccrual()
    now_s = 0.0
    for _ in range(10):
        now_s += 1
        detector.heard("a", now_s)
    now_s += 3_600
    assert detector.status("a", now_s).suspected
    for _ in range(10):
        now_s += 1
        detector.heard("a", now_s)
    assert not detector.status("a", now_s + 1).suspected
    assert detector.status("a", now_s + 10).suspected


def test_a_node_that_reports_less_often_for_good_is_followed() -> None:
    """Its long intervals count, if not in full; otherwise it would be suspected for ever."""
    detector = PhiAccrual(window=20)
    now_s = 0.0
    for gap in [1.0] * 50 + [30.0] * 60:
        now_s += gap
        detector.heard("a", now_s)
    assert not detector.status("a", now_s + 31).suspected


@each
def test_a_node_that_never_reported_is_expected_from_when_it_is_first_named(detector: Detector) -> None:
    """Nobody is suspected at the start, and who never comes is suspected in the end."""
    assert detector.status("a", 1_000.0) == Status(0.0, False, "", None) or detector.status("a", 1_000.0).level < 0.1
    assert not detector.status("a", 1_001.0).suspected
    late = detector.status("a", 1_100.0)
    assert late.suspected
    assert late.trouble == "silent"
    assert "100.00 s" in late.reason
    detector.failed("b", 1_000.0)
    assert detector.status("b", 1_100.0).suspected


@each
def test_what_was_forgotten_begins_anew(detector: Detector) -> None:
    detector.heard("a", 0.0)
    assert detector.status("a", 1_000.0).suspected
    detector.forget("a")
    detector.forget("nobody")
    assert not detector.status("a", 1_000.0).suspected


@each
def test_late_and_duplicate_reports_change_nothing(detector: Detector) -> None:
    twin = fresh(detector)
    for second in range(20):
        detector.heard("a", float(second))
        twin.heard("a", float(second))
        twin.heard("a", float(second))
        twin.heard("a", max(0.0, second - 0.5))
        twin.answered("a", max(0.0, second - 7.5), 0.1)
    for silent_s in (0.0, 0.5, 1.2, 1.7, 4.0, 6.0, 100.0):
        assert detector.status("a", 19 + silent_s) == twin.status("a", 19 + silent_s)


@each
def test_a_clock_that_was_set_back_begins_the_silence_anew(detector: Detector) -> None:
    """The node would otherwise be trusted for the hour until the clock is where it was."""
    for second in range(20):
        detector.heard("a", 3_600.0 + second)
    assert not detector.status("a", 10.0).suspected
    assert detector.status("a", 60.0).suspected
    detector.heard("a", 61.0)
    assert not detector.status("a", 61.5).suspected


@each
def test_a_frozen_clock_suspects_nobody(detector: Detector) -> None:
    for _ in range(100):
        detector.heard("a", 5.0)
        assert not detector.status("a", 5.0).suspected
    assert detector.status("a", 100.0).suspected


@pytest.mark.parametrize("detector", ALL[:-1], ids=repr, indirect=True)
def test_an_answer_is_heard_and_a_failure_is_no_news(detector: Detector) -> None:
    twin = fresh(detector)
    for second in range(10):
        detector.heard("a", float(second))
        twin.answered("a", float(second), 0.25)
        twin.failed("a", second + 0.5)
    assert detector.status("a", 10.0) == twin.status("a", 10.0)
    assert detector.status("a", 90.0) == twin.status("a", 90.0)


@each
@pytest.mark.parametrize("now_s", [math.nan, math.inf, -math.inf, -1.0, "1", None, True, 1j, 10**400])
def test_what_is_no_time_is_refused_and_changes_nothing(detector: Detector, now_s: object) -> None:
    """Also once the node is known, where nothing is checked but what a comparison tells."""
    for known in (False, True):
        if known:
            detector.heard("a", 0.0)
            detector.heard("a", 1.0)
        if known and now_s is True:
            continue  # once the node is known, it is a number like any other: a check would cost too much
        before = pickle.dumps(detector)
        for call in (detector.heard, detector.failed, detector.status):
            with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match="now_s"):
                call("a", now_s)
        with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError)):
            detector.answered("a", 1.0, now_s)
        assert pickle.dumps(detector) == before


@each
@pytest.mark.parametrize("node", ["", b"a", None, 1, ["a"], "\ud800"])
def test_what_is_no_node_is_refused(detector: Detector, node: object) -> None:
    for call in (detector.heard, detector.failed, detector.status):
        with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match="node"):
            call(node, 1.0)
    with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match="node"):
        detector.forget(node)


@each
def test_a_str_subclass_is_its_text(detector: Detector) -> None:
    class Loud(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return False

    detector.heard("a", 10.0)
    detector.heard(Loud("a"), 90.0)
    assert not detector.status("a", 90.5).suspected
    detector.forget(Loud("a"))
    assert not detector.status("a", 1_000.0).suspected


@each
def test_detectors_pickle_and_copy(detector: Detector) -> None:
    for second in range(5):
        detector.heard("a", float(second))
    twin = pickle.loads(pickle.dumps(detector))
    assert twin.status("a", 7.0) == detector.status("a", 7.0)
    twin.heard("a", 7.0)
    assert twin.status("a", 7.5) != detector.status("a", 7.5)


@pytest.mark.parametrize("original", ALL, ids=repr)
@MANY
@given(data=st.data())
def test_whatever_is_reported_levels_have_reasons(original: Detector, data: st.DataObject) -> None:
    """They are finite, suspicion begins at 1, and has a reason and a kind."""
    detector = fresh(original)
    for now_s in data.draw(st.lists(SECONDS, max_size=20)):
        detector.heard("a", now_s)
    for now_s in data.draw(st.lists(SECONDS, min_size=1, max_size=10)):
        status = detector.status("a", now_s)
        assert 0 <= status.level < math.inf
        assert status.suspected == (status.level >= 1) == (status.trouble == "silent")
        assert bool(status.reason) >= status.suspected


@each
def test_threads_may_share_a_detector(detector: Detector) -> None:
    """Whatever they do to it at once, each node is known by one moment of its own."""
    nodes = [f"node{i}" for i in range(50)]
    wrong: list[BaseException] = []

    def report() -> None:
        try:
            for beat in range(200):
                for node in nodes:
                    detector.heard(node, time.monotonic())
                    assert not detector.status(node, time.monotonic()).suspected
                    if beat % 50 == 0:
                        detector.forget(node)
        except BaseException as error:  # noqa: BLE001 - told below
            wrong.append(error)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert wrong == []


@pytest.mark.parametrize("make", [Deadline, PhiAccrual], ids=["Deadline", "PhiAccrual"])
def test_a_million_nodes_fit_into_memory(make: type) -> None:
    """At most 256 bytes a node beside its name."""
    names = [f"node{i}" for i in range(5_000)]
    detector = make()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for beat in range(3):
        for i, name in enumerate(names):
            detector.heard(name, beat + i / 1e6)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert taken / len(names) < 256


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"threshold": 0}, "threshold must be finite and above 0"),
        ({"threshold": 301}, "threshold must be above 0 and at most 300"),
        ({"threshold": math.nan}, "threshold"),
        ({"form": "gamma"}, "form must be 'normal' or 'exponential'"),
        ({"form": ["normal"]}, "form must be"),
        ({"interval_s": 0}, "interval_s"),
        ({"pause_s": -1}, "pause_s"),
        ({"deviation_least_s": 0}, "deviation_least_s"),
        ({"window": 1}, "window must be at least 2"),
        ({"window": 10.0}, "window must be an int"),
    ],
)
def test_settings_are_checked(options: dict[str, object], told: str) -> None:
    with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match=told):
        PhiAccrual(**options)


def test_a_deadline_is_above_zero() -> None:
    for after_s in (0, -1, math.nan, math.inf, "5"):
        with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match="after_s"):
            Deadline(after_s=after_s)


def test_a_quorum_needs_so_many_watchers() -> None:
    """Each may be told by itself, as watchers at different places are."""
    agreed = Agreed(2, Deadline(after_s=1), Deadline(after_s=1), Deadline(after_s=1))
    agreed.heard("a", 0.0)
    agreed.watchers[0].heard("a", 5.0)
    agreed.watchers[1].heard("a", 5.0)
    one = agreed.status("a", 5.5)
    assert (one.suspected, one.level, one.trouble) == (False, 0.5, None)
    assert one.reason.startswith("1 of 3 suspect it: silent for 5.50 s")
    two = agreed.status("a", 6.5)
    assert two.suspected
    assert two.reason == (
        "3 of 3 suspect it: silent for 6.50 s, 1.00 s are granted; silent for 1.50 s, 1.00 s are granted"
    )
    for wrong in [(0, Deadline()), (2, Deadline()), (1,), (1, "a"), ("1", Deadline())]:
        with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError)):
            Agreed(*wrong)


def test_a_quorum_says_what_each_of_those_who_suspect_has_seen() -> None:
    """The most alarmed first, the same once, and no more than five: not those of the most alarmed alone, as it was."""
    either = Agreed(1, Deadline(after_s=5), Outlier(failures=3), PhiAccrual())
    either.heard("a", 0.0)
    for second in range(3):
        either.failed("a", 5.0 + second)
    assert either.status("a", 6.5).reason == (
        "3 of 3 suspect it: silent for 6.50 s: phi is 23.1 of 8.0; silent for 6.50 s, 5.00 s are granted; 3 failures in a row"
    )
    many = Agreed(9, *[Deadline(after_s=each) for each in range(1, 10)])
    many.heard("a", 0.0)
    assert many.status("a", 10.0).reason.endswith("5.00 s are granted; and 4 more")


def test_a_status_that_a_detector_makes_is_like_any_other() -> None:
    """Though its slots are set one by one: equal, hashed, copied, shown, frozen."""
    detector = Deadline(after_s=5)
    detector.heard("a", 0.0)
    for found in (detector.status("a", 1.0), detector.status("a", 9.0)):
        made = Status(found.level, found.suspected, found.reason, found.trouble)
        assert (found, repr(found), hash(found)) == (made, repr(made), hash(made))
        assert pickle.loads(pickle.dumps(found)) == copy.copy(found) == made
        with pytest.raises(AttributeError):
            found.level = 0.0  # type: ignore[misc]
