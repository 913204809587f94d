"""Whole columns at every instruction set of this machine, each beside a copy in its own process."""

from __future__ import annotations

import pytest
from one_column import WORKS
from recorded import clock, in_another_process, replay

import ringward as rw

pytestmark = [
    pytest.mark.benchmark(timer=clock),
    pytest.mark.parametrize("level", rw.cpu().levels),
    pytest.mark.parametrize("work", WORKS),
]


def one_column(benchmark, level, work):
    benchmark.group = f"by instruction set, {work}"
    measured = in_another_process("one_column.py", work, 1, RINGWARD_CPU=level)
    assert measured["level"] == level
    return measured


def bench_copyto(benchmark, level, work):
    replay(benchmark, one_column(benchmark, level, work)["reference_s"])


def bench_level(benchmark, level, work):
    replay(benchmark, one_column(benchmark, level, work)["rounds_s"])
