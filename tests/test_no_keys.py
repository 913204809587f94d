"""What looks like keys and is none says what to do; what is a key is the same key however it comes out of a library."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import dask.array as da
import dask.dataframe as dd
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import ringward as rw
from ringward.advice import advice_on

UUIDS = [uuid.UUID(int=i * 7**40 % 2**128) for i in range(1, 6)]


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """Return a database of one table with a column of each type."""
    with duckdb.connect() as opened:
        opened.execute(
            "CREATE TABLE t (u UUID, t VARCHAR, b BLOB, i BIGINT, d DECIMAL(9, 2), day DATE, yes BOOLEAN, f DOUBLE)"
        )
        for i, each in enumerate(UUIDS):
            opened.execute(
                "INSERT INTO t VALUES (?, ?, ?, ?, 1.5, '2020-01-01', true, 1.5)", [each, f"x{i}", b"y%d" % i, i]
            )
        yield opened


def ways_out(connection: duckdb.DuckDBPyConnection, column: str) -> dict[str, Any]:
    """Return the column by each way that leads out of DuckDB."""
    relation = connection.sql(f"SELECT {column} FROM t ORDER BY i")  # noqa: S608 - a name from here
    return {
        "arrow": relation.to_arrow_table()[column],
        "polars": relation.pl()[column],
        "pandas": relation.df()[column],
        "numpy": relation.fetchnumpy()[column],
        "python": [row[0] for row in relation.fetchall()],
    }


# ---- what has no rows yet -------------------------------------------------------------------------------

QUERIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "Polars lazy": (lambda _: pl.LazyFrame({"u": ["a"]}), r"LazyFrame .*collect\(\) it, or .*map_batches"),
    "Polars expression": (lambda _: pl.col("u"), "Expr .*map_batches"),
    "DuckDB relation": (lambda c: c.sql("SELECT u FROM t"), r"DuckDBPyRelation .*to_arrow_table\(\)"),
    "DuckDB result": (lambda c: c.execute("SELECT u FROM t"), r"DuckDBPyConnection .*to_arrow_table\(\)"),
    "Dask frame": (lambda _: dd.from_pandas(pd.DataFrame({"u": ["a"]})), "DataFrame .*map_partitions"),
    "Dask series": (lambda _: dd.from_pandas(pd.Series(["a"])), "Series .*map_partitions"),
    "Dask array": (lambda _: da.arange(3), "Array .*map_blocks"),
    "Dask delayed": (lambda _: dd.from_pandas(pd.Series(["a"])).to_delayed()[0], r"compute\(\) it"),
    "Arrow reader": (lambda _: pa.table({"u": ["a"]}).to_reader(), r"read_all\(\)"),
    "Arrow dataset": (lambda _: ds.dataset(pa.table({"u": ["a"]})), r"to_table\(\)"),
    "Arrow scanner": (lambda _: ds.dataset(pa.table({"u": ["a"]})).scanner(), r"to_table\(\)"),
}


@pytest.mark.parametrize(("make", "message"), QUERIES.values(), ids=QUERIES)
def test_a_query_is_no_column_and_no_frame_and_says_what_to_do(
    connection: duckdb.DuckDBPyConnection, make: Callable[[Any], Any], message: str
) -> None:
    """`assign` and `hash_keys` of one, `assign_batch` with a column's name and without: all say the same, and read nothing."""
    ring, query = rw.HashRing(["a", "b"]), make(connection)
    for call in (
        ring.assign,
        lambda keys: ring.assign(keys, count=2),
        rw.hash_keys,
        rw.assign_batch(ring, "u"),
        rw.assign_batch(ring),
    ):
        with pytest.raises(rw.KeyTypeError, match=message):
            call(query)
    if isinstance(query, pa.RecordBatchReader):
        assert query.read_all().num_rows == 1


def test_classes_of_libraries_that_are_not_here_are_known_by_name() -> None:
    """Spark, Ray, Ibis: by module and class, or by a method that only queries have; what has rows is never one."""
    for module, name in (("pyspark.sql.dataframe", "DataFrame"), ("ray.data.dataset", "Dataset")):
        assert name in str(advice_on(type(name, (), {"__module__": module})()))
    for method in ("collect", "compute", "to_pyarrow"):
        assert f"{method}()" in str(advice_on(type("Query", (), {method: None})()))
    for here in (
        pd.DataFrame({"u": ["a"]}),
        pl.DataFrame({"u": ["a"]}),
        pa.table({"u": ["a"]}),
        pd.Series(["a"]),
        ["a"],
    ):
        assert advice_on(here) is None
    assert advice_on(type("Held", (), {"compute": None, "__array__": None})()) is None


@pytest.mark.parametrize(
    "column",
    [pd.Index(["a", "b"], name="u"), pd.array(["a", "b"]), pd.Categorical(["a", "b"])],
    ids=["index", "array", "categorical"],
)
@pytest.mark.parametrize("form", ["category", "string", "id"])
def test_all_columns_of_pandas_get_owners(column: Any, form: Any) -> None:
    """Those without an index once ended in an AttributeError."""
    ring = rw.HashRing(["a", "b"])
    made = rw.assign_batch(ring, form=form)(column)
    expected = [ring.route("a"), ring.route("b")]
    assert list(made) == (ring.assign(["a", "b"]).tolist() if form == "id" else expected)
    assert getattr(made, "name", "u") == "u"
    pairs = rw.assign_batch(ring, form=form, count=2)(column)
    assert [list(row) for row in pairs.to_numpy()] == (
        ring.assign(["a", "b"], count=2).tolist() if form == "id" else [ring.candidates(key, 2) for key in "ab"]
    )


def test_what_pandas_makes_of_a_frame_is_no_frame() -> None:
    """Groups and timestamps once ended in an AttributeError."""
    for wrong in (pd.DataFrame({"u": ["a"]}).groupby("u"), pd.Timestamp(0)):
        with pytest.raises(rw.KeyTypeError, match="keys must be a list"):
            rw.assign_batch(rw.HashRing(["a"]))(wrong)


# ---- types that are no keys -------------------------------------------------------------------------------

DAY, SUM = dt.date(2020, 1, 1), decimal.Decimal("1.5")
NO_KEYS: dict[str, Callable[[], Any]] = {
    "bool": lambda: [True],
    "bool, NumPy": lambda: np.array([True]),
    "bool, pandas": lambda: pd.Series([True, None], dtype="boolean"),
    "bool, categories": lambda: pd.Series([True], dtype="category"),
    "bool, Arrow": lambda: pa.array([True]),
    "bool, Arrow's extension": lambda: pa.array([True]).cast(pa.bool8()),
    "bool, Polars": lambda: pl.Series([True]),
    "date": lambda: [DAY],
    "date, NumPy": lambda: np.array([DAY], "M8[D]"),
    "date, pandas": lambda: pd.Series([DAY]),
    "date, categories": lambda: pd.Series(pd.Categorical([DAY])),
    "date, Arrow": lambda: pa.array([DAY]),
    "date, Polars": lambda: pl.Series([DAY]),
    "period": lambda: pd.Series(pd.period_range("2020", periods=1, freq="D")),
    "decimal": lambda: [SUM],
    "decimal, Arrow": lambda: pa.array([SUM]),
    "decimal, pandas": lambda: pd.Series([SUM], dtype=pd.ArrowDtype(pa.decimal128(9, 2))),
    "decimal, Polars": lambda: pl.Series([SUM]),
    "float, categories": lambda: pd.Series([1.5], dtype="category"),
    "rows of bytes without a type": lambda: np.zeros(2, "V16"),
    "objects of Polars": lambda: pl.Series([SUM, DAY], dtype=pl.Object),
}


@pytest.mark.parametrize("make", NO_KEYS.values(), ids=NO_KEYS)
def test_no_way_of_holding_a_type_that_is_no_key_makes_it_one(make: Callable[[], Any]) -> None:
    """Bools, dates and decimals are refused by every library and container, never read as what they are stored as."""
    for call in (rw.HashRing(["a", "b"]).assign, rw.hash_keys):
        with pytest.raises(rw.KeyTypeError):
            call(make())


def test_a_column_of_duckdb_is_refused_by_every_way_out(connection: duckdb.DuckDBPyConnection) -> None:
    """None of them is read as something else."""
    for lossless in (False, True):
        connection.execute(f"SET arrow_lossless_conversion = {lossless}")
        for name in ("d", "day", "yes", "f"):
            for column in ways_out(connection, name).values():
                with pytest.raises(rw.KeyTypeError):
                    rw.hash_keys(column)


@pytest.mark.parametrize(
    "floats",
    [
        np.array([1.0, np.nan]),
        pd.Series([1, None]),
        pd.Series([1, None], dtype="Float64"),
        pd.Series([1.0, None], dtype="float64[pyarrow]"),
        pl.Series([1.0, None]),
        pa.array([1.0, None]),
        np.zeros(2, np.float16),
    ],
    ids=["numpy", "pandas", "Float64", "pyarrow in pandas", "polars", "pyarrow", "float16"],
)
def test_floats_that_were_integers_point_to_a_type_that_knows_missing_ones(floats: Any) -> None:
    """With `Int64`, the numbers are the keys they were."""
    with pytest.raises(rw.KeyTypeError, match=r"float(16|64).*astype\('Int64'\)"):
        rw.hash_keys(floats)
    ring = rw.HashRing(["a", "b"])
    column = pd.Series([1, None]).astype("Int64")
    assert ring.owner_names(ring.assign(column, nulls="skip")).tolist() == [ring.route(1), None]


@pytest.mark.parametrize("column", [pa.array([DAY]), np.array([DAY], "M8[D]"), pl.Series([SUM]), np.array([True])])
def test_other_types_say_that_a_cast_makes_keys_of_them(column: Any) -> None:
    """In one way everywhere, since text and integers are different keys."""
    with pytest.raises(rw.KeyTypeError, match="cast them to integers or text, in the same way"):
        rw.hash_keys(column)


# ---- one key, whichever way it comes ------------------------------------------------------------------------


def test_a_uuid_is_its_bytes_in_every_library() -> None:
    """Objects of Polars were once hashed by their addresses in memory: another owner in every process."""
    expected = rw.hash_keys([each.bytes for each in UUIDS]).tolist()
    arrow = pa.array([each.bytes for each in UUIDS], pa.uuid())
    for column in (
        UUIDS,
        np.array(UUIDS, object),
        pd.Series(UUIDS),
        pd.Series(pd.Categorical(UUIDS)),
        pd.Series(arrow, dtype=pd.ArrowDtype(pa.uuid())),
        pl.Series(UUIDS),
        pl.Series(UUIDS, dtype=pl.Object),
        pl.Series([each.bytes for each in UUIDS]),
        arrow,
        pa.chunked_array([arrow[:2], arrow[2:]]),
        arrow.storage,
        arrow.storage.dictionary_encode(),
    ):
        assert rw.hash_keys(column).tolist() == expected


def test_objects_of_polars_are_the_objects() -> None:
    """Mixed keys as in a list; None is no key."""
    keys = ["a", b"b", 3, UUIDS[0]]
    assert rw.hash_keys(pl.Series(keys, dtype=pl.Object)).tolist() == rw.hash_keys(keys).tolist()
    with pytest.raises(rw.KeyTypeError, match=r"keys\[1\]"):
        rw.hash_keys(pl.Series(["a", None], dtype=pl.Object))


def test_a_column_of_duckdb_is_one_key_by_every_way_out(connection: duckdb.DuckDBPyConnection) -> None:
    """Text, blobs and integers always; UUIDs once its Arrow data keep them: by default they are text there, another key."""
    for name, keys in (
        ("t", [f"x{i}" for i in range(5)]),
        ("b", [b"y%d" % i for i in range(5)]),
        ("i", list(range(5))),
    ):
        for column in ways_out(connection, name).values():
            assert rw.hash_keys(column).tolist() == rw.hash_keys(keys).tolist()
    as_bytes, as_text = rw.hash_keys(UUIDS).tolist(), rw.hash_keys([str(each) for each in UUIDS]).tolist()
    found = {way: rw.hash_keys(column).tolist() for way, column in ways_out(connection, "u").items()}
    assert [way for way, hashes in found.items() if hashes == as_text] == ["arrow", "polars"]
    assert [way for way, hashes in found.items() if hashes == as_bytes] == ["pandas", "numpy", "python"]
    connection.execute("SET arrow_lossless_conversion = true")
    assert all(rw.hash_keys(column).tolist() == as_bytes for column in ways_out(connection, "u").values())
    cast = connection.sql("SELECT u::VARCHAR AS u FROM t ORDER BY i")
    assert rw.hash_keys(cast.to_arrow_table()["u"]).tolist() == rw.hash_keys(cast.df()["u"]).tolist() == as_text
