"""`Outlier`: failures in a row, success rates and latencies beside the peers', against a slow reference."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MANY

import ringward as rw
from ringward.health import Outlier, Status

NODES = [f"node{i}" for i in range(8)]
SETTINGS: dict[str, Any] = {"failures": 4, "hold_s": 30.0, "window_s": 10.0, "peers": 3, "requests": 5, "answers": 4}
REPORTS = st.lists(
    st.tuples(st.sampled_from(NODES[:5]), st.floats(0, 3), st.none() | st.floats(1e-4, 10)), min_size=1, max_size=150
)


def levels(reports: list[tuple[str, float, float | None]], now_s: float) -> dict[str, float]:
    """By the definition, from all reports (node, time, latency or None): what each node's level is."""
    first = now_s // 10 - 1
    recent = [report for report in reports if report[1] // 10 >= first]
    rates, logs = {}, {}
    for node in {node for node, _, _ in recent}:
        results = [latency for name, _, latency in recent if name == node]
        answers = [math.log(latency) for latency in results if latency is not None]
        if len(results) >= 5:
            rates[node] = len(answers) / len(results)
        if len(answers) >= 4:
            logs[node] = statistics.fmean(answers)
    found = {}
    for node in {node for node, _, _ in reports}:
        row, last_s = 0, -math.inf
        for name, at_s, latency in reports:
            if name == node:
                row = 0 if latency is not None else (row if at_s - last_s <= 30 else 0) + 1
                last_s = at_s if latency is None else last_s
        found[node] = (row if now_s - last_s <= 30 else 0) / 4
        if node in rates and len(rates) >= 3:
            margin = max(1.9 * statistics.pstdev(rates.values()), 0.05)
            found[node] = max(found[node], (statistics.fmean(rates.values()) - rates[node]) / margin)
        if node in logs and len(logs) >= 3:
            middle = statistics.median(logs.values())
            mad = statistics.median(abs(each - middle) for each in logs.values())
            found[node] = max(found[node], (logs[node] - middle) / max(3 * 1.4826 * mad, math.log(2)))
    return found


def test_reports_of_one_window_ago_count_and_older_ones_do_not() -> None:
    """The window before is the whole of it, however old."""
    detector = Outlier(**{**SETTINGS, "failures": 1_000})
    for node in NODES:
        for _ in range(10):
            detector.answered(node, 9.0, 0.01) if node != "node0" else detector.failed(node, 9.0)
    assert detector.status("node0", 9.5).suspected
    assert detector.status("node0", 19.9).suspected
    assert detector.status("node0", 20.0).level < 1


@MANY
@given(REPORTS, st.floats(0, 40))
def test_levels_are_those_of_the_definition(drawn: list[tuple[str, float, float | None]], later_s: float) -> None:
    """In order of time; the figures of the peers are taken when they are first asked for."""
    detector, reports, now_s = Outlier(**SETTINGS), [], 0.0
    for node, gap_s, latency_s in drawn:
        now_s += gap_s
        reports.append((node, now_s, latency_s))
        if latency_s is None:
            detector.failed(node, now_s)
        else:
            detector.answered(node, now_s, latency_s)
    now_s += later_s
    for node, level in levels(reports, now_s).items():
        status = detector.status(node, now_s)
        if abs(level - 1) > 1e-9:
            assert status.suspected == (level >= 1)
            assert status.level == pytest.approx(level, rel=1e-6, abs=1e-9)
        assert bool(status.reason) == status.suspected == (status.trouble is not None)


def fed(detector: Outlier, latencies: dict[str, float], failing: dict[str, float], rounds: int = 200) -> float:
    """Ten requests a second to each node, of which a share fails, evenly."""
    owed = dict.fromkeys(latencies, 0.0)
    for step in range(rounds):
        for node, latency_s in latencies.items():
            owed[node] += failing.get(node, 0.0)
            if owed[node] >= 1:
                owed[node] -= 1
                detector.failed(node, step / 10)
            else:
                detector.answered(node, step / 10, latency_s * (1 + step % 7 / 10))
    return (rounds - 1) / 10


def suspects(detector: Outlier, now_s: float) -> dict[str, str | None]:
    found = {node: detector.status(node, now_s) for node in NODES}
    return {node: status.trouble for node, status in found.items() if status.suspected}


def test_a_node_that_fails_more_often_than_its_peers_is_found() -> None:
    """A third of its requests fail; never five in a row."""
    detector = Outlier()
    now_s = fed(detector, dict.fromkeys(NODES, 0.01), {"node2": 1 / 3})
    assert suspects(detector, now_s) == {"node2": "failing"}
    assert detector.status("node2", now_s).reason.startswith("67.0% of 200 requests succeed, 95.9% of 8 peers")


def test_a_few_failures_among_the_healthy_are_no_outlier() -> None:
    """By deviations alone, one failure in a hundred is one: those of its peers are next to nothing."""
    detector = Outlier()
    now_s = fed(detector, dict.fromkeys(NODES, 0.01), {"node2": 0.02})
    assert suspects(detector, now_s) == {}


def test_what_all_nodes_suffer_is_no_outlier() -> None:
    """An overload, or a fault behind all of them."""
    detector = Outlier()
    now_s = fed(detector, dict.fromkeys(NODES, 1.0), dict.fromkeys(NODES, 0.3))
    assert suspects(detector, now_s) == {}


def test_a_node_that_answers_late_is_found_and_a_slow_fleet_is_not() -> None:
    """Four times the latency of its peers is as slow at 10 ms as at 1 s."""
    for usual_s in (0.01, 1.0):
        detector = Outlier()
        now_s = fed(detector, {node: usual_s * (4 if node == "node5" else 1) for node in NODES}, {})
        assert suspects(detector, now_s) == {"node5": "slow"}
    assert detector.status("node5", now_s).reason == "answers in 5.13 s, the median of 8 peers is 1.28 s"
    detector = Outlier()
    now_s = fed(detector, {node: 0.01 * (1.8 if node == "node5" else 1) for node in NODES}, {})
    assert suspects(detector, now_s) == {}


def test_where_latencies_differ_by_nature_the_bound_is_wider() -> None:
    """Nodes near and far: four times the median is usual here."""
    detector = Outlier()
    now_s = fed(detector, {node: 0.01 * 1.6**i for i, node in enumerate(NODES)}, {})
    assert suspects(detector, now_s) == {}


def test_one_late_answer_makes_no_slow_node() -> None:
    detector = Outlier()
    now_s = fed(detector, dict.fromkeys(NODES, 0.01), {})
    detector.answered("node1", now_s, 60.0)
    assert suspects(detector, now_s) == {}


def test_a_row_of_failures_is_ended_by_an_answer_and_by_time() -> None:
    """A node that gets no requests any more, since it is suspected, is not suspected for ever."""
    detector = Outlier(failures=5, hold_s=60)
    for second in range(5):
        detector.failed("a", float(second))
        assert detector.status("a", float(second)).suspected == (second == 4)
    assert detector.status("a", 64.0).suspected
    assert not detector.status("a", 64.1).suspected
    detector.failed("a", 65.0)
    assert detector.status("a", 65.0).level == pytest.approx(0.2)
    for second in range(4):
        detector.failed("a", 66.0 + second)
    assert detector.status("a", 69.0).suspected
    detector.answered("a", 69.5, 0.1)
    assert detector.status("a", 69.5).level == 0
    detector.failed("a", 70.0)
    assert detector.status("a", 70.0).level == pytest.approx(0.2)


def test_who_is_unknown_or_forgotten_is_fine() -> None:
    """Heartbeats make no node known either."""
    detector = Outlier(failures=1)
    detector.heard("b", 0.0)
    assert detector.status("a", 0.0) == detector.status("b", 0.0) == Status(0.0, False, "", None)
    detector.failed("a", 0.0)
    assert detector.status("a", 0.0).suspected
    detector.forget("a")
    assert detector.status("a", 0.0).level == 0
    assert not detector._nodes


def test_late_reports_count_as_of_now_and_a_clock_set_back_begins_anew() -> None:
    detector = Outlier(failures=3)
    for now_s in (50.0, 20.0, 40.0):
        detector.failed("a", now_s)
    assert detector.status("a", 50.0).suspected
    detector = Outlier(failures=3)
    for _ in range(3):
        detector.failed("a", 5_000.0)
    assert detector.status("a", 100.0).suspected
    assert not detector.status("a", 161.0).suspected


@pytest.mark.parametrize("latency_s", [math.nan, math.inf, -0.1, "1", None, 10**400])
def test_what_is_no_latency_is_refused(latency_s: object) -> None:
    detector = Outlier()
    with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match="latency_s"):
        detector.answered("a", 1.0, latency_s)
    assert not detector._nodes


def test_latencies_of_zero_are_as_short_as_can_be() -> None:
    """A cache in the process answers within no time that a clock can tell."""
    detector = Outlier()
    now_s = fed(detector, dict.fromkeys(NODES, 0.0), {})
    assert suspects(detector, now_s) == {}


@pytest.mark.parametrize(
    "options",
    [
        {"failures": 0},
        {"hold_s": 0},
        {"window_s": 0},
        {"peers": 1},
        {"requests": 0},
        {"deviations": 0},
        {"drop_least": 2},
        {"answers": 0},
        {"slow_deviations": 0},
        {"slow_least": 1},
    ],
    ids=lambda options: next(iter(options)),
)
def test_settings_are_checked(options: dict[str, object]) -> None:
    with pytest.raises(rw.errors.ArgumentError, match=next(iter(options))):
        Outlier(**options)
