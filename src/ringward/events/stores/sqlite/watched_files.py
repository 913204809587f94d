"""One `FileWatch` for each file that this process has open, however many stores there are on it; and SQLite's own locks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from threading import get_ident
from typing import Self

import apsw

from ringward._core import NESTED, FileWatch, disown, own, system_calls
from ringward.errors import StoreFailedError, StoreFormatError, StoreUnavailableError, TransactionError
from ringward.mutex import Mutex

__all__ = ["Held", "held", "in_use", "refuse_nested"]

_held: dict[tuple[int, int], Held] = {}
_kept: list[apsw.VFS] = []
_changing = Mutex()  # held while a file is opened first or closed last


def _keep_locks() -> None:
    """Let nothing in this process drop SQLite's locks on the files that are `own`; where the platform can."""
    calls = system_calls()
    if calls and not _kept:
        vfs = apsw.VFS("ringward-locks", base="unix")
        for name, pointer in calls.items():
            vfs.xSetSystemCall(name, pointer)
        _kept.append(vfs)


class Held(FileWatch):
    """The watch of a file, and how many stores share it.

    Our descriptors of a file may be closed only when no connection to it is left: that drops the locks of all.
    """

    def __new__(cls, path: Path) -> Self:
        """Of a file that no store of this process has open."""
        names = [os.fsencode(str(path) + suffix) for suffix in ("", "-wal", "-shm")]
        return super().__new__(cls, names)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        _keep_locks()
        self.key = self.open_main()
        own(self.paths[-1])

    def close(self) -> None:
        """Let go of the files."""
        super().close()
        disown(self.paths[-1])

    def hold(self) -> None:
        """SQLite has the files open: watch them, and lock them in a way that nothing else in this process can undo."""
        super().hold()
        if self.locks and not self.kept:
            raise StoreUnavailableError(
                f"{self.path}: an apsw.Connection of this process opened it first, and any other SQLite here can drop its"
                " locks: open it after the Processor, or use Processor.query"
            )

    def release(self, *closes: Callable[[], None], orderly: bool) -> None:
        """Close a store's last connection; the last of all may take the write-ahead log away if it is `orderly`."""
        with _changing:
            self.users -= 1
            if self.users == 0 and orderly:
                self.let_go()
            for close in closes:
                close()
            # A connection of somebody else's in this process would lose its locks: then it stays for the next store.
            if self.users == 0 and not (orderly and self.others_here()):
                _held.pop(self.key, None)
                self.close()


def held(path: Path) -> Held:
    """The watch of a file that is about to be opened; `release` is to follow. Its name must be resolved."""
    with _changing:
        place = path.stat()
        if place.st_nlink > 1:
            raise StoreFormatError(
                f"path must be the file's only name, since SQLite keeps a log for each (was {str(path)!r}, with"
                f" {place.st_nlink} hard links): copy it with `ringward events backup`"
            )
        found = _held.get((place.st_dev, place.st_ino))
        if found is None:
            found = Held(path)
            _held[found.key] = found
        elif found.path != path:
            raise StoreFormatError(
                f"path must be the name under which this process has the file open, {str(found.path)!r} (was {str(path)!r})"
            )
        elif found.users and found.displaced():
            raise StoreFailedError(f"{path}: it is open in this process, and its -wal or -shm was deleted or replaced")
        found.users += 1
        return found


def refuse_nested(path: Path) -> None:
    """Refuse to wait for a write transaction that this very thread has."""
    try:
        place = path.stat()
    except OSError:
        return
    found = _held.get((place.st_dev, place.st_ino))
    if found is not None and found.writing_thread == get_ident():
        raise TransactionError(NESTED)


def in_use(path: Path) -> bool:
    """Whether somebody has the file open, as far as SQLite's own locks tell; for a file that is about to be replaced."""
    with _changing:
        place = path.stat()
        found = _held.get((place.st_dev, place.st_ino))
        if found is not None:
            return found.users > 0
        probe = Held(path)
        try:
            return probe.shared()
        finally:
            probe.close()


def _after_fork() -> None:
    """The parent's descriptors are none of this process: its locks are not dropped by closing copies of them."""
    global _changing  # noqa: PLW0603 - another thread of the parent may have held it
    _changing = Mutex()
    for each in list(_held.values()):
        each.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
