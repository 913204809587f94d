"""Replay seeds, in the folder `tests`: `python -m events.worlds 1234`."""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from pathlib import Path

from events.worlds.disk import run_on_sqlite
from events.worlds.mutants import MUTANTS, kill
from events.worlds.run import run

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reliability.md"
HEAD = "| the bug | found by the invariant | seeds |\n|---|---|---|\n"


def replay(seeds, *, sqlite, trace):
    """Run seeds, and show the trace of the first that fails; whether none did."""
    for seed in seeds:
        outcome = run_on_sqlite(seed) if sqlite else run(seed)
        if outcome.error is not None or trace:
            sys.stdout.writelines(f"{line}\n" for line in outcome.trace)
        if outcome.error is not None:
            traceback.print_exception(outcome.error)
            sys.stdout.write(f"seed {seed}\n")
            return False
    return True


def write_kills():
    """Write which invariant notices which mutant into the page on reliability."""
    rows = []
    for name, mutant in MUTANTS.items():
        killed = kill(name)
        rows.append(
            f"| {mutant.says} | {killed.rule} | {killed.seeds} |\n" if killed else f"| {mutant.says} | none | |\n"
        )
        sys.stdout.write(rows[-1])
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(re.sub(re.escape(HEAD) + r"(\|.*\n)*", lambda _: HEAD + "".join(rows), text), encoding="utf-8")


def main():
    """Do what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m events.worlds", description=__doc__)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("through", type=int, nargs="?", help="the last seed, of several")
    parser.add_argument("--sqlite", action="store_true", help="on a SqliteStore, on a failing disk")
    parser.add_argument("--trace", action="store_true", help="show the traces of seeds that do not fail, too")
    parser.add_argument("--kills", action="store_true", help="write the table of mutants into docs/reliability.md")
    asked = parser.parse_args()
    if asked.kills:
        write_kills()
        return 0
    last = asked.seed if asked.through is None else asked.through
    return 0 if replay(range(asked.seed, last + 1), sqlite=asked.sqlite, trace=asked.trace) else 1


if __name__ == "__main__":
    sys.exit(main())
