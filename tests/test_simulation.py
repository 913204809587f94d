"""The simulation against slow ones that walk through time, and what its figures promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_trace import LINES

import ringward as rw
from ringward.errors import ArgumentError
from ringward.health import Deadline, Detector, PhiAccrual
from ringward.health.status import fine, suspicion
from ringward.simulation import Workload, parse_trace, simulate
from ringward.simulation.detectors import BASELINES, DETECTORS, Checks, watcher
from ringward.simulation.driving import Course, Replay
from ringward.simulation.strategies import strategy
from ringward.simulation.traces import OutageRecord, trace_of_outages
from ringward.simulation.watching import Sighting, Sightings, Watch, perfect_sightings

NAMES = ["a", "b", "c", "d", "e"]
STATIC = ["ring", "partitioned:part_size=2", "table:partitions=64", "primary"]
SMALL = Workload.zipf(3, keys=300, requests=10_000)


def trace_of(*outages, span_s=100_000.0, nodes=NAMES):
    """A trace that begins and ends with an outage of no length."""
    ends = [OutageRecord(nodes[0], 0.0, 0.0), OutageRecord(nodes[0], span_s, span_s)]
    return trace_of_outages("t", [*ends, *(OutageRecord(*outage) for outage in outages)], nodes=nodes)


def course_of(trace, text, workload=SMALL, nodes=None):
    members = [rw.Node(name) for name in trace.nodes] if nodes is None else nodes
    return Course(trace, members, strategy(text), workload, interval_s=1.0)


def sightings_of(rows):
    """From (time, node, down)."""
    changes = [Sighting(time, node, suspicion(1.0, "t", "silent") if down else fine(0.0)) for time, node, down in rows]
    return Sightings(sorted(changes, key=lambda each: each.time_s))


def walked(trace, text, rows, workload=SMALL):
    """The figures of a static strategy, from a router that is asked about every key after everything that happens."""
    router = strategy(text).router([rw.Node(name) for name in trace.nodes])
    share = workload.weights / workload.weights.sum()
    nodes = len(trace.nodes)
    truth = np.zeros(nodes, bool)
    outages = list(zip(trace.start_s, trace.end_s, trace.node, strict=True))
    events = sorted({0.0, trace.span_s, *trace.start_s, *trace.end_s, *(time for time, _, _ in rows)})
    owner = router.assign_hashes(workload.hashes)
    since = np.zeros(len(share))
    rates = share * workload.requests / trace.span_s
    unavailable = moved = misses = 0.0
    for time, following in zip(events, [*events[1:], trace.span_s], strict=True):
        for node in range(nodes):
            truth[node] = any(start <= time < end for start, end, which in outages if which == node)
        down = set()
        for at, node, isdown in sorted(rows, key=lambda row: row[0]):
            if at <= time:
                (down.add if isdown else down.discard)(trace.nodes[node])
        if down - router.down:
            router.mark_down(*(down - router.down))
        if router.down - down:
            router.mark_up(*(router.down - down))
        try:
            now = router.assign_hashes(workload.hashes)
        except rw.NoNodeError:
            now = np.full(len(share), rw.NO_NODE, np.uint32)
        changed = now != owner
        moved += share[changed].sum()
        misses += (1 - np.exp(-rates[changed] * (time - since[changed]))).sum()
        since[changed] = time
        owner = now
        dead = np.append(truth, True)[np.minimum(owner, nodes)]
        unavailable += share[dead].sum() * (following - time)
    misses += (1 - np.exp(-rates * (trace.span_s - since))).sum()
    return {"unavailable_key_s": unavailable, "moved": moved, "misses": misses}


TIMES = st.integers(1, 999)
OUTAGES = st.lists(st.tuples(st.integers(0, 4), TIMES, st.integers(1, 200)), max_size=8)
SEEN = st.lists(st.tuples(TIMES, st.integers(0, 4), st.booleans()), max_size=12)


@pytest.mark.parametrize("text", STATIC)
@settings(max_examples=25, deadline=None)
@given(OUTAGES, SEEN)
def test_a_course_gives_what_asking_about_every_key_gives(text, outages, seen):
    """Whatever the detector says, right or wrong, and where everybody is down."""
    trace = trace_of(
        *((NAMES[node], float(start), float(start + length)) for node, start, length in outages), span_s=2000.0
    )
    rows = [(float(time), node, down) for time, node, down in seen]
    expected = walked(trace, text, rows)
    course = course_of(trace, text)
    for _ in range(2):  # what was remembered of the first run serves the second
        figures = course.run(sightings_of(rows))
        assert figures["unavailable_key_s"] == pytest.approx(expected["unavailable_key_s"], abs=1e-9)
        assert figures["moved"] == pytest.approx(expected["moved"], abs=1e-12)
        assert figures["moved_least"] + figures["moved_needlessly"] == pytest.approx(figures["moved"])
        assert figures["moved_needlessly"] >= 0
        assert figures["found"] == round(10_000 * (1 - expected["unavailable_key_s"] / 2000))
        assert figures["cache_hits"] == pytest.approx(max(0, figures["found"] - expected["misses"]), abs=2)


def share_of(trace, text, *names):
    router = strategy(text).router([rw.Node(name) for name in trace.nodes])
    owners = router.assign_hashes(SMALL.hashes)
    mine = np.isin(owners, [router.id_of(name) for name in names])
    return SMALL.weights[mine].sum() / SMALL.weights.sum()


@pytest.mark.parametrize("text", ["ring", "partitioned:part_size=2", "table:partitions=64", "adaptive"])
def test_who_knows_everything_moves_the_least_and_nothing_is_unavailable(text):
    """Keys leave once and come back once."""
    trace = trace_of(("b", 1000.0, 9000.0), ("d", 40_000.0, 41_000.0))
    figures = course_of(trace, text).run(perfect_sightings(trace))
    least = 2 * share_of(trace, text.replace("adaptive", "ring"), "b", "d")
    assert figures["unavailable_key_s"] == 0
    assert figures["found"] == figures["requests"]
    assert figures["moved"] == figures["moved_least"] == pytest.approx(least)
    assert (figures["moved_needlessly"], figures["transitions"], figures["hand_backs"]) == (0, 4, 2)
    assert figures["detection_s"] == {"p50": 0.0, "p99": 0.0}


def test_what_comes_back_too_early_moves_needlessly():
    """Of five outages a minute apart, one departure and one return were needed."""
    trace = trace_of(*(("b", 1000.0 + 120 * i, 1060.0 + 120 * i) for i in range(5)))
    figures = course_of(trace, "ring").run(perfect_sightings(trace))
    share = share_of(trace, "ring", "b")
    assert figures["moved_least"] == pytest.approx(2 * share)
    assert figures["moved_needlessly"] == pytest.approx(8 * share)
    calm = course_of(trace, "adaptive:hold_down_s=120").run(perfect_sightings(trace))
    assert calm["moved"] == calm["moved_least"] == pytest.approx(2 * share)
    held = course_of(trace, "adaptive:hold_down_s=0,suppress_at=1e9").run(perfect_sightings(trace))
    assert held["moved_needlessly"] > 6 * share


def test_a_wrong_suspicion_moves_needlessly_there_and_back():
    trace = trace_of()
    figures = course_of(trace, "ring").run(sightings_of([(100.0, 1, True), (200.0, 1, False)]))
    share = share_of(trace, "ring", "b")
    assert (figures["moved"], figures["moved_least"]) == (pytest.approx(2 * share), 0)
    assert figures["moved_needlessly"] == pytest.approx(2 * share)


def test_an_outage_is_detected_when_the_router_acts_on_it():
    trace = trace_of(("b", 1000.0, 2000.0), ("c", 5000.0, 6000.0))
    figures = course_of(trace, "ring").run(sightings_of([(1004.0, 1, True), (2001.0, 1, False), (5010.0, 2, True)]))
    assert figures["detection_s"]["p50"] == pytest.approx(7.0)
    expected = 4 * share_of(trace, "ring", "b") + 10 * share_of(trace, "ring", "c")
    assert figures["unavailable_key_s"] == pytest.approx(expected)


def test_load_is_relative_to_what_is_due_to_a_weight():
    """One of two nodes is away for half of the time; and weights count."""
    trace = trace_of(("a", 0.0, 50_000.0), nodes=["a", "b"])
    even = Workload.of(np.arange(0, 2**64, 2**54, dtype=np.uint64))
    figures = course_of(trace, "table:partitions=2", even).run(perfect_sightings(trace))
    assert figures["load"]["max"] == 2.0
    assert figures["load"]["p50"] == pytest.approx(1.0, rel=0.01)
    nodes = [rw.Node("a", weight=3), rw.Node("b")]
    figures = course_of(trace_of(nodes=["a", "b"]), "table:partitions=4", even, nodes).run(Sightings())
    assert figures["load"] == {"p50": pytest.approx(1, rel=0.01), "p99": 1.0, "max": 1.0}


def naive_watch(trace, detector, interval_s, latency_s, timeout_s):
    """Every node is watched all the time, in one loop; every heartbeat takes as long."""
    told = []
    changes, suspected = [], dict.fromkeys(range(len(trace.nodes)), False)
    outages = list(zip(trace.start_s, trace.end_s, trace.node, strict=True))
    for beat in range(-30, int(trace.span_s / interval_s)):
        now = beat * interval_s
        due = [each for each in told if each[0] <= now]
        told = [each for each in told if each[0] > now]
        for at, node, ok in sorted(due):
            if ok:
                detector.answered(trace.nodes[node], at + 100, latency_s)
            else:
                detector.failed(trace.nodes[node], at + 100)
        for node, name in enumerate(trace.nodes):
            up = not any(start <= now < end for start, end, which in outages if which == node)
            told.append((now + (latency_s if up else timeout_s), node, up))
            status = detector.status(name, now + 100)
            if status.suspected != suspected[node]:
                suspected[node] = status.suspected
                changes.append((now, node, status.suspected))
    return changes


@pytest.mark.parametrize(
    "detector",
    [
        lambda: Deadline(after_s=5),
        lambda: PhiAccrual(interval_s=1.0),
        lambda: PhiAccrual(form="exponential", threshold=3),
    ],
)
def test_what_is_left_out_of_the_watching_changes_nothing(detector):
    """Hours in which nothing happens, and the middle of long outages, as if they had been watched."""
    trace = trace_of(
        ("a", 500.0, 507.5), ("b", 900.0, 2500.0), ("c", 904.0, 930.0), ("a", 2600.0, 2609.0), ("a", 2613.0, 2640.0), span_s=3000.0,
        nodes=["a", "b", "c"],
    )  # fmt: skip
    watch = Watch(trace, detector(), 1, latency=lambda _, count: np.full(count, 0.25))
    found = [(each.time_s, each.node, each.status.suspected) for each in watch.run().changes]
    expected = naive_watch(trace, detector(), 1.0, 0.25, 5.0)
    assert [each[1:] for each in sorted(found)] == [each[1:] for each in sorted(expected)]
    for mine, other in zip(sorted(found), sorted(expected), strict=True):
        assert mine[0] == pytest.approx(other[0], abs=1.0)  # heartbeats have phases of their own


def test_calm_nodes_are_watched_too_so_that_mistakes_show():
    """A detector that cannot wait is wrong again and again; one that waits long is not."""
    trace = trace_of(("a", 5000.0, 6000.0))
    hasty, patient = (watcher(f"deadline:after_s={s}").sightings(trace, 1, 1.0, 5.0) for s in (1.2, 60))
    assert hasty.mistakes > 50
    assert hasty.mistake_rate == hasty.mistakes / hasty.watched_h > 10
    assert patient.mistakes == 0
    assert patient.watched_h == pytest.approx(hasty.watched_h, rel=0.2)


@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_finds_an_outage_of_an_hour_and_its_end(name):
    trace = trace_of(("b", 5000.0, 8600.0), ("c", 20_000.0, 23_600.0))
    seen = watcher(name).sightings(trace, 4, 1.0, 5.0)
    for node, start, end in ((1, 5000.0, 8600.0), (2, 20_000.0, 23_600.0)):
        mine = [each for each in seen.changes if each.node == node]
        downs = [each.time_s - start for each in mine if each.status.suspected and start <= each.time_s < end]
        ups = [each.time_s - end for each in mine if not each.status.suspected and each.time_s >= end]
        assert 0 < downs[0] < 15
        assert 0 < ups[0] < 75
        assert [each.status.suspected for each in mine] == [i % 2 == 0 for i in range(len(mine))]


@settings(max_examples=15, deadline=None)
@given(OUTAGES, st.sampled_from(sorted(DETECTORS)), st.integers(0, 3))
def test_sightings_alternate_and_come_in_order(outages, name, seed):
    """Of any trace: also nodes that are down from the beginning, to the end, and all at once."""
    trace = trace_of(
        *((NAMES[node], float(start - 1), float(start + 5 * length)) for node, start, length in outages), span_s=2500.0
    )
    seen = watcher(name).sightings(trace, seed, 1.0, 5.0)
    times = [each.time_s for each in seen.changes]
    assert times == sorted(times)
    assert all(0 <= time <= trace.span_s for time in times)
    for node in range(len(trace.nodes)):
        said = [each.status.suspected for each in seen.changes if each.node == node]
        assert said == [i % 2 == 0 for i in range(len(said))]


def test_the_result_is_the_one_of_the_documentation():
    result = simulate(
        parse_trace(LINES), strategies=["ring", "adaptive"], detectors=["phi:threshold=12"], seeds=2, workload=SMALL
    )
    assert list(result) == ["trace", "runs", "summary"]
    assert result["trace"]["nodes"] == 3
    pairs = [(run["strategy"], run["detector"], run["seed"]) for run in result["runs"]]
    names = ["phi:threshold=12", *BASELINES]
    assert pairs == [(way, name, seed) for way in ("ring", "adaptive") for name in names for seed in (0, 1)]
    fields = {
        "strategy", "detector", "seed", "requests", "found", "unavailable_key_s", "moved", "moved_least", "moved_needlessly",
        "transitions", "hand_backs", "detection_s", "mistakes", "mistake_rate", "load", "cache_hits", "cost_s",
    }  # fmt: skip
    for run in result["runs"]:
        assert run.keys() == fields
        assert run["found"] <= run["requests"]
        assert run["cache_hits"] <= run["found"]
        assert run["load"]["p50"] <= run["load"]["p99"] <= run["load"]["max"]
        assert run["moved_least"] + run["moved_needlessly"] == pytest.approx(run["moved"])
    summary = result["summary"]["ring"]
    assert summary["detector"] == "phi:threshold=12"
    values = [
        run["moved"] for run in result["runs"] if run["strategy"] == "ring" and run["detector"] == "phi:threshold=12"
    ]
    assert summary["moved"]["mean"] == pytest.approx(sum(values) / 2)
    assert summary["moved"]["low"] <= summary["moved"]["mean"] <= summary["moved"]["high"]
    assert summary["detectors"]["perfect"]["unavailable_key_s"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


CHILD = """
import json, sys
from ringward.simulation import parse_trace, simulate
result = simulate(parse_trace(sys.argv[1].split("|")), strategies=["ring", "adaptive:table"], seeds=2, seed=int(sys.argv[2]))
for run in result["runs"]:
    del run["cost_s"]
print(json.dumps(result["runs"]))
"""


def test_one_seed_decides_everything():
    """Also which way Python hashes text."""
    said = {}
    for key, seed, hashing in (("one", 7, "1"), ("same", 7, "2"), ("other", 8, "1")):
        command = [sys.executable, "-c", CHILD, "|".join(LINES), str(seed)]
        environment = {**os.environ, "PYTHONHASHSEED": hashing}
        said[key] = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    assert said["one"] == said["same"] != said["other"]


def test_the_nodes_of_a_list_take_the_place_of_the_traces():
    trace = parse_trace(LINES)
    result = simulate(
        trace,
        nodes={"b": 2.0, "x": 1.0},
        strategies=["ring"],
        seeds=1,
        workload=SMALL,
        baselines=False,
        detectors=["perfect"],
    )
    assert (result["trace"]["nodes"], result["trace"]["outages"]) == (2, 2)
    with pytest.raises(ArgumentError, match="nodes must be those of the trace"):
        simulate(trace, nodes=["x", "y"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": 0}, {"seeds": 1.5}, {"seed": -1}, {"strategies": []}, {"strategies": "ring"}, {"strategies": ["rink"]},
        {"strategies": ["ring:part_size=2"]}, {"strategies": ["table:partitions=0"]}, {"strategies": ["adaptive:x"]},
        {"strategies": ["adaptive:hold_down_s=-1"]}, {"strategies": ["primary:"]}, {"detectors": ["fi"]},
        {"detectors": ["phi:12"]}, {"detectors": ["phi:threshold=0"]}, {"detectors": ["perfect:a=1"]}, {"interval_s": 0},
        {"timeout_s": -1}, {"detectors": ["phi:threshold=1,threshold=2"]},
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_anything_runs(wrong):
    with pytest.raises(rw.RingwardError):
        simulate(parse_trace(LINES), **wrong, progress=lambda *_: pytest.fail("it ran"))


def test_traces_of_one_node_or_of_one_that_is_never_up():
    """Nobody is left to take over."""
    alone = parse_trace(["0,a,up", "100,a,down", "200,a,up", "1000,a,up"])
    never = parse_trace(["0,a,down", "0,b,up", "5000,b,up"])
    for text in ("ring", "partitioned", "table", "primary", "adaptive"):
        one = simulate(alone, strategies=[text], seeds=1, workload=SMALL)
        assert one["summary"][text]["detectors"]["perfect"]["unavailable_key_s"]["mean"] == pytest.approx(100)
        two = simulate(never, strategies=[text], seeds=1, workload=SMALL)
        assert two["summary"][text]["detectors"]["perfect"]["unavailable_key_s"]["mean"] == pytest.approx(0, abs=1e-9)
    with pytest.raises(ArgumentError, match="longer than a moment"):
        simulate(parse_trace(["5,a,down"]))


def test_workloads_are_of_distinct_keys_in_order():
    drawn = Workload.zipf(1, keys=1000, exponent=1.0)
    assert (np.diff(drawn.hashes) > 0).all()
    assert drawn.weights.max() / drawn.weights.min() == pytest.approx(1000, rel=1e-3)
    assert (drawn.weights % 1 == 0).all()
    assert drawn.total < 2**53
    counted = Workload.of(np.array([5, 3, 5, 5], np.uint64))
    assert (counted.hashes.tolist(), counted.weights.tolist(), counted.requests) == ([3, 5], [1, 3], 4)
    with pytest.raises(ArgumentError, match="keys"):
        Workload.of(np.empty(0, np.uint64))


class Unlisted(Replay):
    """Is asked about every member."""

    suspects = None


@settings(max_examples=30, deadline=None)
@given(SEEN)
def test_an_adaptive_router_decides_the_same_whether_it_asks_about_suspects_or_about_all(seen):
    """With a thousand members the first costs a fraction."""
    logs = []
    for detector in (Replay(), Unlisted()):
        router = strategy("adaptive:ring,hold_down_s=40").adaptive([rw.Node(name) for name in NAMES], detector)
        for time, node, down in sorted(seen, key=lambda each: each[0]):
            detector.saw(NAMES[node], suspicion(1.0, "t", "silent") if down else fine(0.0))
            router.tick(float(time))
        for time in range(1000, 4000, 100):
            router.tick(float(time))
        logs.append([(each.time_s, each.kind, each.nodes, each.reason, each.moved) for each in router.log()])
    assert logs[0] == logs[1]


def test_what_stands_in_for_detectors_is_one():
    assert isinstance(Replay(), Detector)
    assert isinstance(Checks(), Detector)
