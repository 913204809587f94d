"""The tables of docs/performance.md that several files add rows to."""

from __future__ import annotations

from harness.declare import OK, Figure, Ratio, Row, Table

from routing.workload import KEY_COUNTS, NODE_COUNTS

DOCUMENT = "performance.md"
LEVELS = ("avx512", "avx2", "baseline")  # instruction sets
COPY, SORT = "np.copyto", "np.sort of 160,000 uint64"
HEAD = ("work", "reference", "ratio: minima / median", "at most", "ok")


def bounds(*rows):
    """The bounds, of (work, what its reference is called, `Ratio`)."""
    told = [Row(label, unit, ratio, f"{ratio.at_most:.3g}", OK) for label, unit, ratio in rows]
    return Table(DOCUMENT, "bounds", HEAD, told)


def over(marker, sizes, *rows):
    """Ratios over sizes, of (label, work with {} for the size, reference)."""
    told = [Row(label, *(Ratio(work.format(size), reference) for size in sizes)) for label, work, reference in rows]
    return Table(DOCUMENT, marker, ("", *(f"{size:,}" for size in sizes)), told)


def columns(*rows):
    """Columns, by nodes."""
    return over("columns", NODE_COUNTS, *rows)


def sizes(*rows):
    """Columns, by keys, in times of copying a key of the largest."""
    return over("sizes", KEY_COUNTS, *((label, work, COPY_LARGEST) for label, work in rows))


def beside(marker, head, reference, *rows):
    """Single works beside one reference, of (label, work)."""
    return Table(DOCUMENT, marker, head, [Row(label, Ratio(work, reference)) for label, work in rows])


def milliseconds(work):
    """The least of all runs."""
    return Figure(work, lambda seconds: f"{seconds * 1e3:.3g} ms")


COPY_LARGEST = f"routing/bench_assign.py::bench_copyto_by_keys[{KEY_COUNTS[-1]}]"
