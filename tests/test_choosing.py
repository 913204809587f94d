"""`choose` and `ringward choose`: a ranking from simulation, and nothing else."""

import json
import math

import numpy as np
import pytest
from command import fails, run, run_json

import ringward as rw
from ringward.errors import ArgumentError
from ringward.failover import Adaptive
from ringward.health import Deadline, PhiAccrual
from ringward.simulation import Workload, choose, parse_trace, simulate
from ringward.simulation.choosing import CANDIDATES, CHOOSE_DETECTORS, PREFER
from ringward.simulation.strategies import strategy
from ringward.simulation.typical import typical_trace

NODES = [rw.Node(f"n{i}", weight=1 + i % 2, zone="ab"[i % 2]) for i in range(6)]
SMALL = Workload.zipf(3, keys=2000, requests=10_000)
FLAPPING = parse_trace(
    [*(f"0,n{i},up" for i in range(6)), *(f"{2000 + 60 * i},n1,{'up' if i % 2 else 'down'}" for i in range(60)), "50000,n0,up"]
)  # fmt: skip


def test_the_ranking_follows_from_the_figures_of_simulate():
    result = choose(NODES, trace=FLAPPING, workload=SMALL, prefer={"availability": 1, "movement": 3}, seeds=2)
    figures = simulate(
        FLAPPING, nodes=NODES, workload=SMALL, strategies=[*CANDIDATES], detectors=[*CHOOSE_DETECTORS], seeds=2, baselines=False
    )["summary"]  # fmt: skip
    rows = result["ranking"]
    assert len(rows) == len(CANDIDATES) * len(CHOOSE_DETECTORS)
    assert result["prefer"] == {"availability": 0.25, "movement": 0.75, "balance": 0}
    best = {name: min(row[name] for row in rows) for name in PREFER}
    for row in rows:
        mean = figures[row["strategy"]]["detectors"][row["detector"]]
        assert row["availability"] == mean["unavailable_key_s"]["mean"]
        assert row["movement"] == mean["moved"]["mean"]
        assert row["balance"] == mean["load.p99"]["mean"]
        expected = 0.25 * math.log2((1 + row["availability"]) / (1 + best["availability"]))
        expected += 0.75 * math.log2((0.1 + row["movement"]) / (0.1 + best["movement"]))
        assert row["score"] == pytest.approx(expected)
        assert row["reason"].count("best") == 3
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["score"] for row in rows] == sorted(row["score"] for row in rows)
    by_name = {(row["strategy"], row["detector"]): row["score"] for row in rows}
    assert by_name["adaptive:ring", "deadline"] < by_name["ring", "deadline"]  # since n1 flaps


def test_what_counts_decides():
    wanted = {
        name: choose(NODES, trace=FLAPPING, workload=SMALL, prefer={name: 1}, seeds=1)["ranking"] for name in PREFER
    }
    for name, rows in wanted.items():
        assert rows[0][name] == min(row[name] for row in rows)
        assert rows[0]["score"] == 0
    assert wanted["balance"][-1]["strategy"].endswith("primary")


def test_the_settings_are_python_that_makes_the_candidate():
    names = {**vars(rw), "Adaptive": Adaptive, "Deadline": Deadline, "PhiAccrual": PhiAccrual, "nodes": NODES}
    for row in choose(NODES, trace=FLAPPING, workload=SMALL, seeds=1)["ranking"]:
        code, _, detector = row["settings"].partition(", marked by ")
        made = eval(code, names)  # noqa: S307 - our own text
        chosen = strategy(row["strategy"])
        inside = made.inside if chosen.policy else made
        assert type(inside) is type(chosen.router(NODES))
        assert isinstance(made, Adaptive) == (chosen.policy is not None)
        assert not detector or eval(detector, names)  # noqa: S307 - as above


def test_typical_failures_are_those_of_the_paper():
    nodes = [rw.Node(f"n{i}") for i in range(300)]
    trace = typical_trace(nodes, 1)
    assert trace.span_s == 90 * 86400
    assert len(trace) / 300 == pytest.approx(3, rel=0.3)  # one a month
    assert np.median(trace.end_s - trace.start_s) == pytest.approx(3240, rel=0.2)
    assert (typical_trace(nodes, 1).start_s == trace.start_s).all()
    assert len(typical_trace(nodes, 2)) != len(trace)
    zoned = typical_trace(NODES, 1)
    times, counts = np.unique(zoned.start_s, return_counts=True)
    assert counts.max() == 3
    assert len(times) > 3


@pytest.mark.parametrize(
    "wrong", [{"nodes": []}, {"prefer": {"speed": 1}}, {"prefer": {"balance": -1}}, {"prefer": {}}, {"seeds": 0}]
)
def test_what_is_wrong_is_told(wrong):
    with pytest.raises(ArgumentError):
        choose(**{"nodes": NODES, "trace": FLAPPING, **wrong})


def test_the_command_says_what_the_library_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nodes.csv").write_text("name,weight\na,1\nb,2\nc,1\n")
    (tmp_path / "t.csv").write_text("0,a,up\n500,b,down\n900,b,up\n9000,a,up\n")
    flags = ["--nodes", "nodes.csv", "--failures", "t.csv", "--seeds", 1, "--prefer", "movement=1"]
    trace = parse_trace((tmp_path / "t.csv").read_text().splitlines())
    expected = choose({"a": 1, "b": 2, "c": 1}, trace=trace, prefer={"movement": 1}, seeds=1)
    assert run_json("choose", *flags) == json.loads(json.dumps(expected))
    text = run("choose", *flags)
    best = expected["ranking"][0]
    assert f"In Python: {best['settings']}" in text
    assert "About as good" in text
    for prefer in ("speed=1", "movement", "movement=x", "movement=-1", "movement=0", "movement=1,movement=2"):
        assert "must be" in fails("choose", "--nodes", "nodes.csv", "--prefer", prefer, code=2)
    assert "--failures" in fails("choose", "--nodes", "nodes.csv", "--part", "0-1", code=2)
    assert "--nodes" in fails("choose", code=2)
