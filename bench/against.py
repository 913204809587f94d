"""This version of ringward beside another one, in turn on the same machine: `python bench/against.py PYTHON --rows PATTERN`.

    git worktree add ../before COMMIT && python -m venv ../before/.venv && ../before/.venv/bin/pip install ../before'[bench]'
    python bench/against.py ../before/.venv/bin/python --rows bench_end_to_end --folder DISK

What a machine does to figures from one day to the next is more than what most changes do: so who changes something that is done
for each event measures both versions in one go. Each case runs in a process of its own, on one core. The other version runs the
cases as they are here, or, where they use what it does not have, its own: `--measure ../before/bench/measure.py`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile

from harness.catalogue import Catalogue
from harness.declare import Table
from harness.machine import machine
from harness.markdown import filled, table
from harness.processes import OWN, run_case, tell
from harness.results import FAILED, Results
from run import DOCS

DOCUMENT, MARKER = "events-performance.md", "events-against"
HEAD = ("µs an event", "before", "now", "of CPU: before", "now", "now / before")


def labels(catalogue):
    """Work → how the tables call it."""
    tables = [table for table in catalogue.all_tables if isinstance(table, Table)]
    return {work: row.label for table in tables for row in table.rows for work in row.works()}


def rows(before, now, called):
    """The least of the runs of either version, of what both measured."""
    for work in now:
        if work in before and "wall_s" in now.runs(work)[0]:
            cells = [found.least(work, figure) * 1e6 for figure in ("wall_s", "cpu_s") for found in (before, now)]
            yield called.get(work, work), *(f"{cell:,.1f}" for cell in cells), f"{cells[1] / cells[0]:.2f}"


def main():
    parser = argparse.ArgumentParser(prog="python bench/against.py", description=__doc__.partition("\n")[0])
    parser.add_argument("python", help="of the environment that has the other version")
    parser.add_argument("--measure", default=OWN[1], help="the other version's (default: %(default)s)")
    parser.add_argument("--rows", nargs="+", metavar="PATTERN", required=True, help="parts of names of cases")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="as little as shows that it works")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where files lie (default %(default)s)")
    parser.add_argument("--update", action="store_true", help=f"write the table of docs/{DOCUMENT}")
    chosen = parser.parse_args()
    catalogue = Catalogue(chosen.rows)
    before, now = Results(), Results()
    for number in range(chosen.runs):
        for name, case in catalogue.cases.items():
            tell(f"run {number + 1} of {chosen.runs}: {name}")
            for program, found in (((chosen.python, chosen.measure), before), (OWN, now)):
                for work, figures in run_case(name, case, chosen.folder, quick=chosen.quick, by=program).items():
                    if work.endswith(f"[{FAILED}]"):
                        sys.exit(f"{work}: {figures['why']}")
                    found.add(work, "", figures)
    about = machine()
    told = table(HEAD, list(rows(before, now, labels(catalogue))))
    text = f"{about['cpu']}; {about['date']}; {chosen.runs} runs in turn.\n\n{told}"
    print(text)
    if chosen.update:
        (DOCS / DOCUMENT).write_text(filled(DOCS / DOCUMENT, {MARKER: text}), encoding="utf-8")


if __name__ == "__main__":
    main()
