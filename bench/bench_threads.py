"""Whole columns by several threads, beside the same work by one in the same process."""

from __future__ import annotations

import os

import pytest
from bounds import THREAD_WORKS
from recorded import clock, in_another_process, replay

pytestmark = [
    pytest.mark.benchmark(timer=clock),
    pytest.mark.parametrize("threads", [threads for threads in (2, 4, 8) if threads <= os.cpu_count()]),
    pytest.mark.parametrize("work", THREAD_WORKS),
]


def one_column(benchmark, threads, work):
    benchmark.group = f"by threads, {work}"
    return in_another_process("one_column.py", work, threads)


def bench_one_thread(benchmark, threads, work):
    replay(benchmark, one_column(benchmark, threads, work)["reference_s"])


def bench_threads(benchmark, threads, work):
    replay(benchmark, one_column(benchmark, threads, work)["rounds_s"])
