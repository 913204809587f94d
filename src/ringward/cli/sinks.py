"""Sinks for record batches with owners: Parquet, Arrow IPC, CSV and JSON lines."""

from __future__ import annotations

import datetime as dt
import io
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, Self

from ringward.cli.inputs import kind_by_name
from ringward.cli.sources import InputError

__all__ = ["RecordSink", "record_sink"]

_GROUP_ROWS_MAX = 1 << 20
_GROUP_BYTES_MAX = 1 << 26


def record_sink(
    path: str | None, target: IO[bytes], schema: Any, key: str, added: list[str], *, as_json: bool
) -> RecordSink:
    """A sink of the kind that the path's ending says; CSV without one.

    Parameters
    ----------
    path : str or None
        What `target` is called; None: stdout.
    target : IO of bytes
    schema : pyarrow.Schema
        Of the batches, owners included.
    key : str
        The column of the keys.
    added : list of str
        The columns of owners.
    as_json : bool
        JSON lines, whatever the path.
    """
    name = path or "stdout"
    if as_json:
        return _JsonSink(name, target, key, added)
    with _told(name):
        if kind_by_name(name) == "parquet":
            return _ParquetSink(name, target, schema)
        if kind_by_name(name) == "arrow":
            return _ArrowSink(name, target, schema, added)
        return _CsvSink(name, target, schema)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Say of columns that a format has no form for where they were to go."""
    import pyarrow as pa  # noqa: PLC0415

    try:
        yield
    except (pa.ArrowException, TypeError) as error:
        raise InputError(name, f"cannot hold these columns: {str(error).splitlines()[0]}") from error


class RecordSink(ABC):
    """Takes record batches of one schema. A context manager: a file is complete once it is left without an error."""

    _writer: Any = None  # pyarrow's, where it has one for the format

    def __init__(self, name: str) -> None:
        self._name = name

    def write(self, batch: Any) -> None:
        """Write a batch, or hold it back for the next one.

        Raises
        ------
        InputError
            When the format has no form for a value.
        """
        with _told(self._name):
            self._write(batch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            with _told(self._name):
                self._finish()
        elif self._writer is not None:
            with suppress(Exception):  # left open, it would write to a closed file when it is collected
                self._writer.close()

    @abstractmethod
    def _write(self, batch: Any) -> None: ...

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _ParquetSink(RecordSink):
    """Row groups of bounded size, however small the batches are."""

    def __init__(self, name: str, target: IO[bytes], schema: Any) -> None:
        import pyarrow.parquet as pq  # noqa: PLC0415

        super().__init__(name)
        self._writer = pq.ParquetWriter(target, schema)
        self._held: list[Any] = []
        self._rows = self._bytes = 0

    def _write(self, batch: Any) -> None:
        self._held.append(batch)
        self._rows += batch.num_rows
        self._bytes += batch.nbytes
        if self._rows >= _GROUP_ROWS_MAX or self._bytes >= _GROUP_BYTES_MAX:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa  # noqa: PLC0415

        if self._held:
            self._writer.write_table(pa.Table.from_batches(self._held), row_group_size=self._rows)
        self._held = []
        self._rows = self._bytes = 0

    def _finish(self) -> None:
        self._flush()
        super()._finish()


class _ArrowSink(RecordSink):
    """The stream format for `.arrows`, the file format otherwise."""

    def __init__(self, name: str, target: IO[bytes], schema: Any, added: list[str]) -> None:
        import pyarrow as pa  # noqa: PLC0415

        super().__init__(name)
        if name.lower().endswith(".arrows"):
            self._schema = schema
            self._writer = pa.ipc.new_stream(target, schema)
        else:
            # This format has one dictionary a column; those that came with the rows may differ from batch to batch.
            self._schema = pa.schema([_plain(field, added) for field in schema], metadata=schema.metadata)
            self._writer = pa.ipc.new_file(target, self._schema)

    def _write(self, batch: Any) -> None:
        self._writer.write_batch(batch.cast(self._schema))


def _plain(field: Any, added: list[str]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    own = field.name in added
    return field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) and not own else field


class _CsvSink(RecordSink):
    """CSV, or TSV by the name; columns that CSV has no form for are text: bytes and UUIDs, lists and structs as JSON."""

    def __init__(self, name: str, target: IO[bytes], schema: Any) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.csv  # noqa: PLC0415

        super().__init__(name)
        self._as_text = [i for i, field in enumerate(schema) if not _csv_has(field.type)]
        for i in self._as_text:
            schema = schema.set(i, pa.field(schema.field(i).name, pa.string()))
        self._schema = schema
        options = pyarrow.csv.WriteOptions(delimiter="\t" if kind_by_name(name) == "tsv" else ",")
        self._writer = pyarrow.csv.CSVWriter(target, schema, write_options=options)

    def _write(self, batch: Any) -> None:
        import pyarrow as pa  # noqa: PLC0415

        columns = batch.columns
        for i in self._as_text:
            columns[i] = pa.array(map(_cell, columns[i].to_pylist()), pa.string())
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))


def _csv_has(kind: Any) -> bool:
    """Whether Arrow writes a type of column to CSV, whatever is in it."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.csv  # noqa: PLC0415

    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if any(is_kind(plain) for is_kind in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)):
        return False
    schema = pa.schema([("column", kind)])
    try:
        pyarrow.csv.CSVWriter(io.BytesIO(), schema).write_table(schema.empty_table())
    except pa.ArrowException:
        return False
    return True


def _cell(value: Any) -> str | None:
    """A value as the text of a cell."""
    plain = _json_value(value)
    return plain if plain is None or isinstance(plain, str) else json.dumps(plain)


class _JsonSink(RecordSink):
    """One object a row, the owners in one list."""

    def __init__(self, name: str, target: IO[bytes], key: str, added: list[str]) -> None:
        super().__init__(name)
        self._target = target
        self._key = key
        self._added = added

    def _write(self, batch: Any) -> None:
        lines = []
        for row in batch.to_pylist():
            names = [row.pop(name) for name in self._added]
            candidates = [name for name in names if name is not None]
            owner = candidates[0] if candidates else None
            record = {"key": row[self._key], "owner": owner, "candidates": candidates, "row": row}
            lines.append(json.dumps(_json_value(record)) + "\n")
        self._target.write("".join(lines).encode())


def _json_value(value: Any) -> Any:
    """A value of a column as JSON has it; what is no number (NaN, infinity) is null, and what JSON has not is text."""
    if isinstance(value, dict):
        return {name: _json_value(part) for name, part in value.items()}
    if isinstance(value, list | tuple):  # maps are lists of pairs
        return [_json_value(part) for part in value]
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    return value if value is None or isinstance(value, str | int | bool) else str(value)


def _text(value: bytes) -> str:
    """The text that bytes are in UTF-8, else their hexadecimal digits."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"0x{value.hex()}"
