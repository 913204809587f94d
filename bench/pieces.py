"""What assigning a column and changing a ring are made of: `python bench/pieces.py`.

Hashing alone, looking hashes up alone, and both in `assign`, each on the same keys by one thread, at each instruction
set in a process of its own. The steps of a membership change, each alone. Writes its tables into docs/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import timeit
from functools import partial
from time import perf_counter

import numpy as np
from one_column import TEXTS, seconds
from pinned import pin
from quality import markdown
from table import DOCUMENT, written
from workload import CONTAINERS, NODE_COUNTS, hash_ring, integers

import ringward as rw

ROUNDS = 9
CHANGES = 300
NEW = "node-new"
COLUMNS = ("S16", "Arrow string", "StringDType", "list")
SMALL = 100  # nodes, whose direct table lies in the second cache
HEAD = (
    "ns a key",
    "column",
    "hashing",
    "lookup",
    "on 100 nodes",
    "hashing + lookup",
    "`assign`",
    "`np.copyto` of 8 bytes",
)
CHANGE_HEAD = ("µs", "nodes", "who belongs", "ids and weights", "the table", "the change as a whole")


def measured(column):
    """Least nanoseconds a key: of hashing, of looking up on a ring and on a small one, of both, and of copying integers."""
    keys, ring, small = CONTAINERS[column](TEXTS), hash_ring(), hash_ring(SMALL)
    hashes, out = rw.hash_keys(keys), np.zeros(TEXTS, np.uint16)
    copied = integers()
    target = np.zeros_like(copied)
    works = (
        lambda: seconds(lambda keys: rw.hash_keys(keys, threads=1), keys),
        lambda: seconds(lambda hashes: ring.assign_hashes(hashes, out=out, threads=1), hashes),
        lambda: seconds(lambda hashes: small.assign_hashes(hashes, out=out, threads=1), hashes),
        lambda: seconds(lambda keys: ring.assign(keys, out=out, threads=1), keys),
        lambda: seconds(lambda copied: np.copyto(target, copied), copied),
    )
    rounds = [[work() for work in works] for _ in range(ROUNDS + 1)][1:]
    return [min(times) * 1e9 for times in zip(*rounds, strict=True)]


def change_rows():
    """Least microseconds of the steps of a change: the new membership, the new table, and the change as a whole."""
    for nodes in NODE_COUNTS:
        ring = hash_ring(nodes).copy()
        ring.add(NEW)  # a name's first time costs an id
        ring.remove(NEW)
        for work, change, operation in (
            ("`add`", ring.add, lambda before: before.add([rw.Node(NEW)])),
            ("`remove`", ring.remove, lambda before: before.remove([NEW])),
        ):
            before = ring._state
            sealed = partial(operation(before.cluster).sealed, before.cluster, ordered=False)
            steps = (partial(operation, before.cluster), sealed, partial(ring._place, sealed(), before, 1))
            least = [min(timeit.repeat(step, number=1, repeat=CHANGES)) for step in steps]
            # A change can be made once only, so what it made is taken back in between.
            whole = []
            for _ in range(CHANGES):
                start = perf_counter()
                change(NEW)
                whole.append(perf_counter() - start)
                (ring.remove if change == ring.add else ring.add)(NEW)
            change(NEW)
            yield work, f"{nodes:,}", *(f"{1e6 * seconds:.1f}" for seconds in (*least, min(whole)))


def rows():
    """All levels and columns, each measured in a new process."""
    for level in reversed(rw.cpu().levels):
        for column in COLUMNS:
            environment = {**os.environ, "RINGWARD_CPU": level}
            command = [sys.executable, __file__, column]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            hashing, lookup, small, assign, copy = json.loads(done.stdout)
            cells = (hashing, lookup, small, hashing + lookup, assign, copy)
            yield level, column, *(f"{cell:.2f}" for cell in cells)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1])))
    else:
        pin()
        tables = {"pieces": markdown(HEAD, list(rows())), "change-pieces": markdown(CHANGE_HEAD, list(change_rows()))}
        DOCUMENT.write_text(written(DOCUMENT.read_text(), tables))
        print(*tables.values(), sep="\n\n")
