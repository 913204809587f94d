"""What a change costs those who keep a column of owners: `apply` and `moved` on 10,000,000 keys."""

from __future__ import annotations

import numpy as np
import pytest
from harness.catalogue import works_of
from harness.declare import Ratio
from harness.machine import all_cores

from routing.tables import COPY, beside, bounds, columns
from routing.workload import KEYS_BULK, NODE_COUNTS, NODES, ONE_THREAD, copy_reference, hash_ring, hashes, integers

pytestmark = pytest.mark.benchmark(group="transfer")
ROUNDS = 15
CHANGES = {
    "removal": lambda ring: ring.remove("node5"),
    "addition": lambda ring: ring.add("node-new"),
    "mark_down": lambda ring: ring.mark_down("node5"),
}


def bench_copyto(benchmark):
    copy_reference(benchmark, hashes())


def apply(benchmark, change, width, nodes, threads=ONE_THREAD):
    """Before each round, outside the time, what moved is restored and the column leaves the caches."""
    ring = hash_ring(nodes).copy()
    owners = ring.assign_hashes(hashes(), out=np.zeros(KEYS_BULK, width))
    transfer = CHANGES[change](ring)
    ids = owners.copy()
    moved = transfer.apply(ids, hashes(), **ONE_THREAD)  # finds the arcs, once a transfer: bench_build.py times that
    assert (ids == ring.assign_hashes(hashes(), **ONE_THREAD)).all()

    def restore():
        ids[moved] = owners[moved]
        integers().max()
        return (ids, hashes()), threads

    benchmark.extra_info["count"] = KEYS_BULK
    benchmark.pedantic(transfer.apply, setup=restore, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.parametrize("width", ["uint16", "uint32"])
@pytest.mark.parametrize("change", CHANGES)
def bench_apply(benchmark, change, width):
    apply(benchmark, change, width, NODES)


@pytest.mark.parametrize("width", ["uint16", "uint32"])
def bench_apply_by_default(benchmark, width):
    """A plain `transfer.apply(ids, hashes)`: in as many threads as there are cores."""
    with all_cores():
        apply(benchmark, "removal", width, NODES, threads={})


@pytest.mark.parametrize("nodes", NODE_COUNTS)
@pytest.mark.parametrize("change", CHANGES)
def bench_by_nodes(benchmark, change, nodes):
    apply(benchmark, change, "uint16", nodes)


@pytest.mark.parametrize("width", ["uint16", "uint32"])
def bench_read(benchmark, width):
    """Reading the ids and no more: what memory asks of any scan."""
    ids = hash_ring().assign_hashes(hashes(), out=np.zeros(KEYS_BULK, width))
    benchmark.extra_info["count"] = KEYS_BULK
    benchmark.pedantic(ids.max, setup=lambda: integers().max() and None, rounds=ROUNDS, warmup_rounds=1)


@pytest.mark.parametrize("change", CHANGES)
def bench_moved(benchmark, change):
    transfer = CHANGES[change](hash_ring().copy())
    transfer.moved(hashes())
    benchmark.extra_info["count"] = KEYS_BULK
    benchmark.pedantic(transfer.moved, args=(hashes(),), kwargs=ONE_THREAD, rounds=ROUNDS)


work = works_of(__file__)
COPY_HASHES, WIDTHS = work("bench_copyto"), ("uint16", "uint32")
TABLES = [
    bounds(
        *(
            (f"`Transfer.apply` after a removal, {width} ids, {threads}", COPY,
             Ratio(work(name, f"{parameters}{width}"), COPY_HASHES, at_most=0.3))
            for threads, name, parameters in (
                ("one thread", "bench_apply", "removal-"), ("as many threads as cores", "bench_apply_by_default", ""))
            for width in WIDTHS
        ),
        *(
            (f"`Transfer.apply` after an addition, {width} ids", COPY,
             Ratio(work("bench_apply", f"addition-{width}"), COPY_HASHES, at_most=3))
            for width in WIDTHS
        ),
    ),
    columns(*(
        (f"`apply` after {change}, uint16 ids", work("bench_by_nodes", f"{change}-{{}}"), COPY_HASHES)
        for change in ("removal", "addition")
    )),
    beside(
        "transfers", ("10,000,000 keys, 1 of 1,000 nodes", "× np.copyto"), COPY_HASHES,
        *(
            (f"`{call}` after {change}, {told}", work(f"bench_{call}", f"{change}{suffix}"))
            for change in ("removal", "addition", "mark_down")
            for call, told, suffix in (
                ("apply", "uint16 ids", "-uint16"), ("apply", "uint32 ids", "-uint32"), ("moved", "hashes alone", ""))
        ),
        *(
            (f"`apply` after removal, {width} ids, as many threads as cores", work("bench_apply_by_default", width))
            for width in WIDTHS
        ),
        *((f"reading the ids once, `ids.max()`, {width}", work("bench_read", width)) for width in WIDTHS),
    ),
]  # fmt: skip
