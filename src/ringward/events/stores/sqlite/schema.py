"""The file of a `SqliteStore`: where it may lie, its tables, and whether it is one of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from ringward.errors import RingwardError, StoreFormatError, UnsupportedError
from ringward.events.model.store import Faults
from ringward.events.model.stream import Stream
from ringward.events.stores.sqlite import fingerprint
from ringward.events.stores.sqlite.decoding import json_of, refuse
from ringward.events.stores.sqlite.sizes import INCREMENTAL, WAL_KEPT_BYTES
from ringward.keys import Family, family_from

__all__ = ["check_library", "connect", "create", "refusing_foreign", "stored_stream", "transaction"]

APPLICATION_ID = 0x52574556  # "RWEV"
SQLITE_LEAST = (3, 51, 3)  # fixed a WAL-reset corruption that needs two writing connections
BUSY_MS = 5000
# What a statement may cost before it does anything: far above what is written by hand, or by programs on purpose.
_LIMITS = {
    apsw.SQLITE_LIMIT_SQL_LENGTH: 10_000_000,
    apsw.SQLITE_LIMIT_VDBE_OP: 5_000_000,  # 120 MB
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 5000,  # matching takes its square
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 100,
    apsw.SQLITE_LIMIT_ATTACHED: 1,  # VACUUM needs it
    apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_TABLES = """
CREATE TABLE ringward_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
-- What precedes the first row that is not pruned: the digest chain and the sums go on from there.
CREATE TABLE ringward_anchor (
    only INTEGER PRIMARY KEY CHECK (only = 0), seq INTEGER, at INTEGER, volume INTEGER, chain INTEGER);
INSERT INTO ringward_anchor VALUES (0, 0, 0, 0, 0);
CREATE TABLE ringward_producers (number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, highest INTEGER NOT NULL);
-- volume: payload bytes up to this row. chain: digest of this row and all before.
-- A pruned row whose id must be remembered keeps neither partition, key nor headers, and of the payload a digest.
CREATE TABLE ringward_log (
    seq INTEGER PRIMARY KEY, partition INTEGER, kind INTEGER NOT NULL, producer INTEGER NOT NULL,
    at INTEGER NOT NULL, volume INTEGER NOT NULL, chain INTEGER NOT NULL,
    key BLOB, id, headers TEXT, payload BLOB);
CREATE INDEX ringward_log_partition ON ringward_log (partition) WHERE partition IS NOT NULL;
CREATE UNIQUE INDEX ringward_log_id ON ringward_log (producer, id) WHERE id IS NOT NULL;
CREATE TABLE ringward_groups (
    number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, start INTEGER NOT NULL, generation INTEGER NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0);
CREATE TABLE ringward_documents (
    grp INTEGER NOT NULL, partition INTEGER NOT NULL, epoch INTEGER NOT NULL, revision INTEGER NOT NULL, owner TEXT,
    cursor INTEGER NOT NULL, done TEXT, attempts TEXT, low INTEGER, high INTEGER, generation INTEGER NOT NULL,
    PRIMARY KEY (grp, partition)) WITHOUT ROWID;
CREATE TABLE ringward_letters (
    grp INTEGER NOT NULL, seq INTEGER NOT NULL, partition INTEGER NOT NULL, key BLOB NOT NULL, state TEXT NOT NULL,
    error TEXT NOT NULL, attempts INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
    digest BLOB NOT NULL, id, headers TEXT, payload BLOB NOT NULL, PRIMARY KEY (grp, seq));
CREATE INDEX ringward_letters_partition ON ringward_letters (grp, partition, seq);
CREATE TABLE ringward_views (
    grp INTEGER PRIMARY KEY, number INTEGER NOT NULL, members TEXT NOT NULL, router BLOB NOT NULL);
CREATE TABLE ringward_beats (
    grp INTEGER NOT NULL, owner TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (grp, owner)) WITHOUT ROWID;
"""

_SETTINGS = """
-- What everybody must obey and may be changed, as JSON: retention, id_window_s; and where stamps were wrong: clock.
CREATE TABLE ringward_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""

# What makes a file of the next version of each: the first is an empty one. What was released is never changed.
STEPS = [_TABLES, _SETTINGS]
VERSION = len(STEPS)


def check_library() -> None:
    """Refuse a SQLite with a known corruption."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < SQLITE_LEAST:
        least = ".".join(map(str, SQLITE_LEAST))
        raise UnsupportedError(
            f"SQLite must be at least {least} to be written to by several processes (was {apsw.sqlite_lib_version()})"
        )


def connect(path: Path, *, write: bool) -> apsw.Connection:
    """A connection to an existing file."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=200)
    try:
        _set_up(connection, write=write)
    except BaseException:
        connection.close()  # or it would keep its locks for as long as somebody looks at the error
        raise
    return connection


def _set_up(connection: apsw.Connection, *, write: bool) -> None:
    for limit, most in _LIMITS.items():
        connection.limit(limit, most)
    connection.set_busy_timeout(BUSY_MS)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.pragma("trusted_schema", value=False)
    connection.pragma("cell_size_check", value=True)
    connection.pragma("cache_size", -65536)
    if write:
        connection.pragma("wal_autocheckpoint", 4000)
        connection.pragma("journal_size_limit", WAL_KEPT_BYTES)  # else it stays as long as it ever was
        connection.pragma("synchronous", "FULL")
    else:
        connection.pragma("query_only", value=True)


@contextmanager
def refusing_foreign() -> Iterator[None]:
    """Say that a file is no SQLite file, or a damaged one."""
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError, UnicodeDecodeError) as error:
        raise StoreFormatError(f"path must be a file of ringward.events: {error}") from error


@contextmanager
def transaction(connection: apsw.Connection) -> Iterator[None]:
    """Commit what the block does, or nothing of it.

    SQLite itself undoes a transaction that met a full disk or the like; apsw's own `with` would hide that by an error.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: apsw.Connection) -> int:
    """Check that the file is ours; which version it is of, 0 for an empty one."""
    kind, version = connection.pragma("application_id"), connection.pragma("user_version")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if kind != APPLICATION_ID and (kind or version or tables):
        raise StoreFormatError(f"path must be a file of ringward.events or a new one (was of application {kind})")
    if version < 0 or (not version and tables):
        raise StoreFormatError(f"the file must be of version 1 at least (was {version})")
    if version > VERSION:
        raise StoreFormatError(f"the file must be of version {VERSION} at most (was {version}): upgrade ringward")
    if version:
        fingerprint.check(connection, STEPS[:version])
    return int(version)


def create(
    connection: apsw.Connection, stream: Stream, others: Callable[[], int], faults: Faults, *, change: bool = True
) -> None:
    """Check that the file is ours; make the tables if it is empty, and bring it to this version if it is older.

    Each step is one transaction; a file that other processes have open is not changed, nor one that must not `change`.
    """
    with refusing_foreign(), fingerprint.bounded(connection):
        version = version_of(connection)
        if version < VERSION and not change:
            raise StoreFormatError(
                f"the file is of version {version}: a processor that opens it upgrades it to version {VERSION}"
            )
        if not version:
            connection.pragma("auto_vacuum", INCREMENTAL)
        if connection.pragma("journal_mode", "wal") != "wal":
            raise UnsupportedError("the file system must allow SQLite's write-ahead log")
        if 0 < version < VERSION and (count := others()):
            raise StoreFormatError(
                f"the file must be closed by {count} other processes before it is upgraded to version {VERSION}"
            )
        for before in range(version, VERSION):
            with transaction(connection):
                connection.execute(STEPS[before])
                if not before:
                    connection.pragma("application_id", APPLICATION_ID)
                    describe = json.dumps(stream.describe())
                    connection.execute("INSERT INTO ringward_meta VALUES ('stream', ?)", (describe,))
                connection.pragma("user_version", before + 1)
                faults("migrated")


def stored_stream(connection: apsw.Connection, asked: Stream | None) -> Stream:
    """The stream that the file holds; `asked` must be the same, and is needed for a secret hash."""
    with refusing_foreign():
        said = _described(connection.execute("SELECT value FROM ringward_meta WHERE name = 'stream'").get)
    if asked is not None:
        if asked.describe() != said:
            raise StoreFormatError(f"stream must be the one in the file, {said} (was {asked.describe()})")
        return asked
    try:
        hash = family_from(said["hash"])
        if not isinstance(hash, Family):
            raise StoreFormatError(f"the hash in the file must be a known one (was {said['hash']})")
        return Stream(said["partitions"], hash)
    except (RingwardError, KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, StoreFormatError):
            raise
        raise StoreFormatError(
            f"table ringward_meta, name 'stream', column value: must describe a stream: {error}"
        ) from error


def _described(value: object) -> Any:
    said = json_of(value, "meta", "name 'stream'", "value")
    if not isinstance(said, dict):
        refuse("meta", "name 'stream'", "value", "the description of a stream", value)
    return said
