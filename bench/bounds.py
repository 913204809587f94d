"""What the project promises about its speed: each piece of work, its reference, and the ratio it may reach.

Benchmarks are named `file::benchmark[parameters]`. Work and reference are compared a key (or a call) of each.
"""

from __future__ import annotations

from dataclasses import dataclass

DICT_HOT = "bench_route.py::bench_dict[hot]"
DICT_DISTINCT = "bench_route.py::bench_dict[distinct]"
COPY_KEYS = "bench_assign.py::bench_copyto_ring"
COPY_HASHES = "bench_assign.py::bench_copyto_ring_hashes"
COPY_FOR_PARTITIONS = "bench_assign.py::bench_copyto_partitions_hashes"
COPY_FOR_TEXTS = "bench_strings.py::bench_copyto"
COPY_FOR_TRANSFER = "bench_transfer.py::bench_copyto"
SORT = "bench_build.py::bench_sort"

HOT, DISTINCT, COPY, SORTED = "hot dict lookup", "dict lookup", "np.copyto", "np.sort of 160,000 uint64"
WIDTHS = ("uint16", "uint32")


@dataclass(frozen=True, slots=True)
class Bound:
    """One row: `benchmark` takes at most `at_most` times what `reference`, told as `unit`, takes."""

    work: str
    benchmark: str
    reference: str
    unit: str
    at_most: float


# Whole columns by one thread, XXH3 included: name in one_column.WORKS → (work, at most by level).
COLUMNS = {
    "ring": ("uint64 → uint16 ids, ring", {"avx512": 4.5, "avx2": 6, "baseline": 7.5}),
    "partitions": ("uint64 → partition of 2^16", {"avx512": 1.5, "avx2": 3.5, "baseline": 4}),
    "S16": ("`S16`", {"avx512": 1.5, "avx2": 3, "baseline": 3.5}),
    "Arrow string": ("Arrow strings", {"avx512": 8, "avx2": 9, "baseline": 10}),
    "StringDType": ("`StringDType`", {"avx512": 10, "avx2": 11, "baseline": 12}),
    "list": ("list of str", {"avx512": 15, "avx2": 15, "baseline": 16}),
    "ring of 10,000": ("uint64 → uint16 ids, ring of 10,000 nodes", {"avx512": 11, "avx2": 14, "baseline": 15}),
}
LEVELS = ("avx512", "avx2", "baseline")

# Two threads, each on a core of its own. Lists need the interpreter's lock, so one thread reads them.
SPEED_UP = 1.8
UNDER_THE_LOCK = ("list",)


def bound_of_level(level, name, work, at_most):
    reference, benchmark = (f"bench_levels.py::{side}[{level}-{name}]" for side in ("bench_copyto", "bench_level"))
    return Bound(f"{work}, {level}", benchmark, reference, COPY, at_most)


def bound_of_threads(name, work):
    reference, benchmark = (f"bench_threads.py::{side}[2-{name}]" for side in ("bench_one_thread", "bench_threads"))
    return Bound(f"{work}, two threads", benchmark, reference, "one thread", 1 / SPEED_UP)


LEVEL_BOUNDS = {
    (name, level): bound_of_level(level, name, work, at_most[level])
    for name, (work, at_most) in COLUMNS.items()
    for level in LEVELS
}
THREAD_BOUNDS = {
    name: bound_of_threads(name, work) for name, (work, _) in COLUMNS.items() if name not in UNDER_THE_LOCK
}

# At the best instruction set of the machine, unless the row says otherwise.
BOUNDS = (
    Bound("`ring[key]`, 1,000 hot keys", "bench_route.py::bench_subscript[1000-hot]", DICT_HOT, HOT, 1.3),
    Bound("`ring[key]`, 1,000,000 distinct keys", "bench_route.py::bench_subscript[1000-distinct]",
          DICT_DISTINCT, DISTINCT, 0.25),
    Bound("`ring.route(key)`, 1,000 hot keys", "bench_route.py::bench_route[1000-hot]", DICT_HOT, HOT, 2),
    bound_of_level("baseline", "ring", "`assign` of uint64, XXH3 included, uint16 out", 8),
    bound_of_level("baseline", "ring, uint32 out", "`assign` of uint64, XXH3 included, uint32 out", 8),
    *(
        Bound(f"`assign_hashes`, ring, {width} out", f"bench_assign.py::bench_hashes_ring[1000-{width}]",
              COPY_HASHES, COPY, 4)
        for width in WIDTHS
    ),
    *(
        Bound(f"`assign_hashes`, partition table of 2^16, {width} out",
              f"bench_assign.py::bench_hashes_partitions[16-{width}]", COPY_FOR_PARTITIONS, COPY, 1.5)
        for width in WIDTHS
    ),
    Bound("`assign` of a list of 16-character str", "bench_strings.py::bench_container[list]", COPY_FOR_TEXTS, COPY, 25),
    *(
        Bound(f"`Transfer.apply` after a removal, {width} ids, {threads}",
              f"bench_transfer.py::{benchmark}[{parameters}{width}]", COPY_FOR_TRANSFER, COPY, 0.3)
        for threads, benchmark, parameters in (
            ("one thread", "bench_apply", "removal-"), ("as many threads as cores", "bench_apply_by_default", ""))
        for width in WIDTHS
    ),
    *(
        Bound(f"`Transfer.apply` after an addition, {width} ids", f"bench_transfer.py::bench_apply[addition-{width}]",
              COPY_FOR_TRANSFER, COPY, 3)
        for width in WIDTHS
    ),
    Bound("build 1,000 nodes × 160 points", "bench_build.py::bench_build_ring[1000]", SORT, SORTED, 20),
    Bound("add one node to 1,000, and compile the ring for columns", "bench_build.py::bench_settled_ring[1000-add]", SORT, SORTED, 1),
    Bound("remove one node of 1,000, and the same", "bench_build.py::bench_settled_ring[1000-remove]", SORT, SORTED, 1),
)  # fmt: skip

# What two threads do in times of one; copying has no bound: it tells what memory allows.
COPYING = "np.copyto"
THREAD_WORKS = (*THREAD_BOUNDS, COPYING)

ALL_BOUNDS = (*BOUNDS, *LEVEL_BOUNDS.values(), *THREAD_BOUNDS.values())
