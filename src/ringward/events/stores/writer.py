"""`Writer`: the one connection of a process that writes."""

from __future__ import annotations

import apsw

from ringward._core import GroupCommit
from ringward.errors import (
    BackpressureError,
    RingwardError,
    StoreClosedError,
    StoreFailedError,
    StoreFullError,
    StoreUnavailableError,
    TransactionError,
)

__all__ = ["HANDLER", "Writer", "translated"]

# The store's own statements never have the text of a handler's: a prepared statement is authorised once.
HANDLER = "/*handler*/ "


class Writer(GroupCommit):
    """Runs operations in transactions that threads share, and says what their errors mean.

    After a commit that failed, nothing is written any more, by any process.
    """

    def failure(self, error: Exception) -> Exception:
        """The error to raise when an operation met one; a damaged file is the end of all writing."""
        if isinstance(error, apsw.CorruptError):
            return self.condemned(f"the file is damaged: {error}")
        return translated(error) if isinstance(error, apsw.Error) else error

    def condemned(self, why: str) -> StoreFailedError:
        """The file cannot be trusted any more: no process writes to it until it is copied anew."""
        self.closed = failed = StoreFailedError(why)
        self.turnstile.fail()
        return failed

    def distrusted(self) -> StoreFailedError:
        """Another process has said so."""
        self.closed = failed = StoreFailedError("another process found that the file cannot be trusted: open it anew")
        return failed


def translated(error: apsw.Error) -> RingwardError:
    """The error of ours that says what went wrong."""
    if isinstance(error, apsw.FullError):
        made: RingwardError = StoreFullError(f"nothing was stored: {error}")
    elif isinstance(error, apsw.BusyError | apsw.LockedError):
        made = BackpressureError("store", "free of other programs' locks", str(error))
    elif isinstance(error, apsw.InterruptError):  # only handlers are
        made = TransactionError("the handler was interrupted: it took too long")
    elif isinstance(error, apsw.ConnectionClosedError):
        made = StoreClosedError("the store is closed")
    elif isinstance(error, apsw.IOError | apsw.CantOpenError | apsw.NoMemError | apsw.ProtocolError):
        made = StoreUnavailableError(f"{type(error).__name__}: {error}")  # of a commit, `GroupCommit` says another
    else:
        made = StoreFailedError(f"{type(error).__name__}: {error}")
    made.__cause__ = error
    return made
