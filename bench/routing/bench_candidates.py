"""The failover order: of one key, and of a column of keys."""

from __future__ import annotations

import pytest
from harness.catalogue import works_of

from routing.tables import columns, over
from routing.workload import (
    KEYS_HOT,
    NODE_COUNTS,
    ONE_THREAD,
    copy_reference,
    hash_reference,
    hash_ring,
    hashes,
    measure,
    partition_table,
    text_keys,
)

KEYS = 1_000_000
CANDIDATES = 3


def every_key(router, keys):
    for key in keys:
        router.candidates(key, CANDIDATES)


def column(router, column_hashes):
    return router.assign_hashes(column_hashes, count=CANDIDATES, **ONE_THREAD)


@pytest.mark.benchmark(group="candidates, column")
def bench_copyto(benchmark):
    copy_reference(benchmark, hashes()[:KEYS])


@pytest.mark.benchmark(group="candidates, column")
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_column_ring(benchmark, nodes):
    ids = measure(benchmark, column, hash_ring(nodes), hashes()[:KEYS], count=KEYS)
    assert ids.shape == (KEYS, CANDIDATES)


@pytest.mark.benchmark(group="candidates, column")
def bench_column_partition_table(benchmark):
    """Rows of one replica: the second and third candidates come by rendezvous, the slow way."""
    keys = 1_000
    ids = measure(benchmark, column, partition_table(12), hashes()[:keys], count=keys)
    assert ids.shape == (keys, CANDIDATES)


@pytest.mark.benchmark(group="candidates, one key")
def bench_one_key_xxhash(benchmark):
    hash_reference(benchmark)


@pytest.mark.benchmark(group="candidates, one key")
@pytest.mark.parametrize("nodes", NODE_COUNTS)
def bench_one_key(benchmark, nodes):
    measure(benchmark, every_key, hash_ring(nodes), text_keys(KEYS_HOT), count=KEYS_HOT)


work = works_of(__file__)
XXHASH = "routing/bench_hash.py::bench_one_key_xxhash"
TABLES = [
    columns(("`assign_hashes(count=3)`", work("bench_column_ring", "{}"), work("bench_copyto"))),
    over("candidates", NODE_COUNTS, ("`ring.candidates(key, 3)`, one hot key", work("bench_one_key", "{}"), XXHASH)),
]
