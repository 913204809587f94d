"""What to do with objects that stand for keys and hold none yet, and with columns of types that are no keys."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["KIND_OF_COLUMN", "advice_for_key", "advice_for_type", "advice_on"]

KIND_OF_COLUMN = "a list, a tuple, a NumPy array or a column with Arrow's interface"
_TEXT = "a column of this {} has no rows before it runs: {}"
_MISSING = "missing keys are nulls of a column that has them, such as pyarrow.array(keys, from_pandas=True)"
_BATCHES = "give assign_batch(router, key)"  # to what runs it: docs/engines.md

# Library and class, or a method that only such classes have: what to do.
_QUERIES = {
    ("polars", "LazyFrame"): f"collect() it, or {_BATCHES} to its map_batches",
    ("polars", "Expr"): "give assign_batch(router) to its map_batches",
    ("duckdb", "DuckDBPyRelation"): "pass its to_arrow_table(), or a column of that",
    ("duckdb", "DuckDBPyConnection"): "pass its to_arrow_table(), or a column of that",
    ("pyarrow", "RecordBatchReader"): "read_all() of it, or pass one batch at a time",
    ("pyarrow", "Dataset"): "pass its to_table(), or one batch of its to_batches() at a time",
    ("pyarrow", "Scanner"): "pass its to_table(), or one batch of its to_batches() at a time",
    ("pyarrow", "ParquetFile"): "read() it, or pass one batch of its iter_batches() at a time",
    ("pyspark", "DataFrame"): f"{_BATCHES} to its mapInArrow",
    ("pyspark", "Column"): f"{_BATCHES} to the mapInArrow of its frame",
    ("ray", "Dataset"): f"{_BATCHES} to its map_batches",
    ("dask", "DataFrame"): f"{_BATCHES} to its map_partitions, or compute() it",
    ("dask", "Series"): "give assign_batch(router) to its map_partitions, or compute() it",
    ("dask", "Index"): "give assign_batch(router) to its map_partitions, or compute() it",
    ("dask", "Array"): "give assign_batch(router) to its map_blocks, or compute() it",
    ("", "collect"): "collect() it",
    ("", "compute"): "compute() it",
    ("", "to_pyarrow"): "pass its to_pyarrow()",
}


def advice_on(thing: object) -> str | None:
    """What to do with a query or a plan, whose rows are not there yet; None for anything else."""
    return _advice_on(type(thing))  # type: ignore[arg-type]


@lru_cache(maxsize=64)
def _advice_on(kind: type) -> str | None:
    for cls in kind.__mro__:
        library = cls.__module__.partition(".")[0].lstrip("_")
        advice = _QUERIES.get((library, cls.__name__))
        if advice is not None and library:
            return _TEXT.format(kind.__name__, advice)
    for (library, method), advice in _QUERIES.items():
        if not library and hasattr(kind, method) and not hasattr(kind, "__array__"):
            return _TEXT.format(kind.__name__, advice)
    return None


def advice_for_type(kind: str) -> str:
    """How columns of a type that is no key become keys."""
    if kind.startswith(("float", "halffloat", "double")):
        return (
            "where missing values made floats of integers, a type with nulls keeps them: astype('Int64') of pandas, say"
        )
    return "cast them to integers or text, in the same way wherever they are routed"


def advice_for_key(key: object) -> str:
    """What to do about an object among keys that stands for a missing one; empty for anything else."""
    missing = key is None or type(key).__name__ in {"NAType", "NaTType"} or (isinstance(key, float) and key != key)  # noqa: PLR0124
    return f"; {_MISSING}" if missing else ""
