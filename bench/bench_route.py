"""One key from Python: `ring[key]` and `ring.route(key)` beside a dict that holds the answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from workload import KEYS_HOT, KEYS_TEXT, NODE_COUNTS, NODES

ONE_BODY = Path(__file__).with_name("one_body.py")
KEY_SETS = {
    "hot": (KEYS_HOT, "allocated"),
    "distinct": (KEYS_TEXT, "allocated"),
    "shuffled": (KEYS_TEXT, "shuffled"),
}


class RecordedClock:
    """A timer that moves by what another process measured, so that its rounds become statistics here."""

    def __init__(self):
        self.now_s = 0.0
        self.rounds_s = iter(())

    def __call__(self):
        """The time, in seconds, as pytest-benchmark asks for it."""
        return self.now_s

    def play(self):
        """Advance by the next recorded round."""
        self.now_s += next(self.rounds_s, 0.0)


clock = RecordedClock()


def one_body(benchmark, body, nodes, key_set):
    key_count, order = KEY_SETS[key_set]
    command = [sys.executable, str(ONE_BODY), body, str(nodes), str(key_count), order]
    measured = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    clock.rounds_s = iter([ns * 1e-9 for ns in measured["rounds_ns"]])
    benchmark.group = f"one key, {key_set}"
    benchmark.extra_info.update(count=1, loop_ns=measured["loop_ns"], nodes=nodes)
    benchmark.pedantic(clock.play, rounds=len(measured["rounds_ns"]))


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("key_set", KEY_SETS)
def bench_dict(benchmark, key_set):
    one_body(benchmark, "dict", NODES, key_set)


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("key_set", KEY_SETS)
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_subscript(benchmark, nodes, key_set):
    one_body(benchmark, "subscript", nodes, key_set)


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("key_set", KEY_SETS)
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_route(benchmark, nodes, key_set):
    one_body(benchmark, "route", nodes, key_set)


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("how", ["route_bound", "route_global"])
def bench_other_ways_to_call(benchmark, how):
    one_body(benchmark, how, NODES, "hot")
