"""Locks between processes: the turnstile that writers pass, and the sign that a process lives."""

from __future__ import annotations

import os
import sys
import time
import uuid
from pathlib import Path

from ringward._core import Passage

__all__ = ["FileLock", "Presence", "Turnstile"]

if sys.platform == "win32":  # pragma: no cover - other platforms
    import msvcrt

    LOCK_EX, LOCK_NB, LOCK_UN = 2, 4, 8
    _POLL_S = 0.001

    def flock(fd: int, operation: int) -> None:
        """As `fcntl.flock`."""
        mode = msvcrt.LK_UNLCK if operation == LOCK_UN else msvcrt.LK_NBLCK
        while True:
            os.lseek(fd, 0, os.SEEK_SET)
            try:
                msvcrt.locking(fd, mode, 1)
            except OSError as error:
                if operation == LOCK_UN:
                    return  # it was not locked
                if operation & LOCK_NB:
                    raise BlockingIOError from error
                time.sleep(_POLL_S)
            else:
                return

else:
    from fcntl import LOCK_EX, LOCK_NB, LOCK_UN, flock


class FileLock:
    """An exclusive lock on a file of its own; the system lets go of it when the process dies."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_CLOEXEC", 0), 0o600)

    def acquire(self) -> None:
        """Wait for it."""
        flock(self.fd, LOCK_EX)

    def try_acquire(self) -> bool:
        """Take it if it is free."""
        try:
            flock(self.fd, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def in_place(self) -> bool:
        """Whether the file is still where others look for it."""
        try:
            return os.path.samestat(os.fstat(self.fd), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Let go."""
        flock(self.fd, LOCK_UN)

    def close(self) -> None:
        """Let go for good."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Turnstile(Passage):
    """Two locks that writers of several processes pass one after the other.

    Who writes again and again waits at `next` like everybody else, so nobody starves at `write`.
    The length of the file `write` is the sign that the store has failed: setting it needs no space.
    """

    def __init__(self, folder: Path) -> None:
        self._next = FileLock(folder / "next")
        self._write = FileLock(folder / "write")
        super().__init__(flock, LOCK_EX, LOCK_UN, self._next, self._write)

    @property
    def failed(self) -> bool:
        """Whether some process saw a commit or a sync fail."""
        return os.lseek(self._write.fd, 0, os.SEEK_END) > 0

    def fail(self, *, failed: bool = True) -> None:
        """Say so to all; or, after a repair, that it is over."""
        os.ftruncate(self._write.fd, 1 if failed else 0)

    def close(self) -> None:
        """Let go of the files."""
        self._next.close()
        self._write.close()


class Presence:
    """A lock that this process holds for as long as it lives, and a look at those of others."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name, self._lock = self._shown()
        self._sweep()

    def _shown(self) -> tuple[str, FileLock]:
        """A name and its locked file, which another process may take for a dead one's before it is locked."""
        while True:
            name = uuid.uuid4().hex
            lock = FileLock(self._folder / f"alive-{name}")
            lock.acquire()
            if lock.in_place():
                return name, lock
            lock.close()

    def _sweep(self) -> None:
        """Remove what dead processes left behind."""
        for name in self.others():
            if not self.alive(name):
                (self._folder / f"alive-{name}").unlink(missing_ok=True)

    def others(self) -> list[str]:
        """The processes that have, or had, the store open, but for this one."""
        names = [path.name.removeprefix("alive-") for path in self._folder.glob("alive-*")]
        return sorted(name for name in names if name != self.name)

    def alive(self, name: str) -> bool:
        """Whether the process of this name still holds its lock."""
        if name == self.name:
            return True
        try:
            probe = FileLock(self._folder / f"alive-{Path(name).name}", create=False)
        except FileNotFoundError:
            return False
        try:
            return not probe.try_acquire()
        finally:
            probe.close()

    def close(self) -> None:
        """Let go, and leave nothing behind."""
        (self._folder / f"alive-{self.name}").unlink(missing_ok=True)
        self._lock.close()

    def forget(self) -> None:
        """Drop this process's copy after a fork: the parent keeps the lock."""
        self._lock.close()
