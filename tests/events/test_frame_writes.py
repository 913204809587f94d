"""The frames of a commit go into the write-ahead log in one write, and none of a transaction that was undone ever does."""

import contextlib
import random
import shutil
import sqlite3
import sys
from pathlib import Path

import pytest

from ringward._core import system_calls
from ringward.events import SqliteStore

pytestmark = pytest.mark.skipif(not system_calls(), reason="SQLite's system calls are its own on this platform")

PAGE = 4096
FRAME = PAGE + 24


def entries(store, count, size=10):
    return [store.stream.entry(f"k{n}", bytes(size), None, None) for n in range(count)]


def whole(path):
    """What a copy of the files says, as somebody finds it who comes after a crash."""
    target = path.with_name("copy")
    target.mkdir(exist_ok=True)
    for suffix in ("", "-wal"):
        shutil.copy(path.with_name(path.name + suffix), target / f"copy.db{suffix}")
    with contextlib.closing(sqlite3.connect(target / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return copy.execute("SELECT count(*), max(seq) FROM ringward_log").fetchone()


def wrote(work):
    """How many write calls this process made."""

    def count():
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("syscw")).split()[1])

    before = count()
    work()
    return count() - before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux counts the calls")
def test_a_commit_of_many_pages_takes_few_writes(tmp_path):
    with contextlib.closing(SqliteStore(tmp_path / "a.db")) as store:
        store.append("p", entries(store, 10))
        assert wrote(lambda: store.append("p", entries(store, 10))) <= 3  # the first frame may go alone; and the news
        assert wrote(lambda: store.append("p", entries(store, 300, PAGE))) < 40  # of 300 frames at least
        assert whole(tmp_path / "a.db") == (320, 320)


@pytest.mark.parametrize("cache", [10, 40, -65536])
def test_transactions_larger_than_the_cache_are_whole_or_not_there(tmp_path, cache):
    """Pages that leave the cache early wait like the others, and are read again, written over and undone."""
    path, chance = tmp_path / "a.db", random.Random(1)
    fails = False

    def fault(point):
        if fails and point == "appended":
            raise ValueError("undone")

    stored = 0
    with contextlib.closing(SqliteStore(path)) as store, contextlib.closing(SqliteStore(path)) as other:
        store._writer.faults = fault
        for each in (store, other):
            each._writer.connection.pragma("cache_size", cache)
        for _ in range(25):
            writes = chance.choice((store, store, other))
            fails = writes is store and chance.random() < 0.4
            with pytest.raises(ValueError, match="undone") if fails else contextlib.nullcontext():
                count = chance.choice((1, 3, 40))
                writes.append("p", entries(writes, count, chance.choice((10, 3000, 9000))))
                stored += count
            if chance.random() < 0.1:
                store._writer.connection.pragma("wal_checkpoint", chance.choice(("PASSIVE", "RESTART", "TRUNCATE")))
            assert whole(path) == (stored, stored)
        assert not store.verify()
        assert not other.verify()


def test_what_waits_of_an_undone_transaction_is_never_written_over_the_frames_of_others(tmp_path):
    """Its last page had left the cache, and came into the log behind the commit of somebody else."""
    path = tmp_path / "a.db"
    with contextlib.closing(SqliteStore(path)) as store, contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE theirs (x)")
        connection = store._writer.connection
        connection.pragma("cache_size", 10)
        for number in range(20):
            connection.execute("BEGIN IMMEDIATE")
            for row in range(12 + number % 5):
                connection.execute("INSERT INTO theirs VALUES (?)", (bytes(30_000 + row),))
            connection.execute("ROLLBACK")
            other.execute("INSERT INTO theirs VALUES (?)", (bytes(5000),))
            other.commit()
            store.append("p", entries(store, 1))
            assert whole(path) == (number + 1, number + 1)
        assert other.execute("SELECT count(*) FROM theirs").fetchone() == (20,)
        assert not store.verify()
