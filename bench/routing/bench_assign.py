"""Columns of integers and of hashes to node ids, beside copying the column."""

from __future__ import annotations

import numpy as np
import pytest
from harness.catalogue import works_of
from harness.declare import Ratio, Written

from routing.tables import COPY, DOCUMENT, bounds, columns, over, sizes
from routing.workload import (
    KEY_COUNTS,
    NODE_COUNTS,
    ONE_THREAD,
    PARTITION_BITS,
    copy_reference,
    hash_ring,
    hashes,
    integers,
    measure,
    partition_table,
)

WIDTHS = ["uint16", "uint32"]


def into(benchmark, assign, keys, width):
    out = np.zeros(len(keys), width)
    result = measure(benchmark, assign, keys, count=len(keys), out=out, **ONE_THREAD)
    assert result is out


@pytest.mark.benchmark(group="assign, ring")
def bench_copyto_ring(benchmark):
    copy_reference(benchmark, integers())


@pytest.mark.benchmark(group="assign, ring")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_assign_ring(benchmark, nodes, width):
    """Keys of 8 bytes, hashed by XXH3 on the way."""
    into(benchmark, hash_ring(nodes).assign, integers(), width)


@pytest.mark.benchmark(group="assign_hashes, ring")
def bench_copyto_ring_hashes(benchmark):
    copy_reference(benchmark, hashes())


@pytest.mark.benchmark(group="assign_hashes, ring")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_hashes_ring(benchmark, nodes, width):
    into(benchmark, hash_ring(nodes).assign_hashes, hashes(), width)


@pytest.mark.benchmark(group="assign, partition table")
def bench_copyto_partitions(benchmark):
    copy_reference(benchmark, integers())


@pytest.mark.benchmark(group="assign, partition table")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("bits", PARTITION_BITS)
def bench_assign_partitions(benchmark, bits, width):
    into(benchmark, partition_table(bits).assign, integers(), width)


@pytest.mark.benchmark(group="assign_hashes, partition table")
def bench_copyto_partitions_hashes(benchmark):
    copy_reference(benchmark, hashes())


@pytest.mark.benchmark(group="assign_hashes, partition table")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("bits", PARTITION_BITS)
def bench_hashes_partitions(benchmark, bits, width):
    into(benchmark, partition_table(bits).assign_hashes, hashes(), width)


# What is called with a column of `count` keys, whose ids are uint16.
BY_KEYS = {
    "assign": (lambda: hash_ring().assign, integers),
    "assign_hashes": (lambda: hash_ring().assign_hashes, hashes),
    "partition table": (lambda: partition_table(16).assign, integers),
}


@pytest.mark.benchmark(group="assign, by keys")
@pytest.mark.parametrize("count", KEY_COUNTS)
def bench_copyto_by_keys(benchmark, count):
    copy_reference(benchmark, integers(count))


@pytest.mark.benchmark(group="assign, by keys")
@pytest.mark.parametrize("count", KEY_COUNTS)
@pytest.mark.parametrize("call", BY_KEYS)
def bench_by_keys(benchmark, call, count):
    assign, keys = BY_KEYS[call]
    assign()(keys(), **ONE_THREAD)  # however few the keys, the direct table is there
    into(benchmark, assign(), keys(count), "uint16")


work = works_of(__file__)


def about(results):
    """What was measured, where, with the references in absolute terms."""
    found, runs = results.machine(COPY_KEYS), len(results.runs(COPY_KEYS))
    return (
        f"- {found['system']}: {found['cpu']}\n"
        f"- {found['python']}, NumPy {found['numpy']}, ringward {found['ringward']}; {found['date']}; {runs} runs; "
        f"instruction sets {found['levels']}\n"
        f"- the references, least of all runs: `np.copyto` {results.least(COPY_KEYS) * 1e9:.2f} ns a key, dict "
        f"lookup {results.least(DICT_HOT) * 1e9:.1f} ns hot and {results.least(DICT_DISTINCT) * 1e9:.0f} ns with "
        f"1,000,000 keys, `np.sort` of 160,000 uint64 {results.least(SORTING) * 1e3:.2f} ms"
    )


DICT_HOT, DICT_DISTINCT = (f"routing/bench_one_key.py::bench_dict[{key_set}]" for key_set in ("hot", "distinct"))
SORTING = "routing/bench_build.py::bench_sort"
COPY_KEYS, COPY_HASHES = work("bench_copyto_ring"), work("bench_copyto_ring_hashes")
COPY_PARTITIONS, COPY_PARTITIONS_HASHES = work("bench_copyto_partitions"), work("bench_copyto_partitions_hashes")
TABLES = [
    Written(DOCUMENT, "about", about, {COPY_KEYS, DICT_HOT, DICT_DISTINCT, SORTING}),
    bounds(
        *(
            (f"`assign_hashes`, ring, {width} out", COPY,
             Ratio(work("bench_hashes_ring", f"1000-{width}"), COPY_HASHES, at_most=4))
            for width in WIDTHS
        ),
        *(
            (f"`assign_hashes`, partition table of 2^16, {width} out", COPY,
             Ratio(work("bench_hashes_partitions", f"16-{width}"), COPY_PARTITIONS_HASHES, at_most=1.5))
            for width in WIDTHS
        ),
    ),
    columns(
        *((f"`assign`, {width} out", work("bench_assign_ring", f"{{}}-{width}"), COPY_KEYS) for width in WIDTHS),
        *((f"`assign_hashes`, {width} out", work("bench_hashes_ring", f"{{}}-{width}"), COPY_HASHES) for width in WIDTHS),
    ),
    sizes(
        ("`np.copyto` of as many keys", work("bench_copyto_by_keys", "{}")),
        ("`assign`, ring", work("bench_by_keys", "assign-{}")),
        ("`assign_hashes`, ring", work("bench_by_keys", "assign_hashes-{}")),
        ("`assign`, partition table of 2^16", work("bench_by_keys", "partition table-{}")),
    ),
    over(
        "partitions", PARTITION_BITS,
        *(
            (f"`assign`, {width} out", work("bench_assign_partitions", f"{{}}-{width}"), COPY_PARTITIONS)
            for width in WIDTHS
        ),
        *(
            (f"`assign_hashes`, {width} out", work("bench_hashes_partitions", f"{{}}-{width}"), COPY_PARTITIONS_HASHES)
            for width in WIDTHS
        ),
    ),
]  # fmt: skip
