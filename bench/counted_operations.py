"""Runs operations for `instructions.py` to count: `python counted_operations.py OPERATION ...` under callgrind.

`os.getppid()` is the mark: callgrind writes out its counter at each, so that neither the start of
the interpreter nor any preparation is counted. Prints, as JSON, how many keys (or calls) a round of each has.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from routing.single_keys import empty, route, subscript
from routing.workload import CONTAINERS, KEYS_HOT, NODES, ONE_THREAD, hash_ring, hashes, integers, node_names, text_keys
from routing.workload import partition_table as table_of

import ringward as rw

ROUNDS = 3  # the first warms up; the least counts
KEYS_COLUMN = 100_000
KEYS_OBJECTS = 20_000
KEYS_DIRECT_TABLE = 1_000_000  # once looked up, the ring has built its direct table
OBJECTS = ("list", "object")
COUNTED = ("uint64", "S16", "S16 mixed", "U16", "U16 not ASCII", "StringDType", "list", "object",
           "Arrow string", "Arrow string_view", "Arrow dictionary")  # fmt: skip


def no_arguments():
    return ()


@dataclass(frozen=True, slots=True)
class Operation:
    """What is counted: `act(*setup())`, less `idle(*setup())`, a key or a call."""

    act: Callable[..., Any]
    count: int = 1
    setup: Callable[[], tuple[Any, ...]] = no_arguments
    idle: Callable[..., Any] | None = None


def candidates(table, keys):
    for key in keys:
        table.candidates(key, 3)


def one_key(table, act):
    keys = text_keys(KEYS_HOT)
    return Operation(act, KEYS_HOT, lambda: (table(keys), keys), idle=empty)


def warm_ring():
    ring = hash_ring()
    ring.assign_hashes(hashes(KEYS_DIRECT_TABLE), **ONE_THREAD)
    return ring


def column(container):
    """Some keys in a container; fewer where each is an object."""
    if container == "uint64":
        return integers(KEYS_COLUMN)
    return CONTAINERS[container](KEYS_OBJECTS if container in OBJECTS else KEYS_COLUMN)


def hash_column(container):
    keys = column(container)
    return Operation(lambda: rw.hash_keys(keys, **ONE_THREAD), len(keys))


def assign(router, keys, method="assign"):
    out = np.zeros(len(keys), np.uint16)
    call = getattr(router, method)
    return Operation(lambda: call(keys, out=out, **ONE_THREAD), len(keys))


def apply(change):
    before = hash_ring().copy()
    owners = before.assign_hashes(hashes(KEYS_COLUMN), out=np.zeros(KEYS_COLUMN, np.uint16))
    transfer = change(before)
    return Operation(lambda ids: transfer.apply(ids, hashes(KEYS_COLUMN), **ONE_THREAD), KEYS_COLUMN,
                     lambda: (owners.copy(),))  # fmt: skip


def change(act):
    """A change of a ring that was just copied; the copy is not counted."""
    return Operation(act, setup=lambda: (hash_ring().copy(),))


OPERATIONS = {
    "one key, dict[key]": lambda: one_key(lambda keys: dict(zip(keys, node_names(KEYS_HOT), strict=True)), subscript),
    "one key, ring[key]": lambda: one_key(lambda _: hash_ring(), subscript),
    "one key, route": lambda: one_key(lambda _: hash_ring(), route),
    "one key, candidates": lambda: one_key(lambda _: hash_ring(), candidates),
    **{f"hash_keys, {container}": lambda container=container: hash_column(container) for container in COUNTED},
    "assign, uint64": lambda: assign(warm_ring(), column("uint64")),
    "assign, uint64, 10,000 nodes": lambda: assign(hash_ring(10 * NODES), column("uint64")),
    "assign, S16": lambda: assign(warm_ring(), column("S16")),
    "assign, list": lambda: assign(warm_ring(), column("list")),
    "assign, hashes": lambda: assign(warm_ring(), hashes(KEYS_COLUMN), "assign_hashes"),
    "assign, partition table of 2^16": lambda: assign(table_of(16), column("uint64")),
    "apply, after a removal": lambda: apply(lambda ring: ring.remove("node500")),
    "apply, after an addition": lambda: apply(lambda ring: ring.add("node-new")),
    "build, 1,000 nodes": lambda: Operation(rw.HashRing, setup=lambda: (node_names(NODES),)),
    "change, add": lambda: change(lambda ring: ring.add("node-new")),
    "change, remove": lambda: change(lambda ring: ring.remove("node500")),
    "change, mark_down": lambda: change(lambda ring: ring.mark_down("node500")),
    "snapshot, to_bytes": lambda: Operation(lambda snapshot: snapshot.to_bytes(), setup=lambda: (hash_ring().snapshot(),)),
    "snapshot, from_bytes": lambda: Operation(rw.Snapshot.from_bytes, setup=lambda: (hash_ring().snapshot().to_bytes(),)),
}  # fmt: skip


def nothing(*_arguments):
    """What an act is compared with: the marks themselves."""


def run(operation):
    for _ in range(ROUNDS):
        for body in (operation.act, operation.idle or nothing):
            arguments = operation.setup()
            os.getppid()
            body(*arguments)
            os.getppid()


def main(names):
    gc.disable()
    counts = []
    for name in names:
        operation = OPERATIONS[name]()
        run(operation)
        counts.append(operation.count)
    print(json.dumps(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
