"""A whole copy of a store's file, made while everything runs."""

from __future__ import annotations

import os
import uuid
from contextlib import closing
from pathlib import Path

import apsw

from ringward.errors import ArgumentError, StoreFullError, StoreNotFoundError
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.paths import access_error
from ringward.events.stores.sqlite.recover import sync

__all__ = ["back_up"]

_TAKEN = "a new file, unless it may be replaced (overwrite=True, --overwrite)"
_PAGES = 2000  # between two moments at which Ctrl-C is heard


def back_up(path: Path, to: Path, *, overwrite: bool) -> None:
    """Copy a file that this process has open, as it is at one moment; `to` has its name when it is whole and synced.

    Raises
    ------
    ArgumentError
        When the path is taken, or is the file itself.
    StoreNotFoundError, StoreAccessError, StoreFullError
        When it cannot be made there.
    """
    _check(path, to, overwrite=overwrite)
    part = to.with_name(f".{to.name}-{uuid.uuid4().hex}")
    try:
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600))
        _copy(path, part)
        sync(part)
        if overwrite:
            part.replace(to)
        else:
            _name(part, to)
        sync(to.parent)
    except apsw.FullError as error:
        raise StoreFullError(f"there is no room for the backup {str(to)!r}") from error
    except OSError as error:
        raise access_error(error, to) from error
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            part.with_name(part.name + suffix).unlink(missing_ok=True)


def _check(path: Path, to: Path, *, overwrite: bool) -> None:
    if not to.parent.is_dir():
        raise StoreNotFoundError(str(to), f"no such folder: {str(to.parent)!r}")
    if to.exists():
        if to.samefile(path):
            raise ArgumentError("to", "another file than the store's", str(to))
        if not to.is_file():
            raise ArgumentError("to", "a file's path", str(to))
        if not overwrite:
            raise ArgumentError("to", _TAKEN, str(to))
    for suffix in ("-wal", "-shm", "-journal"):
        beside = to.with_name(to.name + suffix)
        if beside.exists() and beside.stat().st_size:
            raise ArgumentError(
                "to", f"without a file {beside.name!r} beside it, which would be taken for a part of it", str(to)
            )


def _copy(path: Path, part: Path) -> None:
    """Copy all pages as they are at one moment."""
    with closing(schema.connect(path, write=False)) as source, closing(apsw.Connection(str(part))) as target:
        target.pragma("synchronous", "OFF")  # all of it is synced at the end
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_schema").fetchall()  # here the moment is
        with target.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(_PAGES)
        target.pragma("journal_mode", "delete")  # the copy is one file


def _name(part: Path, to: Path) -> None:
    """Give the file its name, if nobody has taken that meanwhile."""
    try:
        os.link(part, to)
    except FileExistsError:
        raise ArgumentError("to", _TAKEN, str(to)) from None
    except OSError:  # a file system without links
        part.rename(to)
