"""The measured cells as Markdown: one table a work, peers by nodes."""

from __future__ import annotations

import statistics
from pathlib import Path

from harness.catalogue import works_of
from harness.declare import NOT_RUN
from harness.markdown import short, table
from harness.results import FAILED
from routing.workload import NODE_COUNTS

from peers.peer import ADAPTERS, OURS, adapter

work_of = works_of(str(Path(__file__).with_name("bench_routers.py")))

FASTRING = "fastring_ring"
QUALITY = ("quality", "addition", "removal")
CHANGES = ("build", "add", "remove")
OPTIONAL = ("hashes", "column")  # most peers have no such call: they are left out there
# work → (what is done, unit, units a nanosecond, its reference)
WORKS = {
    "one": ("one `str`", "ns", 1, "dict lookup"),
    "list": ("list of `str` → nodes", "ns a key", 1, "`np.copyto` of uint64"),
    "names": ("list of `str` → names", "ns a key", 1, "`np.copyto` of uint64"),
    "integers": ("uint64 array → nodes", "ns a key", 1, "`np.copyto` of uint64"),
    "hashes": ("uint64 hashes → nodes", "ns a key", 1, "`np.copyto` of uint64"),
    "column": ("column of texts → nodes", "ns a key", 1, "`np.copyto` of uint64"),
    "build": ("build", "ms", 1e-6, "`np.sort` of 160,000 uint64"),
    "add": ("add one node", "ms", 1e-6, "`np.sort` of 160,000 uint64"),
    "remove": ("remove one node", "ms", 1e-6, "`np.sort` of 160,000 uint64"),
}
FASTRING_AT_LEAST = {"one": 5, "list": 15, "names": 15}
KEYS_A_NODE = 20  # fewer say nothing about balance


class Cells:
    """What was measured: (adapter, nodes, work) → figures of each run."""

    def __init__(self, results):
        self.results = results
        self.sizes = [n for n in NODE_COUNTS if any(self.runs(module, n, "one") for module in ADAPTERS)]
        self.versions = results.runs(work_of("versions"))[0]

    def runs(self, module, nodes, work):
        """The figures of each run that has some."""
        return self.results.runs(work_of(case_of(module, nodes, work), work))

    def why_not(self, module, nodes, work):
        """Why there are no figures, or None when there are."""
        failed = self.results.runs(work_of(case_of(module, nodes, work), FAILED))
        told = [run["why"] for run in failed] + [
            run["cannot"] for run in self.runs(module, nodes, work) if "cannot" in run
        ]
        return told[0] if told else None if self.runs(module, nodes, work) else NOT_RUN

    def least(self, module, nodes, work):
        """Nanoseconds: the least of all rounds of all runs."""
        return min(run["least_ns"] for run in self.runs(module, nodes, work))

    def slower(self, module, nodes, work):
        """How many times as long as ringward: by the least, and by the medians over the runs."""
        ours = adapter(module).beside
        if self.why_not(module, nodes, work) or self.why_not(ours, nodes, work):
            return None

        def typical(of):
            return statistics.median(run["least_ns"] for run in self.runs(of, nodes, work))

        return self.least(module, nodes, work) / self.least(ours, nodes, work), typical(module) / typical(ours)

    def reference(self, nodes, work):
        """Nanoseconds of the reference, the least in any process."""
        found = [
            run["reference_ns"]
            for module in ADAPTERS
            if not self.why_not(module, nodes, work)
            for run in self.runs(module, nodes, work)
        ]
        return min(found, default=None)


def case_of(module, nodes, work):
    """The case whose process measures a work."""
    kind = work if work == "one" else "quality" if work in QUALITY else "bulk"
    return f"{module}-{nodes}-{kind}"


def work_table(cells, work):
    """Peers by nodes: the least, and × ringward in brackets."""
    _told, unit, scale, reference = WORKS[work]
    rows = []
    known = [cells.reference(nodes, work) for nodes in cells.sizes]
    rows.append((f"*{reference}*", *("" if ns is None else short(ns * scale) for ns in known)))
    for module in ADAPTERS:
        peer = adapter(module)
        mark = "†" if work in CHANGES and peer.changes_uncounted else ""
        if cells.versions.get(module) is None:
            rows.append((peer.label, *("not installed" for _ in cells.sizes)))
            continue
        if work in OPTIONAL and all(cells.why_not(module, nodes, work) for nodes in cells.sizes):
            continue
        told = [cell(cells, module, nodes, work, scale) for nodes in cells.sizes]
        rows.append((f"**{peer.label}**" if module in OURS else peer.label + mark, *told))
    return table((unit, *(f"{nodes:,} nodes" for nodes in cells.sizes)), rows)


def cell(cells, module, nodes, work, scale):
    why = cells.why_not(module, nodes, work)
    if why:
        return why
    measured = short(cells.least(module, nodes, work) * scale)
    times = cells.slower(module, nodes, work)
    return measured if module in OURS or times is None else f"{measured} ({short(times[0])} ×)"


def verdict_rows(cells):
    """Work by nodes: the counted peer that comes closest, as (work, nodes, adapter, by least, by medians)."""
    rows = []
    for work in WORKS:
        for nodes in cells.sizes:
            found = [
                (*times, module)
                for module in ADAPTERS
                if module not in OURS and cells.versions.get(module)
                if not (work in CHANGES and adapter(module).changes_uncounted)
                if (times := cells.slower(module, nodes, work))
            ]
            if found:
                least, median, module = min(found)
                rows.append({"work": work, "nodes": nodes, "peer": module, "least": least, "median": median})
    return rows


def verdict_table(cells):
    """How many times as long the closest peer takes; below 1 it is faster than ringward."""
    rows = verdict_rows(cells)
    lines = []
    for work, (told, *_rest) in WORKS.items():
        line = [told]
        for nodes in cells.sizes:
            found = [row for row in rows if (row["work"], row["nodes"]) == (work, nodes)]
            line.append(closest(found[0]) if found else "no peer")
        lines.append(line)
    return table(("the closest peer takes", *(f"{nodes:,} nodes" for nodes in cells.sizes)), lines)


def closest(row):
    times = f"{short(row['least'])} / {short(row['median'])} ×"
    return f"{times if row['least'] > 1 else f'**{times}**'} {adapter(row['peer']).label}"


def fastring_table(cells):
    """Fastring beside what the project promises."""
    lines = []
    for work, at_least in FASTRING_AT_LEAST.items():
        told = []
        for nodes in cells.sizes:
            times = cells.slower(FASTRING, nodes, work)
            text = "not measured" if times is None else f"{short(times[0])} / {short(times[1])} ×"
            told.append(text if times is None or times[0] >= at_least else f"**{text}**")
        lines.append((WORKS[work][0], f"{at_least} ×", *told))
    return table(("fastring takes", "at least", *(f"{nodes:,} nodes" for nodes in cells.sizes)), lines)


def missed(cells):
    """The rows of the rule that do not hold, as sentences."""
    told = [
        f"{WORKS[row['work']][0]}, {row['nodes']:,} nodes: {adapter(row['peer']).label} takes {short(row['least'])} ×"
        for row in verdict_rows(cells)
        if row["least"] <= 1
    ]
    for work, at_least in FASTRING_AT_LEAST.items():
        for nodes in cells.sizes:
            times = cells.slower(FASTRING, nodes, work)
            if times and times[0] < at_least:
                told.append(f"{WORKS[work][0]}, {nodes:,} nodes: fastring takes {short(times[0])} ×, not {at_least} ×")
    return told


def quality_table(cells, nodes):
    """Balance beside what an even hash would give of as many keys, and what a change moves."""
    head = ("peer", "keys", "max/mean", "even hash", "one removal moves", "needless", "one addition moves", "needless")
    rows = []
    for module in ADAPTERS:
        told = quality_cells(cells, module, nodes)
        rows.append((adapter(module).label, *told, *[""] * (len(head) - 1 - len(told))))
    return table(head, rows)


def quality_cells(cells, module, nodes):
    why = "not installed" if cells.versions.get(module) is None else cells.why_not(module, nodes, "quality")
    if why:
        return [why]
    found = cells.runs(module, nodes, "quality")[0]
    if found["keys"] < KEYS_A_NODE * nodes:
        return [f"{found['keys']:,}", "too slow for enough keys"]
    told = [f"{found['keys']:,}", f"{found['balance']:.3f}", f"{found['balance_even']:.3f}"]
    for change in ("removal", "addition"):
        moves = cells.runs(module, nodes, change)[0]
        told += [moves["cannot"], ""] if "cannot" in moves else [f"{moves['moved']:.3%}", f"{moves['needless']:.3%}"]
    return told


def algorithms_table(cells):
    """What each peer is, and where it differs."""
    rows = []
    for module in ADAPTERS:
        peer = adapter(module)
        notes = f" † {peer.changes_uncounted}" if peer.changes_uncounted else ""
        beside = "" if module in OURS else adapter(peer.beside).label
        rows.append((peer.label, cells.versions.get(module) or "not installed", peer.algorithm + notes, beside))
    return table(("peer", "version", "what it computes", "compared with"), rows)
