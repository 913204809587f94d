"""Columns of integers and of hashes to node ids, beside copying the column."""

from __future__ import annotations

import numpy as np
import pytest
from workload import (
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
