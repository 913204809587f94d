"""`ringward simulate`, with every kind of bad input."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from command import fails, run, run_json
from small_trace import LINES

from ringward.simulation import parse_trace, simulate

TRACE = "\n".join(LINES) + "\n"


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Run each test in a directory of its own, which has a trace."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trace.csv").write_text(TRACE)


def without_cost(result):
    for run_ in result["runs"]:
        del run_["cost_s"]
    for summary in result["summary"].values():
        for figures in (summary, *summary["detectors"].values()):
            del figures["cost_s"]
    return json.dumps(result)


def test_the_command_says_what_the_library_says(tmp_path):
    expected = simulate(parse_trace(LINES), strategies=["ring"], detectors=["phi:threshold=5"], seeds=2, seed=3)
    flags = ["--strategy", "ring", "--detector", "phi:threshold=5", "--seeds", 2, "--seed", 3]
    (tmp_path / "trace.gz").write_bytes(gzip.compress(TRACE.encode()))
    said = [run_json("simulate", "--failures", name, *flags) for name in ("trace.csv", "trace.gz")]
    said.append(run_json("simulate", "--failures", "-", "--format", "csv", *flags, stdin=TRACE))
    assert {without_cost(each) for each in said} == {without_cost(expected)}


def test_the_table_has_all_pairs_and_the_keys_of_a_file(tmp_path):
    (tmp_path / "keys.csv").write_text("user,n\n" + "".join(f"u{i % 50},{i}\n" for i in range(500)))
    (tmp_path / "nodes.txt").write_text("c\nb\na\n")
    flags = ["--strategy", "primary", "--seeds", 1, "--keys", "keys.csv", "--key", "user", "--nodes", "nodes.txt"]
    text = run("simulate", "--failures", "trace.csv", *flags)
    rows = [line.split() for line in text.splitlines() if line.startswith("primary")]
    assert [row[1] for row in rows] == ["perfect", "deadline", "phi", "lifeguard", "envoy", "redis"]
    result = run_json("simulate", "--failures", "trace.csv", *flags)
    assert {each["requests"] for each in result["runs"]} == {500}
    assert {each["unavailable_key_s"] for each in result["runs"]} == {0}  # c has priority, and never fails


def test_a_part_of_the_time_can_be_chosen():
    flags = ["--failures", "trace.csv", "--part", "0-0.03", "--strategy", "ring", "--seeds", 1]
    assert (
        run_json("simulate", *flags)["trace"] | {"span_s": 600.0, "outages": 1} == run_json("simulate", *flags)["trace"]
    )


def test_the_default_strategies_are_all():
    result = run_json("simulate", "--failures", "trace.csv", "--seeds", 1)
    assert list(result["summary"]) == ["ring", "partitioned:part_size=8", "table", "primary", "adaptive"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "--failures"),
        (["--failures", "trace.csv", "--seeds", "0"], "--seeds"),
        (["--failures", "trace.csv", "--strategy", "rink"], "ring, partitioned, table, primary, adaptive (was 'rink')"),
        (["--failures", "trace.csv", "--strategy", "ring:part_size=2"], "points_per_node"),
        (["--failures", "trace.csv", "--strategy", "adaptive:hold_down=2"], "hold_down_s"),
        (["--failures", "trace.csv", "--detector", "fi"], "deadline"),
        (["--failures", "trace.csv", "--detector", "phi:threshold=-1"], "threshold"),
        (["--failures", "trace.csv", "--format", "lan"], "lanl"),
        (["--failures", "trace.csv", "--part", "1-0.5"], "0.5-1"),
        (["--failures", "trace.csv", "--part", "x"], "0.5-1"),
        (["--failures", "trace.csv", "--key", "user"], "--key needs --keys"),
    ],
)
def test_wrong_usage_exits_with_2(args, words):
    assert words in fails("simulate", *args, code=2)


def test_bad_data_exits_with_1_and_says_where(tmp_path):
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "bad.csv").write_text("time,node,state\n1,a,up\n2,a,sideways\n")
    (tmp_path / "moment.csv").write_text("time,node,state\n1,a,up\n")
    (tmp_path / "other.txt").write_text("x\ny\n")
    assert fails("simulate", "--failures", "none.csv") == "none.csv: No such file or directory"
    assert "binary" in fails("simulate", "--failures", "binary")
    assert fails("simulate", "--failures", "empty") == "empty: empty"
    assert fails("simulate", "--failures", "bad.csv").startswith("bad.csv, line 3: a state must be up or down")
    assert "longer than a moment" in fails("simulate", "--failures", "moment.csv")
    assert "no column" in fails("simulate", "--failures", "trace.csv", "--format", "lanl")
    assert "those of the trace" in fails("simulate", "--failures", "trace.csv", "--nodes", "other.txt")
    assert "at least one" in fails("simulate", "--failures", "trace.csv", "--keys", "empty")


@pytest.mark.skipif(os.name == "nt", reason="a signal that Windows has not")
def test_an_interrupt_ends_a_long_run_without_a_traceback(tmp_path):
    rows = "".join(f"{i * 40},n{i % 50},{'down' if (i // 50) % 2 else 'up'}\n" for i in range(5000))
    (tmp_path / "long.csv").write_text(f"time,node,state\n{rows}")
    command = [sys.executable, "-m", "ringward", "simulate", "--failures", "long.csv", "--seeds", "1000"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(2.5)
    child.send_signal(signal.SIGINT)
    said, trouble = child.communicate(timeout=20)
    assert (child.returncode, said) == (130, b"")
    assert b"Traceback" not in trouble
