"""What a processor costs while nothing happens, how soon it handles what comes, and what a backlog takes of memory.

CPU and wake-ups are the whole process's, from `/proc` (Linux): elsewhere nothing is measured of them.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
from harness.catalogue import works_of
from harness.declare import OK, Case, Figure, Row, Table

from events.timing import DOCUMENT
from ringward.events import Processor, SqliteStore, Stream, aio

SETTLE_S, IDLE_S = 2.0, 4.0
EVENTS, PAUSE_S = 200, 0.01
BACKLOG = (50, 1_000_000)  # events, bytes each
# Case → how it is told, groups, members of each, partitions, asyncio; per cent of a core and wake-ups a second, at most.
IDLE = {
    "idle-1-group": ("1 group, 1 member", 1, 1, 256, False, 1.0, 20),
    "idle-64-members": ("1 group, 64 members", 1, 64, 256, False, 1.0, 20),
    "idle-65536-partitions": ("1 group, 1 member, 65,536 partitions", 1, 1, 65_536, False, 1.0, 20),
    "idle-20-groups": ("20 groups, 1 member each", 20, 1, 256, False, 3.0, None),
    "idle-asyncio": ("asyncio, 1 group, 64 members", 1, 64, 256, True, 1.0, 20),
}
LATENCY = {
    "latency-in-process": ("in process", 2.5),
    "latency-between": ("between processes", 15.0),
}  # p50 in ms, at most
MEMORY = {
    "memory-1-group": ("1 group", 1),
    "memory-3-groups": ("3 groups", 3),
}  # no bound: prefetch has one, for each group


def usage():
    """CPU seconds and voluntary context switches of this process."""
    switches = 0
    for task in Path("/proc/self/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        switches += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    return time.process_time(), switches


def watched():
    """Per cent of a core, and wake-ups a second, while nothing happens."""
    before = usage()
    time.sleep(IDLE_S)
    after = usage()
    return {"": {"cpu_percent": 100 * (after[0] - before[0]) / IDLE_S, "wakes_a_s": (after[1] - before[1]) / IDLE_S}}


def idle(name, _effort):
    """One row of `IDLE`."""
    if not Path("/proc/self/task").exists():
        return {}
    _, groups, members, partitions, loop, *_ = IDLE[name]
    store = SqliteStore("idle.db", Stream(partitions))
    if loop:
        return asyncio.run(idle_loop(store, members))
    with Processor(store) as p:
        for number in range(groups):
            p.consumer(f"g{number}", members=members)(lambda _: None)
        p.start()
        p.publish("key", b"x")
        p.drain()
        time.sleep(SETTLE_S)
        return watched()


async def idle_loop(store, members):
    """The same in a loop."""

    async def handle(_):
        pass

    async with aio.Processor(store) as p:
        p.consumer("g", members=members)(handle)
        p.start()
        await asyncio.sleep(SETTLE_S)
        return await asyncio.to_thread(watched)


def publish(path):
    """Publish from another process, with the time of each."""
    with Processor(path) as p:
        spaced(p)


def spaced(p):
    for _ in range(EVENTS):
        p.publish("key", repr(time.monotonic()).encode())
        time.sleep(PAUSE_S)


def latency(name, _effort):
    """One row of `LATENCY`: from before `publish` to the handler."""
    waited, enough = [], threading.Event()

    def handle(event):
        waited.append(time.monotonic() - float(event.payload))
        if len(waited) == EVENTS:
            enough.set()

    with Processor("latency.db") as p:
        p.consumer("g")(handle)
        p.start()
        p.drain()
        if name == "latency-in-process":
            spaced(p)
        else:
            other = multiprocessing.get_context("spawn").Process(target=publish, args=("latency.db",))
            other.start()
            other.join()
        enough.wait(30)
    p50, p99 = 1000 * np.quantile(waited, [0.5, 0.99])
    return {"": {"p50_ms": float(p50), "p99_ms": float(p99)}}


def memory(name, _effort):
    """One row of `MEMORY`: the peak of a process that handles a backlog, less what it had before."""
    count, size = BACKLOG
    filled = multiprocessing.get_context("spawn").Process(target=fill, args=("memory.db", count, size))
    filled.start()
    filled.join()
    with Processor("memory.db") as p:
        before = peak()
        for number in range(MEMORY[name][1]):
            p.consumer(f"g{number}")(lambda _: None)
        p.run(until="idle", timeout_s=60)
        most = peak()
    return {"": {"backlog_mb": count * size / 1e6, "peak_mb": (most - before) / 1e6}}


def peak():
    """The bytes that this process has occupied at most. Linux tells others that of the process which started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status.read_text())[1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def fill(path, count, size):
    """A backlog."""
    with Processor(path) as p:
        for number in range(count):
            p.publish(f"key{number % 7}", b"z" * size)


CASES = {
    **{name: Case(partial(idle, name)) for name in IDLE},
    **{name: Case(partial(latency, name), all_cores=True) for name in LATENCY},
    **{name: Case(partial(memory, name)) for name in MEMORY},
}
work = works_of(__file__)
TABLES = [
    Table(DOCUMENT, "events-idle", ("while nothing happens", "of a core", "at most", "wake-ups a second", "at most", "ok"), [
        Row(
            label,
            Figure(work(name), "{:.2f} %".format, "cpu_percent", cpu), f"{cpu:g} %",
            Figure(work(name), "{:.0f}".format, "wakes_a_s", wakes), str(wakes or "any"), OK,
        )
        for name, (label, *_, cpu, wakes) in IDLE.items()
    ]),
    Table(DOCUMENT, "events-latency", ("from `publish` to the handler", "p50, ms", "at most", "p99, ms", "ok"), [
        Row(
            label, Figure(work(name), "{:.2f}".format, "p50_ms", most), f"{most:g}",
            Figure(work(name), "{:.2f}".format, "p99_ms"), OK,
        )
        for name, (label, most) in LATENCY.items()
    ]),
    Table(DOCUMENT, "events-backlog", ("handling a backlog", "of, MB", "takes, MB"), [
        Row(label, Figure(work(name), "{:.0f}".format, "backlog_mb"), Figure(work(name), "{:.0f}".format, "peak_mb"))
        for name, (label, _) in MEMORY.items()
    ]),
]  # fmt: skip
