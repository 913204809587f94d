"""One key from Python: `ring[key]` and `ring.route(key)` beside a dict that holds the answers."""

from __future__ import annotations

import pytest
from harness.catalogue import works_of
from harness.declare import Ratio

from routing.other_process import clock, in_another_process, replay
from routing.tables import beside, bounds, over
from routing.workload import KEYS_HOT, KEYS_TEXT, NODE_COUNTS, NODES

KEY_SETS = {
    "hot": (KEYS_HOT, "allocated"),
    "distinct": (KEYS_TEXT, "allocated"),
    "shuffled": (KEYS_TEXT, "shuffled"),
}


def one_loop(benchmark, body, nodes, key_set):
    key_count, order = KEY_SETS[key_set]
    measured = in_another_process("single_keys", body, nodes, key_count, order)
    benchmark.group = f"one key, {key_set}"
    benchmark.extra_info.update(loop_s=measured["loop_s"], nodes=nodes)
    replay(benchmark, measured["rounds_s"])


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("key_set", KEY_SETS)
def bench_dict(benchmark, key_set):
    one_loop(benchmark, "dict", NODES, key_set)


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("key_set", KEY_SETS)
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_subscript(benchmark, nodes, key_set):
    one_loop(benchmark, "subscript", nodes, key_set)


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("key_set", KEY_SETS)
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_route(benchmark, nodes, key_set):
    one_loop(benchmark, "route", nodes, key_set)


@pytest.mark.benchmark(timer=clock)
@pytest.mark.parametrize("how", ["route_bound", "route_global"])
def bench_other_ways_to_call(benchmark, how):
    one_loop(benchmark, how, NODES, "hot")


work = works_of(__file__)
TOLD = {"hot": "1,000 hot keys", "distinct": "10^6 keys", "shuffled": "10^6 keys, shuffled"}
DICT = {key_set: work("bench_dict", key_set) for key_set in KEY_SETS}
HOT = DICT["hot"]
TABLES = [
    bounds(
        ("`ring[key]`, 1,000 hot keys", "hot dict lookup", Ratio(work("bench_subscript", "1000-hot"), HOT, at_most=1.3)),
        ("`ring[key]`, 1,000,000 distinct keys", "dict lookup",
         Ratio(work("bench_subscript", "1000-distinct"), DICT["distinct"], at_most=0.25)),
        ("`ring.route(key)`, 1,000 hot keys", "hot dict lookup", Ratio(work("bench_route", "1000-hot"), HOT, at_most=2)),
    ),
    over("one-key", NODE_COUNTS, *(
        (f"`{call}`, {told}", work(name, f"{{}}-{key_set}"), DICT[key_set])
        for key_set, told in TOLD.items()
        for call, name in (("ring[key]", "bench_subscript"), ("ring.route(key)", "bench_route"))
    )),
    beside(
        "ways", ("call, 1,000 nodes, hot", "× hot dict lookup"), HOT,
        ("`ring[key]`", work("bench_subscript", "1000-hot")),
        ("`ring.route(key)`, `ring` a local variable", work("bench_route", "1000-hot")),
        ("`route(key)`, the bound method kept", work("bench_other_ways_to_call", "route_bound")),
        ("`ring.route(key)`, `ring` a global variable", work("bench_other_ways_to_call", "route_global")),
    ),
]  # fmt: skip
