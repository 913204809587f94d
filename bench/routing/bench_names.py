"""From node ids to names: `owner_names` beside what NumPy and pyarrow make of the same ids and names by themselves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from harness.catalogue import works_of
from harness.declare import Ratio, Row, Table

from routing.tables import DOCUMENT
from routing.workload import ONE_THREAD, hash_ring, hashes, measure

pytestmark = pytest.mark.benchmark(group="owner_names")
KEYS = 5_000_000
LIBRARIES = ("numpy", "pandas", "polars", "pyarrow")


def owners():
    return hash_ring().assign_hashes(hashes()[:KEYS], **ONE_THREAD)


def bench_take(benchmark):
    """`np.take`: an array of objects."""
    names = np.array(hash_ring().names.tolist(), object)
    measure(benchmark, names.take, owners(), count=KEYS)


def categorical(ids, names):
    return pa.DictionaryArray.from_arrays(pa.array(ids.view(np.int32)), names)


def bench_categorical(benchmark):
    """pyarrow: indices and names, where no id is missing."""
    measure(benchmark, categorical, owners(), pa.array(hash_ring().names.tolist(), pa.string()), count=KEYS)


@pytest.mark.parametrize("library", LIBRARIES)
def bench_owner_names(benchmark, library):
    names = measure(benchmark, hash_ring().owner_names, owners(), library, count=KEYS)
    assert len(names) == KEYS


work = works_of(__file__)
TAKE, CATEGORICAL = "`np.take` of the names", "pyarrow's `DictionaryArray.from_arrays`"
TABLES = [
    Table(DOCUMENT, "names", ("5,000,000 ids, 1,000 names", "reference", "ratio"), [
        Row("`owner_names(ids)`, an array of objects", TAKE, Ratio(work("bench_owner_names", "numpy"), work("bench_take"))),
        *(
            Row(f'`owner_names(ids, "{name}")`, categories', CATEGORICAL,
                Ratio(work("bench_owner_names", name), work("bench_categorical")))
            for name in ("pyarrow", "pandas", "polars")
        ),
    ]),
]  # fmt: skip
