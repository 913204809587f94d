"""Replay seeds: `python -m events.simulation 1234`, in the folder `tests`."""

from __future__ import annotations

import argparse
import traceback

from events.simulation.disk import run_on_sqlite
from events.simulation.run import run


def main():
    """Run the seeds that are asked for, and show the trace of the first that fails."""
    parser = argparse.ArgumentParser(prog="python -m events.simulation", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("through", type=int, nargs="?", help="the last seed, of several")
    parser.add_argument("--sqlite", action="store_true", help="on a SqliteStore, on a failing disk")
    parser.add_argument("--trace", action="store_true", help="show the trace of those that do not fail, too")
    chosen = parser.parse_args()
    for seed in range(chosen.seed, (chosen.through or chosen.seed) + 1):
        outcome = run_on_sqlite(seed) if chosen.sqlite else run(seed)
        if outcome.error is not None or chosen.trace:
            print(*outcome.trace, sep="\n")
        if outcome.error is not None:
            traceback.print_exception(outcome.error)
            print("seed", seed)
            return


if __name__ == "__main__":
    main()
