"""How the cost grows with nodes and keys: `python bench/growth.py`.

Each number of nodes has a process of its own, which builds a ring, tells what memory it holds and
times columns of 1e3 to 1e8 uint64 keys (800 MB) beside `np.copyto` of the same keys. Writes
`growth.json`, the plot docs/images/growth.svg and the tables in docs/performance.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import subprocess
import sys
import tracemalloc
from pathlib import Path
from time import perf_counter_ns

import numpy as np
import psutil
from pinned import pin
from quality import markdown
from sections import short
from table import machine, written
from workload import POINTS_PER_NODE, node_names

import ringward as rw

BENCH = Path(__file__).parent
DOCUMENT = BENCH.parent / "docs" / "performance.md"
PLOT = BENCH.parent / "docs" / "images" / "growth.svg"
RESULTS = BENCH / "growth.json"
PROGRESS = BENCH.parent / "build" / "growth-progress.json"
NODES = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
KEYS = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8)
QUICK = ((10, 100), (10**3, 10**4))
ROUND_S = 0.02  # short calls are repeated until a round takes this long
ROUNDS_S = 1.0  # for all rounds of one measurement
ROUNDS = (3, 15)
ENOUGH = 4_000_000  # lookups after which a ring has its direct table, if it is to have one
CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
VISIBLE = 1_000_000  # bytes; less drowns in what the allocator keeps
FAILED = 2


def least_ns(call, count):
    """Nanoseconds a key, the least of the rounds that the time allows."""
    call()
    start = perf_counter_ns()
    call()
    once_s = (perf_counter_ns() - start) * 1e-9
    repeats = max(1, int(ROUND_S / once_s))
    rounds = min(ROUNDS[1], max(ROUNDS[0], int(ROUNDS_S / (repeats * once_s))))
    return min(timed(call, repeats) for _ in range(rounds)) / repeats / count


def timed(call, repeats):
    start = perf_counter_ns()
    for _ in range(repeats):
        call()
    return perf_counter_ns() - start


def resident():
    """The bytes of memory that this process occupies."""
    return psutil.Process().memory_info().rss


def traced(make):
    """The bytes of arrays and objects that `make` leaves behind, and its result."""
    gc.collect()
    tracemalloc.start()
    result = make()
    gc.collect()
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return held, result


def one_size(nodes, key_counts):
    """Everything measured with one number of nodes."""
    names = node_names(nodes)
    rw.HashRing(names[:10]).assign(np.zeros(10**5, np.uint64))  # what is loaded once is no ring's memory
    before = resident()
    ring = rw.HashRing(names, points_per_node=POINTS_PER_NODE)
    occupied = resident() - before
    built, ring = traced(lambda: rw.HashRing(names, points_per_node=POINTS_PER_NODE))
    keys = np.random.default_rng(1).integers(0, 2**64, max(key_counts), dtype=np.uint64)
    ids = np.zeros(len(keys), np.uint32)
    direct, _ = traced(lambda: ring.assign_hashes(np.resize(keys, ENOUGH)) is None)
    result = {"points": nodes * POINTS_PER_NODE, "built": built, "direct": direct, "resident": occupied}
    other = np.zeros_like(keys)  # a target for copies, then the hashes
    result["keys"] = {count: times(ring, keys[:count], other[:count], ids[:count]) for count in key_counts}
    return result


def times(ring, keys, other, ids):
    """Nanoseconds a key of one column."""
    count = len(keys)
    copy = least_ns(lambda: np.copyto(other, keys), count)
    assign = least_ns(lambda: ring.assign(keys, out=ids, threads=1), count)
    np.copyto(other, rw.hash_keys(keys))
    return {
        "copyto": copy,
        "assign": assign,
        "assign_hashes": least_ns(lambda: ring.assign_hashes(other, out=ids, threads=1), count),
    }


def caches():
    """Level → bytes, where the system tells."""
    found = {}
    for index in sorted(CACHES.glob("index*")):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        amount = re.fullmatch(r"(\d+)([KM]?)", size)
        if kind != "Instruction" and amount:
            found[f"L{level}"] = int(amount[1]) * {"": 1, "K": 2**10, "M": 2**20}[amount[2]]
    return found


def lookup_bytes(size):
    """The bytes of the table that columns are looked up in: the direct one, or the lines of the points."""
    return size["direct"] if size["direct"] > size["points"] else size["built"]


def measured(node_counts, key_counts, sizes, progress=None):
    """Measure the sizes that `sizes` lacks, noting each in the file `progress`."""
    for nodes in node_counts:
        if str(nodes) in sizes:
            continue
        print(f"{nodes:,} nodes", file=sys.stderr, flush=True)
        command = [sys.executable, str(Path(__file__)), "--child", str(nodes), "--keys", *map(str, key_counts)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.stderr.write(done.stderr)
            sys.exit(FAILED)
        sizes[str(nodes)] = json.loads(done.stdout)
        if progress:
            progress.parent.mkdir(exist_ok=True)
            progress.write_text(json.dumps(sizes))
    return {str(nodes): sizes[str(nodes)] for nodes in node_counts}


def time_table(sizes):
    """ns a key by nodes and keys, and × np.copyto of as many keys."""
    key_counts = list(next(iter(sizes.values()))["keys"])
    rows = [
        (f"{int(nodes):,} nodes", *(told(size["keys"][count]) for count in key_counts)) for nodes, size in sizes.items()
    ]
    copies = [min(size["keys"][count]["copyto"] for size in sizes.values()) for count in key_counts]
    rows.append(("*`np.copyto`*", *(short(ns) for ns in copies)))
    return markdown(("keys:", *(f"{int(count):,}" for count in key_counts)), rows)


def told(figures):
    return f"{short(figures['assign'])} ({short(figures['assign'] / figures['copyto'])} ×)"


def memory_table(sizes):
    """What a ring holds on to."""
    rows = [
        (
            f"{int(nodes):,}",
            f"{size['points']:,}",
            f"{size['built'] / 1e6:.2f} MB",
            f"{size['built'] / size['points']:.1f}",
            f"{size['direct'] / size['points']:.1f}" if size["direct"] > size["points"] else "none",
            f"{size['resident'] / size['points']:.1f}" if size["built"] > VISIBLE else "too little to see",
        )
        for nodes, size in sizes.items()
    ]
    head = ("nodes", "points", "built", "bytes a point", "direct table, bytes a point", "resident, bytes a point")
    return markdown(head, rows)


def options():
    parser = argparse.ArgumentParser(prog="python bench/growth.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two small sizes: a test, writes nothing")
    parser.add_argument("--nodes", type=int, nargs="+", default=list(NODES), help="sizes (default %(default)s)")
    parser.add_argument("--keys", type=int, nargs="+", default=list(KEYS), help="columns (default %(default)s)")
    parser.add_argument("--core", type=int, help="the core to stay on (default: the last one; Linux only)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument("--again", action="store_true", help=f"no runs: render {RESULTS.name} once more")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    chosen = options()
    pin(chosen.core)
    if chosen.child:
        print(json.dumps(one_size(chosen.child, chosen.keys)))
        return
    if chosen.quick:
        sizes = measured(*QUICK, {})
        print(time_table(sizes), memory_table(sizes), sep="\n\n")
        return
    from plots import growth_plot  # matplotlib is for the full run alone

    if chosen.again:
        stored = json.loads(RESULTS.read_text())
    else:
        before = json.loads(PROGRESS.read_text()) if chosen.resume and PROGRESS.exists() else {}
        sizes = measured(chosen.nodes, chosen.keys, before, PROGRESS)
        stored = {"machine": machine() | {"level": rw.cpu().level}, "caches": caches(), "sizes": sizes}
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n")
        PROGRESS.unlink(missing_ok=True)
    sizes, found = stored["sizes"], stored["machine"]
    about = f"{found['cpu']}, {found['python']}, ringward {found['ringward']} at its {found['level']} level, one core; {found['date']}."
    parts = {"growth-about": about, "growth-time": time_table(sizes), "growth-memory": memory_table(sizes)}
    DOCUMENT.write_text(written(DOCUMENT.read_text(), parts))
    growth_plot(sizes, stored["caches"], {nodes: lookup_bytes(size) for nodes, size in sizes.items()}, PLOT)
    print(parts["growth-time"], parts["growth-memory"], sep="\n\n")


if __name__ == "__main__":
    main()
