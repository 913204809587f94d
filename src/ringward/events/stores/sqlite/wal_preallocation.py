"""`WalPreallocation`: zeros behind SQLite's write-ahead log, so that syncing a commit need not make the file longer, too."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["STEP", "WalPreallocation"]

STEP = 1 << 18
_ZEROS = memoryview(bytes(STEP))  # made once: the system would have to find the memory each time


class WalPreallocation:
    """Lets the write-ahead log of a file grow in steps.

    A write at the end of a file makes it longer, and syncing it writes down the new length as well, which on most
    file systems takes as long again. So the log is made longer by a step at a time, with zeros, which SQLite takes for the
    end of the log: they have the checksum of no frame. Its length is a multiple of `STEP` then; that it is
    not shows that SQLite came to its end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + "-wal")
        self._fd = -1

    def keep(self, length: int) -> None:
        """Make a log of so many bytes longer if it is used up; to be called while nobody else can write to it."""
        if length % STEP:
            with suppress(OSError):  # it is as good without, and what SQLite writes will tell of a full disk
                self._lengthen()

    def _lengthen(self) -> None:
        if self._fd < 0:
            flags = os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            self._fd = os.open(self._path, flags)
        used = os.lseek(self._fd, 0, os.SEEK_END) % STEP
        if used:
            os.write(self._fd, _ZEROS[used:])

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
