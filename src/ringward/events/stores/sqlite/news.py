"""`Board`: the counter of news that the processes of a file share, in a small file that each has in its memory."""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import suppress
from pathlib import Path

from ringward._core import News

__all__ = ["Board"]

_SIZE = 4096  # one page


class Board:
    """The file with the counter. Without it, or when it is lost, nothing is lost but time: who looks finds all.

    Parameters
    ----------
    path : path
        Made where it is missing.
    who : int
        As `News` has it.
    """

    def __init__(self, path: Path, who: int) -> None:
        self._path = path
        self._who = who
        self._identity: tuple[int, int] | None = None
        self.news = self._opened()

    def _opened(self) -> News:
        """The counter; one of this process alone where the file can't be had."""
        with suppress(OSError, ValueError):
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
            kept = -1
            try:
                missing = _SIZE - os.fstat(fd).st_size
                if missing > 0:  # written, so that the space is there: memory without is an error that ends processes
                    os.lseek(fd, 0, os.SEEK_END)
                    os.write(fd, bytes(missing))
                memory = mmap.mmap(fd, _SIZE)
                stat = os.fstat(fd)
                kept = os.dup(fd) if sys.platform != "win32" else -1  # there, what is mapped cannot be cut off
            finally:
                os.close(fd)
            self._identity = (stat.st_dev, stat.st_ino)
            return News(memory, self._who, kept)
        self._identity = None
        return News(None, self._who)

    def renew(self) -> bool:
        """Make the file again if somebody has removed or replaced it; whether that was so."""
        try:
            stat = self._path.stat()
            there = (stat.st_dev, stat.st_ino) == self._identity and stat.st_size >= _SIZE
        except OSError:
            there = False
        if there:
            return False
        self.news = self._opened()
        return self._identity is not None

    def close(self) -> None:
        """Give the file back, when the last that sleeps on the counter has gone."""
        self.news.rouse()
        self.news = News(None, self._who)
