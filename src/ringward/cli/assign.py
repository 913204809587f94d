"""`ringward assign`: a column of owners for a file of any length."""

from __future__ import annotations

import json
import sys
from typing import Any, cast

import click
import numpy as np

import ringward as rw
from ringward.batch import BatchAssigner
from ringward.cli.columnar import Columns, RecordRows, TextColumns, needed_pyarrow
from ringward.cli.inputs import TYPED_KINDS, Batch, Layout, Rows, kind_by_name
from ringward.cli.options import key_options, membership_options
from ringward.cli.progress import progress
from ringward.cli.sinks import record_sink
from ringward.cli.sources import PACKERS, ByteSource, InputError, byte_source
from ringward.cli.written import delimited, written

__all__ = ["assign"]


@click.command()
@click.argument("file")
@key_options
@membership_options
@click.option("--count", type=click.IntRange(1), help="Candidates in failover order: owner_1 is the owner.")
@click.option(
    "--owner-column", default="owner", show_default=True, metavar="NAME", help="What the new column is called."
)
@click.option(
    "--nulls", type=click.Choice(["raise", "skip"]), help="Parquet, Arrow: refuse rows without a key, or leave them."
)
@click.option("--output", metavar="FILE", help="Write there, not to stdout, in the format of its ending.")
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines.")
def assign(
    *,
    router: rw.Router,
    layout: Layout,
    file: str,
    count: int | None,
    owner_column: str,
    nulls: str | None,
    output: str | None,
    as_json: bool,
) -> None:
    """Write the rows of FILE with their keys' owners added.

    FILE is CSV, TSV, Parquet or Arrow IPC with --key, with --binary integers and nothing else, else lines
    that are keys as a whole. Text may be packed by gzip or xz, and - is stdin. Rows are read and
    written in batches, so a file of any length will do.

    FILE and --output are Parquet by the ending .parquet, Arrow IPC by .arrow, .arrows (a stream), .feather or
    .ipc, else text.
    """
    _check_output(output, as_json=as_json)
    # The batches are small beside what a second thread would cost; pyarrow decodes columns in threads of its own.
    assigner = rw.assign_batch(router, owner=owner_column, count=count, nulls=cast("Any", nulls or "raise"))
    with byte_source(file) as source:
        if layout.kind(source.name) in TYPED_KINDS:
            _assign_records(Columns(source, layout), assigner, source, output, as_json=as_json)
            return
        if nulls is not None:
            raise click.UsageError(f"--nulls is for Parquet and Arrow: {source.name} is text, where no key is missing")
        rows = Rows(source, layout)
        if kind_by_name(output or "") in TYPED_KINDS:
            _assign_records(TextColumns(rows, layout), assigner, source, output, as_json=as_json)
        else:
            _assign_text(rows, assigner, source, output, as_json=as_json)


def _check_output(output: str | None, *, as_json: bool) -> None:
    if output is None or kind_by_name(output) not in TYPED_KINDS:
        return
    if as_json:
        raise click.UsageError(f"--json is text, and {output} is not")
    if output.lower().endswith(PACKERS):
        raise click.UsageError(f"Parquet and Arrow files are packed inside, never as a whole (was {output})")
    needed_pyarrow(output)


def _check_names(source: ByteSource, columns: list[str], added: list[str], *, unique: bool) -> None:
    for column in added:
        if column in columns:
            raise InputError(source.name, f"there is a column {column!r} already: choose another --owner-column")
    if unique and len(set(columns)) < len(columns):
        raise InputError(source.name, f"two columns of one name: {', '.join(columns)}")


def _assign_records(
    rows: RecordRows, assigner: BatchAssigner, source: ByteSource, output: str | None, *, as_json: bool
) -> None:
    added = assigner.added
    _check_names(source, rows.schema.names, added, unique=True)
    schema = assigner.joined(rows.schema.empty_table(), assigner.ids([])).schema
    with (
        written(output) as target,
        record_sink(output, target, schema, rows.key, added, as_json=as_json) as sink,
        progress(source, rows.rows_total, quiet=_on_terminal(output)) as advance,
    ):
        for batch in rows.assigned(assigner):
            sink.write(batch)
            advance(batch.num_rows)


def _assign_text(rows: Rows, assigner: BatchAssigner, source: ByteSource, output: str | None, *, as_json: bool) -> None:
    _check_names(source, rows.columns or [], assigner.added, unique=as_json)
    encode = _json_lines if as_json else _table_rows
    with written(output) as target, progress(source, None, quiet=_on_terminal(output)) as advance:
        if rows.columns is not None and not as_json:
            target.write(delimited([[*rows.columns, *assigner.added]], rows.delimiter))
        for batch in rows.batches():
            target.write(encode(rows, batch, _names(assigner, batch)))
            advance(len(batch.rows))


def _names(assigner: BatchAssigner, batch: Batch) -> list[list[str]]:
    """The names in the new columns, shape (n, 1 or count); empty where live nodes ran out."""
    ids = assigner.ids(batch.keys)
    names = np.append(assigner.snapshot.names, "")[np.minimum(ids, len(assigner.snapshot.names))]
    return cast("list[list[str]]", names.reshape(len(ids), -1).tolist())


def _table_rows(rows: Rows, batch: Batch, names: list[list[str]]) -> bytes:
    for row, added in zip(batch.rows, names, strict=True):
        row.extend(added)
    return delimited(batch.rows, rows.delimiter)


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


def _on_terminal(output: str | None) -> bool:
    return output is None and sys.stdout.isatty()
