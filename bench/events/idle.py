"""What a processor costs while nothing happens, how soon it handles what comes, and what a backlog takes of memory.

    python bench/events/idle.py [--only idle | latency | memory]

Each row is a process of its own; about a minute and a half in all. Exit code 1: a bound was missed. CPU and wake-ups are the whole
process's, from `/proc` (Linux): elsewhere these rows are left out. Without `--only` it writes the table of docs/events-performance.md.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from table import machine, written  # noqa: E402

from ringward.events import Processor, SqliteStore, Stream, aio  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "events-performance.md"

SETTLE_S, IDLE_S = 2.0, 4.0
EVENTS, PAUSE_S = 200, 0.01
BACKLOG = (50, 1_000_000)  # events, bytes each
# Groups, members of each, partitions, asyncio → per cent of a core and wake-ups a second, at most.
IDLE = {
    "1 group, 1 member": (1, 1, 256, False, 1.0, 20),
    "1 group, 64 members": (1, 64, 256, False, 1.0, 20),
    "1 group, 1 member, 65,536 partitions": (1, 1, 65_536, False, 1.0, 20),
    "20 groups, 1 member each": (20, 1, 256, False, 3.0, None),
    "asyncio, 1 group, 64 members": (1, 64, 256, True, 1.0, 20),
}
LATENCY = {"in process": 2.5, "between processes": 15.0}  # p50 in ms, at most
MEMORY = {"1 group": 1, "3 groups": 3}  # there is no bound: prefetch is bounded by bytes, for each group


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
    return {"cpu": 100 * (after[0] - before[0]) / IDLE_S, "wakes": (after[1] - before[1]) / IDLE_S}


def idle(name):
    """One row of `IDLE`."""
    groups, members, partitions, loop, *_ = IDLE[name]
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


def latency(name):
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
        if name == "in process":
            spaced(p)
        else:
            other = multiprocessing.get_context("spawn").Process(target=publish, args=("latency.db",))
            other.start()
            other.join()
        enough.wait(30)
    p50, p99 = 1000 * np.quantile(waited, [0.5, 0.99])
    return {"p50": float(p50), "p99": float(p99)}


def memory(name):
    """One row of `MEMORY`: the peak of a process that handles a backlog, less what it had before."""
    import resource

    count, size = BACKLOG
    filled = multiprocessing.get_context("spawn").Process(target=fill, args=("memory.db", count, size))
    filled.start()
    filled.join()
    with Processor("memory.db") as p:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for number in range(MEMORY[name]):
            p.consumer(f"g{number}")(lambda _: None)
        p.run(until="idle", timeout_s=60)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    return {"backlog": count * size / 1e6, "peak": (peak - before) * unit / 1e6}


def fill(path, count, size):
    """A backlog."""
    with Processor(path) as p:
        for number in range(count):
            p.publish(f"key{number % 7}", b"z" * size)


KINDS = {"idle": (idle, IDLE), "latency": (latency, LATENCY), "memory": (memory, MEMORY)}


def line(kind, name, found):
    """How it is shown, and whether it is within its bounds."""
    if kind == "idle":
        *_, cpu, wakes = IDLE[name]
        ok = found["cpu"] <= cpu and (wakes is None or found["wakes"] <= wakes)
        return (
            f"{found['cpu']:.2f} % of a core, {found['wakes']:.0f} wake-ups/s (at most {cpu} %, {wakes or 'any'})",
            ok,
        )
    if kind == "latency":
        most = LATENCY[name]
        return f"p50 {found['p50']:.2f} ms, p99 {found['p99']:.2f} ms (p50 at most {most} ms)", found["p50"] <= most
    return f"{found['peak']:.0f} MB more for a backlog of {found['backlog']:.0f} MB", True


def main():
    parser = argparse.ArgumentParser(prog="python bench/events/idle.py", description=__doc__)
    parser.add_argument("--only", choices=KINDS)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("idle.json"))
    chosen = parser.parse_args()
    if chosen.one:
        kind, name = chosen.one
        print(json.dumps(KINDS[kind][0](name)))
        return 0
    all_ok, results, rows_told = True, {}, []
    for kind, (_, rows) in KINDS.items():
        if chosen.only not in (None, kind) or (kind == "idle" and not Path("/proc/self/task").exists()):
            continue
        for name in rows:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, os.path.abspath(__file__), "--one", kind, name]  # noqa: PTH100
                done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder, timeout=120)
            found = results[f"{kind}: {name}"] = json.loads(done.stdout)
            text, ok = line(kind, name, found)
            all_ok &= ok
            rows_told.append(f"| {kind}: {name} | {text}{'' if ok else ' **missed**'} |")
            print(f"{kind}, {name}: {text}{'' if ok else '  MISSED'}", flush=True)
    if chosen.only is None:
        about = machine()
        chosen.out.write_text(json.dumps({"machine": about} | results, indent=1) + "\n")
        text = "\n".join([f"{about['cpu']}; {about['date']}.\n", "| what | measured |", "| --- | --- |", *rows_told])
        DOCUMENT.write_text(written(DOCUMENT.read_text(), {"events-idle": text}))
    return 0 if all_ok else 1


if __name__ == "__main__":
    sys.exit(main())
