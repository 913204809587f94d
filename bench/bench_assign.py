"""Columns of integers and of hashes to node ids, beside copying the column."""

from __future__ import annotations

import numpy as np
import pytest
from workload import (
    KEYS_BULK,
    NODE_COUNTS,
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
    out = np.zeros(KEYS_BULK, width)
    result = measure(benchmark, assign, keys, count=KEYS_BULK, out=out)
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
