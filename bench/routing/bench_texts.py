"""Columns of 16-character texts to node ids, by container; the unit is copying as many 8-byte keys."""

from __future__ import annotations

import numpy as np
import pytest
from harness.catalogue import works_of
from harness.declare import Ratio

from routing.tables import COPY, beside, bounds, columns, sizes
from routing.workload import (
    CONTAINERS,
    CONTAINERS_SWEPT,
    KEY_COUNTS,
    KEYS_TEXT,
    NODE_COUNTS,
    NODES,
    ONE_THREAD,
    copy_reference,
    hash_ring,
    integers,
    measure,
)

TEXT_COUNTS = [count for count in KEY_COUNTS if count <= KEYS_TEXT]


def assign(benchmark, container, nodes=NODES, count=KEYS_TEXT):
    keys, out = CONTAINERS[container](count), np.zeros(count, np.uint32)
    measure(benchmark, hash_ring(nodes).assign, keys, count=count, out=out, **ONE_THREAD)


@pytest.mark.benchmark(group="texts")
def bench_copyto(benchmark):
    copy_reference(benchmark, integers())


@pytest.mark.benchmark(group="texts")
@pytest.mark.parametrize("container", CONTAINERS)
def bench_container(benchmark, container):
    """The list's objects lie in the order in which they were allocated, as a reader of a file makes them."""
    assign(benchmark, container)


@pytest.mark.benchmark(group="texts, by nodes")
def bench_copyto_by_nodes(benchmark):
    copy_reference(benchmark, integers())


@pytest.mark.benchmark(group="texts, by nodes")
@pytest.mark.parametrize("nodes", NODE_COUNTS)
@pytest.mark.parametrize("container", CONTAINERS_SWEPT)
def bench_by_nodes(benchmark, container, nodes):
    assign(benchmark, container, nodes=nodes)


@pytest.mark.benchmark(group="texts, by keys")
@pytest.mark.parametrize("count", TEXT_COUNTS)
def bench_copyto_by_keys(benchmark, count):
    copy_reference(benchmark, integers(count))


@pytest.mark.benchmark(group="texts, by keys")
@pytest.mark.parametrize("count", TEXT_COUNTS)
@pytest.mark.parametrize("container", CONTAINERS_SWEPT)
def bench_by_keys(benchmark, container, count):
    assign(benchmark, container, count=count)


work = works_of(__file__)
COPY_KEYS = work("bench_copyto")
TOLD = {
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
TABLES = [
    bounds((
        "`assign` of a list of 16-character str", COPY, Ratio(work("bench_container", "list"), COPY_KEYS, at_most=25),
    )),
    columns(*(
        (f"`assign`, {container}", work("bench_by_nodes", f"{container}-{{}}"), work("bench_copyto_by_nodes"))
        for container in CONTAINERS_SWEPT
    )),
    sizes(*((f"`assign`, {container}", work("bench_by_keys", f"{container}-{{}}")) for container in CONTAINERS_SWEPT)),
    beside(
        "texts", ("16-character keys, 1,000 nodes", "× np.copyto"), COPY_KEYS,
        *((told, work("bench_container", container)) for container, told in TOLD.items()),
    ),
]  # fmt: skip
