"""Times one work on a whole column in a process of its own: `python -m routing.whole_column WORK THREADS`.

The instruction set is chosen when the package is imported, so each level needs a process, and its
reference is measured there too, in turn with the work. Prints JSON: the seconds a key of each round.

With THREADS 1 the reference is `np.copyto`: of the keys themselves where they are fixed-width, else of as many
8-byte keys. With more, it is the same work on one thread, and the process takes all the cores there are.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import ringward as rw
from routing.workload import CONTAINERS, KEYS_BULK, KEYS_TEXT, NODES, hash_ring, integers, partition_table

COPYING = "np.copyto"
ROUNDS = 12
TEXTS = 4 * KEYS_TEXT  # so many that tables, which the copy drove out of the caches, cost little to fetch again


@dataclass(frozen=True, slots=True)
class Work:
    """`call(keys, out=, threads=)` on what `keys()` makes; tables call it `label`."""

    label: str
    call: Callable[[], Callable[..., Any]]
    keys: Callable[[], Any]
    copied: Callable[[], Any] = integers
    width: str = "uint16"


def bytes_bulk():
    return CONTAINERS["S16"](KEYS_BULK)


def assign(nodes=NODES):
    return lambda: hash_ring(nodes).assign


def copy():
    """`np.copyto` as a work, each thread a part of the keys."""
    pool = ThreadPoolExecutor(os.cpu_count())

    def copied(keys, *, out, threads):
        parts = zip(np.array_split(out, threads), np.array_split(keys, threads), strict=True)
        list(pool.map(lambda part: np.copyto(*part), parts))

    return copied


def texts(container):
    return lambda: CONTAINERS[container](TEXTS)


WORKS = {
    "ring": Work("uint64 → uint16 ids, ring", assign(), integers),
    "ring, uint32 out": Work("uint64 → uint32 ids, ring", assign(), integers, width="uint32"),
    "partitions": Work("uint64 → partition of 2^16", lambda: partition_table(16).assign, integers),
    "S16": Work("`S16`", assign(), bytes_bulk, bytes_bulk),
    "Arrow string": Work("Arrow strings", assign(), texts("Arrow string")),
    "StringDType": Work("`StringDType`", assign(), texts("StringDType")),
    "list": Work("list of str", assign(), texts("list")),
    "ring of 10,000": Work("uint64 → uint16 ids, ring of 10,000 nodes", assign(10 * NODES), integers),
    COPYING: Work("for comparison, `np.copyto` of the integers, a part each", copy, integers, width="uint64"),
}


def seconds(function, *args, **kwargs):
    """Seconds a key of one call, whose first argument is a column."""
    start = perf_counter()
    function(*args, **kwargs)
    return (perf_counter() - start) / len(args[0])


def main(name, threads):
    work = WORKS[name]
    keys, call = work.keys(), work.call()
    out = np.zeros(len(keys), work.width)
    if threads > 1:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, range(os.cpu_count()))

        def reference():
            return seconds(call, keys, out=out, threads=1)
    else:
        copied = work.copied()
        target = np.zeros_like(copied)

        def reference():
            return seconds(np.copyto, target, copied)

    call(keys, out=out, threads=threads)
    reference()
    rounds = [(reference(), seconds(call, keys, out=out, threads=threads)) for _ in range(ROUNDS)]
    reference_s, rounds_s = zip(*rounds, strict=True)
    print(json.dumps({"rounds_s": rounds_s, "reference_s": reference_s, "level": rw.cpu().level}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
