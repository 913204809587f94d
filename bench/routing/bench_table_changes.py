"""Changes of partition tables beside np.sort, and how long other threads wait.

Processor time of one thread, the least of the changes, with the first look-up after it; the waits are the longest gaps of a
thread that ticks every 0.5 ms, the least of some.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np
from harness.catalogue import works_of
from harness.declare import Case, Effort, Figure, Row, Table

import ringward as rw
from routing.tables import DOCUMENT

CHANGES, WAITS = 30, 5
TICK_S = 0.0005
NAMES = ("add", "remove")
NODES, PARTITIONS = 1_000, 65_536
FAILURES = ((5_000, 1 << 19, 500), (10_000, 1 << 20, 9_000))  # nodes, partitions, how many go down
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
    """(part, ms, longest gap) of one node among 1,000."""
    table = rw.PartitionTable([f"n{i}" for i in range(NODES)], partitions=PARTITIONS, replicas=replicas)
    rows = []

    def changed(name: str) -> None:
        getattr(table, name)("new")
        table.route(5)

    times = [[least([lambda name=name: changed(name)]) for name in NAMES] for _ in range(CHANGES)]  # type: ignore[misc]
    waits = [[longest_gap(lambda name=name: changed(name)) for name in NAMES] for _ in range(WAITS)]  # type: ignore[misc]
    for name, taken, waited in zip(NAMES, np.min(times, axis=0), np.min(waits, axis=0), strict=True):
        rows.append((f"{name}, {replicas}", float(taken), float(waited)))
    return rows


def failures(nodes: int, partitions: int, down: int) -> tuple[str, float, float]:
    """(part, ms, longest gap) of many nodes that go down at once."""
    names = [f"n{i}" for i in range(nodes)]
    table = rw.PartitionTable(names, partitions=partitions)
    gone = [names[i] for i in np.random.default_rng(1).permutation(nodes)[:down]]
    times, waits = [], []
    for _ in range(WAITS):
        times.append(least([lambda: table.mark_down(*gone)]))
        table.mark_up(*gone)
        waits.append(longest_gap(lambda: table.mark_down(*gone)))
        table.mark_up(*gone)
    return f"down, {down}", min(times), min(waits)


def measure(effort: Effort) -> dict[str, dict[str, float]]:
    """All changes, and sorting, in one process."""
    values = np.random.default_rng(1).integers(0, 2**64, SORTED, np.uint64)
    sorting = least([lambda: np.sort(values)] * CHANGES)
    rows = memberships(1)
    if not effort.quick:
        rows += memberships(3) + [failures(*row) for row in FAILURES]
    return {part: {"cpu_ms": taken, "sorts": taken / sorting, "waits_ms": waited} for part, taken, waited in rows}


CASES = {"changes": Case(measure)}
work = works_of(__file__)


def told(label: str, part: str) -> Row:
    """One row of the table."""
    row = work("changes", part)
    return Row(
        label, Figure(row, "{:.2f}".format, "sorts"), Figure(row, "{:.3g} ms".format, "cpu_ms"),
        Figure(row, "{:.2g} ms".format, "waits_ms"),
    )  # fmt: skip


HEAD = ("change", f"× np.sort of {SORTED:,} uint64", "least", "another thread waits")
TABLES = [
    Table(DOCUMENT, "table-changes", HEAD, [
        *(
            told(f"`{name}` of one node, {NODES:,} × {PARTITIONS:,} × {replicas}", f"{name}, {replicas}")
            for replicas in (1, 3)
            for name in NAMES
        ),
        *(
            told(f"`mark_down` of {down:,} of {nodes:,} nodes, {partitions:,} partitions", f"down, {down}")
            for nodes, partitions, down in FAILURES
        ),
    ]),
]  # fmt: skip
