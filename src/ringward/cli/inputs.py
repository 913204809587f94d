"""The rows and keys of the files that commands read: where they are, and text split into columns and batches."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from ringward.cli.sources import PACKERS, ByteSource, InputError, decoded_lines

__all__ = ["BATCH_ROWS", "TYPED_KINDS", "Batch", "Layout", "Rows", "hint_at", "kind_by_name"]

BATCH_ROWS = 65_536
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
TYPED_KINDS = ("parquet", "arrow", "binary")  # files that know the types of their columns
_SUFFIXES = {
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".arrow", ".arrows", ".feather", ".ipc"), "arrow"),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file has its keys.

    Attributes
    ----------
    key : str or None
        A column's name, or its number from 1 where there is no header; None: the whole line.
    header : bool
        Whether the first row names the columns.
    integers : bool
        Whether keys are integers; text otherwise.
    format : str or None
        "csv", "tsv", "parquet" or "arrow"; None: by the file's name.
    binary : numpy.dtype or None
        The keys are integers of this type, one after another; nothing else is in the file.
    """

    key: str | None
    header: bool = True
    integers: bool = False
    format: str | None = None
    binary: np.dtype[Any] | None = None

    def kind(self, name: str) -> str:
        """What a file of this name is: "csv" (or plain lines), "tsv", or one of TYPED_KINDS."""
        return "binary" if self.binary is not None else self.format or kind_by_name(name)


def kind_by_name(name: str) -> str:
    """What a name's ending says of a file; the ending of a packed file stands before the packer's."""
    suffixes = [suffix for suffix in Path(name.lower()).suffixes if suffix not in PACKERS]
    return _SUFFIXES.get(suffixes[-1], "csv") if suffixes else "csv"


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file and their keys; a row of a file without columns is its line."""

    rows: list[list[str]]
    keys: list[str] | list[int]


class Rows:
    """The rows of a file, a batch at a time.

    Attributes
    ----------
    columns : list of str or None
        The header; None without one.
    delimiter : str or None
        None for a file of plain lines.
    """

    def __init__(self, source: ByteSource, layout: Layout) -> None:
        self._source = source
        self._layout = layout
        self._lines = decoded_lines(source)
        self.columns: list[str] | None = None
        self.delimiter: str | None = None
        self._key_index = 0
        self._rows = self._plain_rows()
        if layout.key is not None:
            self.delimiter = "\t" if layout.kind(source.name) == "tsv" else ","
            self._rows = self._table_rows(self.delimiter)
            if layout.header:
                self._read_header()

    def _plain_rows(self) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(self._lines, 1):
            yield number, [line.removesuffix("\n").removesuffix("\r")]

    def _table_rows(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._lines, delimiter=delimiter, strict=True)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise InputError(self._source.name, str(error), reader.line_num) from error
            if row is None:
                return
            if row:
                yield reader.line_num, row

    def _read_header(self) -> None:
        name, key = self._source.name, self._layout.key
        _, columns = next(self._rows, (0, None))
        if columns is None:
            raise InputError(name, "empty: there is no header")
        if columns.count(str(key)) != 1:
            found = "no column" if key not in columns else "more than one column"
            raise InputError(name, f"{found} {key!r}; there are: {', '.join(columns)}{hint_at(columns)}")
        self._key_index = columns.index(str(key))
        self.columns = columns

    def batches(self, rows_most: int | None = None) -> Iterator[Batch]:
        """The rows in order, at most so many at a time; BATCH_ROWS otherwise.

        Raises
        ------
        InputError
            For a row of another width than the first, or a key that is no integer where it must be.
        """
        width = len(self.columns) if self.columns is not None else None
        rows: list[list[str]] = []
        keys: list[int | str] = []
        for line, row in self._rows:
            if width is None:
                width = self._checked_width(len(row))
            if len(row) != width:
                raise InputError(self._source.name, f"{len(row)} columns where the first row has {width}", line)
            text = row[self._key_index]
            keys.append(self._integer(text, line) if self._layout.integers else text)
            rows.append(row)
            if len(rows) >= (rows_most or BATCH_ROWS):
                yield Batch(rows, cast("list[str] | list[int]", keys))
                rows, keys = [], []
        if rows:
            yield Batch(rows, cast("list[str] | list[int]", keys))

    def _checked_width(self, width: int) -> int:
        """The first row's width, once the key's number is known to lie within it."""
        if self._layout.key is not None:
            number = int(self._layout.key)
            if not 1 <= number <= width:
                raise InputError(self._source.name, f"no column {number}; there are {width}")
            self._key_index = number - 1
        return width

    def _integer(self, text: str, line: int) -> int:
        try:
            value = int(text)
        except ValueError:
            raise InputError(self._source.name, f"the key {text[:40]!r} is no integer", line) from None
        if not INT_MIN <= value <= INT_MAX:
            raise InputError(self._source.name, f"the key must be at least -2**63 and below 2**64 (was {value})", line)
        return value


def hint_at(columns: list[str]) -> str:
    """What a header looks like that is none of the format in which it was read; empty where it looks right."""
    if columns[0].lstrip().startswith("{"):
        return "; this looks like JSON lines: publish reads them with --format jsonl"
    found = [
        name
        for name, mark in ((";", ";"), ("a tab", "\t"), ("|", "|"), (",", ","))
        if len(columns) == 1 and mark in columns[0]
    ]
    if not found:
        return ""
    told = {"a tab": "--format tsv reads that", ",": "--format csv reads that"}.get(
        found[0], "only commas and tabs are read"
    )
    return f"; the separator may be {found[0]}: {told}"
