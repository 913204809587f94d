"""The rows and keys of the files that commands read: where they are, and text split into columns and batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click
import numpy as np

from ringward.cli.mistaken_input import LINES_LOOKED_AT, document_of
from ringward.cli.sources import PACKERS, ByteSource, InputError, beginning, decoded_lines, listed, table_rows
from ringward.texts import shown

__all__ = ["BATCH_ROWS", "TYPED_KINDS", "Batch", "Layout", "Rows", "hint_at", "kind_by_name", "kind_of", "plain_int"]

BATCH_ROWS = 65_536
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
TYPED_KINDS = ("parquet", "arrow", "binary")  # files that know the types of their columns
_SUFFIXES = {
    ".csv": "csv",
    **dict.fromkeys((".tsv", ".tab"), "tsv"),
    **dict.fromkeys((".jsonl", ".ndjson", ".json"), "json"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".arrow", ".arrows", ".feather", ".ipc"), "arrow"),
    **dict.fromkeys((".yaml", ".yml", ".toml", ".ini", ".xml", ".html"), "other"),
    **dict.fromkeys((".xlsx", ".xls", ".ods", ".avro", ".orc", ".sqlite", ".db"), "other"),
}
_MAGIC = {b"PAR1\x15": "parquet", b"ARROW1\0\0": "arrow", b"\xff\xff\xff\xff": "arrow"}
_KEY_SHOWN_MOST = 40


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
        "csv", "tsv", "lines", "parquet" or "arrow"; None: by the file's first bytes and its name.
    binary : numpy.dtype or None
        The keys are integers of this type, one after another; nothing else is in the file.
    delimiter : str or None
        Between the columns of a table of text; None: as the format has it.
    encoding : str or None
        Of text; None: UTF-8, or UTF-16 where its mark comes first.
    nulls : str or None
        Rows without a key: "raise", "skip", or "empty", which takes the empty text as a key; None: the first for
        tables, the last for lines.
    """

    key: str | None
    header: bool = True
    integers: bool = False
    format: str | None = None
    binary: np.dtype[Any] | None = None
    delimiter: str | None = None
    encoding: str | None = None
    nulls: str | None = None

    def kind(self, name: str) -> str:
        """What a file of this name is, a table of text where its ending says nothing."""
        if self.binary is not None:
            return "binary"
        kind = self.format or kind_by_name(name)
        return "csv" if kind == "lines" and self.format is None else kind


def kind_by_name(name: str) -> str:
    """What a name's ending says of a file, "lines" where it says nothing; it stands before the packer's ending."""
    suffixes = [suffix for suffix in Path(name.lower()).suffixes if suffix not in PACKERS]
    return _SUFFIXES.get(suffixes[-1], "lines") if suffixes else "lines"


def kind_of(source: ByteSource, layout: Layout) -> str:
    """What a file with keys is: "lines", "csv", "tsv", or one of TYPED_KINDS, also where its name says otherwise.

    Raises
    ------
    click.UsageError
        Where whole lines would be taken as keys, and the file is no list of lines.
    """
    if layout.binary is not None:
        return "binary"
    if layout.format is not None:
        return layout.format
    start = beginning(source)
    for magic, kind in _MAGIC.items():
        if start.startswith(magic):
            return kind
    kind = kind_by_name(source.name)
    if kind in TYPED_KINDS:
        return kind
    if kind in {"json", "other"}:
        raise click.UsageError(
            f"{source.name} is none of what is read (CSV, TSV, Parquet, Arrow, lines of keys); --format says what it holds"
        )
    if layout.key is not None:
        return "csv" if kind == "lines" else kind
    if kind != "lines":
        raise click.UsageError(
            f"--key must name the column of the keys in {source.name}; with --format lines each line is a key"
        )
    return kind


def plain_int(text: str) -> int | None:
    """The integer that decimal digits stand for; None for all else that Python reads as one: 1_000, 007, +5."""
    try:
        value = int(text)
        return value if str(value) == text else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows of a file and their keys; a row of a file without columns is its line.

    The rows of the indices `missing` have no key, and something that stands for it.
    """

    rows: list[list[str]]
    keys: list[str] | list[int]
    missing: list[int]


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
        self._lines = decoded_lines(source, layout.encoding)
        self._nulls = layout.nulls or ("empty" if layout.key is None else "raise")
        self.columns: list[str] | None = None
        self.delimiter: str | None = None
        self._key_index = 0
        self._rows = self._plain_rows()
        if layout.key is None and layout.format is None and not layout.integers:
            self._refuse_documents()
        if layout.key is not None:
            self.delimiter = layout.delimiter or ("\t" if layout.kind(source.name) == "tsv" else ",")
            self._rows = table_rows(source, self._lines, self.delimiter)
            if layout.header:
                self._read_header()

    def _refuse_documents(self) -> None:
        """Nothing but the first lines tells what stdin is, or a file whose name has no ending."""
        start = list(islice(self._lines, LINES_LOOKED_AT))
        self._lines = chain(start, self._lines)
        found = document_of(start)
        if found is not None:
            raise click.UsageError(f"{self._source.name} looks like {found}; with --format lines each line is a key")

    def _plain_rows(self) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(self._lines, 1):
            yield number, [line.removesuffix("\n").removesuffix("\r")]

    def _read_header(self) -> None:
        name, key = self._source.name, self._layout.key
        _, columns = next(self._rows, (0, None))
        if columns is None:
            raise InputError(name, "empty: there is no header")
        if columns.count(str(key)) != 1:
            found = "no column" if key not in columns else "more than one column"
            raise InputError(name, f"{found} {shown(key)}; there are: {listed(columns)}{hint_at(columns)}")
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
        keys: list[Any] = []
        missing: list[int] = []
        for line, row in self._rows:
            if width is None:
                width = self._checked_width(len(row))
            if len(row) != width:
                raise InputError(self._source.name, f"{len(row)} columns where the first row has {width}", line)
            text = row[self._key_index]
            if not text and self._nulls != "empty":
                self._missing_key(line)
                missing.append(len(keys))
                keys.append(0 if self._layout.integers else text)
            else:
                keys.append(self._integer(text, line) if self._layout.integers else text)
            rows.append(row)
            if len(rows) >= (rows_most or BATCH_ROWS):
                yield Batch(rows, keys, missing)
                rows, keys, missing = [], [], []
        if rows:
            yield Batch(rows, keys, missing)

    def _missing_key(self, line: int) -> None:
        if self._nulls == "raise":
            what = "--nulls skip gives such rows no owner, --nulls empty takes the empty text as a key"
            raise InputError(self._source.name, f"no key; {what}", line)

    def _checked_width(self, width: int) -> int:
        """The first row's width, once the key's number is known to lie within it."""
        if self._layout.key is not None:
            number = int(self._layout.key)
            if not 1 <= number <= width:
                raise InputError(self._source.name, f"no column {number}; there are {width}")
            self._key_index = number - 1
        return width

    def _integer(self, text: str, line: int) -> int:
        value = plain_int(text)
        if value is None:
            what = f"the key {shown(text, _KEY_SHOWN_MOST)} is not an integer in plain decimal digits"
            raise InputError(self._source.name, what, line)
        if not INT_MIN <= value <= INT_MAX:
            what = f"the key must be at least -2**63 and below 2**64 (was {shown(value, _KEY_SHOWN_MOST)})"
            raise InputError(self._source.name, what, line)
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
    flag = {"a tab": "--format tsv", ",": "--format csv"}.get(found[0], f"--delimiter '{found[0]}'")
    return f"; the separator may be {found[0]}: {flag} reads that"
