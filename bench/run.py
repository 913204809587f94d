"""Measures what is declared in `*/bench_*.py`, holds it against its bounds and writes it down.

    python bench/run.py                            # everything
    python bench/run.py --rows bench_publish       # what has this in its name, or feeds this table, and its references
    python bench/run.py --rows events/ --update    # records it in results/, and writes the tables of docs/
    python bench/run.py --check                    # measures nothing: do the documents say what is recorded?

Exit code 1: a bound was missed, or a document says something else; 2: a case failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile

from harness.catalogue import BENCH, Catalogue
from harness.markdown import filled
from harness.processes import run_all
from harness.results import FAILED, Results

DOCS = BENCH.parent / "docs"
RESULTS = BENCH / "results"
PROGRESS = BENCH.parent / "build" / "bench"
RUNS = 3
MISSED, BROKEN = 1, 2


def options():
    parser = argparse.ArgumentParser(
        prog="python bench/run.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--rows", nargs="+", metavar="PATTERN", default=[], help="parts of names, or names of tables")
    add("--runs", type=int, default=RUNS, help="of everything (default %(default)s; 0: take what is recorded)")
    add("--update", action="store_true", help="record what was measured and write the documents")
    add("--quick", action="store_true", help="each case once, as little as shows that it works; writes nothing")
    add("--check", action="store_true", help="measure nothing: fail where a document is not what is recorded")
    add("--resume", action="store_true", help="with --update: go on with a run that was interrupted")
    add("--folder", default=tempfile.gettempdir(), help="where cases have their files (default %(default)s)")
    add("--core", type=int, help="the core to stay on (default: the last one; Linux only)")
    add("--list", action="store_true", help="the names, and no more")
    return parser.parse_args()


def check(catalogue, recorded):
    """Whether the documents hold what is recorded."""
    other = [name for name, parts in catalogue.texts(recorded).items()
             if filled(DOCS / name, parts) != (DOCS / name).read_text(encoding="utf-8")]  # fmt: skip
    for name in other:
        print(f"docs/{name} is not what bench/results says: python bench/run.py --runs 0 --update", file=sys.stderr)
    return MISSED if other else 0


def update(catalogue, recorded, measured):
    """Record what was measured, and write the tables that it feeds."""
    recorded.replace(measured)
    recorded.save(RESULTS)
    for name, parts in catalogue.texts(recorded).items():
        (DOCS / name).write_text(filled(DOCS / name, parts), encoding="utf-8")
    shutil.rmtree(PROGRESS, ignore_errors=True)
    if catalogue.plots and importlib.util.find_spec("matplotlib") is None:
        print("no matplotlib here: plots were not drawn", file=sys.stderr)
        return
    for draw in catalogue.plots:
        draw(recorded, DOCS / "images")


def main():
    chosen = options()
    catalogue, recorded = Catalogue(chosen.rows, whole=chosen.update), Results.load(sorted(RESULTS.glob("*.jsonl")))
    if not catalogue.cases and not catalogue.by_pytest:
        sys.exit(f"nothing here has {' or '.join(chosen.rows)} in its name: python bench/run.py --list")
    if chosen.list:
        print(*catalogue.cases, *sorted(catalogue.by_pytest), sep="\n")
        return 0
    if chosen.check:
        return check(catalogue, recorded)
    writes = chosen.update and not chosen.quick
    if writes and not chosen.resume:
        shutil.rmtree(PROGRESS, ignore_errors=True)
    measured = Results()
    if chosen.runs:
        runs, progress = 1 if chosen.quick else chosen.runs, PROGRESS if writes else None
        measured = run_all(catalogue, runs, chosen.folder, quick=chosen.quick, core=chosen.core, progress=progress)
    if writes:
        update(catalogue, recorded, measured)
    shown = measured if chosen.runs else recorded
    for parts in catalogue.texts(shown).values():
        print(*parts.values(), sep="\n\n")
    failed = [f"{row}: {run['why']}" for row in measured if row.endswith(f"[{FAILED}]") for run in measured.runs(row)]
    missed = [] if chosen.quick else catalogue.missed(shown)
    print(*(f"FAILED {line}" for line in failed), *(f"MISSED {line}" for line in missed), sep="\n", file=sys.stderr)
    return BROKEN if failed else MISSED if missed else 0


if __name__ == "__main__":
    sys.exit(main())
