"""Giving space back to the file system: of the write-ahead log, and of pages that nothing uses any more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apsw

from ringward.events.model.store import Compacted
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.fingerprint import served
from ringward.events.stores.sqlite.sizes import INCREMENTAL, SHRINK_PAGES, SPARE_PAGES, SPARE_SHARE
from ringward.events.stores.sqlite.writer import Writer

__all__ = ["compact", "shrink"]


def shrink(connection: apsw.Connection, *, spare: bool = True) -> bool:
    """Give some unused pages back, in a transaction; whether there are more."""
    if connection.pragma("auto_vacuum") != INCREMENTAL:
        return False
    free, pages = connection.pragma("freelist_count"), connection.pragma("page_count")
    surplus = free - max(SPARE_PAGES, pages // SPARE_SHARE) if spare else free
    if surplus <= 0:
        return False
    connection.execute(f"PRAGMA incremental_vacuum({min(surplus, SHRINK_PAGES)})").fetchall()
    return bool(surplus > SHRINK_PAGES)


def compact(path: Path, writer: Writer, change: Callable[[Callable[[], bool]], bool]) -> Compacted:
    """Give all unused pages back; others write in between, but for files that were made by version 1.

    Those are rewritten, while all others who want to write wait, and twice the space is needed.
    """
    before = _size(path)
    if writer.connection.pragma("auto_vacuum") == INCREMENTAL:
        while change(lambda: shrink(writer.connection, spare=False)):
            pass
        _alone(writer, _truncate)
    else:
        _alone(writer, _rewrite)
    return Compacted(before, _size(path))


def _size(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _rewrite(connection: apsw.Connection) -> None:
    # It stays without incremental vacuum: connections that are open would go on as if nothing had changed.
    connection.execute("VACUUM")
    _truncate(connection)


def _truncate(connection: apsw.Connection) -> None:
    """Empty the write-ahead log, unless somebody reads it."""
    connection.set_busy_timeout(0)
    try:
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.BusyError:
        return
    finally:
        connection.set_busy_timeout(schema.BUSY_MS)


def _alone(writer: Writer, run: Callable[[apsw.Connection], None]) -> None:
    """Have the file to oneself, outside a transaction."""
    write_transaction = writer.admitted()
    try:
        if writer.closed is not None:
            raise writer.closed.with_traceback(None)
        writer.write_lock.enter()
        try:
            if writer.write_lock.failed:
                raise writer.distrusted()
            if writer.watch is not None and (wrong := writer.watch.begun()):
                writer.displaced(wrong)
            with served(writer.connection):
                run(writer.connection)
        except apsw.IOError as error:
            raise writer.condemned(f"a commit failed, so what is on the disk is unknown: {error}") from error
        except apsw.Error as error:
            raise writer.failure(error) from error
        finally:
            writer.write_lock.leave()
    finally:
        writer.queue.pass_on(write_transaction)
