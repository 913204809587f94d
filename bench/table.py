"""Runs the suite several times and writes what it measured: `python bench/table.py`.

Each run is a pytest-benchmark session of its own, pinned to one core. Two ratios are reported:
of the minima over all runs, which is what undisturbed code costs and what the bounds are held
against, and the median of the runs' own ratios. (The least of the runs' ratios would flatter:
it is small when the reference was disturbed.) The bounds are in `bounds.py`; exit code 1 says
that one was missed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import quality
from bounds import BOUNDS, REFERENCES
from pinned import pin
from workload import NODE_COUNTS, PARTITION_BITS

import ringward as rw

BENCH = Path(__file__).parent
DOCUMENT = BENCH.parent / "docs" / "performance.md"
RESULTS = BENCH / "results.json"
RUNS = 5
MISSED = 1


class Figures:
    """The minima of all runs: benchmark → seconds a key (or a call) of each run."""

    def __init__(self, runs):
        self.runs = runs

    def __contains__(self, benchmark):
        return all(benchmark in run for run in self.runs)

    def ratios(self, benchmark, reference):
        """The ratio of each run."""
        return [run[benchmark] / run[reference] for run in self.runs]

    def of_minima(self, benchmark, reference):
        """The ratio of the minima over all runs."""
        return self.seconds(benchmark) / self.seconds(reference)

    def ratio(self, benchmark, reference):
        """`of the minima / median`, for a cell of a table."""
        if benchmark not in self or reference not in self:
            return "not run"
        median = statistics.median(self.ratios(benchmark, reference))
        return f"{short(self.of_minima(benchmark, reference))} / {short(median)}"

    def seconds(self, benchmark):
        """The least over the runs."""
        return min(run[benchmark] for run in self.runs)


def short(ratio):
    """Three significant digits, without an exponent."""
    digits = 0 if ratio >= 100 else 1 if ratio >= 10 else 2 if ratio >= 0.1 else 3
    return f"{ratio:.{digits}f}"


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
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
    }


def bounds_rows(figures):
    """Each bound with what was measured; `ok` is by the ratio of the minima."""
    rows = []
    for bound in BOUNDS:
        reference = REFERENCES[bound.reference]
        if bound.benchmark not in figures or reference not in figures:
            continue
        ratios = figures.ratios(bound.benchmark, reference)
        of_minima = figures.of_minima(bound.benchmark, reference)
        rows.append({
            "work": bound.work,
            "reference": bound.unit,
            "of_minima": of_minima,
            "median": statistics.median(ratios),
            "at_most": bound.at_most,
            "ok": of_minima <= bound.at_most,
            "ratios": ratios,
        })  # fmt: skip
    return rows


def bounds_table(rows):
    return quality.markdown(
        ("work", "reference", "ratio: minima / median", "at most", "ok"),
        [
            (row["work"], row["reference"], f"{short(row['of_minima'])} / {short(row['median'])}", f"{row['at_most']:g}",
             "yes" if row["ok"] else "**no**")
            for row in rows
        ],
    )  # fmt: skip


def sweep(figures, rows, columns):
    """A table of ratios: `rows` of (label, benchmark with {} for the size, reference)."""
    cells = [
        (label, *(figures.ratio(name.format(size), reference) for size in columns)) for label, name, reference in rows
    ]
    return quality.markdown(("", *(f"{size:,}" for size in columns)), cells)


def one_key_table(figures):
    rows = []
    for key_set, told in (("hot", "1,000 hot keys"), ("distinct", "10^6 keys"), ("shuffled", "10^6 keys, shuffled")):
        reference = f"bench_route.py::bench_dict[{key_set}]"
        for call, name in (("ring[key]", "bench_subscript"), ("ring.route(key)", "bench_route")):
            rows.append((f"`{call}`, {told}", f"bench_route.py::{name}[{{}}-{key_set}]", reference))
    return sweep(figures, rows, NODE_COUNTS)


def ways_table(figures):
    reference = REFERENCES["one key, hot"]
    rows = [
        ("`ring[key]`", "bench_subscript[1000-hot]"),
        ("`ring.route(key)`, `ring` a local variable", "bench_route[1000-hot]"),
        ("`route(key)`, the bound method kept", "bench_other_ways_to_call[route_bound]"),
        ("`ring.route(key)`, `ring` a global variable", "bench_other_ways_to_call[route_global]"),
    ]
    return quality.markdown(
        ("call, 1,000 nodes, hot", "× hot dict lookup"),
        [(label, figures.ratio(f"bench_route.py::{name}", reference)) for label, name in rows],
    )


def columns_table(figures):
    rows = [
        (f"`{call}`, {width} out", f"bench_assign.py::{name}_ring[{{}}-{width}]", REFERENCES[reference])
        for call, name, reference in (
            ("assign", "bench_assign", "assign"),
            ("assign_hashes", "bench_hashes", "assign_hashes"),
        )
        for width in ("uint16", "uint32")
    ]
    rows.append((
        "`assign_hashes(count=3)`", "bench_candidates.py::bench_column_ring[{}]", "bench_candidates.py::bench_copyto",
    ))  # fmt: skip
    return sweep(figures, rows, NODE_COUNTS)


def partitions_table(figures):
    rows = [
        (f"`{call}`, {width} out", f"bench_assign.py::{name}_partitions[{{}}-{width}]", reference)
        for call, name, reference in (
            ("assign", "bench_assign", "bench_assign.py::bench_copyto_partitions"),
            ("assign_hashes", "bench_hashes", REFERENCES["partitions"]),
        )
        for width in ("uint16", "uint32")
    ]
    return sweep(figures, rows, PARTITION_BITS)


def named(figures, head, reference, rows):
    """A table of single benchmarks beside one reference."""
    return quality.markdown(head, [(label, figures.ratio(name, reference)) for label, name in rows])


def texts_table(figures):
    rows = [
        ("list, objects in the order of allocation", "bench_list"),
        ("list, shuffled in memory", "bench_list_shuffled"),
        ("NumPy `S16`", "bench_bytes_array"),
        ("NumPy `U16`", "bench_text_array"),
        ("NumPy object array", "bench_object_array"),
    ]
    rows = [(label, f"bench_strings.py::{name}") for label, name in rows]
    return named(figures, ("16-character keys, 1,000 nodes", "× np.copyto"), REFERENCES["texts"], rows)


def transfers_table(figures):
    rows = [
        (f"`{call}` after {change}, {width}", f"bench_transfer.py::bench_{call}[{change}{suffix}]")
        for change in ("removal", "addition", "mark_down")
        for call, width, suffix in (
            ("apply", "uint16 ids", "-uint16"),
            ("apply", "uint32 ids", "-uint32"),
            ("moved", "hashes alone", ""),
        )
    ]
    rows += [
        (f"reading the ids once, `ids.max()`, {width}", f"bench_transfer.py::bench_read[{width}]")
        for width in ("uint16", "uint32")
    ]
    return named(figures, ("10,000,000 keys, 1 of 1,000 nodes", "× np.copyto"), REFERENCES["transfer"], rows)


def changes_table(figures):
    changes = {
        "add": "`add` one node",
        "remove": "`remove` one node",
        "mark_down": "`mark_down` one node",
        "mark_up": "`mark_up` it again",
        "mark_down_of_100_down": "`mark_down` one node, 100 others down",
    }
    rows = [(f"build {n:,} nodes × 160 points", f"bench_build.py::bench_build_ring[{n}]") for n in NODE_COUNTS]
    for nodes in (1_000, 10_000):
        rows += [
            (f"{told}, {nodes:,} nodes", f"bench_build.py::bench_change_ring[{nodes}-{name}]")
            for name, told in changes.items()
        ]
    rows += [
        ("the arcs of an addition, when first asked for", "bench_build.py::bench_arcs[add]"),
        (
            "first column of 640,000 hashes after a change: direct table and lookup",
            "bench_build.py::bench_direct_table",
        ),
        ("`snapshot().to_bytes()`, 1,000 nodes", "bench_build.py::bench_snapshot_bytes"),
        ("build a partition table, 1,000 × 65,536 × 3", "bench_build.py::bench_build_partition_table"),
        ("100 membership changes of it", "bench_build.py::bench_hundred_changes_of_partition_table"),
    ]
    cells = [
        (told, figures.ratio(name, REFERENCES["build"]), f"{figures.seconds(name) * 1e3:.3g} ms")
        for told, name in rows
        if name in figures
    ]
    return quality.markdown(("change", "× np.sort of 160,000 uint64", "least"), cells)


def hashes_table(figures):
    families = {
        "xxh3": "`XXH3()`",
        "siphash13": "`SipHash(key)`, 1-3",
        "siphash24": "`SipHash(key, rounds=(2, 4))`",
        "multiplicative": "`Multiplicative(m, p)`",
    }
    cells = [
        (
            told,
            figures.ratio(f"bench_hash.py::bench_integers[{name}]", "bench_hash.py::bench_copyto"),
            figures.ratio(f"bench_hash.py::bench_texts[{name}]", "bench_hash.py::bench_copyto"),
            figures.ratio(f"bench_hash.py::bench_one_key[{name}]", "bench_hash.py::bench_one_key_xxhash"),
        )
        for name, told in families.items()
    ]
    head = ("hash", "column of uint64, × np.copyto", "list of 16-character str, × np.copyto",
            "one str, × `xxhash.xxh3_64_intdigest` of bytes")  # fmt: skip
    return quality.markdown(head, cells)


def candidates_table(figures):
    reference = "bench_hash.py::bench_one_key_xxhash"
    return sweep(
        figures,
        [("`ring.candidates(key, 3)`, one hot key", "bench_candidates.py::bench_one_key[{}]", reference)],
        NODE_COUNTS,
    )


def about(found, figures, runs):
    """What was measured, where, with the references in absolute terms."""
    lines = [f"- {found['machine']}: {found['cpu']}"]
    lines.append(
        f"- {found['python']}, NumPy {found['numpy']}, ringward {found['ringward']}; {found['date']}; {runs} runs"
    )
    copy, table, sort = (REFERENCES[name] for name in ("assign", "one key, hot", "build"))
    distinct = REFERENCES["one key, distinct"]
    if all(name in figures for name in (copy, table, sort, distinct)):
        lines.append(
            f"- the references, least of all runs: `np.copyto` {figures.seconds(copy) * 1e9:.2f} ns a key, dict lookup "
            f"{figures.seconds(table) * 1e9:.1f} ns hot and {figures.seconds(distinct) * 1e9:.0f} ns with 1,000,000 "
            f"keys, `np.sort` of 160,000 uint64 {figures.seconds(sort) * 1e3:.2f} ms"
        )
    return "\n".join(lines)


def sections(figures, rows, found):
    """Marker → Markdown, for the places in the document that are measured."""
    timed = {
        "bounds": lambda: bounds_table(rows),
        "about": lambda: about(found, figures, len(figures.runs)),
        "one-key": lambda: one_key_table(figures),
        "ways": lambda: ways_table(figures),
        "columns": lambda: columns_table(figures),
        "partitions": lambda: partitions_table(figures),
        "texts": lambda: texts_table(figures),
        "transfers": lambda: transfers_table(figures),
        "changes": lambda: changes_table(figures),
        "hashes": lambda: hashes_table(figures),
        "candidates": lambda: candidates_table(figures),
        "balance": quality.balance,
        "patterns": quality.patterns,
        "memory": quality.memory,
    }
    return {name: make() for name, make in timed.items()}


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
    rows = bounds_rows(figures)
    if not chosen.only:
        RESULTS.write_text(json.dumps({"machine": found, "bounds": rows, "runs": runs}, indent=1) + "\n")
        DOCUMENT.write_text(written(DOCUMENT.read_text(), sections(figures, rows, found)))
    print(bounds_table(rows))
    return 0 if all(row["ok"] for row in rows) else MISSED


if __name__ == "__main__":
    sys.exit(main())
