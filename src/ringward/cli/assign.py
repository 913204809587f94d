"""`ringward assign`: a column of owners for a file of any length."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import click
import numpy as np

import ringward as rw
from ringward.cli.inputs import Batch, ByteSource, InputError, Layout, Rows, byte_source
from ringward.cli.options import key_options, membership_options

__all__ = ["assign"]


@click.command()
@click.argument("file")
@key_options
@membership_options
@click.option("--count", type=click.IntRange(1), help="Candidates in failover order: owner_1 is the owner.")
@click.option(
    "--owner-column", default="owner", show_default=True, metavar="NAME", help="What the new column is called."
)
@click.option("--output", metavar="FILE", help="Write there, not to stdout; packed if it ends in .gz.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines.")
def assign(
    *,
    router: rw.Router,
    layout: Layout,
    file: str,
    count: int | None,
    owner_column: str,
    output: str | None,
    as_json: bool,
) -> None:
    """Write the rows of FILE with their keys' owners added.

    FILE is CSV or TSV with --key, else lines that are keys as a whole; it may be packed by gzip,
    and - is stdin. Rows are read and written in batches, so a file of any length will do.
    """
    with byte_source(file) as source:
        rows = Rows(source, layout)
        added = [owner_column] if count is None else [f"{owner_column}_{i + 1}" for i in range(count)]
        for column in added:
            if column in (rows.columns or ()):
                raise InputError(source.name, f"there is a column {column!r} already: choose another --owner-column")
        if as_json and len(set(rows.columns or ())) < len(rows.columns or ()):
            raise InputError(source.name, f"two columns of one name: {', '.join(rows.columns or ())}")
        encode = _json_lines if as_json else _table_rows
        with _written(output) as target, _progress(source, quiet=output is None and sys.stdout.isatty()) as advance:
            if rows.columns is not None and not as_json:
                target.write(_delimited([[*rows.columns, *added]], rows.delimiter))
            for batch in rows.batches():
                ids = router.assign(batch.keys, count=count)
                target.write(encode(rows, batch, _names(router, ids)))
                advance(len(batch.rows))


def _names(router: rw.Router, ids: np.ndarray[Any, Any]) -> list[list[str]]:
    """The names in the new columns, shape (n, 1 or count); empty where live nodes ran out."""
    names = np.append(router.names, "")[np.minimum(ids, len(router.names))]
    return cast("list[list[str]]", names.reshape(len(ids), -1).tolist())


def _delimited(rows: list[list[str]], delimiter: str | None) -> bytes:
    if delimiter is None:  # lines are written as they came, so there is no quoting to undo
        return "".join("\t".join(row) + "\n" for row in rows).encode()
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _table_rows(rows: Rows, batch: Batch, names: list[list[str]]) -> bytes:
    return _delimited([row + added for row, added in zip(batch.rows, names, strict=True)], rows.delimiter)


def _json_lines(rows: Rows, batch: Batch, names: list[list[str]]) -> bytes:
    lines = []
    for row, key, candidates in zip(batch.rows, batch.keys, names, strict=True):
        record: dict[str, Any] = {
            "key": key,
            "owner": candidates[0],
            "candidates": [name for name in candidates if name],
        }
        if rows.delimiter is not None:
            record["row"] = dict(zip(rows.columns, row, strict=True)) if rows.columns is not None else row
        lines.append(json.dumps(record) + "\n")
    return "".join(lines).encode()


def _opened(path: str, partial: Path) -> IO[bytes]:
    try:
        return partial.open("wb")
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from error


@contextmanager
def _written(path: str | None) -> Iterator[IO[bytes]]:
    """Stdout, or a file that takes its place once all is written: an error leaves no half of one."""
    if path is None:
        target = sys.stdout.buffer
        yield target
        target.flush()
        return
    final = Path(path).resolve()
    special = final.exists() and not final.is_file()  # a pipe or a device is written to as it is
    partial = final if special else final.with_name(f".{final.name}.{os.getpid()}.part")
    try:
        with _opened(path, partial) as raw:
            if final.suffix == ".gz":
                with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
                    yield cast("IO[bytes]", packed)
            else:
                yield raw
        if not special:
            partial.replace(final)
    finally:
        if not special:
            partial.unlink(missing_ok=True)


@contextmanager
def _progress(source: ByteSource, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on stderr where that is a terminal, and rows on the same terminal would not tear it."""
    if quiet or not sys.stderr.isatty():
        yield lambda _rows: None
        return
    from rich.console import Console  # noqa: PLC0415 - only where it is shown
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    done = 0
    columns = (TextColumn("{task.fields[rows]:,} rows"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("assign", total=source.size_bytes, rows=0)

        def advance(rows: int) -> None:
            nonlocal done
            done += rows
            consumed = source.raw.tell() if source.size_bytes is not None else None
            progress.update(task, completed=consumed, rows=done)

        yield advance
