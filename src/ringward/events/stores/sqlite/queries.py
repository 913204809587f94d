"""Reading a store's file for the application: a connection of our own library, which can do nothing but read."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import apsw

from ringward.checks import checked_text
from ringward.errors import ArgumentError, ArgumentTypeError, QueryTimeoutError
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.writer import translated, typed

__all__ = ["Reader", "reading"]

_STEPS = 1000  # of SQLite's machine between two looks at the clock
_READS = {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_RECURSIVE, apsw.SQLITE_FUNCTION}
# What is wrong with the file or the machine, and not with the statement.
_BESIDE = (
    *(apsw.IOError, apsw.CantOpenError, apsw.NoMemError, apsw.ProtocolError, apsw.FullError),
    *(apsw.BusyError, apsw.LockedError, apsw.CorruptError, apsw.NotADBError),
)
_TOLD = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}


class Reader:
    """A look at the file as it is at one moment, from `SqliteStore.reader`; for one thread at a time."""

    def __init__(self, connection: apsw.Connection, timeout_s: float) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        connection.authorizer = _authorised
        connection.exec_trace = _only_reads
        connection.set_progress_handler(self._late, _STEPS)

    def _late(self) -> bool:
        return time.monotonic() >= self._deadline

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement that reads, and return all its rows.

        Raises
        ------
        ArgumentError
            For a statement that does anything but read.
        QueryTimeoutError
            When the time of the reader is up.
        ArgumentTypeError
            For parameters that SQLite does not take.
        StoreUnavailableError
            When the file cannot be read just now, as with too many open files.
        apsw.Error
            What SQLite says of the statement.
        """
        checked_text("sql", sql)
        if isinstance(parameters, str | bytes) or not isinstance(parameters, Sequence | Mapping | None):
            raise ArgumentTypeError("parameters", "a sequence, a mapping or None", parameters)
        if self._late():
            raise QueryTimeoutError(self._timeout_s)
        try:
            rows: list[tuple[Any, ...]] = self._connection.execute(sql, parameters).fetchall()
        except (apsw.AuthError, apsw.ReadOnlyError, apsw.ExecTraceAbort, apsw.SQLError) as error:
            if isinstance(error, apsw.SQLError) and not str(error).startswith("not authorized"):
                raise
            raise ArgumentError("sql", "a statement that only reads", sql) from error
        except apsw.InterruptError as error:
            raise QueryTimeoutError(self._timeout_s) from error
        except _BESIDE as error:
            raise translated(error) from error
        except TypeError as error:
            raise ArgumentTypeError("parameters", "None, numbers, str or bytes each", parameters) from error
        except OverflowError as error:
            raise ArgumentError("parameters", "integers of 64 bits, and fit for SQLite", parameters) from error
        except UnicodeError as error:
            raise ArgumentError(
                "sql", f"a statement whose texts, and those it reads, are UTF-8 ({error})", sql
            ) from error
        return rows


def _only_reads(cursor: apsw.Cursor, _sql: str, _bindings: object) -> bool:
    """What the authoriser is not asked about: VACUUM."""
    return cursor.is_readonly


def _authorised(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
    """The authoriser of a reader."""
    if action == apsw.SQLITE_PRAGMA:
        allowed = first is not None and first.lower() in _TOLD
    else:
        allowed = action in _READS and not (action == apsw.SQLITE_FUNCTION and second == "load_extension")
    return int(apsw.SQLITE_OK if allowed else apsw.SQLITE_DENY)


@contextmanager
def reading(path: Path, timeout_s: float) -> Iterator[Reader]:
    """A reader of a file that this process has open; all that it reads is of one moment."""
    with typed(path):
        connection = schema.connect(path, write=False)
    with closing(connection):
        connection.execute("BEGIN")
        yield Reader(connection, timeout_s)
