"""The event processor beside bare inserts and its peers: `python bench/events/run.py`.

Every case is measured in a process of its own (`body.py`), on one core but for a few, several times over. Writes `results.json` and the tables of
docs/events-performance.md. Files lie in a new folder inside of `--folder`, which should be on the disk that counts: what
is measured is mostly how often something is made durable. Exit code 1: a bound was missed; 2: a case failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import apsw  # noqa: E402
import body  # noqa: E402
import peers  # noqa: E402
import quality  # noqa: E402
from pinned import pin  # noqa: E402
from table import machine, written  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "events-performance.md"
RESULTS = HERE / "results.json"
RUNS = 3
TIMEOUT_S = 300
MISSED, FAILED = 1, 2
FREE = "-all-cores"  # cases that end so may use all, the others one
SYNCS = HERE / "syncs.json"
OLDER = {kind.package for kind in peers.OLDER}
FLAT = 2  # so many times the least cost per event, at most


class Figures:
    """`case` and what it measured → seconds an event of each run."""

    def __init__(self, runs):
        self.runs = runs
        self.peers = [case for case in runs[0] if "/" in case]
        self.older = [case for case in self.peers if case.partition("/")[0] in OLDER]  # what bounds are held against

    def seconds(self, case, what="events", *, cpu=False):
        """Of each run."""
        return [run[case][what][2 if cpu else 1] / run[case][what][0] for run in self.runs]

    def least(self, case, what="events", *, cpu=False):
        """The least of the runs."""
        return min(self.seconds(case, what, cpu=cpu))

    def rate(self, case, what="events"):
        """Events a second, of the least."""
        return 1 / self.least(case, what)

    def fastest(self, cases, what="events"):
        """The fastest of some cases."""
        return max(cases, key=lambda case: self.rate(case, what))


@dataclass(frozen=True, slots=True)
class Bound:
    """One row: so many times as many events a second as the reference, at least; of several cases the fastest."""

    work: str
    cases: tuple[str, ...]
    what: str
    reference: (
        str  # "bare", or "peer" for the fastest of the older ones in any mode, or "singly" for the fastest of those
    )
    at_least: float


ONE_THREAD_EACH = ("one-at-a-time", "one-meanwhile")
BOUNDS = (
    Bound("`publish`, one at a time", ("publish-one",), "publish", "bare", 0.8),
    Bound("`publish_many` of 1,000", ("publish-many",), "publish", "bare", 0.75),
    Bound("published, handled and acknowledged, plain handler", ("plain",), "events", "peer", 10),
    Bound("the same, transactional handler", ("transactional",), "events", "peer", 7),
    Bound(
        "published, handled and acknowledged one at a time, by one thread each", ONE_THREAD_EACH, "events", "singly", 1
    ),
    Bound("the same, 4 threads that publish and 4 members", ("one-meanwhile-4",), "events", "singly", 1),
)
IN_MEMORY = 300_000  # events a second
BARE_CALL_S = 90e-9  # where a bare call takes at most so long


def reference_of(figures, bound):
    """The case and the name in it that a bound compares with, and how the table calls it."""
    if bound.reference == "bare":
        return bound.cases[0], "bare", "bare inserts"
    of = [case for case in figures.older if bound.reference == "peer" or not case.endswith("/batched")]
    best = figures.fastest(of)
    return best, "events", told(best)


def told(case):
    """A peer's case, for a table."""
    package, mode = case.split("/")
    return f"{package}, {peers.MODES[mode]}"


def bounds_rows(figures):
    """Each bound with what was measured; `ok` is by the median of the runs' ratios of times on the wall."""
    rows = []
    for bound in BOUNDS:
        case, what, name = reference_of(figures, bound)
        ours = figures.fastest(bound.cases, bound.what)
        pairs = zip(figures.seconds(case, what), figures.seconds(ours, bound.what), strict=True)
        ratio = figures.least(case, what) / figures.least(ours, bound.what)
        median = statistics.median(theirs / ours for theirs, ours in pairs)
        rows.append({
            "work": bound.work,
            "rate": figures.rate(ours, bound.what),
            "reference": name,
            "reference_rate": figures.rate(case, what),
            "ratio": ratio,
            "median": median,
            "cpu": figures.least(case, what, cpu=True) / figures.least(ours, bound.what, cpu=True),
            "at_least": bound.at_least,
            "ok": median >= bound.at_least,
        })  # fmt: skip
    return rows


def memory_row(figures):
    """The bound in memory: events a second of CPU."""
    rate = 1 / figures.least("memory", "then", cpu=True)
    call = figures.least("memory", "call", cpu=True)
    return {"rate": rate, "call_ns": call * 1e9, "at_least": IN_MEMORY, "ok": rate >= IN_MEMORY or call > BARE_CALL_S}


def flat_rows(figures):
    """Least cost per event at each size, and whether it is flat."""
    found = {}
    for case in ("waiting", "keys"):
        costs = {int(size): figures.least(case, size, cpu=True) for size in figures.runs[0][case]}
        found[case] = {"costs": costs, "spread": max(costs.values()) / min(costs.values())}
        found[case]["ok"] = found[case]["spread"] <= FLAT
    return found


def yes(ok):
    return "yes" if ok else "**no**"


def count(rate):
    """Three significant digits, with commas."""
    return f"{float(f'{rate:.3g}'):,.0f}"


def bounds_table(rows, memory):
    head = (
        "work",
        "events a second",
        "beside",
        "its events a second",
        "ratio: least / median",
        "of CPU time",
        "at least",
        "ok",
    )
    cells = [
        (row["work"], count(row["rate"]), row["reference"], count(row["reference_rate"]),
         f"{row['ratio']:.2f} / {row['median']:.2f}", f"{row['cpu']:.2f}", f"{row['at_least']:g}", yes(row["ok"]))
        for row in rows
    ]  # fmt: skip
    cells.append(("in memory, one core", count(memory["rate"]), f"a bare call takes {memory['call_ns']:.0f} ns", "", "", "",
                  f"{memory['at_least']:,} a second", yes(memory["ok"])))  # fmt: skip
    return quality.markdown(head, cells)


def rates_table(figures):
    """All cases with files."""
    ours = [
        ("publish one at a time", "publish-one", "publish"),
        ("bare inserts of the same rows, one a commit", "publish-one", "bare"),
        ("publish one at a time, in 4 threads", "publish-one-4", "publish"),
        ("publish 1,000 at a time", "publish-many", "publish"),
        ("bare inserts of the same rows, 1,000 a commit", "publish-many", "bare"),
        ("end to end, plain handler, 1 member", "plain", "events"),
        ("end to end, plain handler, 4 members", "plain-4", "events"),
        ("end to end, transactional handler, 1 member", "transactional", "events"),
        ("end to end, transactional handler, 4 members", "transactional-4", "events"),
        ("end to end one at a time, all published, then all handled", "one-at-a-time", "events"),
        ("end to end one at a time, published while others are handled", "one-meanwhile", "events"),
        ("the same, 4 threads that publish and 4 members", "one-meanwhile-4", "events"),
        ("end to end one at a time, published when the one before is handled", "one-in-flight", "events"),
        ("on all cores: published while others are handled", "one-meanwhile-all-cores", "events"),
        ("the same, 4 threads that publish and 4 members", "one-meanwhile-4-all-cores", "events"),
        ("on all cores: end to end, plain handler, 4 members", "plain-4-all-cores", "events"),
    ]
    theirs = [(f"{told(case)}: put, get and acknowledge", case, "events") for case in figures.peers]
    cells = [
        (label, f"{figures.runs[0][case][what][0]:,}", count(figures.rate(case, what)),
         f"{figures.least(case, what) * 1e6:.1f}", f"{figures.least(case, what, cpu=True) * 1e6:.1f}")
        for label, case, what in ours + theirs
    ]  # fmt: skip
    return quality.markdown(("work", "events", "events a second", "µs an event", "µs of CPU"), cells)


def peers_table(figures):
    """What each peer promises, how often it syncs an event, and how many times as many events a second it does as we do."""
    syncs = json.loads(SYNCS.read_text()) if SYNCS.exists() else {}
    singly = figures.fastest(ONE_THREAD_EACH)
    cells = [
        ("ringward", *peers.OURS, synced(syncs, singly), "1", synced(syncs, "plain"), "1"),
    ]
    for package, kind in peers.PEERS.items():
        one, many = f"{package}/singly", f"{package}/batched"
        cells.append((
            package, *kind.promises,
            synced(syncs, one), f"{figures.rate(one) / figures.rate(singly):.2f}" if one in figures.peers else "",
            synced(syncs, many), f"{figures.rate(many) / figures.rate('plain'):.2f}" if many in figures.peers else "",
        ))  # fmt: skip
    head = ("", *peers.PROMISES, "syncs, singly", "× ringward", "syncs, batched", "× ringward")
    left_out = "; ".join(f"{name}, which {why}" for name, why in peers.LEFT_OUT.items())
    return f"{quality.markdown(head, cells)}\n\nLeft out: {left_out}."


def synced(syncs, case):
    """How often an event is synced, if that was counted."""
    return f"{syncs[case]:.2f}" if case in syncs else ""


def memory_table(figures):
    labels = {
        "then": "publish, then handle",
        "then, with ids": "the same, with ids",
        "during": "publish while they are handled",
        "call": "a bare Python call per event",
    }
    cells = [(told, f"{figures.least('memory', what, cpu=True) * 1e6:.2f}", count(1 / figures.least("memory", what, cpu=True)))
             for what, told in labels.items()]  # fmt: skip
    return quality.markdown(("in memory, one core", "µs of CPU an event", "events a second of CPU"), cells)


def flat_table(found, case):
    costs = found[case]["costs"]
    cells = [("µs of CPU an event", *(f"{cost * 1e6:.2f}" for cost in costs.values()))]
    table = quality.markdown((case, *(f"{size:,}" for size in costs)), cells)
    return f"{table}\n\nMost over least: {found[case]['spread']:.2f} (at most {FLAT}: {yes(found[case]['ok'])})."


def about(found, figures):
    versions = ", ".join(f"{name} {number}" for name, number in found["peers"].items())
    return (
        f"- {found['machine']}: {found['cpu']}; {found['date']}; {len(figures.runs)} runs\n"
        f"- {found['python']}, ringward {found['ringward']}, apsw {found['apsw']}, SQLite {found['sqlite']}\n"
        f"- {versions}, on SQLite {found['sqlite3']} of the standard library\n"
        f"- making 4 KiB durable on that disk: {figures.least('sync', 'sync') * 1e6:.0f} µs, and at the end of a file, which"
        f" becomes longer by it: {figures.least('sync', 'longer') * 1e6:.0f} µs"
    )


def measured(case, folder, *, quick):
    """What one process measured of a case."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, str(HERE / "body.py"), case, place, *(["--quick"] if quick else [])]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            preexec_fn=pin if not case.endswith(FREE) and hasattr(os, "sched_setaffinity") else None,
        )
    if done.returncode:
        print(case, done.stderr, file=sys.stderr)
        sys.exit(FAILED)
    return json.loads(done.stdout)


def run_all(folder, runs, *, quick):
    """Every case in turn, several times over: whatever disturbs the machine then disturbs all of them."""
    found = []
    for number in range(runs):
        run = {}
        for case in body.cases(Path(folder), quick=quick):
            load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
            print(f"run {number + 1} of {runs}: {case}{load}", file=sys.stderr, flush=True)
            run[case] = measured(case, folder, quick=quick)
        found.append(run)
    return found


def options():
    parser = argparse.ArgumentParser(prog="python bench/events/run.py", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="of everything (default %(default)s)")
    parser.add_argument("--folder", default=tempfile.gettempdir(), help="where files lie (default %(default)s)")
    parser.add_argument("--quick", action="store_true", help="a few events, once: a test, writes nothing")
    parser.add_argument("--again", action="store_true", help=f"no runs: render {RESULTS.name} once more")
    return parser.parse_args()


def main():
    chosen = options()
    if chosen.again:
        stored = json.loads(RESULTS.read_text())
        found, runs = stored["machine"], stored["runs"]
    else:
        import sqlite3

        found = machine() | {
            "apsw": apsw.apsw_version(),
            "sqlite": apsw.sqlite_lib_version(),
            "sqlite3": sqlite3.sqlite_version,
            "peers": peers.versions(),
        }
        runs = run_all(chosen.folder, 1 if chosen.quick else chosen.runs, quick=chosen.quick)
    figures = Figures(runs)
    rows, memory, flat = bounds_rows(figures), memory_row(figures), flat_rows(figures)
    parts = {
        "events-about": about(found, figures),
        "events-bounds": bounds_table(rows, memory),
        "events-rates": rates_table(figures),
        "events-peers": peers_table(figures),
        "events-memory": memory_table(figures),
        "events-waiting": flat_table(flat, "waiting"),
        "events-keys": flat_table(flat, "keys"),
    }
    if not chosen.quick:
        RESULTS.write_text(json.dumps({"machine": found, "bounds": rows, "runs": runs}, indent=1) + "\n")
        DOCUMENT.write_text(written(DOCUMENT.read_text(), parts))
    print(*parts.values(), sep="\n\n")
    return 0 if chosen.quick or all(row["ok"] for row in [*rows, memory, *flat.values()]) else MISSED


if __name__ == "__main__":
    sys.exit(main())
