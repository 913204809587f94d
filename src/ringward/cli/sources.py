"""The files that commands read: opened, unpacked and, where they are text, decoded."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click

from ringward.texts import brief, shortened

try:
    import lzma
except ImportError:  # Python can be built without
    lzma = None  # type: ignore[assignment]
lzma_module = lzma  # for those who write

__all__ = [
    "DAMAGED",
    "PACKERS",
    "ByteSource",
    "InputError",
    "beginning",
    "byte_source",
    "decoded_lines",
    "listed",
    "table_rows",
]

LINE_BYTES_MAX = 1 << 24
_BLOCK_BYTES = 1 << 18
STDIN = "-"
DAMAGED: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)  # what unpacking raises
if lzma is not None:
    DAMAGED += (lzma.LZMAError,)
PACKERS = (".gz", ".xz")
_GZIP_MAGIC, _XZ_MAGIC = b"\x1f\x8b", b"\xfd7zXZ\x00"
_MAGIC_BYTES = 8
_STDIN_USED = "ringward.cli.stdin_used"
_UNREAD_PACKERS = {
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x1f\x9d": "compress",
    b"\x5d\x00\x00": "lzma",
}
_BOM = "\ufeff"
_UTF16_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LISTED_MOST = 20
_NAME_MOST = 200
csv.field_size_limit(LINE_BYTES_MAX)  # Python's own, 131,072 characters, is below what a column of texts holds


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
        place = shortened(name, _NAME_MOST)
        place = place if line is None else f"{place}, line {line}"
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
    raw : BufferedReader
        The file itself, whose position tells the progress.
    size_bytes : int or None
        Of the file itself; None where that is unknown.
    packer : str or None
        "gzip" or "xz", where `stream` unpacks `raw`.
    """

    name: str
    stream: Any
    raw: io.BufferedReader
    size_bytes: int | None
    packer: str | None = None


@contextmanager
def byte_source(path: str) -> Iterator[ByteSource]:
    """Open a file, or stdin for `-`; gzip and xz are known by their first bytes, whatever the name."""
    if path == STDIN:
        yield _unpacked("stdin", _stdin(), None)
        return
    with Path(path).open("rb") as raw:
        size = Path(path).stat().st_size if raw.seekable() else None
        yield _unpacked(path, raw, size)


def _stdin() -> io.BufferedReader:
    used = click.get_current_context().meta  # of one run of the command line
    if sys.stdin is None or _STDIN_USED in used:
        raise InputError("stdin", "closed" if sys.stdin is None else "- can be given once")
    used[_STDIN_USED] = True
    raw = sys.stdin.buffer
    return raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast("io.RawIOBase", raw))


def _unpacked(name: str, raw: io.BufferedReader, size_bytes: int | None) -> ByteSource:
    start = raw.peek(len(_XZ_MAGIC))
    if start.startswith(_GZIP_MAGIC):
        return ByteSource(name, gzip.GzipFile(fileobj=raw, mode="rb"), raw, size_bytes, "gzip")
    if start.startswith(_XZ_MAGIC):
        if lzma is None:
            raise InputError(name, "packed by xz, which this Python was built without")
        return ByteSource(name, lzma.LZMAFile(raw), raw, size_bytes, "xz")
    for magic, packer in _UNREAD_PACKERS.items():
        if start.startswith(magic) and b"\n" not in start[:_MAGIC_BYTES]:
            raise InputError(name, f"packed by {packer}: only gzip and xz are unpacked")
    return ByteSource(name, raw, raw, size_bytes)


def listed(names: Sequence[str]) -> str:
    """Names as an error may list them: not all of thousands, and none at full length."""
    told = ", ".join(map(brief, names[:_LISTED_MOST]))
    return told if len(names) <= _LISTED_MOST else f"{told} and {len(names) - _LISTED_MOST:,} more"


def table_rows(source: ByteSource, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table with the line on which each ends; blank ones are left out."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise InputError(source.name, str(error), reader.line_num) from error
        if row is None:
            return
        if row:
            yield reader.line_num, row


def decoded_lines(source: ByteSource, encoding: str | None = None) -> Iterator[str]:
    """The lines of a file with their ends, decoded; a byte order mark is dropped.

    Parameters
    ----------
    source : ByteSource
    encoding : str, optional
        UTF-8 otherwise, or UTF-16 where its byte order mark comes first.

    Raises
    ------
    InputError
        For bytes that the encoding has not, a line beyond all bounds, or a damaged packed file; without an encoding for
        NUL characters too, which text has none of.
    """
    number, held = 1, b""  # of the first line that is not yielded yet; what was read of it
    for block in _utf8_blocks(source, encoding):
        if encoding is None and b"\0" in block:
            line = number + block[: block.index(b"\0")].count(b"\n")
            raise InputError(
                source.name,
                "not text: there is a NUL character (UTF-16 needs its mark; for tables of keys, --encoding)",
                line,
            )
        held += block
        _check_length(source.name, held.find(b"\n"), number)  # the others lie within a block
        whole = held[: held.rfind(b"\n") + 1]
        yield from _decoded(source.name, whole, number)
        number += whole.count(b"\n")
        held = held[len(whole) :]
        _check_length(source.name, len(held), number)
    yield from _decoded(source.name, held, number)


def _utf8_blocks(source: ByteSource, encoding: str | None) -> Iterator[bytes]:
    """The bytes of a file, in UTF-8 whatever its encoding."""
    number = 1
    if encoding is None and beginning(source).startswith(_UTF16_BOMS):
        encoding = "utf-16"
    decoder = None if encoding in (None, "utf-8") else codecs.getincrementaldecoder(str(encoding))()
    while block := _read_block(source, number):
        data = block if decoder is None else _recoded(source.name, decoder, block, number)
        number += data.count(b"\n")
        yield data
    if decoder is not None:
        yield _recoded(source.name, decoder, b"", number)


def _recoded(name: str, decoder: codecs.IncrementalDecoder, block: bytes, number: int) -> bytes:
    try:
        return decoder.decode(block, final=not block).encode()
    except UnicodeError as error:
        raise InputError(name, f"from here on not in the encoding that was given: {error}", number) from error


def beginning(source: ByteSource) -> bytes:
    """The first bytes of what a file holds, as many as are at hand; they are still to be read."""
    try:
        start: bytes = source.stream.peek(_MAGIC_BYTES)
    except DAMAGED as error:
        raise InputError(source.name, f"a damaged {source.packer} file: {error}", 1) from error
    return start[:_MAGIC_BYTES]


def _check_length(name: str, line_bytes: int, number: int) -> None:
    if line_bytes > LINE_BYTES_MAX:
        raise InputError(name, f"a line must be at most {LINE_BYTES_MAX} bytes long", number)


def _read_block(source: ByteSource, number: int) -> bytes:
    try:
        block: bytes = source.stream.read1(_BLOCK_BYTES)
    except DAMAGED as error:
        raise InputError(source.name, f"a damaged {source.packer} file: {error}", number) from error
    return block


def _decoded(name: str, data: bytes, number: int) -> Iterator[str]:
    """Lines from bytes; where some are no UTF-8, those before them first."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        start = data.rfind(b"\n", 0, error.start) + 1
        yield from _decoded(name, data[:start], number)
        place = f"not UTF-8: {error.reason} (byte {error.start - start + 1})"
        raise InputError(name, place, number + data.count(b"\n", 0, start)) from error
    yield from io.StringIO(text.removeprefix(_BOM) if number == 1 else text, newline="\n")
