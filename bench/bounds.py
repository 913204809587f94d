"""What the project promises about its speed: each piece of work, its reference, and the ratio it may reach.

A name is `file::benchmark[parameters]`. Work and reference are compared a key (or a call) of each.
"""

from __future__ import annotations

from dataclasses import dataclass

DICT = "bench_route.py::bench_dict[{}]"
COPY = "np.copyto"
SORT = "np.sort of 160,000 uint64"


@dataclass(frozen=True, slots=True)
class Bound:
    """One row: `benchmark` takes at most `at_most` times what `reference` takes."""

    work: str
    benchmark: str
    reference: str
    unit: str
    at_most: float


HOT, DISTINCT = "hot dict lookup", "dict lookup"
REFERENCES = {
    "one key, hot": DICT.format("hot"),
    "one key, distinct": DICT.format("distinct"),
    "assign": "bench_assign.py::bench_copyto_ring",
    "assign_hashes": "bench_assign.py::bench_copyto_ring_hashes",
    "partitions": "bench_assign.py::bench_copyto_partitions_hashes",
    "texts": "bench_strings.py::bench_copyto",
    "transfer": "bench_transfer.py::bench_copyto",
    "build": "bench_build.py::bench_sort",
}

BOUNDS = (
    Bound("`ring[key]`, 1,000 hot keys", "bench_route.py::bench_subscript[1000-hot]", "one key, hot", HOT, 1.3),
    Bound(
        "`ring[key]`, 1,000,000 distinct keys",
        "bench_route.py::bench_subscript[1000-distinct]",
        "one key, distinct",
        DISTINCT,
        0.25,
    ),
    Bound("`ring.route(key)`, 1,000 hot keys", "bench_route.py::bench_route[1000-hot]", "one key, hot", HOT, 2),
    *(
        Bound(f"`assign` of uint64, XXH3 included, {width} out", f"bench_assign.py::bench_assign_ring[1000-{width}]",
              "assign", COPY, 8)
        for width in ("uint16", "uint32")
    ),
    *(
        Bound(f"`assign_hashes`, ring, {width} out", f"bench_assign.py::bench_hashes_ring[1000-{width}]",
              "assign_hashes", COPY, 4)
        for width in ("uint16", "uint32")
    ),
    *(
        Bound(f"`assign_hashes`, partition table of 2^16, {width} out",
              f"bench_assign.py::bench_hashes_partitions[16-{width}]", "partitions", COPY, 1.5)
        for width in ("uint16", "uint32")
    ),
    Bound("`assign` of a list of 16-character str", "bench_strings.py::bench_list", "texts", COPY, 25),
    *(
        Bound(f"`Transfer.apply` after a removal, {width} ids", f"bench_transfer.py::bench_apply[removal-{width}]",
              "transfer", COPY, 0.3)
        for width in ("uint16", "uint32")
    ),
    *(
        Bound(f"`Transfer.apply` after an addition, {width} ids", f"bench_transfer.py::bench_apply[addition-{width}]",
              "transfer", COPY, 3)
        for width in ("uint16", "uint32")
    ),
    Bound("build 1,000 nodes × 160 points", "bench_build.py::bench_build_ring[1000]", "build", SORT, 20),
    Bound("add one node to 1,000", "bench_build.py::bench_change_ring[1000-add]", "build", SORT, 1),
    Bound("remove one node of 1,000", "bench_build.py::bench_change_ring[1000-remove]", "build", SORT, 1),
)  # fmt: skip
