"""Runs what is measured, each case in a fresh process, all of them in turn, several times over."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from harness.catalogue import BENCH, Catalogue, case_of
from harness.declare import Case
from harness.machine import machine, pin
from harness.results import FAILED, Results

Program = tuple[str, str]
OWN: Program = (sys.executable, str(BENCH / "measure.py"))
CHOSEN = "RINGWARD_BENCH_WORKS"  # what conftest.py leaves of a session


def run_all(
    catalogue: Catalogue, runs: int, folder: str, *, quick: bool, core: int | None, progress: Path | None = None
) -> Results:
    """Everything in turn, so that whatever disturbs the machine disturbs all of it."""
    about = machine()
    found = Results.load(progress.glob("*.jsonl") if progress else [])
    found.machines[about["machine"]] = about
    done = Counter({case_of(row): len(found.runs(row)) for row in found})  # of a run that was interrupted
    sessions = min((len(found.runs(work)) for work in catalogue.by_pytest if work in found), default=0)
    slow = set()
    for number in range(runs):
        for name, case in catalogue.cases.items():
            if number < done[name] or number >= (case.runs_most or runs) or name in slow:
                continue
            tell(f"run {number + 1} of {runs}: {name}")
            start = perf_counter()
            for row, figures in run_case(name, case, folder, quick=quick, core=core).items():
                found.add(row, about["machine"], figures)
            if perf_counter() - start > case.once_beyond_s:
                slow.add(name)
            if progress:
                found.save(progress)
        if catalogue.by_pytest and number >= sessions:
            tell(f"run {number + 1} of {runs}: {len(catalogue.by_pytest)} benchmarks by pytest-benchmark")
            for row, figures in run_session(catalogue.by_pytest, quick=quick, core=core).items():
                found.add(row, about["machine"], figures)
        if progress and catalogue.by_pytest:
            found.save(progress)
    return found


def tell(text: str) -> None:
    """What is being measured, and how busy the machine is."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{text}{load}", file=sys.stderr, flush=True)


def command_of(
    name: str, folder: str, *, quick: bool = False, count: int | None = None, by: Program = OWN
) -> list[str]:
    """The command that measures a case in a process of its own."""
    options = [*(["--quick"] if quick else []), *([f"--count={count}"] if count else [])]
    return [*by, name, f"--folder={folder}", *options]


def run_case(
    name: str, case: Case, folder: str, *, quick: bool = False, core: int | None = None, by: Program = OWN
) -> dict[str, dict[str, Any]]:
    """What one process measured: row → figures; or why it did not."""
    stay = None if case.all_cores or not hasattr(os, "sched_setaffinity") else partial(pin, core)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        try:
            done = subprocess.run(
                command_of(name, place, quick=quick, by=by),
                check=False,
                capture_output=True,
                text=True,
                timeout=case.timeout_s,
                env=os.environ | case.environment,
                preexec_fn=stay,
            )
        except subprocess.TimeoutExpired:
            return named(name, {FAILED: {"why": f"took more than {case.timeout_s:g} s"}})
    if done.returncode:
        tell(done.stderr)
        return named(
            name, {FAILED: {"why": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}}
        )
    return named(name, json.loads(done.stdout.splitlines()[-1]))


def named(case: str, parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Whole names of the parts of a case."""
    return {f"{case}[{part}]" if part else case: figures for part, figures in parts.items()}


def run_session(works: Iterable[str], *, quick: bool, core: int | None) -> dict[str, dict[str, float]]:
    """One session of pytest-benchmark: work → least seconds a key."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "session.json")
        fast = ["--benchmark-min-rounds=1", "--benchmark-max-time=0.001"] if quick else []
        files = sorted({str(BENCH / work.partition("::")[0]) for work in works})
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *files, "-q", f"--benchmark-json={report}", *fast],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, CHOSEN: json.dumps(sorted(works))},
            preexec_fn=partial(pin, core) if hasattr(os, "sched_setaffinity") else None,
        )
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        session = json.loads(report.read_text())
    return {
        entry["fullname"]: {"wall_s": entry["stats"]["min"] / entry["extra_info"].get("count", 1)}
        for entry in session["benchmarks"]
    }
