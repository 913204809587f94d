"""Locks between processes: the lock that writers pass, and the sign that a process lives."""

from __future__ import annotations

import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from ringward._core import FairWriteLock
from ringward.events.stores.sqlite.paths import FULL

__all__ = ["TOUCH_S", "FileLock", "Presence", "StoreWriteLock"]

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


OLD_S = 3600.0  # how long the sign of a dead process stays: it is the proof of its death
TOUCH_S = 1.0  # how often files are looked after


class FileLock:
    """An exclusive lock on a file of its own; the system lets go of it when the process dies."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        self.path = path
        self._opened(_open(path, create=create))

    def _opened(self, fd: int) -> None:
        self.fd, self._name = fd, str(self.path)
        found = os.fstat(fd)
        self._place = found.st_ino, found.st_dev

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
            found = os.stat(self._name)  # noqa: PTH116 - asked before each commit
        except OSError:
            return False
        return (found.st_ino, found.st_dev) == self._place

    def touch(self) -> None:
        """Let the file look used, for those who remove what is old."""
        with suppress(OSError):
            os.utime(self.path)

    def moved(self, path: Path) -> None:
        """Let the locked file have another name."""
        self.path = self.path.rename(path)
        self._name = str(path)

    def reopen(self) -> None:
        """Open the file that is in place now, or make it; the other's lock is let go."""
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        before = self.fd
        self._opened(_open(self.path, create=True))
        os.close(before)

    def release(self) -> None:
        """Let go."""
        flock(self.fd, LOCK_UN)

    def close(self) -> None:
        """Let go for good."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _open(path: Path, *, create: bool) -> int:
    return os.open(path, os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_CLOEXEC", 0), 0o600)


class StoreWriteLock(FairWriteLock):
    """Two locks that writers of several processes pass one after the other.

    As `FairWriteLock`. A file -failed beside the store says the same as the sign, where there is space for it: somebody may
    tidy up the locks.
    """

    def __init__(self, folder: Path, look_after: Callable[[], None] = lambda: None) -> None:
        self._next = FileLock(folder / "next")
        try:
            self._write = FileLock(folder / "write")
        except OSError:
            self._next.close()
            raise
        self._mark = folder.with_name(folder.name.removesuffix("-locks") + "-failed")
        self._look_after = look_after
        super().__init__(flock, LOCK_EX, LOCK_UN, self._next, self._write)

    def troubled(self, due: bool) -> bool:
        """As `FairWriteLock.troubled`."""
        if not self._write.in_place():
            self._renew()
        if due:
            self._keep()
        return self._length() > 0

    def distrusted(self) -> bool:
        """As `failed`, also where the locks were removed; for whoever opens the file."""
        return self.failed or self._mark.exists()

    def _length(self) -> int:
        return os.lseek(self._write.fd, 0, os.SEEK_END)

    def _renew(self) -> None:
        """The file was removed: take the lock of the one that others find, and let it say what the other did."""
        failed = self._length() > 0
        with suppress(OSError):  # the whole folder is gone, which the store will tell
            while not self._write.in_place():
                self._write.reopen()
                self._write.acquire()
        if failed or self._mark.exists():
            self.fail()

    def _keep(self) -> None:
        """See to it that others find the files, and that nobody takes them for old ones."""
        if not self._next.in_place():
            with suppress(OSError):
                self._next.reopen()
        self._next.touch()
        self._write.touch()
        self._look_after()

    def fail(self, *, failed: bool = True) -> None:
        """Say so to all; or, after a repair, that it is over."""
        os.ftruncate(self._write.fd, 1 if failed else 0)
        with suppress(OSError):
            if failed:
                self._mark.touch(mode=0o600)
            else:
                self._mark.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the files."""
        self._next.close()
        self._write.close()


class Presence:
    """A lock that this process holds for as long as it lives, and a look at those of others.

    A missing file says nothing, since others may have removed it. One that nobody has locked says that its
    process is dead.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.name = uuid.uuid4().hex
        self.known = False  # whether others may have noted the name
        self._inode: int | None = None  # of the file that this process has open
        self._noted = True  # whether the others can read that
        self._lock = self._shown()
        self._looking = threading.Lock()
        self._looked = time.monotonic()
        try:
            self._sweep()
        except BaseException:
            self.close()
            raise

    @property
    def _path(self) -> Path:
        return self._folder / f"alive-{self.name}"

    def _shown(self) -> FileLock:
        """The file under its name; it has that when it is locked, and never before."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        if sys.platform == "win32":  # pragma: no cover - what is open has to keep its name there
            lock = FileLock(self._path)
            lock.acquire()
            return lock
        lock = FileLock(self._folder / f"new-{uuid.uuid4().hex}")
        try:
            lock.acquire()
            self._note(lock)
            lock.moved(self._path)
        except BaseException:
            lock.close()
            raise
        return lock

    def opens(self, inode: int) -> None:
        """Note which file this process has open, for those who find another under its path."""
        self._inode = inode
        self._note(self._lock)

    def _note(self, lock: FileLock) -> None:
        """What is noted holds in this place and until the next boot: copies and new mounts have other numbers."""
        if self._inode is not None and sys.platform != "win32":
            self._noted = True
            try:
                os.ftruncate(lock.fd, 0)
                os.pwrite(lock.fd, f"{self._inode} {os.fstat(lock.fd).st_ino} {_boot()}".encode(), 0)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self._noted = False  # a full disk is no reason to keep out whoever wants to look, or to make room

    def strangers(self, inode: int) -> tuple[int, bool]:
        """How many live processes have another file open here; and whether the last one had, if all are dead."""
        alive, here, last, newest = 0, False, inode, 0
        for name in self.others():
            path = self._folder / f"alive-{name}"
            try:
                found = path.stat()
                noted, own, boot = path.read_text(encoding="ascii").split()
                if (int(own), boot) != (found.st_ino, _boot()):
                    continue
                other = int(noted)
            except (OSError, ValueError):
                continue
            if self.alive(name):
                alive += other != inode
                here |= other == inode
            elif found.st_mtime_ns > newest:
                last, newest = other, found.st_mtime_ns
        return alive, last != inode and not here

    def renewed(self, inode: int) -> None:
        """The file was replaced by a copy of its own: who died had the one that it was."""
        for name in self.others():
            with suppress(OSError):
                lock = FileLock(self._folder / f"alive-{name}", create=False)
                try:
                    if lock.try_acquire():
                        times = os.fstat(lock.fd)
                        os.ftruncate(lock.fd, 0)
                        os.pwrite(lock.fd, f"{inode} {times.st_ino} {_boot()}".encode(), 0)
                        os.utime(lock.path, ns=(times.st_atime_ns, times.st_mtime_ns))
                finally:
                    lock.close()

    def look_after(self) -> None:
        """See to it that others find the file, and that nobody takes it for an old one; from time to time."""
        now = time.monotonic()
        if now - self._looked < TOUCH_S or not self._looking.acquire(blocking=False):
            return
        try:
            self._looked = now
            if self._lock.in_place():
                self._lock.touch()
                if not self._noted:
                    self._note(self._lock)
            elif self._lock.fd >= 0:
                with suppress(OSError):
                    before, self._lock = self._lock, self._shown()
                    before.close()
        finally:
            self._looking.release()

    def _sweep(self) -> None:
        """Remove what dead processes left behind, when whoever had to know of their death does."""
        oldest = time.time() - OLD_S
        for path in [*self._folder.glob("alive-*"), *self._folder.glob("new-*")]:
            with suppress(OSError):
                if path.stat().st_mtime < oldest and _unlocked(path):
                    path.unlink()

    def others(self) -> list[str]:
        """The processes that have, or had, the store open, but for this one."""
        names = [path.name.removeprefix("alive-") for path in self._folder.glob("alive-*")]
        return sorted(name for name in names if name != self.name)

    def alive(self, name: str) -> bool | None:
        """Whether the process of this name still holds its lock; None when there is no sign of it."""
        if name == self.name:
            return True
        unlocked = _unlocked(self._folder / f"alive-{Path(name).name}")
        return None if unlocked is None else not unlocked

    def close(self) -> None:
        """Let go; what others may ask for stays, as the proof that this process is gone."""
        if not self.known:
            self._path.unlink(missing_ok=True)
        self._lock.close()

    def forget(self) -> None:
        """Drop this process's copy after a fork: the parent keeps the lock."""
        self._lock.close()


@cache
def _boot() -> str:
    """This boot of the machine, where it has a name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return "-"


def _unlocked(path: Path) -> bool | None:
    """Whether nobody has a file locked; None when it is not there."""
    try:
        probe = FileLock(path, create=False)
    except OSError:
        return None
    try:
        return probe.try_acquire()
    finally:
        probe.close()
