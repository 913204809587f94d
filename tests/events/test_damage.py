"""Damaged and hostile files: what they hold is right, a line of `verify`, or an error of ours; and everything ends."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import closing

import apsw
import pytest
from events import damaged

import ringward as rw
from ringward.events import Processor, SqliteStore
from ringward.events.stores.sqlite import fingerprint, recover

FUZZ = int(os.environ.get("RINGWARD_FUZZ", "12"))  # thousands take long


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    path = tmp_path_factory.mktemp("template") / "a.db"
    damaged.template(path)
    return path


@pytest.fixture
def path(template, tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(template.read_bytes())
    return path


def raw(path, *statements):
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute("PRAGMA writable_schema = 1")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("seed", range(FUZZ))
def test_of_damaged_files_everything_is_right_or_an_error_of_ours_and_ends(template, tmp_path, seed):
    chance = random.Random(seed)
    what = damaged.variant(template, tmp_path / "a.db", chance)
    began = time.monotonic()
    assert damaged.use(tmp_path / "a.db", 0.2) == [], what
    assert time.monotonic() - began < 60, what


# --- verify


def test_verify_ends_when_rows_stand_in_the_wrong_order(path):
    """One changed byte, the rowid of a row, let the walk begin again for ever, and fill the memory."""
    with closing(apsw.Connection(str(path))) as connection:
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'ringward_log'").fetchall()
    data = bytearray(path.read_bytes())
    page = (root - 1) * 4096
    if data[page] == 5:  # an interior page: its first child
        child = int.from_bytes(data[page + 12 : page + 14], "big")
        page = (int.from_bytes(data[page + child : page + child + 4], "big") - 1) * 4096
    cells = int.from_bytes(data[page + 3 : page + 5], "big")
    at = page + int.from_bytes(data[page + 8 + 2 * (cells - 1) : page + 10 + 2 * (cells - 1)], "big")
    while data[at] & 0x80:
        at += 1
    data[at + 1] = 0
    path.write_bytes(data)
    with closing(SqliteStore(path)) as store:
        assert any("the row stands behind seq" in line or "out of order" in line for line in store.verify())


def test_what_verify_says_is_bounded(path):
    raw(path, "UPDATE ringward_log SET payload = NULL")
    with Processor(path) as p:
        p.publish_many(["k"] * 3000, [b""] * 3000)
    raw(path, "UPDATE ringward_log SET chain = 0")
    with closing(SqliteStore(path)) as store:
        wrong = store.verify()
        assert len(wrong) == 1001
        assert wrong[-1] == "and more: the check has ended here"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE ringward_documents SET done = 'x' WHERE partition = 1", "partition 1, column done: must be JSON"),
        ("UPDATE ringward_documents SET epoch = 9223372036854775807", "column epoch: must be an integer from 0"),
        ("UPDATE ringward_documents SET cursor = 5000 WHERE partition = 1", "partition 1: cursor 5000 is above"),
        ("DELETE FROM ringward_documents WHERE partition = 2", "partition 2: its state is missing"),
        ("UPDATE ringward_letters SET state = 'lost'", "column state: must be dead, parked or redrive"),
        ("UPDATE ringward_views SET members = '[[1]]'", "table ringward_views, group 1, column members"),
        ("UPDATE ringward_views SET router = x'00ff'", "column router: must be a router's snapshot"),
        ("UPDATE ringward_settings SET value = '{}x'", "table ringward_settings, name"),
        ("UPDATE ringward_log SET headers = CAST(x'ff61' AS TEXT) WHERE seq = 85", "seq 85: cannot be read"),
        ("UPDATE ringward_log SET volume = 'x' WHERE seq = 85", "seq 85: volume must be at least"),
        ("DELETE FROM ringward_anchor", "table ringward_anchor, the only row, column seq: must be there"),
    ],
)
def test_verify_names_what_is_wrong(path, change, said):
    raw(path, change)
    try:
        with closing(SqliteStore(path)) as store:
            wrong = store.verify()
    except rw.StoreFailedError as error:
        wrong = [str(error)]
    assert any(said in line for line in wrong), wrong


def test_a_row_that_cannot_have_been_stored_ends_all_writing_and_is_mended(path):
    raw(path, "UPDATE ringward_log SET payload = 5 WHERE seq = 85")
    with closing(SqliteStore(path)) as store:
        with pytest.raises(rw.StoreFailedError, match="table ringward_log, seq 85, column payload"):
            store.rows([85])
        with pytest.raises(rw.StoreFailedError):
            store.append("p", [store.stream.entry("k", b"", None, None)])
    with closing(SqliteStore(path)) as store:
        assert store.rows([85]) == []
        assert store.verify() == ["seq 85: the event was lost when the file was copied"]


# --- foreign schemas

ROOT = (
    "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'ringward_log')"
    " WHERE name = 'mine'"
)
RECURSIVE = "CREATE VIEW ringward_meta AS WITH RECURSIVE r(name, value) AS (SELECT 'stream', 1 UNION ALL SELECT name, value + 1 FROM r) SELECT * FROM r WHERE value < 0"


@pytest.mark.parametrize(
    ("statements", "said"),
    [
        (
            ["CREATE TRIGGER t BEFORE INSERT ON ringward_log BEGIN SELECT RAISE(IGNORE); END"],
            "trigger t of ringward_log",
        ),
        (
            ["CREATE TABLE mine (x)", "CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM RINGWARD_log; END"],
            "trigger t",
        ),
        (["DROP TABLE ringward_meta", RECURSIVE], "view ringward_meta of ringward_meta is another's"),
        (["CREATE INDEX i ON ringward_log (payload)"], "index i of ringward_log"),
        (["CREATE TABLE ringward_mine (x)"], "table ringward_mine"),
        (["DROP TABLE ringward_beats"], "ringward_beats is missing"),
        (["DROP INDEX ringward_log_id"], "ringward_log_id is missing"),
        (["ALTER TABLE ringward_log ADD COLUMN more AS (length(payload))"], "table ringward_log"),
        (["CREATE VIRTUAL TABLE ringward_fts USING fts5(x)"], "ringward_fts"),
        (["CREATE VIEW RINGWARD_view AS SELECT 1"], "view RINGWARD_view"),
        (
            [
                "CREATE TABLE mine (x)",
                ROOT,
            ],
            "must have pages of its own",
        ),
        (["PRAGMA user_version = -1"], "of version 1 at least"),
        (["PRAGMA user_version = 1"], "ringward_settings of ringward_settings is another's"),
    ],
)
def test_a_foreign_schema_is_refused_before_anything_is_done(path, statements, said):
    raw(path, *statements)
    before = path.read_bytes()
    with pytest.raises(rw.StoreFormatError, match=said):
        SqliteStore(path)
    assert path.read_bytes() == before
    locks = path.with_name(path.name + "-locks") / "write"
    locks.write_bytes(b"\1")  # nor is it copied
    with pytest.raises((rw.StoreFormatError, rw.StoreFailedError)):
        SqliteStore(path)


def test_tables_of_others_may_be_there(path):
    raw(
        path,
        "CREATE TABLE mine (x, y)",
        "CREATE INDEX i ON mine (x)",
        "CREATE VIEW waiting AS SELECT count(*) FROM ringward_log",
        "CREATE TRIGGER t AFTER INSERT ON mine BEGIN UPDATE mine SET y = 1; END",
        "CREATE VIRTUAL TABLE words USING fts5(x)",
        "ANALYZE",
    )
    with closing(SqliteStore(path)) as store:
        assert store.verify() == []


def test_opening_ends_and_serves_signals(path, monkeypatch):
    monkeypatch.setattr(fingerprint, "OPEN_S", 0.2)
    endless = "WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT x FROM r WHERE x < 0"
    with closing(apsw.Connection(str(path))) as connection:
        began = time.monotonic()
        with pytest.raises(rw.StoreFormatError, match="can be opened within"), fingerprint.bounded(connection):
            connection.execute(endless).fetchall()
        assert time.monotonic() - began < 30
        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt), fingerprint.served(connection):
                connection.execute(endless).fetchall()


def test_a_trigger_that_is_made_while_the_file_is_open_gets_no_receipts(path):
    """It swallowed events, which had receipts."""
    with closing(SqliteStore(path)) as store:
        entry = store.stream.entry("k", b"", None, None)
        raw(path, "CREATE TRIGGER t BEFORE INSERT ON ringward_log BEGIN SELECT RAISE(IGNORE); END")
        with pytest.raises(rw.StoreFailedError, match="look for triggers"):
            store.append("p", [entry])
        raw(path, "DROP TRIGGER t")
        assert store.append("p", [entry])[0].seq == 101


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMP TABLE x (y); ALTER TABLE x RENAME TO ringward_log",
        "CREATE TABLE x (y); ALTER TABLE x RENAME TO ringward_x",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE TABLE x (y); CREATE TRIGGER t AFTER INSERT ON x BEGIN DELETE FROM ringward_log; END",
        "CREATE TRIGGER t AFTER INSERT ON ringward_log BEGIN SELECT 1; END",
        "SELECT 1; UPDATE ringward_views SET number = number + 1 WHERE grp = ?",
        "CREATE TABLE x (y); INSERT INTO x VALUES (1); DROP TABLE ringward_log",
    ],
)
def test_no_handler_gets_at_the_tables_of_the_store(path, statement):
    """A temporary table of our name took all later events, and a second statement was found prepared for us."""
    with Processor(path) as p:
        p.store.reset("g", 100)  # prepares a statement of the store
        refused = []

        @p.consumer("h", start="end")
        def handle(event):
            try:
                event.transaction.execute(statement, (1,) if "?" in statement else None)
            except rw.TransactionError as error:
                refused.append(str(error))

        p.publish("k", b"x")
        assert p.run(until="idle", timeout_s=30)
        assert len(refused) == 1
        assert "not allowed" in refused[0]
        assert p.publish("k", b"x").seq == 102
        assert p.store._file.read("SELECT count(*) FROM sqlite_temp_schema") == [(0,)]
    SqliteStore(path).close()


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE z AS SELECT 1",
        "CREATE TABLE z AS WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x FROM r) SELECT x FROM r",
        "CREATE TABLE z (x); DELETE FROM mine",
        "ATTACH 'x.db' AS x",
        "PRAGMA writable_schema = 1",
        "CREATE TABLE ringward_z (x)",
        "CREATE TRIGGER z AFTER INSERT ON ringward_log BEGIN SELECT 1; END",
    ],
)
def test_when_a_file_is_copied_its_definitions_do_nothing_but_define(sql):
    with closing(apsw.Connection(":memory:")) as new:
        new.execute("CREATE TABLE mine (x); INSERT INTO mine VALUES (1); CREATE TABLE ringward_log (x)")
        assert recover._define(new, "table", "z", sql) != []
        assert new.execute("SELECT x FROM mine").get == 1
        for kind, right in (
            ("table", "CREATE TABLE a (x PRIMARY KEY DEFAULT (1 + 1), y AS (length(x)), CHECK (x > 1)) WITHOUT ROWID"),
            ("table", "CREATE TABLE b (x INTEGER PRIMARY KEY AUTOINCREMENT)"),
            ("index", "CREATE INDEX c ON mine (lower(x)) WHERE x > 0"),
            ("view", "CREATE VIEW d AS SELECT * FROM mine"),
            ("trigger", "CREATE TRIGGER e AFTER INSERT ON mine BEGIN DELETE FROM mine WHERE x = new.x; END"),
        ):
            assert recover._define(new, kind, "z", right) == []


@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_the_command_ends_on_a_damaged_file(path):
    raw(path, "UPDATE ringward_log SET payload = 5 WHERE seq = 85")
    command = [sys.executable, "-m", "ringward", "events", "verify", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "seq 85" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
