"""Failures that are none of the process's own: a full disk, other programs, other versions; handlers that end strangely."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import apsw
import pytest

import ringward as rw
from ringward.events import Processor, Retry, SqliteStore, aio
from ringward.events.stores import schema
from ringward.events.stores.locks import FileLock, Presence


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def fill(store, *, pages):
    """Leave room for so many more pages, as a disk that is nearly full would."""
    connection = store._writer.connection
    connection.pragma("max_page_count", connection.pragma("page_count") + pages)


def test_a_full_disk_ends_publishing_and_handling_and_both_go_on_when_there_is_room(path):
    seen = []
    with Processor(path) as p:
        p.consumer("g")(lambda event: seen.append(event.seq))
        receipts = p.publish_many(["key"] * 50, [b"x" * 1000] * 50, list(range(50)))
        fill(p.store, pages=0)
        with pytest.raises(rw.StoreFullError, match="nothing was stored"):
            p.publish_many(["key"] * 50, [b"x" * 1000] * 50, list(range(50, 100)))
        assert p.stats().tail == 50
        assert p.verify() == []
        p.store._writer.connection.pragma("max_page_count", 1 << 30)
        again = p.publish_many(["key"] * 100, [b"x" * 1000] * 100, list(range(100)))
        assert [r.seq for r in again[:50]] == [r.seq for r in receipts]
        assert [r.duplicate for r in again] == [True] * 50 + [False] * 50
        assert p.run(until="idle", timeout_s=30)
    assert seen == list(range(1, 101))


def test_a_disk_that_is_full_at_the_acknowledgement_stops_the_processor_and_loses_nothing(path):
    full, seen = [], []

    def faults(point):
        if point == "handled" and full:
            raise apsw.FullError("database or disk is full")

    with closing(SqliteStore(path, faults=faults)) as store, Processor(store) as p:
        p.consumer("g")(lambda event: seen.append(event.seq))
        p.publish_many(["a", "b", "c"], [b""] * 3)
        full.append(True)
        with pytest.raises(rw.StoreFullError):
            p.run(until="idle", timeout_s=30)
        full.clear()
        assert p.run(until="idle", timeout_s=30)
        assert set(seen) == {1, 2, 3}
        assert p.stats().groups["g"].lag == {}
        assert p.verify() == []


def test_a_program_that_has_the_file_to_itself_is_waited_for_then_reported(path, monkeypatch):
    """What SQLite said came through as an error of apsw."""
    monkeypatch.setattr(schema, "BUSY_MS", 50)
    SqliteStore(path).close()
    with closing(apsw.Connection(str(path))) as other:
        other.pragma("locking_mode", "exclusive")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(rw.BackpressureError, match="free of other programs' locks"):
            SqliteStore(path)
        other.execute("ROLLBACK")
    SqliteStore(path).close()


def test_an_older_file_is_brought_to_this_version_once_nobody_else_has_it_open(path, monkeypatch):
    old = SqliteStore(path)
    old.append("p", [old.stream.entry("k", b"x", "id", None)])
    monkeypatch.setattr(schema, "STEPS", [*schema.STEPS, "CREATE TABLE ringward_next (x)"])
    monkeypatch.setattr(schema, "VERSION", 3)
    with pytest.raises(rw.StoreFormatError, match="must be closed by 1 other processes to be of version 3"):
        SqliteStore(path)
    assert old.append("p", [old.stream.entry("k", b"x", "id", None)])[0].duplicate
    old.close()
    with closing(SqliteStore(path)) as new:
        assert new._read("PRAGMA user_version") == [(3,)]
        assert new._read("SELECT count(*) FROM ringward_next") == [(0,)]
        assert new.verify() == []
    monkeypatch.undo()
    with pytest.raises(rw.StoreFormatError, match="upgrade ringward"):
        SqliteStore(path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, SystemExit, GeneratorExit])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_handler_that_cancels_is_a_failed_attempt(path, kind, error):
    seen = []
    with Processor(path if kind == "sqlite" else None) as p:

        @p.consumer("g", retry=Retry(attempts=2, base_s=0.001))
        def handle(event):
            if event.key == "bad":
                raise error
            seen.append(event.key)

        p.publish_many(["a", "bad", "b"], [b""] * 3)
        assert p.run(until="idle", timeout_s=30)
        assert sorted(seen) == ["a", "b"]
        assert [(d.key, d.attempts, d.error) for d in p.dead("g")] == [("bad", 2, f"{error.__name__}: ")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_in_asyncio_too(error):
    seen = []

    async def main():
        async with aio.Processor() as p:

            @p.consumer("g", retry=Retry(attempts=2, base_s=0.001))
            async def handle(event):
                if event.key == "bad":
                    raise error
                seen.append(event.key)

            await p.publish_many(["a", "bad", "b"], [b""] * 3)
            assert await p.run(until="idle", timeout_s=30)
            return [(d.key, d.attempts, d.error) for d in await p.dead("g")]

    assert asyncio.run(main()) == [("bad", 2, f"{error.__name__}: ")]
    assert sorted(seen) == ["a", "b"]


def test_a_processor_that_failed_closes_its_store(path):
    def full(point):
        if point == "claimed":
            raise apsw.FullError("no room")

    store = SqliteStore(path, faults=full)
    p = Processor(store)
    p.consumer("g")(lambda _: None)
    p.publish("key", b"x")
    p.start()
    while p._crew.failure is None:
        time.sleep(0.01)
    with pytest.raises(rw.StoreFullError):
        p.close()
    assert p.closed
    with pytest.raises(rw.StoreClosedError):
        store.append("p", [store.stream.entry("k", b"x", None, None)])
    with closing(SqliteStore(path)) as again:
        assert again.totals().tail == 1


def test_a_sign_of_life_has_its_name_when_it_is_locked_and_never_before(tmp_path, monkeypatch):
    """Another process may look between the making of the file and its lock."""
    acquire, seen = FileLock.acquire, []

    def watched(lock):
        seen.extend(tmp_path.glob("alive-*"))
        acquire(lock)

    monkeypatch.setattr(FileLock, "acquire", watched)
    first = Presence(tmp_path)
    assert seen == []
    second = Presence(tmp_path)
    assert second.others() == [first.name]
    assert second.alive(first.name) is True
    assert second.alive("nobody") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"alive-{p.name}" for p in (first, second))
    first.close()
    second.close()
