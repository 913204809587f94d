"""Somebody drops or changes our tables while processes run: they notice, write nothing more, and say what is wrong."""

from __future__ import annotations

import time
from contextlib import suppress

import apsw
import pytest
from waiting import until

import ringward as rw
from ringward.events import Processor, SqliteStore
from ringward.events.stores.sqlite import file

NOT_OURS = "the tables of ringward must be as it has made them|must leave the tables of ringward alone"
TABLES = ("anchor", "beats", "documents", "groups", "letters", "log", "meta", "producers", "settings", "views")
INDEX = "DROP INDEX ringward_log_id"
TRIGGER = "CREATE TRIGGER mine AFTER INSERT ON ringward_log BEGIN SELECT 1; END"
OTHERS = [
    "ALTER TABLE ringward_settings RENAME TO mine",
    "ALTER TABLE ringward_letters ADD COLUMN mine",
    "CREATE INDEX mine ON ringward_log (at)",
    "CREATE TABLE mine (a); CREATE TRIGGER mined AFTER INSERT ON mine BEGIN DELETE FROM ringward_log; END",
]


def _change(path, sql):
    other = apsw.Connection(str(path))
    other.set_busy_timeout(30_000)
    other.execute(sql)
    other.close()


def _publish_for(p, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        p.publish("k", b"")
        time.sleep(0.05)


@pytest.mark.parametrize("sql", ["DROP TABLE ringward_settings", INDEX, TRIGGER])
def test_who_only_publishes_notices_within_a_second_or_so(tmp_path, sql):
    """It went on with what it remembered; without the index of ids, repeats would have been stored twice."""
    path = tmp_path / "store.db"
    with Processor(path) as p:
        p.publish("k", b"")
        _change(path, sql)
        with pytest.raises(rw.StoreFailedError, match="somebody has changed its tables while it was open"):
            _publish_for(p, 10)
        assert p.query("SELECT count(*) FROM ringward_log")[0][0] == p.stats().tail  # what has a receipt is there
        with pytest.raises(rw.StoreFailedError):
            p.configure(id_window_s=1)


@pytest.mark.parametrize("sql", [*(f"DROP TABLE ringward_{name}" for name in TABLES), INDEX, TRIGGER, *OTHERS])
def test_who_handles_notices_and_says_it_and_nobody_opens_the_file(tmp_path, monkeypatch, sql):
    monkeypatch.setattr(file, "_LOOK_S", 0.01)
    monkeypatch.setattr(file, "_TABLES_S", 0.05)
    path = tmp_path / "store.db"
    with suppress(rw.StoreFailedError), Processor(path) as p:
        p.consumer("g", heartbeat_s=0.05, lease_s=1.0)(lambda _: None)
        p.publish("k", b"")
        p.start()
        assert p.drain(20)
        _change(path, sql)
        until(lambda: p.health().state == "failed")
        assert p.health().state == "failed"
        lines = p.verify()
        assert any("tables of ringward" in line for line in lines), lines
    with pytest.raises(rw.StoreFormatError, match=NOT_OURS):
        SqliteStore(path)


def test_what_can_be_made_again_is_told_and_the_file_is_whole_then(tmp_path):
    path = tmp_path / "store.db"
    with Processor(path) as p:
        p.publish("k", b"", id="a")
    for sql in (INDEX, "DROP TABLE ringward_settings"):
        _change(path, sql)
        with pytest.raises(rw.StoreFormatError, match="make it again") as caught:
            SqliteStore(path)
        _change(path, str(caught.value).partition("make it again")[2].partition(": ")[2])
        with Processor(path) as p:
            assert p.publish("k", b"", id="a").duplicate
            assert p.verify() == []


def test_tables_of_handlers_are_made_and_changed_as_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(file, "_LOOK_S", 0.0)
    monkeypatch.setattr(file, "_TABLES_S", 0.0)
    path = tmp_path / "store.db"
    with Processor(path) as p:

        @p.consumer("g")
        def handle(event):
            event.transaction.execute(f"CREATE TABLE t{event.seq} (a)")
            p.query("SELECT count(*) FROM ringward_log")

        p.publish_many(["k"] * 5, [b""] * 5)
        assert p.run(until="idle", timeout_s=20)
        _change(path, "VACUUM")
        _change(path, "DROP TABLE t1")
        p.publish("k", b"")
        assert p.run(until="idle", timeout_s=20)
        assert p.verify() == []
        assert p.health().reasons[0].text.startswith("the processor has consumers and does not run")
