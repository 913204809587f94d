"""The keys of a file for `ringward plan`, a batch at a time, and the rows of those that move."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import click
import numpy as np
import numpy.typing as npt

import ringward as rw
from ringward.cli.columnar import Columns, needed_pyarrow
from ringward.cli.inputs import TYPED_KINDS, Batch, Layout, Rows, kind_by_name, kind_of
from ringward.cli.output_file import delimited, output_file
from ringward.cli.sinks import record_sink
from ringward.cli.sources import ByteSource, InputError
from ringward.keys import Family
from ringward.texts import shown

__all__ = ["KeyBatch", "key_batches"]

_ADDED = ("from", "to")

Hashes: TypeAlias = npt.NDArray[np.uint64]
Indices: TypeAlias = npt.NDArray[np.int64]
Route: TypeAlias = tuple[str, str]


class KeyBatch(NamedTuple):
    """Hashes of some keys, and what writes the rows of those that move: it takes their indices and routes."""

    hashes: Hashes
    write: Callable[[Indices, Sequence[Route]], None]


def key_batches(
    source: ByteSource, layout: Layout, hash: Family, moved_file: str | None
) -> Generator[KeyBatch, None, None]:
    """The keys of a file; when the last batch was taken, the file of rows that move is complete."""
    kind = kind_of(source, layout)
    if moved_file is not None and kind_by_name(moved_file) in {"json", "other"}:
        raise click.UsageError(f"--moved must be CSV, TSV or lines, or Parquet or Arrow (was {moved_file})")
    if moved_file is not None and (kind in TYPED_KINDS) != (kind_by_name(moved_file) in TYPED_KINDS):
        raise click.UsageError(f"--moved must be of the same kind as {source.name}: text, or columns with types")
    if kind in TYPED_KINDS:
        yield from _of_columns(source, kind, layout, hash, moved_file)
    else:
        yield from _of_text(Rows(source, layout), source, hash, moved_file)


def _ignored(_indices: Indices, _routes: Sequence[Route]) -> None:
    """Nobody wants the rows."""


def _refuse_taken(source: ByteSource, columns: Sequence[str]) -> None:
    for name in _ADDED:
        if name in columns:
            raise InputError(source.name, f"there is a column {shown(name)} already, which --moved adds")


def _of_text(rows: Rows, source: ByteSource, hash: Family, moved_file: str | None) -> Iterator[KeyBatch]:
    with ExitStack() as stack:
        write = None
        if moved_file is not None:
            _refuse_taken(source, rows.columns or [])
            target = stack.enter_context(output_file(moved_file))
            if rows.columns is not None:
                target.write(delimited([[*rows.columns, *_ADDED]], rows.delimiter))

            def write(some: list[list[str]], indices: Indices, routes: Sequence[Route]) -> None:
                moved = [[*some[i], *route] for i, route in zip(indices.tolist(), routes, strict=True)]
                target.write(delimited(moved, rows.delimiter))

        for batch in rows.batches():
            some = _with_keys(batch)
            hashes = rw.hash_keys(some.keys, hash)
            yield KeyBatch(hashes, _ignored if write is None else partial(write, some.rows))


def _with_keys(batch: Batch) -> Batch:
    """The rows that have a key."""
    if not batch.missing:
        return batch
    left_out = set(batch.missing)
    kept = [i for i in range(len(batch.rows)) if i not in left_out]
    keys: Any = [batch.keys[i] for i in kept]
    return Batch([batch.rows[i] for i in kept], keys, [])


def _of_columns(
    source: ByteSource, kind: str, layout: Layout, hash: Family, moved_file: str | None
) -> Iterator[KeyBatch]:
    pa = needed_pyarrow(source.name)
    columns = Columns(source, kind, layout, key_only=moved_file is None)
    skip = layout.nulls == "skip"

    def hashed(batch: Any) -> tuple[Any, Hashes]:
        if skip and batch[columns.key].null_count:
            batch = batch.filter(batch[columns.key].is_valid())
        return batch, rw.hash_keys(batch[columns.key], hash)

    with ExitStack() as stack:
        write = None
        if moved_file is not None:
            _refuse_taken(source, columns.schema.names)
            schema = columns.schema
            for name in _ADDED:
                schema = schema.append(pa.field(name, pa.string()))
            target = stack.enter_context(output_file(moved_file))
            added = list(_ADDED)
            sink = stack.enter_context(record_sink(moved_file, target, schema, columns.key, added, as_json=False))

            def write(batch: Any, indices: Indices, routes: Sequence[Route]) -> None:
                moved = batch.take(pa.array(indices))
                for i, name in enumerate(_ADDED):
                    moved = moved.append_column(name, pa.array([route[i] for route in routes], pa.string()))
                sink.write(moved)

        for batch, hashes in columns.mapped(hashed, "; --nulls skip leaves such rows out"):
            yield KeyBatch(hashes, _ignored if write is None else partial(write, batch))
