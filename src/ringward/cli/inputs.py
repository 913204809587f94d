"""The files of keys that commands read: opened, decoded, split into columns and batches."""

from __future__ import annotations

import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import click

__all__ = ["BATCH_ROWS", "Batch", "ByteSource", "InputError", "Layout", "Rows", "byte_source", "decoded_lines"]

BATCH_ROWS = 65_536
LINE_BYTES_MAX = 1 << 24
INT_MIN, INT_MAX = -(1 << 63), (1 << 64) - 1
STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"
_STDIN_USED = "ringward.cli.stdin_used"
_BOM = "\ufeff"


class InputError(Exception):
    """A file does not hold what it should.

    Parameters
    ----------
    name : str
        The file.
    message : str
    line : int, optional
        Where in it, from 1.
    """

    def __init__(self, name: str, message: str, line: int | None = None) -> None:
        place = name if line is None else f"{name}, line {line}"
        super().__init__(f"{place}: {message}")


@dataclass(frozen=True, slots=True)
class ByteSource:
    """An open file, unpacked where it was packed.

    Attributes
    ----------
    name : str
        As the user gave it; "stdin" for `-`.
    stream : IO of bytes
        Its content.
    raw : IO of bytes
        The file itself, whose position tells the progress.
    size_bytes : int or None
        Of the file itself; None where that is unknown.
    """

    name: str
    stream: IO[bytes]
    raw: IO[bytes]
    size_bytes: int | None


@contextmanager
def byte_source(path: str) -> Iterator[ByteSource]:
    """Open a file, or stdin for `-`; gzip is known by its first bytes, whatever the name."""
    if path == STDIN:
        yield _unpacked("stdin", _stdin(), None)
        return
    with Path(path).open("rb") as raw:
        size = Path(path).stat().st_size if raw.seekable() else None
        yield _unpacked(path, raw, size)


def _stdin() -> IO[bytes]:
    used = click.get_current_context().meta  # of one run of the command line
    if sys.stdin is None or _STDIN_USED in used:
        raise InputError("stdin", "closed" if sys.stdin is None else "- can be given once")
    used[_STDIN_USED] = True
    return sys.stdin.buffer


def _unpacked(name: str, raw: IO[bytes], size_bytes: int | None) -> ByteSource:
    buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", raw))
    packed = buffered.peek(len(_GZIP_MAGIC))[: len(_GZIP_MAGIC)] == _GZIP_MAGIC
    stream = cast("IO[bytes]", gzip.GzipFile(fileobj=buffered, mode="rb") if packed else buffered)
    return ByteSource(name, stream, raw, size_bytes)


def decoded_lines(source: ByteSource) -> Iterator[str]:
    """The lines of a file with their ends, decoded from UTF-8; a byte order mark is dropped.

    Raises
    ------
    InputError
        For bytes that are no UTF-8, a line beyond all bounds, or a damaged gzip file.
    """
    number = 0
    while True:
        number += 1
        try:
            raw = source.stream.readline(LINE_BYTES_MAX + 1)
            line = raw.decode()
        except UnicodeDecodeError as error:
            raise InputError(source.name, f"not UTF-8: {error.reason} (byte {error.start + 1})", number) from error
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(source.name, f"a damaged gzip file: {error}", number) from error
        if len(raw) > LINE_BYTES_MAX:
            raise InputError(source.name, f"a line must be at most {LINE_BYTES_MAX} bytes long", number)
        if not raw:
            return
        yield line.removeprefix(_BOM) if number == 1 else line


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
        "csv" or "tsv"; None: by the file's name.
    """

    key: str | None
    header: bool
    integers: bool
    format: str | None

    def delimiter(self, name: str) -> str:
        """What separates the columns of a file of this name."""
        suffixes = Path(name.lower()).suffixes
        by_name = "tsv" if {".tsv", ".tab"} & set(suffixes) else "csv"
        return "\t" if (self.format or by_name) == "tsv" else ","


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
            self.delimiter = layout.delimiter(source.name)
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
            raise InputError(name, f"{found} {key!r}; there are: {', '.join(columns)}")
        self._key_index = columns.index(str(key))
        self.columns = columns

    def batches(self) -> Iterator[Batch]:
        """The rows in order, at most BATCH_ROWS at a time.

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
            if len(rows) >= BATCH_ROWS:
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
