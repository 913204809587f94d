"""What the benchmarks route: nodes, keys and how many of each. All random numbers are seeded."""

from __future__ import annotations

import random
from functools import cache

import numpy as np
import xxhash

import ringward as rw

NODE_COUNTS = (10, 100, 1_000, 10_000)
NODES = 1_000  # where one size stands for all
POINTS_PER_NODE = 160
PARTITION_BITS = (12, 16, 20)
KEY_COUNTS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
KEYS_BULK = 10_000_000  # 80 MB: beyond every cache
KEYS_TEXT = 1_000_000
KEYS_HOT = 1_000
ONE_THREAD = {"threads": 1}  # of whole columns: the benchmarks of threads alone say otherwise
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def node_names(count):
    return [f"node{i}" for i in range(count)]


@cache
def hash_ring(nodes=NODES):
    return rw.HashRing(node_names(nodes), points_per_node=POINTS_PER_NODE)


@cache
def partition_table(bits):
    return rw.PartitionTable(node_names(NODES), partitions=2**bits)


@cache
def integers(count=KEYS_BULK):
    """Random uint64 keys, shape (count,)."""
    return np.random.default_rng(1).integers(0, 2**64, count, dtype=np.uint64)


@cache
def hashes(count=KEYS_BULK):
    """The hashes of `integers(count)`."""
    return rw.hash_keys(integers(count))


def bytes_keys(count=KEYS_TEXT):
    """Distinct ASCII texts of 16 characters as a column of `S16`."""
    digits = np.random.default_rng(4).integers(0, 16, (count, 16), dtype=np.uint8)
    return HEX[digits].view("S16").reshape(count)


def text_keys(count=KEYS_TEXT):
    """The texts of `bytes_keys` as a list of str, in the order in which they were allocated."""
    return bytes_keys(count).astype("U16").tolist()


def bytes_keys_mixed(count=KEYS_TEXT):
    """As `bytes_keys`, 8 to 16 characters long: the rest of each item is NUL."""
    keys = bytes_keys(count).view(np.uint8).reshape(count, 16)
    lengths = np.random.default_rng(5).integers(8, 17, count)
    return np.where(np.arange(16) < lengths[:, None], keys, 0).astype(np.uint8).view("S16").reshape(count)


def shuffled(keys):
    """The same objects in an order that memory knows nothing of."""
    result = list(keys)
    random.Random(3).shuffle(result)
    return result


def arrow_keys(kind, count=KEYS_TEXT):
    """The texts of `bytes_keys` as a pyarrow array of one kind."""
    import pyarrow as pa  # most bodies do without this large import

    if kind == "dictionary":  # 1,000 distinct texts
        indices = np.random.default_rng(6).integers(0, KEYS_HOT, count, dtype=np.int32)
        return pa.DictionaryArray.from_arrays(indices, arrow_keys("string", KEYS_HOT))
    text = pa.array(bytes_keys(count), pa.binary(16)).cast(pa.binary()).cast(pa.string())
    return text.cast({"string": pa.string(), "large_string": pa.large_string(), "string_view": pa.string_view(),
                      "binary": pa.binary()}[kind])  # fmt: skip


# What a column of texts may be held in, and how to make one of `count` keys.
CONTAINERS = {
    "S16": bytes_keys,
    "S16 mixed": bytes_keys_mixed,
    "U16": lambda count=KEYS_TEXT: bytes_keys(count).astype("U16"),
    "U16 not ASCII": lambda count=KEYS_TEXT: np.char.replace(bytes_keys(count).astype("U16"), "e", "é"),
    "StringDType": lambda count=KEYS_TEXT: bytes_keys(count).astype("U16").astype(np.dtypes.StringDType()),
    "list": text_keys,
    "list shuffled": lambda count=KEYS_TEXT: shuffled(text_keys(count)),
    "object": lambda count=KEYS_TEXT: np.array(text_keys(count), object),
    "Arrow string": lambda count=KEYS_TEXT: arrow_keys("string", count),
    "Arrow large_string": lambda count=KEYS_TEXT: arrow_keys("large_string", count),
    "Arrow string_view": lambda count=KEYS_TEXT: arrow_keys("string_view", count),
    "Arrow dictionary": lambda count=KEYS_TEXT: arrow_keys("dictionary", count),
}
CONTAINERS_SWEPT = ("S16", "StringDType", "Arrow string", "list")  # over numbers of nodes and of keys


def copy_reference(benchmark, keys):
    """Benchmark `np.copyto` of `keys`, the unit in which bulk work is reported."""
    target = np.empty_like(keys)
    np.copyto(target, keys)  # touched, so that no round pays for page faults
    measure(benchmark, np.copyto, target, keys, count=len(keys))


def every(function, keys):
    for key in keys:
        function(key)


def hash_reference(benchmark):
    """Benchmark one call of the xxhash package a key. It takes bytes: texts are encoded before."""
    keys = [key.encode() for key in text_keys(KEYS_HOT)]
    assert xxhash.xxh3_64_intdigest(keys[0]) == rw.XXH3()(keys[0])
    measure(benchmark, every, xxhash.xxh3_64_intdigest, keys, count=KEYS_HOT)


def measure(benchmark, function, *args, count, **kwargs):
    """Benchmark a call that handles `count` keys, after one call that warms up."""
    function(*args, **kwargs)
    benchmark.extra_info["count"] = count
    return benchmark(function, *args, **kwargs)
