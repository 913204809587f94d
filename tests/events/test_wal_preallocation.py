"""Room at the end of the write-ahead log."""

from __future__ import annotations

import errno
import shutil

import apsw
import pytest

from ringward.events import SqliteStore
from ringward.events.stores.sqlite import wal_preallocation as preallocation
from ringward.events.stores.sqlite.wal_preallocation import STEP, WalPreallocation


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def store(path):
    store = SqliteStore(path)
    yield store
    assert store.verify() == []
    store.close()


def publish(store, count, size=10):
    for _ in range(count):
        store.append("p", [store.stream.entry("k", b"x" * size, None, None)])


def log(path):
    return path.with_name(path.name + "-wal")


def test_the_log_grows_in_steps(store, path):
    publish(store, 1)
    assert log(path).stat().st_size == STEP
    sizes = set()
    for _ in range(100):
        publish(store, 1, size=5_000)
        sizes.add(log(path).stat().st_size)
    assert max(sizes) >= 3 * STEP
    assert len(sizes) < 20  # SQLite came to its end as often, instead of 100 times


def test_a_copy_of_the_files_is_whole(store, path, tmp_path):
    """As after a crash: nobody closed anything."""
    publish(store, 20)
    copy = tmp_path / "copy.db"
    for file, other in ((path, copy), (log(path), log(copy))):
        shutil.copy(file, other)
    assert log(copy).read_bytes().endswith(bytes(1000))
    other = SqliteStore(copy)
    assert other.totals().tail == 20
    assert other.verify() == []
    other.close()


def test_what_other_programs_write_in_between_is_there(store, path):
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (x)")
    for n in range(60):
        publish(store, 1, size=2_000)
        other.execute("INSERT INTO theirs VALUES (zeroblob(9000))")
        assert other.execute("SELECT count(*) FROM theirs").get == n + 1
    second = SqliteStore(path)
    publish(second, 5)
    publish(store, 5)
    assert second.totals().tail == 70
    assert other.execute("SELECT count(*) FROM theirs").get == 60
    assert other.execute("PRAGMA integrity_check").get == "ok"
    second.close()
    other.close()


def test_it_begins_anew_after_the_log_was_cut_off(store, path):
    publish(store, 30)
    other = apsw.Connection(str(path))
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    other.close()
    assert log(path).stat().st_size == 0
    publish(store, 30)
    assert log(path).stat().st_size == STEP


def test_where_there_is_no_room_it_goes_without(store, path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preallocation.os, "write", full)
    publish(store, 20)
    assert log(path).stat().st_size % STEP
    assert store.totals().tail == 20


def test_without_a_log_there_is_nothing_to_do(tmp_path):
    room = WalPreallocation(tmp_path / "none.db")
    room.keep(1)
    room.close()
    room.close()
    assert list(tmp_path.iterdir()) == []
