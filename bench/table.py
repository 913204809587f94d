"""Runs the suite several times and writes what it measured: `python bench/table.py`.

Each run is a pytest-benchmark session of its own, pinned to one core. Two ratios are reported: of
the minima over all runs, and the median of the runs' own ratios (each of the minima of one run),
which the bounds are held against. A processor's clock changes from run to run: one lucky run of
the reference would decide alone about the first, and the least of the runs' ratios would flatter.
The bounds are in `bounds.py`; exit code 1 says that one was missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bounds import ALL_BOUNDS
from pinned import pin
from sections import Figures, bounds_table, held_against, sections

import ringward as rw

BENCH = Path(__file__).parent
DOCUMENT = BENCH.parent / "docs" / "performance.md"
RESULTS = BENCH / "results.json"
RUNS = 3
MISSED = 1


def run_suite(arguments):
    """One session: benchmark → least seconds a key."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "session.json"
        command = [sys.executable, "-m", "pytest", str(BENCH), "-q", f"--benchmark-json={report}", *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        session = json.loads(report.read_text())
    return {
        entry["fullname"].rsplit("/", 1)[-1]: entry["stats"]["min"] / entry["extra_info"].get("count", 1)
        for entry in session["benchmarks"]
    }


def machine():
    """Processor, versions and date; nothing that names a host or a path."""
    cpu = platform.processor() or platform.machine()
    fields = {}
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().split("\n\n", 1)[0].splitlines()
        fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "model name" in fields:
        cpu = f"{fields['model name']}, family {fields['cpu family']}, model {fields['model']}"
    return {
        "cpu": cpu,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "numpy": np.__version__,
        "ringward": rw.__version__,
        "levels": ", ".join(rw.cpu().levels),
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def written(document, parts):
    """The document with each part between its markers."""
    for name, text in parts.items():
        start, end = f"<!-- measured: {name} -->", f"<!-- end: {name} -->"
        if start not in document or end not in document:
            sys.exit(f"{DOCUMENT.name} must have the markers {start} and {end}")
        head, _, rest = document.partition(start)
        document = f"{head}{start}\n{text}\n{end}{rest.partition(end)[2]}"
    return document


def options():
    parser = argparse.ArgumentParser(prog="python bench/table.py", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="sessions of the whole suite (default %(default)s)")
    parser.add_argument("--core", type=int, help="the core to stay on (default: the last one; Linux only)")
    parser.add_argument(
        "--only", metavar="EXPRESSION", help="as pytest -k; prints the bounds it can and writes nothing"
    )
    parser.add_argument("--again", action="store_true", help=f"no runs: render {RESULTS.name} once more")
    return parser.parse_args()


def main():
    chosen = options()
    pin(chosen.core)
    if chosen.again:
        stored = json.loads(RESULTS.read_text())
        found, runs = stored["machine"], stored["runs"]
    else:
        found, runs = machine(), []
        for number in range(chosen.runs):
            load = f", load {os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
            print(f"run {number + 1} of {chosen.runs}{load}", file=sys.stderr, flush=True)
            runs.append(run_suite(["-k", chosen.only] if chosen.only else []))
    figures = Figures(runs)
    rows = held_against(figures, ALL_BOUNDS)
    if not chosen.only:
        RESULTS.write_text(json.dumps({"machine": found, "bounds": rows, "runs": runs}, indent=1) + "\n")
        DOCUMENT.write_text(written(DOCUMENT.read_text(), sections(figures, found)))
    print(bounds_table(rows))
    measured = {row["work"] for row in rows}
    if unmeasured := [bound.work for bound in ALL_BOUNDS if bound.work not in measured and not chosen.only]:
        print("not measured here:", *unmeasured, sep="\n  ", file=sys.stderr)
    return 0 if all(row["ok"] for row in rows) else MISSED


if __name__ == "__main__":
    sys.exit(main())
