"""What assigning a column is made of: `python bench/pieces.py`.

Hashing alone, looking hashes up alone, and both in `assign`, each on the same keys by one thread, at each instruction
set in a process of its own. Writes its table into docs/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
from one_column import TEXTS, seconds
from pinned import pin
from quality import markdown
from table import DOCUMENT, written
from workload import CONTAINERS, hash_ring, integers

import ringward as rw

ROUNDS = 9
COLUMNS = ("S16", "Arrow string", "StringDType", "list")
HEAD = ("ns a key", "column", "hashing", "lookup", "both, one after the other", "`assign`", "`np.copyto` of 8 bytes")


def measured(column):
    """Least nanoseconds a key: of hashing, of looking up, of both, and of copying integers."""
    keys, ring = CONTAINERS[column](TEXTS), hash_ring()
    hashes, out = rw.hash_keys(keys), np.zeros(TEXTS, np.uint16)
    copied = integers()
    target = np.zeros_like(copied)
    works = (
        lambda: seconds(lambda keys: rw.hash_keys(keys, threads=1), keys),
        lambda: seconds(lambda hashes: ring.assign_hashes(hashes, out=out, threads=1), hashes),
        lambda: seconds(lambda keys: ring.assign(keys, out=out, threads=1), keys),
        lambda: seconds(lambda copied: np.copyto(target, copied), copied),
    )
    rounds = [[work() for work in works] for _ in range(ROUNDS + 1)][1:]
    return [min(times) * 1e9 for times in zip(*rounds, strict=True)]


def rows():
    """All levels and columns, each measured in a new process."""
    for level in reversed(rw.cpu().levels):
        for column in COLUMNS:
            environment = {**os.environ, "RINGWARD_CPU": level}
            command = [sys.executable, __file__, column]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
            hashing, lookup, assign, copy = json.loads(done.stdout)
            cells = (hashing, lookup, hashing + lookup, assign, copy)
            yield level, column, *(f"{cell:.2f}" for cell in cells)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measured(sys.argv[1])))
    else:
        pin()
        table = markdown(HEAD, list(rows()))
        DOCUMENT.write_text(written(DOCUMENT.read_text(), {"pieces": table}))
        print(table)
