"""Failures that are none of the process's own: a full disk, other programs, other versions; handlers that end strangely."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing

import apsw
import pytest

import ringward as rw
from ringward.events import Hooks, Processor, Retry, SqliteStore, aio
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.locks import FileLock, Presence


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


def raising(errors, point):
    """A function for `faults` that raises the first of the errors at a point, as long as there are any."""

    def faults(at):
        if at == point and errors:
            raise errors[0]

    return faults


@pytest.mark.parametrize("point", ["handled", "marked", "claimed", "commit"])
@pytest.mark.parametrize("error", [apsw.FullError("database or disk is full"), apsw.BusyError("database is locked")])
def test_what_may_pass_is_waited_for_and_nothing_is_lost(path, point, error, caplog):
    # The first such error stopped the processor for good.
    errors, seen = [error], []
    with closing(SqliteStore(path, faults=raising(errors, point))) as store, Processor(store, chance=lambda: 0.0) as p:
        if point == "commit":
            errors.clear()
        p.consumer("g")(lambda event: seen.append(event.seq))
        p.publish_many(["a", "b", "c"], [b""] * 3)
        errors[:] = [error]
        p.start()
        health = p.health()
        for _ in range(1000):
            if "tries again" in str(health.reasons):
                break
            assert not p.drain(0.02)
            health = p.health()
        assert (health.state, health.store_failed) == ("degraded", False)
        assert "tries again" in str(health.reasons)
        errors.clear()
        assert p.drain(30)
        assert set(seen) == {1, 2, 3}
        assert p.stats().groups["g"].lag == {}
        assert p.verify() == []
        p.publish("a", b"")  # and it works on
        assert p.drain(30)
        assert p.stop()
    assert 1 <= sum("has to wait" in record.message for record in caplog.records) <= 6


def test_reads_that_fail_for_a_while_are_waited_for(path, monkeypatch):
    failing, seen = [], []
    with Processor(path, chance=lambda: 0.0) as p:

        def failing_too(read):
            def fails(*args, **named):
                if failing:
                    raise rw.StoreUnavailableError("IOError: disk I/O error")
                return read(*args, **named)

            return fails

        for part in (p.store._log, p.store._groups):
            monkeypatch.setattr(part, "_read", failing_too(part._read))
        p.consumer("g", members=3)(lambda event: seen.append(event.seq))
        p.start()
        failing.append(True)
        for _ in range(100):
            if p.health().state == "failed":
                break
            time.sleep(0.01)
        assert "StoreUnavailableError" in str(p.health().reasons)
        assert p._pool.running
        failing.clear()
        p.publish_many([f"k{n}" for n in range(50)], [b""] * 50)
        assert p.drain(30)
        assert p.health().state == "ok"
    assert sorted(seen) == list(range(1, 51))


def test_in_asyncio_what_may_pass_is_waited_for_too(path):
    errors, seen = [], []

    async def main():
        store = SqliteStore(path, faults=raising(errors, "handled"))
        async with aio.Processor(store, chance=lambda: 0.0) as p:

            @p.consumer("g", members=2)
            async def handle(event):
                seen.append(event.seq)

            await p.publish_many(["a", "b", "c"], [b""] * 3)
            errors.append(apsw.FullError("database or disk is full"))
            p.start()
            for _ in range(1000):
                drained, health = await p.drain(0.02), await p.health()
                if "tries again" in str(health.reasons):
                    break
            errors.clear()
            return (drained, health.state), await p.drain(30), (await p.stats()).groups["g"].lag

    assert asyncio.run(main()) == ((False, "degraded"), True, {})
    assert set(seen) == {1, 2, 3}


def test_in_asyncio_each_try_waits_longer_than_the_one_before(monkeypatch):
    # Each round of the ticker roused whoever waited: ninety tries a second, and as many runs of the handler.
    tried, seen = [], []

    async def main():
        async with aio.Processor(chance=lambda: 0.0) as p:
            settle = p._engine.store.settle

            def fails(*args):
                tried.append(time.monotonic())
                if tried[-1] - tried[0] > 0.8:
                    return settle(*args)
                raise rw.StoreUnavailableError("away")

            monkeypatch.setattr(p._engine.store, "settle", fails)

            @p.consumer("g")
            async def handle(event):
                seen.append(event.seq)

            await p.publish("k", b"")
            assert await p.run(until="idle", timeout_s=30)

    asyncio.run(main())
    assert 2 <= len(seen) <= 14  # waits of 0.05, 0.1, 0.2 ... of the worker, and as many of the ticker


def test_a_bug_stops_the_processor_is_shown_and_start_starts_it_again(path):
    # `start` did nothing after that, and the member stayed listed.
    errors, seen, told = [RuntimeError("a bug")], [], []

    class Told(Hooks):
        def failed(self, error):
            told.append(error)

    with closing(SqliteStore(path, faults=raising(errors, "handled"))) as store, Processor(store, hooks=Told()) as p:
        p.consumer("g", members=["a"])(lambda event: seen.append(event.seq))
        p.publish("k", b"")
        with pytest.raises(RuntimeError, match="a bug"):
            p.run(until="idle", timeout_s=30)
        assert told == errors
        errors.clear()
        assert p.run(until="idle", timeout_s=30)
        errors.append(RuntimeError("another bug"))
        p.publish("k", b"")
        p.start()
        with pytest.raises(RuntimeError, match="another bug"):
            p.drain(30)
        for _ in range(500):
            if not p.stats().groups["g"].members:
                break
            time.sleep(0.01)
        assert p.stats().groups["g"].members == ()
        health = p.health()
        assert (health.state, health.error) == ("failed", "RuntimeError: another bug")
        errors.clear()
        assert p.publish("k", b"").seq == 3
        p.start()
        assert p.drain(30)
        assert p.health().state == "ok"
    assert sorted(set(seen)) == [1, 2, 3]


def test_in_asyncio_a_bug_stops_it_and_start_starts_it_again(path):
    errors, seen = [RuntimeError("a bug")], []

    async def main():
        async with aio.Processor(SqliteStore(path, faults=raising(errors, "handled"))) as p:

            @p.consumer("g")
            async def handle(event):
                seen.append(event.seq)

            await p.publish("k", b"")
            p.start()
            with pytest.raises(RuntimeError, match="a bug"):
                await p.drain(30)
            states = [(await p.health()).state]
            errors.clear()
            p.start()
            states += [await p.drain(30), (await p.health()).state]
        return states

    assert asyncio.run(main()) == ["failed", True, "ok"]
    assert set(seen) == {1}


def test_a_router_that_cannot_be_made_holds_up_its_own_group_only_and_is_made_later():
    broken = [True]

    def router(names):
        if broken:
            raise ValueError("no zone is known")
        return rw.HashRing(names)

    with Processor(chance=lambda: 0.0) as p:
        seen = []
        p.consumer("routed", router=router)(lambda event: seen.append("routed"))
        p.consumer("other")(lambda event: seen.append("other"))
        p.publish("k", b"")
        p.start()
        for _ in range(500):
            if seen:
                break
            time.sleep(0.01)
        assert seen == ["other"]
        assert "no zone is known" in str(p.health().reasons)
        broken.clear()
        assert p.drain(30)
    assert seen == ["other", "routed"]


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
    with pytest.raises(
        rw.StoreFormatError, match="must be closed by 1 other processes before it is upgraded to version 3"
    ):
        SqliteStore(path)
    assert old.append("p", [old.stream.entry("k", b"x", "id", None)])[0].duplicate
    old.close()
    with closing(SqliteStore(path)) as new:
        assert new._file.read("PRAGMA user_version") == [(3,)]
        assert new._file.read("SELECT count(*) FROM ringward_next") == [(0,)]
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
    store = SqliteStore(path, faults=raising([RuntimeError("a bug")], "claimed"))
    p = Processor(store)
    p.consumer("g")(lambda _: None)
    p.publish("key", b"x")
    p.start()
    while p._pool.failure is None:
        time.sleep(0.01)
    with pytest.raises(RuntimeError, match="a bug"):
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
