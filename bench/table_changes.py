"""Changes of partition tables beside np.sort, and how long other threads wait; prints the table of docs/performance.md.

`python bench/table_changes.py`. Processor time of one thread, the least of the changes, with the first look-up after it;
the waits are the longest gaps of a thread that ticks every 0.5 ms, the least of the runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

import ringward as rw

CHANGES, RUNS = 30, 5
TICK_S = 0.0005
NAMES = ("add", "remove")
SORTED = 65_536


def least(calls: list[Callable[[], object]]) -> float:
    """Processor time of the quickest, in ms."""
    best = 1e9
    for call in calls:
        begin = time.thread_time()
        call()
        best = min(best, time.thread_time() - begin)
    return best * 1e3


def longest_gap(call: Callable[[], object]) -> float:
    """How long another thread got no turn while the call ran, in ms."""
    gaps, over = [0.0], threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not over.is_set():
            time.sleep(TICK_S)
            now = time.perf_counter()
            gaps.append(now - last - TICK_S)
            last = now

    ticker = threading.Thread(target=tick)
    ticker.start()
    time.sleep(10 * TICK_S)
    gaps.clear()
    call()
    over.set()
    ticker.join()
    return max(gaps, default=0.0) * 1e3


def memberships(replicas: int) -> list[tuple[str, float, float]]:
    """(change, ms, longest gap) of one node among 1,000."""
    table = rw.PartitionTable([f"n{i}" for i in range(1_000)], partitions=65_536, replicas=replicas)
    rows = []

    def changed(name: str) -> None:
        getattr(table, name)("new")
        table.route(5)

    times = [[least([lambda name=name: changed(name)]) for name in NAMES] for _ in range(CHANGES)]  # type: ignore[misc]
    waits = [[longest_gap(lambda name=name: changed(name)) for name in NAMES] for _ in range(RUNS)]  # type: ignore[misc]
    for name, taken, waited in zip(NAMES, np.min(times, axis=0), np.min(waits, axis=0), strict=True):
        rows.append((f"`{name}` of one node, 1,000 × 65,536 × {replicas}", float(taken), float(waited)))
    return rows


def failures(nodes: int, partitions: int, down: int) -> tuple[str, float, float]:
    """(change, ms, longest gap) of many nodes that go down at once."""
    names = [f"n{i}" for i in range(nodes)]
    table = rw.PartitionTable(names, partitions=partitions)
    gone = [names[i] for i in np.random.default_rng(1).permutation(nodes)[:down]]
    times, waits = [], []
    for _ in range(RUNS):
        times.append(least([lambda: table.mark_down(*gone)]))
        table.mark_up(*gone)
        waits.append(longest_gap(lambda: table.mark_down(*gone)))
        table.mark_up(*gone)
    return f"`mark_down` of {down:,} of {nodes:,} nodes, {partitions:,} partitions", min(times), min(waits)


def main() -> None:
    values = np.random.default_rng(1).integers(0, 2**64, SORTED, np.uint64)
    sorting = least([lambda: np.sort(values)] * CHANGES)
    rows = memberships(1) + memberships(3) + [failures(5_000, 1 << 19, 500), failures(10_000, 1 << 20, 9_000)]
    print(f"| change | × np.sort of {SORTED:,} uint64 | least | another thread waits |")
    print("| --- | --- | --- | --- |")
    for label, taken, waited in rows:
        print(f"| {label} | {taken / sorting:.2f} | {taken:.3g} ms | {waited:.2g} ms |")


if __name__ == "__main__":
    main()
