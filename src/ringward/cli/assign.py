"""`ringward assign`: a column of owners for a file of any length."""

from __future__ import annotations

import json
import sys
from typing import Any, Literal, cast

import click
import numpy as np

import ringward as rw
from ringward.cli.columnar import LINE, Columns, RecordRows, TextColumns, batch_ids, needed_pyarrow
from ringward.cli.helping import examples
from ringward.cli.inputs import TYPED_KINDS, Batch, Layout, Rows, kind_by_name, kind_of
from ringward.cli.options import key_options, membership_options
from ringward.cli.output_file import STDOUT, delimited, output_file
from ringward.cli.progress import progress
from ringward.cli.sinks import record_sink
from ringward.cli.sources import PACKERS, ByteSource, InputError, byte_source, listed
from ringward.engines.assign_batch import BatchAssigner
from ringward.texts import shown

__all__ = ["assign"]

_OTHER_PACKERS = (".bz2", ".zst", ".zip", ".lz4", ".7z")


@click.command(
    epilog=examples(
        "assign events.csv --key user --nodes nodes.txt --output owners.csv",
        "assign events.parquet --key user --nodes nodes.csv --count 3",
        "assign - --nodes nodes.txt --down node3 < keys.txt",
    )
)
@click.argument("file")
@key_options
@membership_options
@click.option(
    "--count", type=click.IntRange(1), metavar="N", help="Candidates in failover order: owner_1 is the owner."
)
@click.option("--owner-column", default="owner", show_default=True, metavar="NAME", help="The name of the new column.")
@click.option("--output", metavar="FILE", help="Write to this file instead of stdout, in the format of its ending.")
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

    With --key, FILE is CSV, TSV, Parquet or Arrow IPC. With --binary it holds only integers. Otherwise each
    line is a key. Text may be packed by gzip or xz, and - is stdin. Rows are read and written in batches, so
    FILE may have any length.

    The ending gives the format of FILE and --output: Parquet for .parquet, Arrow IPC for .arrow, .arrows (a
    stream), .feather or .ipc, otherwise text.
    """
    output_kind = _checked_kind(output, as_json=as_json)
    as_json = output_kind == "json"
    # The batches are small beside what a second thread would cost; pyarrow decodes columns in threads of its own.
    nulls: Literal["raise", "skip"] = "skip" if layout.nulls == "skip" else "raise"
    assigner = rw.assign_batch(router, owner=owner_column, count=count, nulls=nulls)
    with byte_source(file) as source:
        kind = kind_of(source, layout)
        if kind in TYPED_KINDS:
            _assign_records(Columns(source, kind, layout), assigner, source, output, as_json=as_json)
            return
        rows = Rows(source, layout)
        if output_kind in TYPED_KINDS:
            _assign_records(TextColumns(rows, layout), assigner, source, output, as_json=as_json)
        else:
            _assign_text(rows, assigner, source, output, output_kind)


def _checked_kind(output: str | None, *, as_json: bool) -> str:
    """What is to be written: "json", "csv", "tsv", "parquet", "arrow", or "lines" where the rows' own form will do."""
    kind = "lines" if output in STDOUT else kind_by_name(str(output))
    if output is not None and output.lower().endswith(_OTHER_PACKERS):
        raise click.UsageError(f"only gzip (.gz) and xz (.xz) are written (was {output})")
    if kind == "other":
        raise click.UsageError(f"--output must be CSV, TSV, JSON lines, Parquet or Arrow (was {output})")
    if kind not in TYPED_KINDS:
        return "json" if as_json else kind
    if as_json:
        raise click.UsageError(f"--json is text, and {output} is not")
    if str(output).lower().endswith(PACKERS):
        raise click.UsageError(f"Parquet and Arrow files are packed inside, never as a whole (was {output})")
    needed_pyarrow(str(output))
    return kind


def _check_names(source: ByteSource, columns: list[str], added: list[str], *, unique: bool) -> None:
    for column in added:
        if column in columns:
            raise InputError(source.name, f"there is a column {shown(column)} already: choose another --owner-column")
    if unique and len(set(columns)) < len(columns):
        raise InputError(source.name, f"two columns of one name: {listed(columns)}")


def _assign_records(
    rows: RecordRows, assigner: BatchAssigner, source: ByteSource, output: str | None, *, as_json: bool
) -> None:
    added = assigner.added
    _check_names(source, rows.schema.names, added, unique=True)
    schema = assigner.joined(rows.schema.empty_table(), assigner.ids([])).schema
    with (
        output_file(output) as target,
        record_sink(output, target, schema, rows.key, added, as_json=as_json) as sink,
        progress(source, rows.rows_total, quiet=_on_terminal(output)) as advance,
    ):
        for batch in rows.assigned(assigner):
            sink.write(batch)
            advance(batch.num_rows)


def _assign_text(rows: Rows, assigner: BatchAssigner, source: ByteSource, output: str | None, kind: str) -> None:
    as_json = kind == "json"
    own = rows.delimiter
    delimiter = {"csv": "," if own in {None, "\t"} else own, "tsv": "\t"}.get(kind, own)
    columns = rows.columns
    if columns is None and own is None and delimiter is not None:
        columns = [LINE]  # lines become a table
    _check_names(source, rows.columns or [], assigner.added, unique=as_json)
    with output_file(output) as target, progress(source, None, quiet=_on_terminal(output)) as advance:
        if columns is not None and not as_json:
            target.write(delimited([[*columns, *assigner.added]], delimiter))
        for batch in rows.batches():
            names = _names(assigner, batch)
            target.write(_json_lines(rows, batch, names) if as_json else _table_rows(batch, names, delimiter))
            advance(len(batch.rows))


def _names(assigner: BatchAssigner, batch: Batch) -> list[list[str]]:
    """The names in the new columns, shape (n, 1 or count); empty where live nodes ran out, and where there is no key."""
    ids = batch_ids(assigner, batch)
    names = np.append(assigner.snapshot.names, "")[np.minimum(ids, len(assigner.snapshot.names))]
    return cast("list[list[str]]", names.reshape(len(ids), -1).tolist())


def _table_rows(batch: Batch, names: list[list[str]], delimiter: str | None) -> bytes:
    for row, added in zip(batch.rows, names, strict=True):
        row.extend(added)
    return delimited(batch.rows, delimiter)


def _json_lines(rows: Rows, batch: Batch, names: list[list[str]]) -> bytes:
    lines = []
    keys: list[str | int | None] = [*batch.keys]
    for index in batch.missing:
        keys[index] = None
    for row, key, candidates in zip(batch.rows, keys, names, strict=True):
        record: dict[str, Any] = {
            "key": key,
            "owner": candidates[0] or None,
            "candidates": [name for name in candidates if name],
        }
        if rows.delimiter is not None:
            record["row"] = dict(zip(rows.columns, row, strict=True)) if rows.columns is not None else row
        lines.append(json.dumps(record) + "\n")
    return "".join(lines).encode()


def _on_terminal(output: str | None) -> bool:
    return output in STDOUT and sys.stdout.isatty()
