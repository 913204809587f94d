"""`OpenFile`: a store's file as one process has it open. What is read and written goes through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import apsw

from ringward.errors import StoreClosedError
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.fingerprint import Tables
from ringward.events.stores.sqlite.locks import Presence
from ringward.events.stores.sqlite.watched_files import Held
from ringward.events.stores.sqlite.writer import DAMAGE, Writer
from ringward.mutex import Mutex

__all__ = ["OpenFile"]

T = TypeVar("T")

_LOOK_S = 0.1  # how often whoever reads looks whether the file is in its place
_TABLES_S = 1.0  # and whether its tables are


def _as_they_are(rows: Any) -> Any:
    return rows


class OpenFile:
    """A file with a connection that writes and one that reads, which is looked after: whether it is in its place, and its tables.

    Parameters
    ----------
    path : path
    writer : Writer
    reader : apsw.Connection
    watch : Held
    presence : Presence
        Is looked after, too.
    """

    def __init__(self, path: Path, writer: Writer, reader: apsw.Connection, watch: Held, presence: Presence) -> None:
        self.path = path
        self.writer = writer
        self.reader = reader
        self.reading: AbstractContextManager[Any] = Mutex()  # held by whoever reads
        self.closed = False
        self.look_due = self._tables_due = 0.0
        self._unsure = False  # whether it is time to look whether the tables are as they were
        self._tables = Tables(schema.STEPS)
        self._watch = watch
        self._presence = presence

    def read(self, sql: str, values: Sequence[Any] = (), of: Callable[[Any], T] = _as_they_are) -> T:
        """What a statement finds, decoded; what cannot have been stored shows that the file is damaged."""
        return self.read_all(lambda execute: of(execute(sql, values).fetchall()))

    def read_all(self, read: Callable[[Callable[..., apsw.Cursor]], T]) -> T:
        """What several statements find."""
        with self.reading:
            if self._unsure:
                self.look_at_tables(self.reader)
            return self.read_in_place(lambda: read(self.reader.execute))

    def read_in_place(self, read: Callable[[], T]) -> T:
        """What something reads from the file, which is in its place."""
        self._look_after()
        try:
            return read()
        except (apsw.Error, *DAMAGE) as error:
            raise self.writer.failure(error) from error

    def look(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """What a statement finds in the transaction that is written."""
        return self.writer.connection.execute(sql, values).fetchall()

    def change(self, operation: Callable[[], T], *, sync: bool = True) -> T:
        """Run an operation in a transaction, which threads share."""
        return self.writer.run(operation, sync=sync)

    def looked(self) -> None:
        """Before the file is opened once more: it is there, and ours to use."""
        if self.closed:
            raise StoreClosedError("the store is closed")
        self.look_due = 0.0
        self._look_after()

    def look_at_tables(self, connection: apsw.Connection) -> None:
        """See whether the tables are as they were; nothing is written any more if they are not."""
        self._unsure = False
        if wrong := self._tables.wrong(connection):
            self.writer.disturbed(wrong)

    def _look_after(self) -> None:
        """From time to time, see whether the files are in place."""
        now = time.monotonic()
        if now < self.look_due:
            return
        self.look_due = now + _LOOK_S
        if now >= self._tables_due:
            self._tables_due, self._unsure = now + _TABLES_S, True
        self._presence.look_after()
        if self.writer.gone is None and self._watch.displaced():
            self.change(lambda: None)  # with the write lock it is certain, and an error
        if self.writer.gone is not None:
            raise self.writer.gone.with_traceback(None)

    def forked(self, writer: Writer, error: Exception) -> None:
        """In a child process: it can neither be read nor written."""
        self.writer = writer
        self.reading = _Raising(error)


class _Raising(threading.local):
    """Stands where a lock was, and refuses."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __enter__(self) -> None:
        raise self._error

    def __exit__(self, *_: object) -> None:
        """Never reached."""
