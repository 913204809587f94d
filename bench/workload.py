"""What the benchmarks route: nodes, keys and how many of each. All random numbers are seeded."""

from __future__ import annotations

import random
from functools import cache

import numpy as np

import ringward as rw

NODE_COUNTS = (10, 100, 1_000, 10_000)
NODES = 1_000  # where one size stands for all
POINTS_PER_NODE = 160
PARTITION_BITS = (12, 16, 20)
KEYS_BULK = 10_000_000  # 80 MB: beyond every cache
KEYS_TEXT = 1_000_000
KEYS_HOT = 1_000


def node_names(count):
    return [f"node{i}" for i in range(count)]


@cache
def hash_ring(nodes=NODES):
    return rw.HashRing(node_names(nodes), points_per_node=POINTS_PER_NODE)


@cache
def partition_table(bits):
    return rw.PartitionTable(node_names(NODES), partitions=2**bits)


@cache
def integers():
    """Random uint64 keys, shape (KEYS_BULK,)."""
    return np.random.default_rng(1).integers(0, 2**64, KEYS_BULK, dtype=np.uint64)


@cache
def hashes():
    """The hashes of `integers()`."""
    return rw.hash_keys(integers())


def text_keys(count=KEYS_TEXT):
    """Distinct ASCII texts of 16 characters, in the order in which they were allocated."""
    random_bits = random.Random(2)
    return [f"{random_bits.getrandbits(64):016x}" for _ in range(count)]


def shuffled(keys):
    """The same objects in an order that memory knows nothing of."""
    result = list(keys)
    random.Random(3).shuffle(result)
    return result


def copy_reference(benchmark, keys):
    """Benchmark `np.copyto` of `keys`, the unit in which bulk work is reported."""
    target = np.empty_like(keys)
    np.copyto(target, keys)  # touched, so that no round pays for page faults
    measure(benchmark, np.copyto, target, keys, count=len(keys))


def measure(benchmark, function, *args, count, **kwargs):
    """Benchmark a call that handles `count` keys, after one call that warms up."""
    function(*args, **kwargs)
    benchmark.extra_info["count"] = count
    return benchmark(function, *args, **kwargs)
