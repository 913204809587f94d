"""The files that commands read: opened, unpacked and, where they are text, decoded."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import click

try:
    import lzma
except ImportError:  # Python can be built without
    lzma = None  # type: ignore[assignment]

__all__ = ["DAMAGED", "PACKERS", "ByteSource", "InputError", "byte_source", "decoded_lines"]

LINE_BYTES_MAX = 1 << 24
_BLOCK_BYTES = 1 << 18
STDIN = "-"
DAMAGED: tuple[type[Exception], ...] = (EOFError, gzip.BadGzipFile, zlib.error)  # what unpacking raises
if lzma is not None:
    DAMAGED += (lzma.LZMAError,)
PACKERS = (".gz", ".xz")
_GZIP_MAGIC, _XZ_MAGIC = b"\x1f\x8b", b"\xfd7zXZ\x00"
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
    return ByteSource(name, raw, raw, size_bytes)


def decoded_lines(source: ByteSource) -> Iterator[str]:
    """The lines of a file with their ends, decoded from UTF-8; a byte order mark is dropped.

    Raises
    ------
    InputError
        For bytes that are no UTF-8, a line beyond all bounds, or a damaged packed file.
    """
    number, held = 1, b""  # of the first line that is not yielded yet; what was read of it
    while block := _read_block(source, number):
        held += block
        _check_length(source.name, held.find(b"\n"), number)  # the others lie within a block
        whole = held[: held.rfind(b"\n") + 1]
        yield from _decoded(source.name, whole, number)
        number += whole.count(b"\n")
        held = held[len(whole) :]
        _check_length(source.name, len(held), number)
    yield from _decoded(source.name, held, number)


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
