"""Where `ringward assign` and `plan` write: stdout, or a file that is whole or not there."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from ringward.cli.cleanup import cleaned_on_signals
from ringward.cli.sources import InputError, lzma_module
from ringward.texts import neutral

__all__ = ["STDOUT", "delimited", "output_file"]

STDOUT = (None, "-", "/dev/stdout", "/dev/fd/1")
_DEVICES = (
    "/dev/fd/",
    "/dev/std",
    "/proc/",
)  # also where such a name stands for a file: whoever gave it wants that very file written to
_NEW_FILE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE_MODE = 0o666  # before the umask, as the shell makes files


@contextmanager
def output_file(path: str | None) -> Iterator[IO[bytes]]:
    """Stdout, or a file that takes its place once all is written: an error leaves no half of one, and what was there."""
    if path in STDOUT:
        target = sys.stdout.buffer
        yield cast("IO[bytes]", _Terminal(target)) if sys.stdout.isatty() else target
        target.flush()
        return
    assert path is not None  # it is in STDOUT  # noqa: S101
    if path.endswith(("/", os.sep)):  # which `Path` would leave out
        raise InputError(path, "cannot be written: a folder, not a file")
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        found = None
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from error
    if path.startswith(_DEVICES) or (found is not None and not stat.S_ISREG(found.st_mode)):
        with _told(path):
            raw = _File(path, path)
        with _packed(path, raw) as target:
            yield target
        return
    with _replaced(path, found) as raw, _packed(path, raw) as target:
        yield target


class _File(io.FileIO):
    """A file whose errors say which file it is."""

    def __init__(self, path: str, file: str | int) -> None:
        super().__init__(file, "wb")
        self._path = path

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from error


@contextmanager
def _told(path: str) -> Iterator[None]:
    """Say of a file that cannot be opened or put in place which one it is."""
    try:
        yield
    except OSError as error:
        raise InputError(path, f"cannot be written: {error.strerror}") from error


@contextmanager
def _replaced(path: str, found: os.stat_result | None) -> Iterator[_File]:
    """A new file beside the one it is to replace, under a name that nobody can foresee; it must not be there before."""
    with _told(path):
        final = Path(path).resolve()  # a link stays, and what it leads to is replaced
        _refuse_others_link(path)
    partial = final.with_name(f".ringward.{secrets.token_hex(8)}.part")

    def remove() -> None:
        partial.unlink(missing_ok=True)

    with cleaned_on_signals(remove):
        try:
            with _told(path):
                number = os.open(partial, _NEW_FILE, 0o600)
            yield _File(path, number)
            with _told(path):
                _give_mode(partial, found)
                _sync(partial)
                partial.replace(final)
        finally:
            remove()


def _refuse_others_link(path: str) -> None:
    """In a folder that others may write to, a link may be a trap: it must be ours, the administrator's or the folder's owner's.

    That is how Linux protects links in /tmp (`fs.protected_symlinks`).
    """
    link = Path(path)
    if os.name == "nt" or not link.is_symlink():
        return
    folder = link.parent.stat()
    owner = link.lstat().st_uid
    if folder.st_mode & stat.S_IWOTH and owner not in {os.geteuid(), folder.st_uid}:
        raise InputError(path, "is another user's link in a folder that everyone may write to")


def _give_mode(partial: Path, found: os.stat_result | None) -> None:
    """The permissions of the file that is replaced, or those that a new one gets."""
    if os.name == "nt":
        return
    if found is None:
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(_FILE_MODE & ~umask)
        return
    with suppress(PermissionError):  # only the administrator may give files away; a group of ours works
        os.chown(partial, found.st_uid, found.st_gid)
    partial.chmod(stat.S_IMODE(found.st_mode) & 0o777)


def _sync(partial: Path) -> None:
    """Bring the content to the disk: else a power failure may leave the name without it."""
    number = os.open(partial, os.O_RDWR)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def _packed(path: str, raw: _File) -> Iterator[IO[bytes]]:
    """The file, buffered and packed as its name says; closed at the end."""
    with io.BufferedWriter(raw) as buffered:
        if path.lower().endswith(".gz"):
            with gzip.GzipFile(filename="", fileobj=buffered, mode="wb", mtime=0) as packed:
                yield cast("IO[bytes]", packed)
        elif path.lower().endswith(".xz"):
            if lzma_module is None:
                raise InputError(path, "cannot be packed by xz, which this Python was built without")
            with lzma_module.LZMAFile(buffered, "wb") as packed:
                yield cast("IO[bytes]", packed)
        else:
            yield buffered


class _Terminal:
    """Rows on a terminal: nothing in them acts on it."""

    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.closed = False

    def write(self, data: Any) -> int:
        text = neutral(self._decoder.decode(bytes(data)), keep="\n\t")
        self._target.write(text.encode())
        return len(data)

    def flush(self) -> None:
        self._target.flush()

    def writable(self) -> bool:
        return True


def delimited(rows: list[list[str]], delimiter: str | None) -> bytes:
    """Rows as text: CSV or TSV, or lines as they came with what was added after tabs."""
    if delimiter is None:  # lines are written as they came, so there is no quoting to undo
        return "".join("\t".join(row) + "\n" for row in rows).encode()
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
