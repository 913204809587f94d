"""`SqliteStore`: events in one SQLite file, shared by threads and by the processes of one machine."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw

from ringward._core import News
from ringward.checks import checked_callable, checked_float, checked_type
from ringward.errors import (
    StoreClosedError,
    StoreFailedError,
    StoreFormatError,
    TransactionError,
)
from ringward.events.model.settings import settled
from ringward.events.model.store import READ_TIMEOUT_S, Abilities, Compacted, Faults, Hint
from ringward.events.model.stream import Stream
from ringward.events.stores.composed import ComposedStore
from ringward.events.stores.sqlite import recover, schema
from ringward.events.stores.sqlite.backup import back_up
from ringward.events.stores.sqlite.compaction import compact
from ringward.events.stores.sqlite.file import OpenFile
from ringward.events.stores.sqlite.groups import SqliteGroups
from ringward.events.stores.sqlite.locks import Presence, StoreWriteLock
from ringward.events.stores.sqlite.log import SqliteLog, digest
from ringward.events.stores.sqlite.news import Board
from ringward.events.stores.sqlite.paths import prepare_path, resolved_path
from ringward.events.stores.sqlite.queries import Reader, reading
from ringward.events.stores.sqlite.transactions import TRANSACTION_TIMEOUT_S, Guard, SqliteWriteTransaction, Watchdog
from ringward.events.stores.sqlite.verification import Verification
from ringward.events.stores.sqlite.wal_preallocation import WalPreallocation
from ringward.events.stores.sqlite.watched_files import held, in_use, refuse_nested
from ringward.events.stores.sqlite.writer import Writer, typed
from ringward.events.stores.stamps import WallClock, boot_time
from ringward.mutex import Mutex

__all__ = ["SqliteStore"]

_inherited: list[object] = []  # connections of a parent process: closing them would do harm, so they are kept
_open_stores: weakref.WeakSet[SqliteStore] = weakref.WeakSet()


class SqliteStore(ComposedStore):
    """Events in one SQLite file: durable, with transactional handlers.

    Parameters
    ----------
    path : str or path
        Created if it is missing, readable by its owner alone. Beside it are SQLite's -wal and -shm and the folder
        -locks. It stays the same file when the working directory changes; symbolic links are followed.
    stream : Stream, optional
        Needed if a new file is to have another number of partitions than 256 or another hash, and for a
        secret hash. It must equal that of an existing file.
    id_window_s : float, optional
        How long a new file remembers ids, at least; by default 7 days. For an existing file use `configure`.
    transaction_timeout_s : float
        How long a transactional handler may take.
    create : bool
        Whether a missing file is created. Its folder never is.
    clock, now : callable
        Seconds since 1970; monotonic seconds, by which a clock that jumps ahead is doubted.
    faults : callable
        Called with the name of each point of a write that a test may want to fail at.

    Raises
    ------
    StoreNotFoundError
        When the file, or its folder, does not exist.
    StoreAccessError
        When a permission is missing.
    ArgumentError
        When it is not the path of a file, like ":memory:" or "sqlite:///orders.db", and when the file has another
        `id_window_s`.
    StoreFormatError
        For a file that is foreign, newer, damaged, or of another stream.
    BackpressureError
        When another program locks the file.
    UnsupportedError
        On a network file system, or with a SQLite older than 3.51.3.
    StoreFailedError
        When the file has to be copied anew, and other processes still have it open.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from ringward.events import SqliteStore, Stream
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = SqliteStore(pathlib.Path(folder.name) / "orders.db", Stream(partitions=16))
    >>> store.append("shop", [store.stream.entry("user:42", b"19.90", "order-1", None)])
    [Receipt(seq=1, partition=9, duplicate=False)]
    >>> store.verify()
    []
    >>> store.close(); folder.cleanup()
    """

    _changes = True  # whether a file of an older version is brought to this one
    abilities = Abilities(durable=True, transaction_scope="store", presence="proof")
    session = 0  # the lock of a process is never lost

    def __init__(
        self,
        path: str | os.PathLike[str],
        stream: Stream | None = None,
        *,
        id_window_s: float | None = None,
        transaction_timeout_s: float = TRANSACTION_TIMEOUT_S,
        create: bool = True,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = boot_time,
        faults: Faults = lambda _: None,
    ) -> None:
        settled({}, None, id_window_s, initial=True)
        self._timeout_s = checked_float("transaction_timeout_s", transaction_timeout_s, zero=False)
        wall = WallClock(checked_callable("clock", clock), checked_callable("now", now))
        if stream is not None:
            checked_type("stream", stream, Stream)
        self.path = resolved_path(path)
        schema.check_library()
        refuse_nested(self.path)
        checked_type("create", create, bool)
        with typed(self.path):
            folder = prepare_path(self.path, create=create)
        self._ending = Mutex()
        self._turn: Callable[[], SqliteWriteTransaction | None] = lambda: None  # the last one
        with typed(self.path), contextlib.ExitStack() as opened:
            self._presence = Presence(folder)
            opened.callback(self._presence.close)
            self._write_lock = StoreWriteLock(folder, self._presence.look_after)
            opened.callback(self._write_lock.close)
            connection, self.stream = self._opened(stream, faults)
            self._preallocation = WalPreallocation(self.path)
            self._writer = Writer(connection, self._write_lock, self._preallocation, faults, self._watch)
            opened.callback(self._release)
            opened.callback(self._preallocation.close)
            self._guard = Guard()
            connection.authorizer = self._guard
            function: Any = digest
            connection.create_scalar_function("ringward_digest", function, 5, deterministic=True)
            reader = schema.connect(self.path, write=False)
            self._file = file = OpenFile(self.path, self._writer, reader, self._watch, self._presence)
            opened.callback(self._end_reading)
            self._log = SqliteLog(file, wall)
            self._groups = SqliteGroups(file, self._log, self.stream.partitions, self._presence)
            self._compose(self._log, self._groups)
            self._board = Board(folder / "news", int(self._presence.name[:2], 16))
            opened.callback(self._board.close)
            self._writer.news, self._writer.look = self._board.news, self._committed
            self._news_looked_at = 0.0
            self._watchdog = Watchdog()
            opened.callback(self._watchdog.close)
            opened.callback(self._end_writing)
            self._closing = contextlib.ExitStack()
            _open_stores.add(self)
            self.configure(id_window_s=id_window_s, initial=True)
            self._log.begin_time(keep=self._changes)
            self._closing = opened.pop_all()

    def _opened(self, stream: Stream | None, faults: Faults) -> tuple[apsw.Connection, Stream]:
        """The writing connection, to a file that is whole and ours."""
        self._write_lock.enter()
        try:
            if self._write_lock.distrusted() or recover.unfinished(self.path):
                self._renew(stream)
            self._refuse_mixture()
            self._watch = held(self.path)
            with contextlib.ExitStack() as opened:
                connections: list[apsw.Connection] = []
                opened.callback(lambda: self._watch.release(*(each.close for each in connections), orderly=True))
                with schema.refusing_foreign():
                    connections.append(schema.connect(self.path, write=True))
                schema.create(connections[0], stream or Stream(), self._others, faults, change=self._changes)
                found = schema.stored_stream(connections[0], stream)
                self._watch.hold()
                opened.pop_all()
            return connections[0], found
        finally:
            self._write_lock.leave()

    def _refuse_mixture(self) -> None:
        """SQLite takes the -wal that lies beside a file for a part of it; it may be of a file that was there before."""
        inode = self.path.stat().st_ino
        alive, last = self._presence.strangers(inode)
        if alive:
            raise StoreFailedError(
                f"{self.path} was replaced, and {alive} processes still have the old file open: stop them first"
            )
        log = self.path.with_name(self.path.name + "-wal")
        if last and log.exists() and log.stat().st_size:
            raise StoreFormatError(
                f"{self.path} replaced another file, whose {log.name} is still there and holds its last events: put the"
                " other file back, or move its log away"
            )
        self._presence.opens(inode)

    def _others(self) -> int:
        """How many other processes have the file open."""
        return sum(self._presence.alive(name) is True for name in self._presence.others())

    def _renew(self, stream: Stream | None) -> None:
        """The file cannot be trusted: what can be read of it goes into a new one, once nobody has it open."""
        if others := self._others() or int(in_use(self.path)):
            raise StoreFailedError(f"the file has to be copied anew, and {others} other processes still have it open")
        if recover.unfinished(self.path) or not recover.nothing_left(self.path):
            recover.renew(self.path, stream)
        self._presence.renewed(self.path.stat().st_ino)
        self._write_lock.fail(failed=False)

    @property
    def process(self) -> str:
        """The name of this process in memberships."""
        return self._presence.name

    def hint(self, process: str) -> Hint:
        """As `Store.hint`; a lock that nobody holds is proof."""
        alive = self._presence.alive(process)
        return "unknown" if alive is None else "here" if alive else "gone"

    @property
    def news(self) -> News:
        """A number that rises with each commit of any process that others may want to see."""
        now = time.monotonic()
        if now - self._news_looked_at >= 1:
            self._news_looked_at = now
            self._renew_news()
        return self._board.news

    @property
    def hears_others(self) -> bool:
        """As `Store.hears_others`: where the platform lets them share memory."""
        return self.news.shared

    def _committed(self) -> None:
        """From time to time, after a commit, while nobody else has the writing connection."""
        self._renew_news()
        self._file.look_at_tables(self._writer.connection)

    def _renew_news(self) -> None:
        """Somebody may have removed the file that processes tell each other by."""
        if not self._file.closed and self._board.renew():
            self._writer.news = self._board.news

    @property
    def failure(self) -> Exception | None:
        """Why nothing is written any more; None while the store writes, or is closed."""
        closed = self._writer.closed
        return None if isinstance(closed, StoreClosedError) else closed

    @property
    def committed_ms(self) -> int | None:
        """When this process last stored something, in milliseconds since 1970."""
        at = self._writer.committed_at
        return int((time.time() - (time.perf_counter() - at)) * 1000) if at else None

    def write_transaction(self, group: str) -> SqliteWriteTransaction:
        """As `Store.write_transaction`."""
        number = self._groups.number(group)
        sql = "SELECT epoch FROM ringward_documents WHERE grp = ? AND partition = ?"
        write_transaction = SqliteWriteTransaction(
            self._writer,
            self._guard,
            self._watchdog,
            lambda partition: self._writer.connection.execute(sql, (number, partition)).get,
            lambda settlements: self._groups.settle_within(number, settlements),
            self._timeout_s,
        )
        self._turn = weakref.ref(write_transaction)
        return write_transaction

    def reader(self, timeout_s: float = READ_TIMEOUT_S) -> contextlib.AbstractContextManager[Reader]:
        """Read the file as it is at one moment, through a connection that can only read.

        Parameters
        ----------
        timeout_s : float
            How long it may last, because the write-ahead log can only grow meanwhile.

        Returns
        -------
        context manager
            Its value has `execute(sql, parameters)`, which returns rows.
        """
        checked_float("timeout_s", timeout_s, zero=False)
        self._file.looked()
        return reading(self.path, timeout_s)

    def query(
        self,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        timeout_s: float = READ_TIMEOUT_S,
    ) -> list[tuple[Any, ...]]:
        """As `Processor.query`."""
        with self.reader(timeout_s) as reader:
            return reader.execute(sql, parameters)

    def prune(self, limit: int) -> int:
        """As `Store.prune`."""
        return self._file.change(lambda: self._log.prune(limit, self._groups.resolved))

    def backup(self, to: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """As `Processor.backup`."""
        target = resolved_path(to)
        if self._watch.writing_thread == threading.get_ident():
            raise TransactionError(
                "a handler's transaction holds up all writers, so it must not make a backup: do it outside"
            )
        self._file.looked()
        try:
            back_up(self.path, target, overwrite=overwrite)
        except apsw.Error as error:
            raise self._writer.failure(error) from error

    def compact(self) -> Compacted:
        """As `Processor.compact`."""
        self._file.looked()
        return compact(self.path, self._writer, self._file.change)

    def verify(self) -> list[str]:
        """Walk the log from the prune anchor, then dead letters, states and SQLite's own structures.

        Returns
        -------
        list of str
            What is wrong; empty if nothing is.
        """
        with self._file.reading:
            if self._file.closed:
                raise StoreClosedError("the store is closed")
        with typed(self.path), contextlib.closing(schema.connect(self.path, write=False)) as connection:
            return self._file.read_in_place(lambda: Verification(connection, self.stream).run())

    def close(self) -> None:
        """Close the file; further calls raise `StoreClosedError`."""
        with self._ending:
            self._file.closed = True
            self._closing.close()  # when that is interrupted, the next call does what is left
            _open_stores.discard(self)

    def _end_writing(self) -> None:
        try:
            self._writer.close(StoreClosedError("the store is closed"))
        finally:
            self._writer.news = None

    def _end_reading(self) -> None:
        with self._file.reading:
            self._file.reader.close()

    def _release(self) -> None:
        failed = isinstance(self._writer.closed, StoreFailedError)
        self._watch.release(self._writer.connection.close, orderly=not failed)

    def _forked(self) -> None:
        """In a child process: the parent's connections and locks are not ours."""
        self._file.closed = True
        self._ending = Mutex()
        self._closing.pop_all()
        _inherited.append((self._file.reader, self._writer.connection))
        error = StoreClosedError("the store was opened by the process that this one was forked from")
        if (write_transaction := self._turn()) is not None:
            write_transaction.forked(str(error))
        self._preallocation.close()
        self._writer = Writer(
            self._writer.connection, self._write_lock, self._preallocation, self._writer.faults, self._watch
        )
        self._writer.close(error)
        self._file.forked(self._writer, error)
        self._log.forked(self._writer)
        self._groups.forked(self._writer)
        self._presence.forget()
        self._write_lock.close()


def _after_fork() -> None:
    for store in list(_open_stores):
        store._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
