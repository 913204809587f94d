"""ringward beside its peers: `python bench/peers/run.py`.

Each peer is measured at each size in processes of its own (`body.py`), pinned to one core, several
times over. Writes `results.json`, the tables in docs/peers.md and the plots in docs/images.
Peers that are not installed are reported as such. Exit code 1: a peer was not beaten where the
project says that it is; 2: an adapter failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from time import perf_counter

BENCH = Path(__file__).resolve().parents[1]
sys.path[0] = str(BENCH)  # the suite's modules, and this folder as the package `peers`

from pinned import pin  # noqa: E402
from table import machine, written  # noqa: E402
from workload import NODE_COUNTS  # noqa: E402

import ringward as rw  # noqa: E402
from peers import tables  # noqa: E402
from peers.peer import ADAPTERS, installed  # noqa: E402

DOCUMENT = BENCH.parent / "docs" / "peers.md"
IMAGES = BENCH.parent / "docs" / "images"
RESULTS = Path(__file__).with_name("results.json")
PROGRESS = BENCH.parent / "build" / "peers-progress.json"
RUNS = 3
QUICK_NODES = (10, 100)
QUALITY_NODES = (100, 1_000)
TIMEOUT_S = 300
REPEATED_S = 15  # what takes longer is measured once
MISSED, FAILED = 1, 2


def child(module, nodes, what, quick):
    """What one process measured, or why it did not."""
    command = [sys.executable, "-m", "peers.body", what, module, str(nodes), *(["--quick"] if quick else [])]
    environment = os.environ | {"PYTHONPATH": str(BENCH), "POLARS_MAX_THREADS": "1", "PYTHONHASHSEED": "0"}
    start = perf_counter()
    try:
        done = subprocess.run(
            command, env=environment, cwd=BENCH, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {TIMEOUT_S} s"}
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
    return json.loads(done.stdout) | {"took_s": round(perf_counter() - start, 1)}


def plan(versions, sizes, runs):
    """Every process to be run, as (run, adapter, nodes, what); balance and movement are the same in every run."""
    for run in range(runs):
        for nodes in sizes:
            for module in (module for module in ADAPTERS if versions[module]):
                yield run, module, nodes, "one"
                yield run, module, nodes, "bulk"
                if run == 0 and nodes in QUALITY_NODES:
                    yield run, module, nodes, "quality"


def measured(stored, versions, sizes, runs, quick):
    """Run what `stored` lacks: `adapter/nodes/what` → results of each run."""
    for run, module, nodes, what in plan(versions, sizes, runs):
        results = stored.setdefault(f"{module}/{nodes}/{what}", [])
        if len(results) > run or any(result.get("took_s", REPEATED_S) >= REPEATED_S for result in results):
            continue
        print(f"run {run + 1}: {module}, {nodes:,} nodes, {what}", file=sys.stderr, flush=True)
        results.append(child(module, nodes, what, quick))
        if not quick:
            PROGRESS.parent.mkdir(exist_ok=True)
            PROGRESS.write_text(json.dumps(stored))
    return stored


def about(found, versions, cells):
    runs = max(len(results) for results in cells.stored.values())
    peers = ", ".join(f"{tables.adapter(m).packages[0]} {v}" for m, v in versions.items() if v and m not in tables.OURS)
    return (
        f"- {found['machine']}: {found['cpu']}\n- {found['python']}, ringward {found['ringward']} at its "
        f"{found['level']} level; {found['date']}; {runs} runs, one core\n- {', '.join(dict.fromkeys(peers.split(', ')))}"
    )


def sections(found, versions, cells):
    """Marker → Markdown."""
    parts = {f"peers-{work}": tables.work_table(cells, versions, work) for work in tables.WORKS}
    parts |= {f"peers-quality-{n}": tables.quality_table(cells, versions, n) for n in QUALITY_NODES}
    return parts | {
        "peers-about": about(found, versions, cells),
        "peers-verdict": tables.verdict_table(cells, versions),
        "peers-fastring": tables.fastring_table(cells),
        "peers-algorithms": tables.algorithms_table(versions),
    }


def options():
    parser = argparse.ArgumentParser(prog="python bench/peers/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every adapter once, briefly: a test, writes nothing")
    parser.add_argument("--runs", type=int, default=RUNS, help="of everything (default %(default)s)")
    parser.add_argument("--nodes", type=int, nargs="+", default=list(NODE_COUNTS), help="sizes (default %(default)s)")
    parser.add_argument("--core", type=int, help="the core to stay on (default: the last one; Linux only)")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument("--again", action="store_true", help=f"no runs: render {RESULTS.name} once more")
    return parser.parse_args()


def main():
    chosen = options()
    if not chosen.quick:
        from plots import peers_plots  # first of all: better no matplotlib now than after ten minutes
    pin(chosen.core)
    if chosen.again:
        stored = json.loads(RESULTS.read_text())
        found, versions, cells = stored["machine"], stored["versions"], tables.Cells(stored["cells"])
    else:
        found = machine() | {"level": rw.cpu().level}
        versions = {module: installed(module) for module in ADAPTERS}
        before = json.loads(PROGRESS.read_text()) if chosen.resume and PROGRESS.exists() else {}
        sizes, runs = (QUICK_NODES, 1) if chosen.quick else (chosen.nodes, chosen.runs)
        cells = tables.Cells(measured(before, versions, sizes, runs, chosen.quick))
    failures = [f"{cell}: {run['failed']}" for cell, runs in cells.stored.items() for run in runs if "failed" in run]
    if chosen.quick:
        print(tables.quick_note(cells, versions), *failures, sep="\n")
        return FAILED if failures else 0
    RESULTS.write_text(json.dumps({"machine": found, "versions": versions, "cells": cells.stored}, indent=1) + "\n")
    DOCUMENT.write_text(written(DOCUMENT.read_text(), sections(found, versions, cells)))
    peers_plots(cells, versions, IMAGES)
    PROGRESS.unlink(missing_ok=True)
    print(tables.verdict_table(cells, versions), tables.fastring_table(cells), *failures, sep="\n\n")
    print(*tables.missed(cells, versions), sep="\n")
    return FAILED if failures else MISSED if tables.missed(cells, versions) else 0


if __name__ == "__main__":
    sys.exit(main())
