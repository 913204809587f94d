"""The hash families: a column of integers, a list of texts, and one key beside the xxhash package."""

from __future__ import annotations

import pytest
from harness.catalogue import works_of
from harness.declare import Ratio, Row, Table

import ringward as rw
from routing.tables import DOCUMENT, sizes
from routing.workload import (
    KEY_COUNTS,
    KEYS_HOT,
    KEYS_TEXT,
    ONE_THREAD,
    copy_reference,
    every,
    hash_reference,
    integers,
    measure,
    text_keys,
)

FAMILIES = {
    "xxh3": rw.XXH3(),
    "siphash13": rw.SipHash(bytes(range(16))),
    "siphash24": rw.SipHash(bytes(range(16)), rounds=(2, 4)),
    "multiplicative": rw.Multiplicative(0x9E3779B97F4A7C15, 2**61 - 1),
}


@pytest.mark.benchmark(group="hash, integers")
def bench_copyto(benchmark):
    copy_reference(benchmark, integers())


@pytest.mark.benchmark(group="hash, integers")
@pytest.mark.parametrize("family", FAMILIES)
def bench_integers(benchmark, family):
    measure(benchmark, rw.hash_keys, integers(), FAMILIES[family], count=len(integers()), **ONE_THREAD)


@pytest.mark.benchmark(group="hash, by keys")
@pytest.mark.parametrize("count", KEY_COUNTS)
def bench_copyto_by_keys(benchmark, count):
    copy_reference(benchmark, integers(count))


@pytest.mark.benchmark(group="hash, by keys")
@pytest.mark.parametrize("count", KEY_COUNTS)
def bench_by_keys(benchmark, count):
    measure(benchmark, rw.hash_keys, integers(count), count=count, **ONE_THREAD)


@pytest.mark.benchmark(group="hash, list of texts")
def bench_copyto_beside_texts(benchmark):
    copy_reference(benchmark, integers())


@pytest.mark.benchmark(group="hash, list of texts")
@pytest.mark.parametrize("family", FAMILIES)
def bench_texts(benchmark, family):
    keys = text_keys()
    measure(benchmark, rw.hash_keys, keys, FAMILIES[family], count=KEYS_TEXT, **ONE_THREAD)


@pytest.mark.benchmark(group="hash, one key")
@pytest.mark.parametrize("family", FAMILIES)
def bench_one_key(benchmark, family):
    measure(benchmark, every, FAMILIES[family], text_keys(KEYS_HOT), count=KEYS_HOT)


@pytest.mark.benchmark(group="hash, one key")
def bench_one_key_xxhash(benchmark):
    hash_reference(benchmark)


work = works_of(__file__)
HEAD = ("hash", "column of uint64, × np.copyto", "list of 16-character str, × np.copyto",
        "one str, × `xxhash.xxh3_64_intdigest` of bytes")  # fmt: skip
TOLD = {
    "xxh3": "`XXH3()`",
    "siphash13": "`SipHash(key)`, 1-3",
    "siphash24": "`SipHash(key, rounds=(2, 4))`",
    "multiplicative": "`Multiplicative(m, p)`",
}
TABLES = [
    sizes(("`hash_keys`", work("bench_by_keys", "{}"))),
    Table(DOCUMENT, "hashes", HEAD, [
        Row(
            told,
            Ratio(work("bench_integers", name), work("bench_copyto")),
            Ratio(work("bench_texts", name), work("bench_copyto")),
            Ratio(work("bench_one_key", name), work("bench_one_key_xxhash")),
        )
        for name, told in TOLD.items()
    ]),
]  # fmt: skip
