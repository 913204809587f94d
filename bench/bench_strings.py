"""Columns of 16-character texts to node ids, by container; the unit is copying as many 8-byte keys."""

from __future__ import annotations

import numpy as np
import pytest
from workload import KEYS_TEXT, copy_reference, hash_ring, integers, measure, shuffled, text_keys

pytestmark = pytest.mark.benchmark(group="texts")


def assign(benchmark, keys):
    out = np.zeros(KEYS_TEXT, np.uint32)
    measure(benchmark, hash_ring().assign, keys, count=KEYS_TEXT, out=out)


def bench_copyto(benchmark):
    copy_reference(benchmark, integers())


def bench_list(benchmark):
    """Objects in the order in which they were allocated, as a reader of a file or a database makes them."""
    assign(benchmark, text_keys())


def bench_list_shuffled(benchmark):
    """Every object somewhere else in memory: fetching it is most of the time."""
    assign(benchmark, shuffled(text_keys()))


def bench_bytes_array(benchmark):
    assign(benchmark, np.array(text_keys(), "S16"))


def bench_text_array(benchmark):
    """NumPy's `U`: four bytes a character, encoded on the way."""
    assign(benchmark, np.array(text_keys(), "U16"))


def bench_object_array(benchmark):
    assign(benchmark, np.array(text_keys(), object))
