"""Reading a file's tables and backing it up, while everything runs."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import threading
import time
from contextlib import closing

import apsw
import pytest

import ringward as rw
from ringward.events import MemoryStore, Processor, SqliteStore, aio

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def p(path):
    with Processor(path) as p:

        @p.consumer("g")
        def enter(event):
            event.transaction.execute("CREATE TABLE IF NOT EXISTS ledger (who, amount)")
            event.transaction.execute("INSERT INTO ledger VALUES (?, ?)", (event.key, int(event.payload)))

        p.publish_many(["a", "b", "a"], [b"1", b"2", b"3"])
        assert p.run(until="idle", timeout_s=20)
        yield p


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- query


def test_a_query_reads_the_tables_of_handlers_and_ours(p):
    assert p.query("SELECT who, sum(amount) FROM ledger GROUP BY who ORDER BY who") == [("a", 4), ("b", 2)]
    assert p.query("SELECT amount FROM ledger WHERE who = ?", ("b",)) == [(2,)]
    assert p.query("SELECT amount FROM ledger WHERE who = :who", {"who": "b"}) == [(2,)]
    assert p.query("SELECT count(*) FROM ringward_log") == [(3,)]
    assert ("amount",) in p.query("SELECT name FROM pragma_table_info('ledger')")
    with pytest.raises(apsw.SQLError, match="no such table"):
        p.query("SELECT * FROM missing")


@pytest.mark.parametrize(
    "sql",
    [
        *("DELETE FROM ledger", "INSERT INTO ledger VALUES (1, 2)", "CREATE TABLE t (x)", "CREATE TEMP TABLE t (x)"),
        *("ATTACH 'other.db' AS other", "PRAGMA wal_checkpoint", "PRAGMA query_only = 0", "VACUUM INTO 'copy.db'"),
        *("BEGIN", "COMMIT", "SAVEPOINT s", "SELECT load_extension('x')", "SELECT 1; DELETE FROM ledger"),
        *(
            "DROP TABLE ledger",
            "REINDEX",
            "ANALYZE",
            "PRAGMA writable_schema = 1",
            "WITH x AS (SELECT 1) DELETE FROM ledger",
        ),
    ],
)
def test_a_query_can_do_nothing_but_read(p, sql, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = names(tmp_path)
    with pytest.raises(rw.ArgumentError, match="sql must be a statement that only reads"):
        p.query(sql)
    assert names(tmp_path) == before
    assert p.query("SELECT count(*) FROM ledger") == [(3,)]


@pytest.mark.parametrize(
    ("sql", "parameters", "error"),
    [
        (3, None, rw.ArgumentTypeError),
        ("", None, rw.ArgumentError),
        ("SELECT '\udce9'", None, rw.ArgumentError),
        ("SELECT ?", 3, rw.ArgumentTypeError),
        ("SELECT ?", "x", rw.ArgumentTypeError),
        ("SELECT ?", {1}, rw.ArgumentTypeError),
        ("SELECT ?", [object()], rw.ArgumentTypeError),
        ("SELECT ?", [2**64], rw.ArgumentError),
        ("SELECT CAST(x'ff' AS TEXT)", None, rw.ArgumentError),
    ],
)
def test_a_query_with_arguments_that_are_none_is_an_error_of_ours(p, sql, parameters, error):
    with pytest.raises(error):
        p.query(sql, parameters)
    assert p.query("SELECT :a", {"a": 1}) == p.query("SELECT ?", (1,)) == [(1,)]


def test_a_statement_may_cost_so_much_before_it_does_anything(p):
    with pytest.raises(apsw.SQLError, match="LIKE or GLOB pattern too complex"):
        p.query("SELECT 'x' LIKE ?", ["%x" * 2501])
    assert p.query("SELECT 'x' LIKE ?", ["%x" * 2500]) == [(0,)]
    rows = ", ".join(["(1)"] * 20_000)
    assert len(p.query(f"VALUES {rows}")) == 20_000


def test_a_query_that_takes_too_long_is_ended(p):
    endless = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"
    began = time.monotonic()
    with pytest.raises(rw.QueryTimeoutError, match=r"longer than 0\.05 s") as raised:
        p.query(endless, timeout_s=0.05)
    assert isinstance(raised.value, TimeoutError)
    assert time.monotonic() - began < 5
    with pytest.raises(rw.ArgumentError, match="timeout_s"):
        p.query("SELECT 1", timeout_s=0)
    assert p.publish("k", b"4").seq == 4


def test_a_reader_sees_one_moment(p):
    with p.store.reader() as reader:
        assert reader.execute("SELECT count(*) FROM ringward_log") == [(3,)]
        p.publish("k", b"4")
        assert reader.execute("SELECT count(*) FROM ringward_log") == [(3,)]
    assert p.query("SELECT count(*) FROM ringward_log") == [(4,)]


def test_a_query_goes_on_while_another_sqlite_drops_our_locks(p, path):
    over = threading.Event()

    def closes():
        while not over.wait(0.001):
            with closing(sqlite3.connect(path)) as file:
                file.execute("SELECT * FROM sqlite_master").fetchall()

    closer = threading.Thread(target=closes)
    closer.start()
    try:
        for i in range(50):
            p.publish("k", b"4")
            assert p.query("SELECT count(*) FROM ringward_log") == [(4 + i,)]
    finally:
        over.set()
        closer.join()


def test_a_query_of_a_closed_store_or_of_none_is_an_error(path):
    store = SqliteStore(path)
    store.close()
    with pytest.raises(rw.StoreClosedError):
        store.query("SELECT 1")
    with pytest.raises(rw.StoreClosedError):
        store.backup(path.with_name("to.db"))
    with Processor(MemoryStore()) as p:
        with pytest.raises(rw.UnsupportedError, match="no tables to query"):
            p.query("SELECT 1")
        with pytest.raises(rw.UnsupportedError, match="no file to back up"):
            p.backup("x.db")


def test_asyncio_reads_and_backs_up_too(path):
    async def main():
        async with aio.Processor(path) as p:
            await p.publish("k", b"x")
            await p.backup(path.with_name("to.db"))
            return await p.query("SELECT count(*) FROM ringward_log")

    assert asyncio.run(main()) == [(1,)]
    with closing(SqliteStore(path.with_name("to.db"))) as store:
        assert store.totals().tail == 1


# --- backup


@posix
def test_a_backup_is_a_store_for_its_owner_alone(p, path):
    to = path.with_name("backup.db")
    p.backup(str(to))
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    assert not [name for name in names(path.parent) if name.startswith(("backup.db-", "."))]
    with Processor(to) as copy:
        assert copy.verify() == []
        assert copy.query("SELECT count(*) FROM ledger") == [(3,)]
        assert copy.stats().groups["g"].lag == {}
        assert copy.publish("k", b"").seq == 4


def test_a_backup_is_whole_while_others_write(p, path):
    over, seqs = threading.Event(), []

    def publishes():
        while not over.is_set():
            seqs.append(p.publish("k", b"9" * 3000).seq)

    writer = threading.Thread(target=publishes)
    writer.start()
    try:
        for i in range(5):
            least = len(seqs)
            p.backup(path.with_name(f"{i}.db"))
            with closing(SqliteStore(path.with_name(f"{i}.db"))) as copy:
                assert copy.verify() == []
                assert copy.totals().tail >= 3 + least
    finally:
        over.set()
        writer.join()
    assert p.verify() == []


def test_a_backup_replaces_nothing_unless_told(p, path, tmp_path):
    to = path.with_name("backup.db")
    to.write_bytes(b"precious")
    with pytest.raises(
        rw.ArgumentError, match=r"a new file, unless it may be replaced \(overwrite=True, --overwrite\)"
    ):
        p.backup(to)
    assert to.read_bytes() == b"precious"
    p.backup(to, overwrite=True)
    SqliteStore(to).close()
    with pytest.raises(rw.ArgumentError, match="another file than the store's"):
        p.backup(path, overwrite=True)
    with pytest.raises(rw.ArgumentError, match="a file's path"):
        p.backup(tmp_path, overwrite=True)
    with pytest.raises(rw.StoreNotFoundError, match="no such folder"):
        p.backup(tmp_path / "none" / "backup.db")
    with pytest.raises(rw.ArgumentError, match="Processor"):
        p.backup(":memory:")
    path.with_name("other.db-wal").write_bytes(b"stale")
    with pytest.raises(rw.ArgumentError, match=r"without a file 'other\.db-wal' beside it"):
        p.backup(path.with_name("other.db"))
    assert not [name for name in names(tmp_path) if name.startswith(".")]


def test_a_backup_inside_a_transactional_handler_is_refused(path):
    said = []
    with Processor(SqliteStore(path, transaction_timeout_s=60)) as p:

        @p.consumer("g")
        def handle(event):
            event.transaction.execute("CREATE TABLE IF NOT EXISTS mine (x)")
            try:
                p.backup(path.with_name("to.db"))
            except rw.TransactionError as error:
                said.append(str(error))
            event.transaction.execute("SELECT 1")

        p.publish("k", b"")
        assert p.run(until="idle", timeout_s=20)
    assert len(said) == 1
    assert "do it outside" in said[0]
    assert not path.with_name("to.db").exists()
