"""Whole columns at every instruction set of this machine, each beside a copy in its own process."""

from __future__ import annotations

import pytest
from harness.catalogue import works_of
from harness.declare import OK, Ratio, Row, Table

import ringward as rw
from routing.other_process import clock, in_another_process, replay
from routing.tables import COPY, DOCUMENT, LEVELS, bounds
from routing.whole_column import WORKS

pytestmark = [
    pytest.mark.benchmark(timer=clock),
    pytest.mark.parametrize("level", rw.cpu().levels),
    pytest.mark.parametrize("work", WORKS),
]


def whole_column(benchmark, level, work):
    benchmark.group = f"by instruction set, {work}"
    measured = in_another_process("whole_column", work, 1, RINGWARD_CPU=level)
    assert measured["level"] == level
    return measured


def bench_copyto(benchmark, level, work):
    replay(benchmark, whole_column(benchmark, level, work)["reference_s"])


def bench_level(benchmark, level, work):
    replay(benchmark, whole_column(benchmark, level, work)["rounds_s"])


work = works_of(__file__)
AT_MOST = {
    "ring": (4.5, 6, 7.5),
    "partitions": (1.5, 3.5, 4),
    "S16": (1.5, 3, 3.5),
    "Arrow string": (8, 9, 10),
    "StringDType": (10, 11, 12),
    "list": (15, 15, 16),
    "ring of 10,000": (11, 14, 15),
}


def at(level, name, at_most, *, told_with_bound=False):
    """A column at a level, beside the copy."""
    pair = (work(side, f"{level}-{name}") for side in ("bench_level", "bench_copyto"))
    return Ratio(*pair, at_most=at_most, told_with_bound=told_with_bound)


TABLES = [
    bounds(
        ("`assign` of uint64, XXH3 included, uint16 out, baseline", COPY, at("baseline", "ring", 8)),
        ("`assign` of uint64, XXH3 included, uint32 out, baseline", COPY, at("baseline", "ring, uint32 out", 8)),
    ),
    Table(DOCUMENT, "levels", ("ratio to `np.copyto`, of at most", *LEVELS, "ok"), [
        Row(
            WORKS[name].label,
            *(at(level, name, most, told_with_bound=True) for level, most in zip(LEVELS, at_most, strict=True)), OK,
        )
        for name, at_most in AT_MOST.items()
    ]),
]  # fmt: skip
