"""Whether the tables of a file are ours and nothing else touches them, before anything is done with them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import apsw

from ringward.errors import StoreFormatError

__all__ = ["OURS", "Tables", "bounded", "check", "served"]

OURS = "ringward_"
_REMADE = ("ringward_settings",)  # no event and no position is lost with it
OPEN_S = 60.0  # opening a file takes no longer
_STEPS_BETWEEN = 20_000  # of SQLite's machine: a few milliseconds
_ENTRIES = "SELECT type, name, tbl_name, sql, rootpage FROM main.sqlite_schema"


@cache
def _expected(steps: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    connection = apsw.Connection(":memory:")
    try:
        for step in steps:
            connection.execute(step)
        rows: list[Any] = connection.execute(_ENTRIES).fetchall()
        return {row[1]: tuple(row[:4]) for row in rows}
    finally:
        connection.close()


def check(connection: apsw.Connection, steps: Sequence[str]) -> None:
    """Refuse a file whose tables are not what `steps` make, or that has triggers which could touch them.

    Tables, indexes, views and triggers of others, on their own tables, may be there.
    """
    rows: list[Any] = connection.execute(_ENTRIES).fetchall()
    expected = dict(_expected(tuple(steps)))
    roots: set[object] = set()
    for kind, name, table, sql, root in rows:
        if not all(type(text) is str for text in (kind, name, table)):
            raise StoreFormatError("path must be a file of ringward.events (was one whose schema cannot be read)")
        if kind in ("table", "index") and root:
            if root in roots:
                raise StoreFormatError(f"{kind} {name} must have pages of its own: the file is damaged, or made up")
            roots.add(root)
        if name.lower().startswith(OURS) or table.lower().startswith(OURS):
            if expected.pop(name, None) != (kind, name, table, sql):
                raise StoreFormatError(
                    f"the tables of ringward must be as it has made them: {kind} {name} of {table} is another's; drop it"
                )
        elif kind == "trigger" and (type(sql) is not str or OURS in sql.lower()):
            raise StoreFormatError(f"triggers must leave the tables of ringward alone: drop trigger {name} of {table}")
    if expected:
        raise StoreFormatError(_missing(*expected[min(expected)]))


def _missing(kind: str, name: str, _table: str, sql: str) -> str:
    """What is missing, and what helps."""
    text = f"the tables of ringward must be as it has made them: {name} is missing: put a backup in the file's place"
    if kind == "index":
        return f"{text}, or make it again: {sql}"
    if name in _REMADE:
        return f"{text}, or make it again, without what was in it: {sql}"
    return text


class Tables:
    """Whether the tables of an open file are still what they were: somebody may drop or change them.

    A look costs next to nothing as long as nobody has changed anything, tables of handlers included.
    """

    def __init__(self, steps: Sequence[str]) -> None:
        self._steps = steps
        self._version = -1  # of the schema, as it was when all was right

    def wrong(self, connection: apsw.Connection) -> str | None:
        """What is wrong, if anything is; for a connection that is in no transaction."""
        try:
            version = connection.pragma("schema_version")
            if version != self._version:
                check(connection, self._steps)
                self._version = version
        except StoreFormatError as error:
            return str(error)
        except apsw.Error:  # a file that is locked or cannot be read, which others tell
            return None
        return None


@contextmanager
def served(connection: apsw.Connection) -> Iterator[None]:
    """Let signals be served while a statement is run, however long that takes."""
    connection.set_progress_handler(lambda: False, _STEPS_BETWEEN)
    try:
        yield
    finally:
        connection.set_progress_handler(None)


@contextmanager
def bounded(connection: apsw.Connection) -> Iterator[None]:
    """Let what is done while a file is opened end, also if the file was made so that it does not."""
    deadline = time.monotonic() + OPEN_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN)
    try:
        yield
    except apsw.InterruptError as error:
        raise StoreFormatError(f"path must be a file that can be opened within {OPEN_S:.0f} s") from error
    finally:
        connection.set_progress_handler(None)
