"""The first `Transfer.apply` after a change, beside routing the column again; prints the table of docs/performance.md.

`python bench/first_apply.py`. Processor time of one thread; the least of 15 changes, each of another node.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import ringward as rw

KEYS = 86_466
CHANGES = 15
MAKERS: dict[str, Callable[[list[str]], rw.Router]] = {
    "`HashRing`": rw.HashRing,
    "`PartitionedRing`, parts of 8": lambda nodes: rw.PartitionedRing(nodes, part_size=8),
    "`PartitionTable`, 128 partitions a node, 3 replicas": lambda nodes: rw.PartitionTable(
        nodes, partitions=128 * len(nodes), replicas=3
    ),
}


def seconds(router: rw.Router, nodes: list[str], hashes: np.ndarray) -> list[float]:
    """The least of: first apply after mark_down and after mark_up, apply again, routing all again."""
    ids = router.assign_hashes(hashes, threads=1)
    best = [1e9] * 4
    for name in nodes[:CHANGES]:
        for column, change in enumerate((router.mark_down, router.mark_up)):
            transfer = change(name)
            marks = [time.process_time()]
            for call in (transfer.apply, transfer.apply):
                call(ids, hashes, threads=1)
                marks.append(time.process_time())
            router.assign_hashes(hashes[:1])  # compiles what the change put off
            marks.append(time.process_time())
            router.assign_hashes(hashes, threads=1)
            marks.append(time.process_time())
            for place, taken in ((column, marks[1] - marks[0]), (2, marks[2] - marks[1]), (3, marks[4] - marks[3])):
                best[place] = min(best[place], taken)
    return best


def main() -> None:
    hashes = rw.hash_keys(np.arange(KEYS))
    print(
        f"| {KEYS:,} keys, one of so many nodes | first `apply`, `mark_down` | `mark_up` | `apply` again | routing all again |"
    )
    print("| --- | --- | --- | --- | --- |")
    for label, make in MAKERS.items():
        for count in (54, 1_024, 4_096):
            nodes = [f"n{i}" for i in range(count)]
            told = " | ".join(f"{1e3 * value:.3f} ms" for value in seconds(make(nodes), nodes, hashes))
            print(f"| {label}, {count:,} | {told} |")


if __name__ == "__main__":
    main()
