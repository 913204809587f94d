"""A file that cannot be trusted is replaced by a synced copy of what can be read of it."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import apsw

from ringward.errors import RingwardError, StoreFailedError
from ringward.events.logs import log
from ringward.events.model.stream import Stream
from ringward.events.stores.sqlite import fingerprint, schema
from ringward.events.stores.sqlite.repair import Repair
from ringward.events.stores.sqlite.sizes import INCREMENTAL

__all__ = ["nothing_left", "renew", "sync", "unfinished"]

_LEAST, _MOST = -(2**63), 2**63 - 1
_PROBES = 20_000  # failed looks at a table, at most
_WHOLE, _RECOVERED = (
    "-whole",
    "-salvaged",
)  # copies that are complete and synced, and only have to take the file's place
_DEFINITIONS = {
    *(apsw.SQLITE_CREATE_TABLE, apsw.SQLITE_CREATE_INDEX, apsw.SQLITE_CREATE_VIEW, apsw.SQLITE_CREATE_TRIGGER),
    *(apsw.SQLITE_REINDEX, apsw.SQLITE_FUNCTION, apsw.SQLITE_READ),
}
_OF_SCHEMA = {apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE}


def unfinished(path: Path) -> bool:
    """Whether a copy is complete that did not take the file's place yet."""
    return any(path.with_name(path.name + suffix).exists() for suffix in (_WHOLE, _RECOVERED))


def nothing_left(path: Path) -> bool:
    """Whether somebody has taken away all that there was to read: an empty file, without a log."""
    log = path.with_name(path.name + "-wal")
    return not path.stat().st_size and not (log.exists() and log.stat().st_size)


def renew(path: Path, stream: Stream | None) -> None:
    """Replace a file by a synced copy of what can be read of it; at any point this can be begun again.

    When something of it is lost, that is logged, and the file is kept under the name -damaged-1, -damaged-2 ...,
    with a text beside it that says what.
    """
    whole, recovered = (path.with_name(path.name + suffix) for suffix in (_WHOLE, _RECOVERED))
    if not unfinished(path):
        fresh = path.with_name(path.name + "-fresh")
        fresh.unlink(missing_ok=True)
        lost = _copied(path, fresh, stream)
        fresh.chmod(0o600)
        sync(fresh)
        if lost:
            _tell(_aside(path), lost)
        fresh.replace(recovered if lost else whole)
        sync(path.parent)
    if recovered.exists():
        _keep(path, _aside(path))
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    (recovered if recovered.exists() else whole).replace(path)
    sync(path.parent)


def _copied(path: Path, fresh: Path, stream: Stream | None) -> list[str]:
    """Copy what can be read, and check it; what is lost."""
    try:
        with closing(_damaged(path)) as old:
            version: int = old.pragma("user_version")
            with fingerprint.bounded(old):
                fingerprint.check(old, schema.STEPS[: max(0, version)])
            lost: list[str] = []
            highest = 0
            try:
                old.execute("VACUUM INTO ?", (str(fresh),))
            except (apsw.CorruptError, apsw.IOError):
                fresh.unlink(missing_ok=True)
                lost, highest = _copy_rows(old, fresh), _highest(old)
        with closing(_new(fresh)) as new:
            return lost + _repaired(new, schema.stored_stream(new, stream), highest)
    except (apsw.Error, RingwardError, TypeError, ValueError) as error:
        raise StoreFailedError(
            f"the file cannot be trusted, and too little of it can be read: {error} (put a backup in its place, or move it"
            " and its -wal away to begin anew)"
        ) from error


def _repaired(new: apsw.Connection, stream: Stream, highest: int) -> list[str]:
    try:
        return Repair(new, stream, highest).run()
    except UnicodeDecodeError:
        lost = _drop_garbled(new)
        return lost + Repair(new, stream, highest).run()


def _drop_garbled(new: apsw.Connection) -> list[str]:
    """Take out texts that are no UTF-8: nothing can read them."""
    lost = []
    function: Any = _garbled
    new.create_scalar_function("ringward_garbled", function, 1)
    for table, column in new.execute(
        "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c"
        " WHERE t.type = 'table' AND t.name LIKE 'ringward^_%' ESCAPE '^'"
    ).fetchall():
        wrong = f"WHERE typeof({column}) = 'text' AND ringward_garbled(CAST({column} AS BLOB))"
        with new:
            try:
                new.execute(f"UPDATE {table} SET {column} = NULL {wrong}")
            except apsw.ConstraintError:
                new.execute(f"DELETE FROM {table} {wrong}")
            if new.changes():
                lost.append(f"table {table}: {new.changes()} texts in {column} are garbled, and lost")
    return lost


def _garbled(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def _damaged(path: Path) -> apsw.Connection:
    connection = schema.connect(path, write=True)
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)  # it is kept as it is
    return connection


def _new(path: Path) -> apsw.Connection:
    connection = schema.connect(path, write=True)
    connection.pragma("journal_mode", "delete")  # the copy is one file
    return connection


# --- row by row


def _copy_rows(old: apsw.Connection, fresh: Path) -> list[str]:
    """Copy all tables around what can't be read of them."""
    fresh.touch(mode=0o600)
    lost: list[str] = []
    with closing(_new(fresh)) as new, schema.transaction(new):
        version: int = old.pragma("user_version")
        new.pragma("auto_vacuum", INCREMENTAL)
        for step in schema.STEPS[:version]:
            new.execute(step)
        for pragma in ("application_id", "user_version"):
            new.pragma(pragma, old.pragma(pragma))
        new.execute("DELETE FROM ringward_anchor")
        listed: Any = old.execute(
            "SELECT type, name, sql FROM sqlite_schema WHERE typeof(name) = 'text' AND typeof(sql) = 'text'"
        ).fetchall()
        theirs = [entry for entry in listed if not entry[1].lower().startswith(("ringward_", "sqlite_"))]
        tables = [entry for entry in theirs if entry[0] == "table"]
        for _, name, sql in tables:
            if sql.upper().startswith("CREATE VIRTUAL"):
                lost.append(f"table {name}: a virtual table is not copied; its shadow tables are")
            else:
                lost += _define(new, "table", name, sql)
        for (name,) in new.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"):
            lost += _copy_table(old, new, str(name))
        for kind, name, sql in theirs:
            if kind != "table":
                lost += _define(new, kind, name, sql)
    return lost


def _define(new: apsw.Connection, kind: str, name: str, sql: str) -> list[str]:
    """Make what a text of the old file defines, and do nothing else that it may say."""
    new.authorizer = _only_defines
    try:
        new.execute(sql)
    except apsw.Error as error:
        return [f"{kind} {name}: {error}"]
    finally:
        new.authorizer = None
    return []


def _only_defines(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
    inside = first is not None and first.lower().startswith("sqlite_")  # the schema itself
    allowed = action in _DEFINITIONS or (inside and action in _OF_SCHEMA)
    ours = any(name is not None and name.lower().startswith(fingerprint.OURS) for name in (first, second))
    return int(apsw.SQLITE_OK if allowed and not ours else apsw.SQLITE_DENY)


def _highest(old: apsw.Connection) -> int:
    """The highest seq that the log's index knows, also of rows that can't be read."""
    reader = _Ends(
        old,
        "SELECT seq FROM ringward_log INDEXED BY ringward_log_partition WHERE partition IS NOT NULL ORDER BY partition",
        ["partition"],
    )
    return max((row[0] for row in reader.rows()), default=0)


def _copy_table(old: apsw.Connection, new: apsw.Connection, name: str) -> list[str]:
    quoted = '"' + name.replace('"', '""') + '"'
    columns = [
        '"' + str(column).replace('"', '""') + '"'
        for column, hidden in new.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,))
        if not hidden
    ]
    if new.execute("SELECT wr FROM pragma_table_list(?)", (name,)).get:
        key = new.execute("SELECT group_concat(name) FROM pragma_table_xinfo(?) WHERE pk ORDER BY pk", (name,)).get
        reader: _Ends | _Spans = _Ends(
            old, f"SELECT {', '.join(columns)} FROM {quoted} ORDER BY {key}", f"{key}".split(",")
        )
    else:
        columns.insert(0, "_rowid_")
        reader = _Spans(old, f"SELECT {', '.join(columns)} FROM {quoted} WHERE _rowid_ BETWEEN ? AND ? ORDER BY 1")
    insert = f"INSERT OR IGNORE INTO {quoted} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    new.executemany(insert, reader.rows())
    return [f"table {name}: the rest cannot be read: {reader.error}"] if reader.error else []


class _Spans:
    """Reads a table by rowid, around what can't be read: the widest spans first, then half of them, and so on."""

    def __init__(self, connection: apsw.Connection, sql: str) -> None:
        self._connection = connection
        self._sql = sql
        self.error: apsw.Error | None = None

    def rows(self) -> Iterator[Sequence[Any]]:
        """What can be read."""
        spans, failed = deque([(_LEAST, _MOST)]), 0
        while spans and failed < _PROBES:
            low, high = spans.popleft()
            try:
                for row in self._connection.execute(self._sql, (low, high)):
                    yield row
                    low = row[0] + 1
            except apsw.Error as error:
                self.error, failed = error, failed + 1
                if low < high:
                    middle = (low + high) // 2
                    spans += [(low, middle), (middle + 1, high)]


class _Ends:
    """Reads a table without rowids from both ends."""

    def __init__(self, connection: apsw.Connection, sql: str, key: Sequence[str]) -> None:
        self._connection = connection
        self._both = (sql, sql.rpartition(" ORDER BY ")[0] + " ORDER BY " + ", ".join(f"{name} DESC" for name in key))
        self.error: apsw.Error | None = None

    def rows(self) -> Iterator[Sequence[Any]]:
        """What can be read; some of it twice."""
        for sql in self._both:
            try:
                yield from self._connection.execute(sql)
                break
            except apsw.Error as error:
                self.error = error


# --- files


def _aside(path: Path) -> Path:
    """The name under which the file is kept, or is already."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}-damaged-{number}")
        if not aside.exists() or aside.samefile(path):
            return aside
    raise AssertionError


def _keep(path: Path, aside: Path) -> None:
    """Let the file have a second name, and its write-ahead log the one that goes with it."""
    if not aside.exists():
        try:
            os.link(path, aside)
        except OSError:  # a file system without links
            shutil.copy2(path, aside)
    with suppress(FileNotFoundError):
        path.with_name(path.name + "-wal").replace(aside.with_name(aside.name + "-wal"))


def _tell(aside: Path, lost: Sequence[str]) -> None:
    for line in lost:
        log(logging.ERROR, f"{aside.name}: {line}", event="lost")
    aside.with_name(aside.name + ".txt").write_text("\n".join([*lost, ""]), encoding="utf-8")


def sync(path: Path) -> None:
    """Let a file or a folder be on the disk."""
    if path.is_dir() and sys.platform == "win32":
        return  # there, a folder cannot be opened
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
