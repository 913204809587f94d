"""How large a file and its write-ahead log get, and that they get smaller again."""

from __future__ import annotations

from contextlib import closing

import apsw
from command import run_json

from ringward.events import MemoryStore, Processor, Retention, SqliteStore
from ringward.events.stores.sqlite import compaction, schema
from ringward.events.stores.sqlite.sizes import WAL_KEPT_BYTES
from ringward.events.stores.sqlite.wal_preallocation import STEP

NOTHING = Retention(age_s=None, count=0)


def fill(store, count, size=4000):
    for _ in range(count):
        store.append("p", [store.stream.entry("k", b"x" * size, None, None)] * 500)


def pages(store):
    return store._file.read("PRAGMA page_count")[0][0]


def test_the_write_ahead_log_gets_short_again_after_a_long_reader(tmp_path, monkeypatch):
    """It stayed at 168 MB."""
    monkeypatch.setattr(schema, "WAL_KEPT_BYTES", 8 * STEP)
    path = tmp_path / "a.db"
    log = tmp_path / "a.db-wal"
    with closing(SqliteStore(path)) as store:
        with closing(apsw.Connection(str(path))) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM ringward_log").fetchall()
            fill(store, 10)
            assert log.stat().st_size > 16 * STEP
        for _ in range(3):
            fill(store, 1, size=1)
        assert log.stat().st_size == 8 * STEP
        assert store.verify() == []
    assert WAL_KEPT_BYTES % STEP == 0  # else the preallocation would make it longer each time


def test_pruning_gives_pages_back_and_keeps_some(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "SPARE_PAGES", 50)
    with closing(SqliteStore(tmp_path / "a.db")) as store:
        fill(store, 4)
        full = pages(store)
        store.configure(retention=NOTHING)
        while store.prune(500) or pages(store) > full / 2:
            pass
        assert 50 <= store._file.read("PRAGMA freelist_count")[0][0] < full / 4
        assert store.verify() == []


def test_compacting_gives_all_back_while_others_go_on(tmp_path):
    path = tmp_path / "a.db"
    with Processor(path, retention=NOTHING) as p, Processor(SqliteStore(path)) as other:
        fill(p.store, 4)
        p.prune()
        before, after = other.compact()
        assert before > 8_000_000
        assert after < 300_000
        assert path.stat().st_size < 300_000
        assert p.publish("k", b"x").seq == 2001
        assert p.verify() == other.verify() == []
    assert run_json("events", "compact", path)["after"] < 300_000
    assert MemoryStore().compact() == (0, 0)


def test_a_file_without_incremental_vacuum_is_rewritten(tmp_path, monkeypatch):
    path = tmp_path / "a.db"
    monkeypatch.setattr(schema, "INCREMENTAL", 0)  # as version 1 made them
    with Processor(path, retention=NOTHING) as p:
        fill(p.store, 4)
        p.prune()
        assert p.store._file.read("PRAGMA auto_vacuum") == [(0,)]
        before, after = p.compact()
        assert after < 300_000 < before
        assert p.publish("k", b"x").seq == 2001
        assert p.verify() == []
