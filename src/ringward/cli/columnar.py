"""Rows as record batches: Parquet, Arrow IPC and plain binary files, and text that is to become one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import click
import numpy as np
import numpy.typing as npt

import ringward as rw
from ringward.cli.inputs import BATCH_ROWS, Batch, Layout, Rows
from ringward.cli.sources import DAMAGED, ByteSource, InputError, listed
from ringward.engines.assign_batch import BatchAssigner
from ringward.texts import shown

__all__ = ["LINE", "Columns", "RecordRows", "TextColumns", "batch_ids", "needed_pyarrow"]

_PARQUET_BUFFER_BYTES = 1 << 20  # of each column: chunks are read in pieces, not as a whole
_ARROW_FILE_MAGIC = b"ARROW1"
_KEY, LINE = "key", "line"  # columns that have no name in the file


def needed_pyarrow(name: str) -> Any:
    """The module pyarrow, for the file `name`."""
    try:
        import pyarrow  # noqa: ICN001, PLC0415 - an optional extra
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise InputError(name, "Parquet, Arrow and binary files need pyarrow: pip install 'ringward[arrow]'") from error
    return pyarrow


class RecordRows(Protocol):
    """Rows that come as record batches.

    Attributes
    ----------
    schema : pyarrow.Schema
    key : str
        The column of the keys.
    rows_total : int or None
        Where the file tells.
    """

    schema: Any
    key: str
    rows_total: int | None

    def assigned(self, assigner: BatchAssigner) -> Iterator[Any]:
        """The record batches in order, with owners."""


class Columns:
    """The record batches of a file that knows the types of its columns: a `RecordRows`.

    Parameters
    ----------
    source : ByteSource
    kind : str
        One of TYPED_KINDS.
    layout : Layout
    key_only : bool
        Read the keys alone, where the format allows it.
    """

    def __init__(self, source: ByteSource, kind: str, layout: Layout, *, key_only: bool = False) -> None:
        self._source = source
        self._kind = kind
        if layout.integers or not layout.header or layout.delimiter or layout.encoding or layout.nulls == "empty":
            raise click.UsageError(
                f"--int, --no-header, --delimiter, --encoding and --nulls empty are for text: {source.name} has columns with types"
            )
        if layout.key is None and layout.binary is None:
            raise click.UsageError(f"--key must name the column of the keys in {source.name}")
        needed_pyarrow(source.name)
        self.key = layout.key or _KEY
        with self._damage_told():
            self.schema, self._found, self.rows_total = self._opened(layout.binary, key_only=key_only)
        if self.schema.names.count(self.key) != 1:
            found = "more than one column" if self.key in self.schema.names else "no column"
            raise InputError(source.name, f"{found} {shown(self.key)}; there are: {listed(self.schema.names)}")

    def _opened(self, binary: np.dtype[Any] | None, *, key_only: bool) -> _Opened:
        if binary is not None:
            return _binary(self._source, binary)
        if self._kind == "parquet":
            return _parquet(self._source, [self.key] if key_only else None)
        return _arrow(self._source)

    def assigned(self, assigner: BatchAssigner) -> Iterator[Any]:
        """The record batches in order, with owners."""
        hint = "; --nulls skip gives such rows no owner"
        return self.mapped(lambda batch: assigner.joined(batch, assigner.ids(batch[self.key])), hint)

    def mapped(self, function: Callable[[Any], Any], hint: str = "") -> Iterator[Any]:
        """What a function that reads the keys makes of each record batch; the hint is about missing keys.

        Raises
        ------
        InputError
            For a damaged file; for keys that cannot be, with the column or the row.
        """
        row = 1
        for batch in self._batches():
            try:
                result = function(batch)
            except rw.KeyTypeError as error:
                if error.position is None:
                    raise InputError(self._source.name, f"column {shown(self.key)}: {error}") from error
                place = f"{self._source.name}, row {row + error.position}"
                raise InputError(place, f"no key in column {shown(self.key)}{hint}") from error
            yield result
            row += batch.num_rows

    def _batches(self) -> Iterator[Any]:
        while True:
            with self._damage_told():
                batch = next(self._found, None)
                if batch is not None:
                    batch.validate(full=True)  # offsets from elsewhere must not lead compiled code astray
            if batch is None:
                return
            for start in range(0, batch.num_rows, BATCH_ROWS):
                yield batch.slice(start, BATCH_ROWS)

    @contextmanager
    def _damage_told(self) -> Iterator[None]:
        pa = needed_pyarrow(self._source.name)
        try:
            yield
        except (pa.ArrowException, OSError, *DAMAGED) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(self._source.name, f"no intact {self._kind} file: {reason}") from error


class _Opened(NamedTuple):
    schema: Any
    batches: Iterator[Any]
    rows_total: int | None = None


def _parquet(source: ByteSource, columns: list[str] | None) -> _Opened:
    import pyarrow.parquet as pq  # noqa: PLC0415

    _must_seek(source)
    file = pq.ParquetFile(source.raw, buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False)
    return _Opened(file.schema_arrow, file.iter_batches(BATCH_ROWS, columns=columns), file.metadata.num_rows)


def _arrow(source: ByteSource) -> _Opened:
    import pyarrow as pa  # noqa: PLC0415

    if not source.stream.peek(len(_ARROW_FILE_MAGIC)).startswith(_ARROW_FILE_MAGIC):
        stream = pa.ipc.open_stream(source.stream)
        return _Opened(stream.schema, iter(stream))
    _must_seek(source)
    file = pa.ipc.open_file(source.raw)
    return _Opened(file.schema, map(file.get_batch, range(file.num_record_batches)))


def _must_seek(source: ByteSource) -> None:
    if source.packer or not source.raw.seekable():
        raise InputError(source.name, "must be a file that is not packed as a whole, since it is read from its end")


def _binary(source: ByteSource, dtype: np.dtype[Any]) -> _Opened:
    import pyarrow as pa  # noqa: PLC0415

    native = dtype.newbyteorder("=")
    schema = pa.schema([(_KEY, pa.from_numpy_dtype(native))])

    def batches() -> Iterator[Any]:
        while data := source.stream.read(BATCH_ROWS * dtype.itemsize):
            if len(data) % dtype.itemsize:
                raise InputError(source.name, f"must be a multiple of {dtype.itemsize} bytes long, the size of a key")
            keys: npt.NDArray[Any] = np.frombuffer(data, dtype).astype(native)
            yield pa.record_batch([pa.array(keys)], schema=schema)

    return _Opened(schema, batches())


class TextColumns:
    """The rows of a text file as record batches of strings: a `RecordRows`.

    Parameters
    ----------
    rows : Rows
        Of lines, or with a header.
    layout : Layout
    """

    def __init__(self, rows: Rows, layout: Layout) -> None:
        import pyarrow as pa  # noqa: PLC0415

        if not layout.header:
            raise click.UsageError("--no-header: the columns of a Parquet or Arrow file must have names")
        self._rows = rows
        self.key = layout.key or LINE
        self.schema = pa.schema([(name, pa.string()) for name in rows.columns or [LINE]])
        self.rows_total: int | None = None

    def assigned(self, assigner: BatchAssigner) -> Iterator[Any]:
        """The record batches in order, with owners: by the text, or by the integers it stands for."""
        return (self._with_owners(batch, assigner) for batch in self._rows.batches())

    def _with_owners(self, batch: Batch, assigner: BatchAssigner) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        columns = [pa.array(column, pa.string()) for column in zip(*batch.rows, strict=True)]
        return assigner.joined(pa.record_batch(columns, schema=self.schema), batch_ids(assigner, batch))


def batch_ids(assigner: BatchAssigner, batch: Batch) -> npt.NDArray[np.uint32]:
    """The node ids of a batch of text; `NO_NODE` for rows that have no key."""
    ids = assigner.ids(batch.keys)
    if batch.missing:
        ids[batch.missing] = rw.NO_NODE
    return ids
