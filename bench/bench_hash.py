"""The hash families: a column of integers, a list of texts, and one key beside the xxhash package."""

from __future__ import annotations

import pytest
import xxhash
from workload import KEYS_HOT, KEYS_TEXT, copy_reference, integers, measure, text_keys

import ringward as rw

FAMILIES = {
    "xxh3": rw.XXH3(),
    "siphash13": rw.SipHash(bytes(range(16))),
    "siphash24": rw.SipHash(bytes(range(16)), rounds=(2, 4)),
    "multiplicative": rw.Multiplicative(0x9E3779B97F4A7C15, 2**61 - 1),
}


def every(function, keys):
    for key in keys:
        function(key)


@pytest.mark.benchmark(group="hash, integers")
def bench_copyto(benchmark):
    copy_reference(benchmark, integers())


@pytest.mark.benchmark(group="hash, integers")
@pytest.mark.parametrize("family", FAMILIES)
def bench_integers(benchmark, family):
    measure(benchmark, rw.hash_keys, integers(), FAMILIES[family], count=len(integers()))


@pytest.mark.benchmark(group="hash, list of texts")
@pytest.mark.parametrize("family", FAMILIES)
def bench_texts(benchmark, family):
    keys = text_keys()
    measure(benchmark, rw.hash_keys, keys, FAMILIES[family], count=KEYS_TEXT)


@pytest.mark.benchmark(group="hash, one key")
@pytest.mark.parametrize("family", FAMILIES)
def bench_one_key(benchmark, family):
    measure(benchmark, every, FAMILIES[family], text_keys(KEYS_HOT), count=KEYS_HOT)


@pytest.mark.benchmark(group="hash, one key")
def bench_one_key_xxhash(benchmark):
    """The reference takes bytes: texts are encoded before."""
    keys = [key.encode() for key in text_keys(KEYS_HOT)]
    assert xxhash.xxh3_64_intdigest(keys[0]) == rw.XXH3()(keys[0])
    measure(benchmark, every, xxhash.xxh3_64_intdigest, keys, count=KEYS_HOT)
