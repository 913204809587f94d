"""A file that cannot be trusted: what can be read goes into a new one, and what is lost is said."""

from __future__ import annotations

import re
import shutil

import apsw
import pytest
from events.stepwise import World

import ringward as rw
from ringward.events import Retry, SqliteStore, Stream
from ringward.events.stores.sqlite import recover

PARTITIONS = 4


def raw(path, sql, *values):
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


def publish(store, numbers):
    made = [store.stream.entry(f"key{i % 7}", b"%d" % i * 100, f"id{i}", {"n": str(i)}) for i in numbers]
    return store.append("p", made)


def condemn(path):
    """Say that the file cannot be trusted, as a commit that failed does."""
    path.with_name(path.name + "-locks").joinpath("write").write_bytes(b"\1")


@pytest.fixture
def path(tmp_path):
    """A closed file with 120 events, of which a group has handled some and buried one, and a table of a handler."""
    path = tmp_path / "store.db"
    store = SqliteStore(path, Stream(PARTITIONS))
    publish(store, range(120))
    world = World(lambda: store, batch=10, retry=Retry(attempts=1))
    world.fails = {7: 100}
    process = world.process(store)
    for _ in range(6):
        process.step()
        world.advance(60, process)
    assert any(dead_letter.state == "dead" for dead_letter in store.dead_letters("g"))
    assert 0 < store.lowest_unresolved("g") < 120
    store.close()
    raw(path, "CREATE TABLE ledger (seq INTEGER, text)")
    raw(path, "INSERT INTO ledger SELECT seq, payload FROM ringward_log WHERE seq <= 60")
    raw(path, "CREATE TABLE sums (name TEXT PRIMARY KEY, value) WITHOUT ROWID")
    raw(path, "INSERT INTO sums SELECT 'sum' || seq, seq FROM ringward_log WHERE seq <= 60")
    raw(path, "CREATE INDEX ledger_seq ON ledger (seq)")
    raw(path, "CREATE VIEW both AS SELECT * FROM ledger JOIN sums ON value = seq")
    raw(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    return path


def contents(store):
    """All rows of the log by seq, and what the group knows."""
    rows = {row[0]: row for p in range(PARTITIONS) for row in store.read([(p, 0, 1000)], 1000)[0]}
    return rows, store.states("g"), store.dead_letters("g")


def lost_seqs(path):
    """The seqs that the text beside the damaged file speaks of."""
    text = path.with_name(path.name + "-damaged-1.txt").read_text()
    spans = [map(int, span) for span in re.findall(r"^seq (\d+) to (\d+): the events are lost$", text, re.MULTILINE)]
    return {seq for low, high in spans for seq in range(low, high + 1)}


def test_a_file_that_is_whole_loses_nothing_and_leaves_nothing_behind(path):
    with_tables = raw(path, "SELECT * FROM both ORDER BY 1")
    store = SqliteStore(path)
    before = contents(store)
    store.close()
    condemn(path)
    store = SqliteStore(path)
    assert contents(store) == before
    assert store.verify() == []
    store.close()
    assert raw(path, "SELECT * FROM both ORDER BY 1") == with_tables
    assert sorted(p.name for p in path.parent.iterdir()) == ["store.db", "store.db-locks"]


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ("UPDATE ringward_log SET payload = x'00' WHERE seq = 50", {50}),
        ("UPDATE ringward_log SET key = 'other' WHERE seq IN (50, 51, 90)", {50, 51, 90}),
        ("UPDATE ringward_log SET headers = NULL WHERE seq = 120", {120}),
        ("UPDATE ringward_log SET chain = chain + 1 WHERE seq = 50", set()),
        ("DELETE FROM ringward_log WHERE seq BETWEEN 50 AND 59", set(range(50, 60))),
        ("DELETE FROM ringward_log WHERE seq = 1", {1}),
        ("DELETE FROM ringward_anchor", set()),
        ("DELETE FROM ringward_producers", set()),
        ("UPDATE ringward_letters SET payload = x'00' WHERE state = 'dead'", set()),
        ("UPDATE ringward_documents SET done = 'x' WHERE partition = 1", set()),
        ("UPDATE ringward_documents SET cursor = 130 WHERE partition = 1", set(range(121, 131))),
        ("DELETE FROM ringward_documents WHERE partition = 1", set()),
        ("DELETE FROM ringward_groups", set()),
        ("UPDATE ringward_views SET members = 'x'", set()),
    ],
)
def test_what_is_not_as_it_was_stored_is_left_out_and_said(path, change, gone):
    store = SqliteStore(path)
    rows, states, _ = contents(store)
    store.close()
    raw(path, change)
    condemn(path)
    store = SqliteStore(path)
    there = {row[0]: row for p in range(PARTITIONS) for row in store.read([(p, 0, 1000)], 1000)[0]}
    assert there == {seq: row for seq, row in rows.items() if seq not in gone}
    assert store.totals().tail == max(120, *gone, 0)
    left = [wrong for wrong in store.verify() if "was lost when the file was copied" not in wrong]
    assert left == []
    if "views" not in change and "chain" not in change:  # of these nothing is lost
        assert lost_seqs(path) == gone
        assert path.with_name("store.db-damaged-1").exists()
    if "groups" not in change and gone:
        assert all(store.states("g")[p].epoch > d.epoch for p, d in states.items())
    # It works: a lost event can be published again, and all others are still known.
    again = publish(store, range(120))
    if "producers" not in change:
        assert {i + 1 for i, receipt in enumerate(again) if not receipt.duplicate} == gone & set(range(121))
    store.close()


def test_a_partition_whose_document_is_lost_goes_on_from_the_start_without_its_letters(path):
    store = SqliteStore(path)
    (dead,) = (dead_letter for dead_letter in store.dead_letters("g") if dead_letter.state == "dead")
    rows = store.read([(dead.partition, 0, 1000)], 1000)[0]
    dead_letters = {
        dead_letter.seq for dead_letter in store.dead_letters("g") if dead_letter.partition == dead.partition
    }
    store.close()
    raw(path, "DELETE FROM ringward_documents WHERE partition = ?", dead.partition)
    condemn(path)
    store = SqliteStore(path)
    world = World(lambda: store)
    process = world.process(store)
    world.settle(process, seconds=5)
    assert {row[0] for row in rows if row[3] != dead.key} <= set(world.seqs())
    assert dead_letters.isdisjoint(world.seqs())
    assert store.lowest_unresolved("g") == 121
    store.close()


def test_whichever_page_is_garbage_the_rest_is_carried_over(path, tmp_path):
    """Every page in turn: an error that says so, or a store that has every event or says that it is lost."""
    store = SqliteStore(path)
    rows, _, _ = contents(store)
    store.close()
    ledger = raw(path, "SELECT * FROM ledger")
    ((size,),) = raw(path, "PRAGMA page_size")
    data = path.read_bytes()
    refused = 0
    for page in range(len(data) // size):
        folder = tmp_path / f"page{page}"
        folder.mkdir()
        copy = folder / "store.db"
        copy.write_bytes(data[: page * size] + b"\xa5" * size + data[(page + 1) * size :])
        shutil.copytree(path.with_name("store.db-locks"), folder / "store.db-locks")
        condemn(copy)
        try:
            store = SqliteStore(copy)
        except (rw.StoreFailedError, rw.StoreFormatError):
            refused += 1
            assert copy.read_bytes()[: page * size] == data[: page * size]
            continue
        there = {row[0]: row for p in range(PARTITIONS) for row in store.read([(p, 0, 1000)], 1000)[0]}
        lost = lost_seqs(copy) if (folder / "store.db-damaged-1.txt").exists() else set()
        assert set(there) == set(rows) - lost, page
        assert all(rows[seq] == row for seq, row in there.items())
        assert all("was lost when" in wrong for wrong in store.verify())
        assert publish(store, [1000])[0].seq == 121
        store.open_group("g", 0)
        assert set(store.states("g")) == set(range(PARTITIONS))
        store.close()
        if "ledger" not in "".join(p.read_text() for p in folder.glob("*.txt")):
            assert raw(copy, "SELECT * FROM ledger ORDER BY rowid") == ledger
    assert refused <= 4  # the first page, what the tables are, and the stream
    assert refused >= 1


def test_a_damaged_page_that_is_met_ends_all_writing_until_the_file_is_opened_anew(path):
    store = SqliteStore(path)
    ((page,),) = store._file.read("SELECT pageno FROM dbstat WHERE name = 'ringward_log' AND pagetype = 'leaf' LIMIT 1")
    ((size,),) = store._file.read("PRAGMA page_size")
    store.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    store = SqliteStore(path)
    with pytest.raises(rw.StoreFailedError, match="the file is damaged"):
        contents(store)
    with pytest.raises(rw.StoreFailedError):
        publish(store, [1000])
    store.close()
    store = SqliteStore(path)
    lost = lost_seqs(path)
    assert lost
    assert set(contents(store)[0]) == set(range(1, 121)) - lost
    assert publish(store, [1000])[0].seq == 121
    store.close()


@pytest.mark.parametrize("change", ["SELECT 1", "DELETE FROM ringward_log WHERE seq = 50"])
def test_a_copy_that_is_interrupted_is_begun_again_or_finished(path, monkeypatch, change):
    raw(path, change)
    condemn(path)
    synced, stops, real = [], [1, 2, 1], recover.sync

    def sync(place):
        synced.append(place)
        if stops and len(synced) == stops[0]:
            raise KeyboardInterrupt
        real(place)

    monkeypatch.setattr(recover, "sync", sync)
    while stops:
        with pytest.raises(KeyboardInterrupt):
            SqliteStore(path)
        synced.clear()
        del stops[0]
        condemn(path)
    store = SqliteStore(path)
    gone = {50} if "DELETE" in change else set()
    assert set(contents(store)[0]) == set(range(1, 121)) - gone
    assert not list(path.parent.glob("*-fresh")) + list(path.parent.glob("*-whole")) + list(path.parent.glob("*-salv*"))
    store.close()
