"""One key from Python: `ring[key]` and `ring.route(key)` beside a dict that holds the answers."""

from __future__ import annotations

import pytest
from recorded import clock, in_another_process, replay
from workload import KEYS_HOT, KEYS_TEXT, NODE_COUNTS, NODES

KEY_SETS = {
    "hot": (KEYS_HOT, "allocated"),
    "distinct": (KEYS_TEXT, "allocated"),
    "shuffled": (KEYS_TEXT, "shuffled"),
}


def one_body(benchmark, body, nodes, key_set):
    key_count, order = KEY_SETS[key_set]
    measured = in_another_process("one_body.py", body, nodes, key_count, order)
    benchmark.group = f"one key, {key_set}"
    benchmark.extra_info.update(loop_s=measured["loop_s"], nodes=nodes)
    replay(benchmark, measured["rounds_s"])


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
