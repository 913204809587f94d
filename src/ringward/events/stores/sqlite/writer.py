"""`Writer`: the one connection of a process that writes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw

from ringward._core import GroupCommit
from ringward.errors import (
    BackpressureError,
    RingwardError,
    StoreClosedError,
    StoreFailedError,
    StoreFormatError,
    StoreFullError,
    StoreUnavailableError,
    TransactionError,
)
from ringward.events.stores.sqlite.paths import access_error

__all__ = ["DAMAGE", "HANDLER", "Writer", "translated", "typed"]

# The store's own statements never have the text of a handler's: a prepared statement is authorised once.
HANDLER = "/*handler*/ "
# What comes out of a damaged file: SQLite says so, or a value is none of ours, or a text is no UTF-8.
DAMAGE = (apsw.CorruptError, StoreFormatError, UnicodeDecodeError)


_MOVED, _WAL_GONE, _INDEX_GONE = 1, 2, 3
_WRONG = {
    _MOVED: "the file was moved, replaced or deleted",
    _WAL_GONE: "its -wal was moved, replaced or deleted",
    _INDEX_GONE: "its -shm was moved, replaced or deleted",
    4: "its -wal was truncated",
    5: "its -wal was overwritten",
    6: "it was overwritten",
}
_RESCUE_MS = 200  # how long to wait for readers, to put into the main file what was accepted


class Writer(GroupCommit):
    """Runs operations in transactions that threads share, and says what their errors mean.

    After a commit that failed, nothing is written any more, by any process.
    """

    database = apsw  # whose errors the connection raises
    gone: StoreFailedError | None = None  # why nothing may be read either

    def failure(self, error: Exception) -> Exception:
        """The error to raise when an operation met one; a damaged file is the end of all writing."""
        if isinstance(error, DAMAGE):
            return self.condemned(f"the file is damaged: {error}")
        path = None if self.watch is None else Path(os.fsdecode(self.watch.paths[0]))
        if isinstance(error, OSError) and not isinstance(error, RingwardError) and path is not None:
            if error.errno == errno.EBADF:  # which does not pass
                self.closed = failed = StoreFailedError(
                    f"{path}: somebody has closed its files in this process: {error}"
                )
                return failed
            return access_error(error, path)
        return translated(error, path) if isinstance(error, apsw.Error) else error

    def displaced(self, wrong: int) -> None:
        """The files are not those that were opened: nothing is written to them any more.

        What was accepted before is in the write-ahead log that we have open. Where nobody else can have taken
        its place, it goes into the main file now, wherever that is. A file that somebody has put in the place of
        ours is not condemned for it.
        """
        why, connection = _WRONG[wrong], self.connection
        main, *beside = (path.decode(errors="replace") for path in self.watch.paths)
        with suppress(apsw.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        gone = wrong in (_WAL_GONE, _INDEX_GONE) and self.watch.locks and not os.path.exists(beside[wrong - 2])  # noqa: PTH110
        if wrong == _MOVED or gone:
            with suppress(apsw.Error):
                connection.set_busy_timeout(_RESCUE_MS)
                connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if wrong == _MOVED else 'FULL'})").fetchall()
        text = f"{main}: {why}; what was accepted last may be missing there"
        if wrong != _MOVED:
            raise self.condemned(text)
        self.closed = self.gone = failed = StoreFailedError(text)
        raise failed

    def set_back(self, tail: int, highest: int) -> StoreFailedError:
        """The log ends before what was stored: nothing of this process fits to it any more."""
        self.closed = self.gone = failed = StoreFailedError(
            f"{os.fsdecode(self.watch.paths[0])}: the log was set back from seq {highest} to {tail}, as by a restore while it"
            " was open: stop all processes that have it open, and start them again"
        )
        return failed

    def condemned(self, why: str) -> StoreFailedError:
        """The file cannot be trusted any more: no process writes to it until it is copied anew."""
        self.closed = failed = StoreFailedError(why)
        self.write_lock.fail()
        return failed

    def disturbed(self, why: str) -> None:
        """Our tables are not as they were: what is there can still be read, and nothing is written any more."""
        if self.closed is None:
            main = "the file" if self.watch is None else os.fsdecode(self.watch.paths[0])
            self.closed = StoreFailedError(f"{main}: somebody has changed its tables while it was open: {why}")

    def distrusted(self) -> StoreFailedError:
        """Another process has said so."""
        self.closed = failed = StoreFailedError("another process found that the file cannot be trusted: open it anew")
        return failed


@contextmanager
def typed(path: Path) -> Iterator[None]:
    """Let what SQLite and the system say of a file become an error of ours."""
    try:
        yield
    except RingwardError:  # some are an OSError, too
        raise
    except OSError as error:
        raise access_error(error, path) from error
    except apsw.Error as error:
        raise translated(error, path) from error


def translated(error: apsw.Error, path: Path | None = None) -> RingwardError:
    """The error of ours that says what went wrong, and with which file."""
    where = "" if path is None else f"{path}: "
    if isinstance(error, apsw.FullError):
        made: RingwardError = StoreFullError(f"{where}nothing was stored: {error}")
    elif getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE:
        made = StoreFullError(f"{where}nothing was stored: there is no room for the -shm beside it")
    elif isinstance(error, apsw.BusyError | apsw.LockedError):
        made = BackpressureError("store", "free of other programs' locks", str(error))
    elif isinstance(error, apsw.InterruptError):  # only handlers are
        made = TransactionError("the handler was interrupted: it took too long")
    elif isinstance(error, apsw.ConnectionClosedError):
        made = StoreClosedError("the store is closed")
    elif isinstance(error, apsw.IOError | apsw.CantOpenError | apsw.NoMemError | apsw.ProtocolError):
        made = StoreUnavailableError(
            f"{where}{type(error).__name__}: {error}"
        )  # of a commit, `GroupCommit` says another
    else:
        made = StoreFailedError(f"{where}{type(error).__name__}: {error}")
    made.__cause__ = error
    return made
