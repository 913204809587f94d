"""`assign_batch` inside of the engines it is for, against what the router itself gives."""

import os
from collections.abc import Iterator

import dask
import dask.array as da
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from distributed import Client, LocalCluster, get_worker

import ringward as rw

NAMES = [f"node{i}" for i in range(7)]
KEYS = [f"event{i}" for i in range(10_000)]


@pytest.fixture(scope="module")
def ring():
    """Return a ring whose secret hash has to travel with it."""
    ring = rw.HashRing(NAMES, hash=rw.SipHash(b"0123456789abcdef"))
    ring.mark_down("node3")
    return ring


@pytest.fixture(scope="module")
def expected(ring):
    """Return the owner of each key, by single lookups."""
    return [ring.route(key) for key in KEYS]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Start two worker processes that listen on the loopback alone."""
    options = {"threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1"}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "10s"}),
        LocalCluster(n_workers=2, processes=True, **options) as workers,
        Client(workers, timeout=10) as client,
    ):
        yield client


def seen_by(owners):
    """Return a function that also says which process it ran in."""

    def assigned(frame):
        return owners(frame).assign(process=os.getpid(), worker=get_worker().name)

    return assigned


def test_dask_frames_are_assigned_by_two_processes(cluster, ring, expected):
    """Partitions keep their order and index; every owner is that of one lookup here."""
    frame = dd.from_pandas(pd.DataFrame({"tail": KEYS}), npartitions=8)
    owners = rw.assign_batch(ring, "tail")
    done = frame.map_partitions(owners, meta=owners(frame._meta)).compute()
    assert done["owner"].tolist() == expected
    assert done["owner"].dtype == pd.CategoricalDtype(NAMES)
    where = frame.map_partitions(
        seen_by(owners), meta=owners(frame._meta).assign(process=np.int64(0), worker=np.int64(0))
    ).compute()
    assert where["owner"].tolist() == expected
    assert set(where["worker"]) == {0, 1}
    assert os.getpid() not in set(where["process"])


def test_dask_series_are_assigned_without_saying_what_comes_out(cluster, ring, expected):
    """Dask tries the function on a few keys with one missing among them, so these must be allowed."""
    series = dd.from_pandas(pd.Series(KEYS), npartitions=4)
    assert series.map_partitions(rw.assign_batch(ring, nulls="skip")).compute().tolist() == expected


def test_dask_arrays_are_assigned_by_blocks(cluster, ring):
    """Ids of one dimension, candidates of two."""
    keys = da.arange(40_000, chunks=7_000)
    ids = keys.map_blocks(rw.assign_batch(ring, form="id"), dtype=np.uint32)
    assert (ids.compute() == ring.assign(np.arange(40_000))).all()
    rows = keys.map_blocks(
        rw.assign_batch(ring, form="id", count=3), dtype=np.uint32, new_axis=1, chunks=(keys.chunks[0], 3)
    )
    assert (rows.compute() == ring.assign(np.arange(40_000), count=3)).all()


def test_dask_names_equal_work_equally(ring):
    """Two functions of one state have one token, so that results can be shared; another epoch has another."""
    ring = ring.copy()
    before = dask.base.tokenize(rw.assign_batch(ring, "tail"))
    assert dask.base.tokenize(rw.assign_batch(ring, "tail")) == before
    assert dask.base.tokenize(rw.assign_batch(ring, "tail", count=2)) != before
    ring.mark_up("node3")
    assert dask.base.tokenize(rw.assign_batch(ring, "tail")) != before


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_polars_lazy_frames_are_assigned(ring, expected, engine):
    """By the column or by the frame, in both of its engines."""
    frame = pl.LazyFrame({"tail": KEYS})
    owner = pl.col("tail").map_batches(rw.assign_batch(ring), return_dtype=pl.Categorical, is_elementwise=True)
    assert frame.select(owner.alias("owner")).collect(engine=engine)["owner"].to_list() == expected
    owners = rw.assign_batch(ring, "tail")
    schema = frame.collect_schema() | {"owner": pl.Categorical()}
    done = frame.map_batches(owners, schema=schema, streamable=True).collect(engine=engine)
    assert dict(done.iter_rows()) == dict(zip(KEYS, expected, strict=True))


def test_duckdb_calls_it_as_a_function(ring, expected):
    """Names as dictionaries, candidates as a list; a missing key is missing in both."""
    table = pa.table({"tail": [*KEYS, None]})
    with duckdb.connect() as connection:
        connection.register("events", table)
        connection.create_function("owner_of", rw.assign_batch(ring), ["VARCHAR"], "VARCHAR", type="arrow")
        connection.create_function(
            "candidates_of", rw.assign_batch(ring, count=2), ["VARCHAR"], "VARCHAR[2]", type="arrow"
        )
        done = connection.sql("select tail, owner_of(tail), candidates_of(tail) from events").fetchall()
    assert dict(row[:2] for row in done) == {**dict(zip(KEYS, expected, strict=True)), None: None}
    assert {row[0]: row[2] and list(row[2]) for row in done} == {
        None: None,
        **{key: ring.candidates(key, 2) for key in KEYS},
    }


def test_what_spark_and_ray_call_is_an_iterator_of_batches_and_a_dict(ring, expected):
    """`mapInArrow` hands record batches and wants plain strings; Ray hands dicts of arrays."""
    batches = pa.table({"tail": KEYS}).to_batches(max_chunksize=3_000)
    done = pa.Table.from_batches(list(map(rw.assign_batch(ring, "tail", form="string"), iter(batches))))
    assert done.schema == pa.schema({"tail": pa.string(), "owner": pa.string()})
    assert done["owner"].to_pylist() == expected
    assert rw.assign_batch(ring, "tail")({"tail": np.array(KEYS)})["owner"].tolist() == expected
