"""Whole columns by several threads, beside the same work by one in the same process."""

from __future__ import annotations

import os

import pytest
from harness.catalogue import works_of
from harness.declare import OK, Ratio, Row, Table

from routing.other_process import clock, in_another_process, replay
from routing.tables import DOCUMENT
from routing.whole_column import COPYING, WORKS

SPEED_UP = 1.8
# Two threads, each on a core of its own. Lists need the interpreter's lock, so one thread reads them.
BOUND = ("ring", "partitions", "S16", "Arrow string", "StringDType", "ring of 10,000")
pytestmark = [
    pytest.mark.benchmark(timer=clock),
    pytest.mark.parametrize("threads", [threads for threads in (2, 4, 8) if threads <= os.cpu_count()]),
    pytest.mark.parametrize("work", [*BOUND, COPYING]),
]


def whole_column(benchmark, threads, work):
    benchmark.group = f"by threads, {work}"
    return in_another_process("whole_column", work, threads)


def bench_one_thread(benchmark, threads, work):
    replay(benchmark, whole_column(benchmark, threads, work)["reference_s"])


def bench_threads(benchmark, threads, work):
    replay(benchmark, whole_column(benchmark, threads, work)["rounds_s"])


work = works_of(__file__)


def two(name, at_least=None):
    """How many times as fast as one thread two are. Copying has no bound: it tells what memory allows."""
    pair = (work(side, f"2-{name}") for side in ("bench_one_thread", "bench_threads"))
    told = () if at_least is None else (f"{at_least:g}", OK)
    return Row(WORKS[name].label, Ratio(*pair, at_least=at_least), *(told or ("", "")))


HEAD = ("10^7 integers, 4 · 10^6 texts", "two threads, × one", "at least", "ok")
TABLES = [Table(DOCUMENT, "threads", HEAD, [*(two(name, SPEED_UP) for name in BOUND), two(COPYING)])]
