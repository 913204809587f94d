"""What was measured, as the Markdown tables of docs/performance.md."""

from __future__ import annotations

import statistics

import quality
from bounds import (
    BOUNDS,
    COLUMNS,
    COPY_FOR_PARTITIONS,
    COPY_FOR_TEXTS,
    COPY_FOR_TRANSFER,
    COPY_HASHES,
    COPY_KEYS,
    COPYING,
    DICT_DISTINCT,
    DICT_HOT,
    LEVEL_BOUNDS,
    LEVELS,
    SORT,
    THREAD_BOUNDS,
)
from workload import CONTAINERS_SWEPT, KEY_COUNTS, NODE_COUNTS, PARTITION_BITS


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


def held_against(figures, bounds):
    """Each bound that was measured, with what was measured; `ok` is by the median of the runs' ratios."""
    rows = []
    for bound in bounds:
        reference = bound.reference
        if bound.benchmark not in figures or reference not in figures:
            continue
        ratios = figures.ratios(bound.benchmark, reference)
        median = statistics.median(ratios)
        rows.append({
            "work": bound.work,
            "reference": bound.unit,
            "of_minima": figures.of_minima(bound.benchmark, reference),
            "median": median,
            "at_most": bound.at_most,
            "ok": median <= bound.at_most,
            "ratios": ratios,
        })  # fmt: skip
    return rows


def all_ok(rows):
    """The last cell of a row; empty where nothing was measured."""
    return ("yes" if all(row["ok"] for row in rows) else "**no**") if rows else ""


def bounds_table(rows):
    return quality.markdown(
        ("work", "reference", "ratio: minima / median", "at most", "ok"),
        [
            (row["work"], row["reference"], f"{short(row['of_minima'])} / {short(row['median'])}",
             f"{row['at_most']:.3g}", all_ok([row]))
            for row in rows
        ],
    )  # fmt: skip


def levels_table(figures):
    """Bounds by instruction set: what was measured, and at most."""
    rows = []
    for name, (work, _) in COLUMNS.items():
        bounds = [LEVEL_BOUNDS[name, level] for level in LEVELS]
        cells = [f"{figures.ratio(bound.benchmark, bound.reference)} of {bound.at_most:g}" for bound in bounds]
        rows.append((work, *cells, all_ok(held_against(figures, bounds))))
    return quality.markdown(("ratio to `np.copyto`, of at most", *LEVELS, "ok"), rows)


def threads_table(figures):
    """How many times as fast as one thread two are."""
    rows = []
    for name, bound in THREAD_BOUNDS.items():
        ratio, ok = figures.ratio(bound.reference, bound.benchmark), all_ok(held_against(figures, [bound]))
        rows.append((COLUMNS[name][0], ratio, f"{1 / bound.at_most:.2g}", ok))
    one, two = (f"bench_threads.py::{side}[2-{COPYING}]" for side in ("bench_one_thread", "bench_threads"))
    rows.append(("for comparison, `np.copyto` of the integers, a part each", figures.ratio(one, two), "", ""))
    return quality.markdown(("10^7 integers, 4 · 10^6 texts", "two threads, × one", "at least", "ok"), rows)


def sizes_table(figures):
    """Calls on columns of all sizes, a key, in times of copying a key of the largest."""
    rows = [
        ("`np.copyto` of as many keys", "bench_assign.py::bench_copyto_by_keys[{}]"),
        ("`assign`, ring", "bench_assign.py::bench_by_keys[assign-{}]"),
        ("`assign_hashes`, ring", "bench_assign.py::bench_by_keys[assign_hashes-{}]"),
        ("`assign`, partition table of 2^16", "bench_assign.py::bench_by_keys[partition table-{}]"),
        ("`hash_keys`", "bench_hash.py::bench_by_keys[{}]"),
        *(
            (f"`assign`, {container}", f"bench_strings.py::bench_by_keys[{container}-{{}}]")
            for container in CONTAINERS_SWEPT
        ),
    ]
    reference = f"bench_assign.py::bench_copyto_by_keys[{KEY_COUNTS[-1]}]"
    return sweep(figures, [(label, name, reference) for label, name in rows], KEY_COUNTS)


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
    reference = DICT_HOT
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
        (f"`{call}`, {width} out", f"bench_assign.py::{name}_ring[{{}}-{width}]", reference)
        for call, name, reference in (
            ("assign", "bench_assign", COPY_KEYS),
            ("assign_hashes", "bench_hashes", COPY_HASHES),
        )
        for width in ("uint16", "uint32")
    ]
    rows += [
        (f"`assign`, {container}", f"bench_strings.py::bench_by_nodes[{container}-{{}}]",
         "bench_strings.py::bench_copyto_by_nodes")
        for container in CONTAINERS_SWEPT
    ]  # fmt: skip
    rows += [
        (f"`apply` after {change}, uint16 ids", f"bench_transfer.py::bench_by_nodes[{change}-{{}}]",
         COPY_FOR_TRANSFER)
        for change in ("removal", "addition")
    ]  # fmt: skip
    rows.append((
        "`assign_hashes(count=3)`", "bench_candidates.py::bench_column_ring[{}]", "bench_candidates.py::bench_copyto",
    ))  # fmt: skip
    return sweep(figures, rows, NODE_COUNTS)


def partitions_table(figures):
    rows = [
        (f"`{call}`, {width} out", f"bench_assign.py::{name}_partitions[{{}}-{width}]", reference)
        for call, name, reference in (
            ("assign", "bench_assign", "bench_assign.py::bench_copyto_partitions"),
            ("assign_hashes", "bench_hashes", COPY_FOR_PARTITIONS),
        )
        for width in ("uint16", "uint32")
    ]
    return sweep(figures, rows, PARTITION_BITS)


def named(figures, head, reference, rows):
    """A table of single benchmarks beside one reference."""
    return quality.markdown(head, [(label, figures.ratio(name, reference)) for label, name in rows])


CONTAINERS_TOLD = {
    "S16": "NumPy `S16`",
    "S16 mixed": "NumPy `S16`, 8 to 16 characters",
    "U16": "NumPy `U16`",
    "U16 not ASCII": "NumPy `U16`, two texts of three not ASCII",
    "StringDType": "NumPy `StringDType`",
    "Arrow string": "Arrow string",
    "Arrow large_string": "Arrow large_string",
    "Arrow string_view": "Arrow string_view",
    "Arrow dictionary": "Arrow dictionary of 1,000 texts",
    "list": "list, objects in the order of allocation",
    "list shuffled": "list, shuffled in memory",
    "object": "NumPy object array",
}


def texts_table(figures):
    rows = [
        (told, f"bench_strings.py::bench_container[{container}]")
        for container, told in CONTAINERS_TOLD.items()
    ]  # fmt: skip
    return named(figures, ("16-character keys, 1,000 nodes", "× np.copyto"), COPY_FOR_TEXTS, rows)


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
        (
            f"`apply` after removal, {width} ids, as many threads as cores",
            f"bench_transfer.py::bench_apply_by_default[{width}]",
        )
        for width in ("uint16", "uint32")
    ]
    rows += [
        (f"reading the ids once, `ids.max()`, {width}", f"bench_transfer.py::bench_read[{width}]")
        for width in ("uint16", "uint32")
    ]
    return named(figures, ("10,000,000 keys, 1 of 1,000 nodes", "× np.copyto"), COPY_FOR_TRANSFER, rows)


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
            (f"{changes[name]} and route a column of one key, {nodes:,} nodes",
             f"bench_build.py::bench_settled_ring[{nodes}-{name}]")
            for name in ("add", "remove", "mark_down")
        ]  # fmt: skip
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
        (told, figures.ratio(name, SORT), f"{figures.seconds(name) * 1e3:.3g} ms")
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


def names_table(figures):
    """An array of objects beside NumPy's own, and categories beside pyarrow's own."""
    rows = [
        ("`owner_names(ids)`, an array of objects", "numpy", "take"),
        *(
            (f'`owner_names(ids, "{name}")`, categories', name, "categorical")
            for name in ("pyarrow", "pandas", "polars")
        ),
    ]
    told = {"take": "`np.take` of the names", "categorical": "pyarrow's `DictionaryArray.from_arrays`"}
    cells = [
        (
            work,
            told[reference],
            figures.ratio(f"bench_names.py::bench_owner_names[{library}]", f"bench_names.py::bench_{reference}"),
        )
        for work, library, reference in rows
    ]
    return quality.markdown(("5,000,000 ids, 1,000 names", "reference", "ratio"), cells)


def about(found, figures, runs):
    """What was measured, where, with the references in absolute terms."""
    lines = [f"- {found['machine']}: {found['cpu']}"]
    lines.append(
        f"- {found['python']}, NumPy {found['numpy']}, ringward {found['ringward']}; {found['date']}; {runs} runs; "
        f"instruction sets {found['levels']}"
    )
    if all(name in figures for name in (COPY_KEYS, DICT_HOT, DICT_DISTINCT, SORT)):
        lines.append(
            f"- the references, least of all runs: `np.copyto` {figures.seconds(COPY_KEYS) * 1e9:.2f} ns a key, dict "
            f"lookup {figures.seconds(DICT_HOT) * 1e9:.1f} ns hot and {figures.seconds(DICT_DISTINCT) * 1e9:.0f} ns with "
            f"1,000,000 keys, `np.sort` of 160,000 uint64 {figures.seconds(SORT) * 1e3:.2f} ms"
        )
    return "\n".join(lines)


def sections(figures, found):
    """Marker → Markdown, for the places in the document that are measured."""
    timed = {
        "bounds": lambda: bounds_table(held_against(figures, BOUNDS)),
        "levels": lambda: levels_table(figures),
        "threads": lambda: threads_table(figures),
        "about": lambda: about(found, figures, len(figures.runs)),
        "sizes": lambda: sizes_table(figures),
        "one-key": lambda: one_key_table(figures),
        "ways": lambda: ways_table(figures),
        "columns": lambda: columns_table(figures),
        "partitions": lambda: partitions_table(figures),
        "texts": lambda: texts_table(figures),
        "names": lambda: names_table(figures),
        "transfers": lambda: transfers_table(figures),
        "changes": lambda: changes_table(figures),
        "hashes": lambda: hashes_table(figures),
        "candidates": lambda: candidates_table(figures),
        "balance": quality.balance,
        "patterns": quality.patterns,
        "memory": quality.memory,
    }
    return {name: make() for name, make in timed.items()}
