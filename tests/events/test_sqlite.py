"""What a SqliteStore does beyond the contract: files, locks, failures, transactions."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from itertools import pairwise

import apsw
import pytest
from events.stepwise import World
from waiting import until

import ringward as rw
from ringward.events import Processor, SqliteStore, Stream
from ringward.events.stores.sqlite import paths, schema
from ringward.events.stores.sqlite import transactions as write_transactions

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and fork are of POSIX")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def opened(path):
    """Open the file again and again; all handles are closed at the end."""
    stores = []

    def make(**options):
        stores.append(SqliteStore(path, Stream(partitions=8), **options))
        return stores[-1]

    make.kind = "sqlite"
    yield make
    for store in stores:
        store.close()


def publish(store, count=1, first=0):
    made = [store.stream.entry(f"key{i}", b"%d" % i, f"id{i}", None) for i in range(first, first + count)]
    return store.append("p", made)


def raw(path, sql, *values):
    connection = apsw.Connection(str(path))
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


# --- the file


@posix
def test_files_are_for_their_owner_alone(tmp_path):
    path = tmp_path / "folder" / "store.db"
    path.parent.mkdir()
    before = os.umask(0)
    try:
        store = SqliteStore(path)
        publish(store)
    finally:
        os.umask(before)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in path.parent.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db-shm": 0o600, "store.db-locks": 0o700}
    assert {stat.S_IMODE(p.stat().st_mode) for p in path.with_name("store.db-locks").iterdir()} == {0o600}
    store.close()


def test_what_is_stored_is_there_when_the_file_is_opened_again(opened):
    store = opened()
    publish(store, 10)
    store.open_group("g", 0)
    store.close()
    again = opened()
    assert again.totals().tail == 10
    assert [r.duplicate for r in publish(again, 10)] == [True] * 10
    assert again.groups() == [("g", 0, 0)]
    assert again.verify() == []


def test_a_foreign_file_is_refused_and_left_as_it_is(path, opened):
    raw(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(rw.StoreFormatError, match=r"ringward\.events or a new one"):
        opened()
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(path, opened):
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(rw.StoreFormatError, match="must be a file of ringward"):
        opened()
    assert path.read_bytes() == b"not a database" * 100


def test_a_newer_file_is_refused(path, opened):
    opened().close()
    raw(path, f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(rw.StoreFormatError, match="must be of version 2 at most"):
        opened()


def test_another_stream_is_refused(path, opened):
    opened().close()
    with pytest.raises(rw.StoreFormatError, match="stream must be the one in the file"):
        SqliteStore(path, Stream(partitions=16))
    with pytest.raises(rw.StoreFormatError, match="stream must be the one in the file"):
        SqliteStore(path, Stream(partitions=8, hash=rw.XXH3(1)))
    store = SqliteStore(path)
    assert store.stream == Stream(partitions=8)
    store.close()


def test_a_secret_hash_is_not_in_the_file_and_must_be_given_again(path):
    key = bytes(range(100, 116))
    SqliteStore(path, Stream(hash=rw.SipHash(key))).close()
    assert key not in path.read_bytes()
    with pytest.raises(rw.StoreFormatError, match="hash in the file"):
        SqliteStore(path)
    with pytest.raises(rw.StoreFormatError, match="stream must be"):
        SqliteStore(path, Stream(hash=rw.SipHash(bytes(16))))
    SqliteStore(path, Stream(hash=rw.SipHash(key))).close()


def test_an_old_sqlite_is_refused(monkeypatch, path):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(rw.UnsupportedError, match=r"at least 3\.51\.3 .* \(was 3\.51\.2\)"):
        SqliteStore(path)
    assert not path.exists()


def test_a_network_file_system_is_refused(monkeypatch, path):
    monkeypatch.setattr(paths, "_file_system", lambda folder: "nfs4")
    with pytest.raises(rw.UnsupportedError, match=r"network file system.*\(was nfs4\)"):
        SqliteStore(path)


def test_a_folder_or_a_file_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    with pytest.raises(rw.StoreFormatError, match=r"must be a file \(was a folder"):
        SqliteStore(tmp_path)
    path = tmp_path / "store.db"
    SqliteStore(path).close()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(rw.StoreAccessError, match="no permission for reading and writing"):
        SqliteStore(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE ringward_log SET payload = x'00' WHERE seq = 3", "seq 3: the row is not the one"),
        ("UPDATE ringward_log SET key = 'key9' WHERE seq = 3", "seq 3"),
        ("UPDATE ringward_log SET partition = (partition + 1) % 8 WHERE seq = 3", "is not that of the key"),
        ("UPDATE ringward_log SET at = at + 1 WHERE seq = 3", "seq 3: the row is not the one"),
        ("DELETE FROM ringward_log WHERE seq = 3", "seq 3 to 3: missing"),
        ("UPDATE ringward_log SET chain = chain + 1 WHERE seq = 3", "seq 3: the row is not the one"),
        ("UPDATE ringward_documents SET cursor = 99 WHERE partition = 2", "cursor 99 is above the tail, 6"),
    ],
)
def test_verify_finds_what_was_changed(opened, path, change, said):
    store = opened()
    publish(store, 6)
    store.open_group("g", 0)
    assert store.verify() == []
    raw(path, change)
    assert any(said in wrong for wrong in store.verify()), store.verify()


def test_a_truncated_wal_loses_only_what_the_disk_lied_about(opened, path, tmp_path):
    """What was checkpointed is whole; the log is still dense and verifies."""
    store = opened()
    publish(store, 5)
    raw(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    publish(store, 5, first=5)
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    wal = path.with_name("store.db-wal").read_bytes()
    copy.with_name("copy.db-wal").write_bytes(wal[: len(wal) // 2])
    other = SqliteStore(copy)
    assert other.totals().tail == 5
    assert other.verify() == []
    other.close()


# --- failures


def test_after_a_failed_commit_nobody_writes_until_the_file_is_copied_anew(opened, path):
    failing = []

    def faults(point):
        if point in failing:
            raise apsw.IOError("the disk is on fire")

    store, other = opened(faults=faults), opened()
    publish(store, 3)
    failing.append("commit")
    with pytest.raises(rw.StoreFailedError, match="on fire"):
        publish(store, 1, first=3)
    failing.clear()
    for handle in (store, other):
        with pytest.raises(rw.StoreFailedError):
            publish(handle, 1, first=3)
    store.close()
    with pytest.raises(rw.StoreFailedError, match="1 other processes still have it open"):
        opened()
    other.close()
    inode = path.stat().st_ino
    fresh = opened()
    assert path.stat().st_ino != inode
    assert [(r.seq, r.duplicate) for r in publish(fresh, 4)] == [(1, True), (2, True), (3, True), (4, False)]
    assert fresh.verify() == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("point", ["appended", "commit"])
def test_a_full_disk_stores_nothing_and_fails_nothing(opened, point):
    failing = []

    def faults(name):
        if name in failing:
            raise apsw.FullError("database or disk is full")

    store = opened(faults=faults)
    publish(store, 3)
    failing.append(point)
    with pytest.raises(rw.StoreFullError):
        publish(store, 1, first=3)
    failing.clear()
    assert [r.seq for r in publish(store, 1, first=3)] == [4]
    assert store.verify() == []


def test_a_crash_after_the_commit_is_a_duplicate_later(opened):
    def faults(point):
        if point == "committed":
            raise KeyboardInterrupt

    store = opened(faults=faults)
    with pytest.raises(KeyboardInterrupt):
        publish(store)
    store.close()
    assert publish(opened())[0].duplicate


def test_another_program_that_locks_the_file_is_waited_for_then_reported(opened, path, monkeypatch):
    monkeypatch.setattr(schema, "BUSY_MS", 50)
    store = opened()
    connection = apsw.Connection(str(path))
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(rw.BackpressureError, match="free of other programs' locks"):
        publish(store)
    connection.execute("ROLLBACK")
    connection.close()
    assert publish(store)[0].seq == 1


@posix
def test_a_child_of_a_fork_cannot_use_the_store_and_does_no_harm(path):
    script = textwrap.dedent("""
        import os, sys
        import ringward as rw
        from ringward.events import SqliteStore
        store = SqliteStore(sys.argv[1])
        entry = store.stream.entry("k", b"x", "id", None)
        store.append("p", [entry])
        child = os.fork()
        if child == 0:
            refused = 0
            for call in (lambda: store.append("p", [entry]), store.totals, store.verify):
                try:
                    call()
                except rw.StoreClosedError as error:
                    refused += "forked" in str(error)
            store.close()
            os._exit(refused)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
        other = SqliteStore(sys.argv[1])
        assert other.hint(store.process) == "here"
        assert store.append("p", [entry])[0].duplicate
        assert store.verify() == []
    """)
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, path], check=True, timeout=60)


@posix
def test_the_lock_of_a_process_shows_its_death(path):
    script = textwrap.dedent("""
        import sys, time
        from ringward.events import SqliteStore
        store = SqliteStore(sys.argv[1])
        print(store.process, flush=True)
        time.sleep(60)
    """)
    store = SqliteStore(path)
    with subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE, text=True) as child:
        name = child.stdout.readline().strip()
        assert store.hint(name) == "here"
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert store.hint(name) == "gone"
    store.close()


def test_two_processes_write_in_turn(path):
    script = textwrap.dedent("""
        import sys
        from ringward.events import SqliteStore
        store = SqliteStore(sys.argv[1])
        for i in range(200):
            store.append(sys.argv[2], [store.stream.entry("k", b"x", i, None)])
        store.close()
    """)
    SqliteStore(path).close()
    children = [subprocess.Popen([sys.executable, "-c", script, path, name]) for name in "abc"]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    store = SqliteStore(path)
    assert store.totals().tail == 600
    assert store.verify() == []
    store.close()


# --- rule 9: transactional handlers


HASTY_S = 0.4  # after which a handler is too late, in tests that want one to be


@pytest.fixture
def ledger(opened, path, request, monkeypatch):
    """A world with one process whose handler writes to a ledger; `hook` runs in the handler.

    A write transaction lasts as long as its batch. A test that wants handlers to be late has the seconds for a parameter.
    """
    monkeypatch.setattr(write_transactions, "TRANSACTION_S", 60.0)
    world = World(opened)
    store = opened(transaction_timeout_s=getattr(request, "param", 60.0))
    raw(path, "CREATE TABLE ledger (key, seq)")
    world.hook = lambda event: None

    def handle(event):
        world.effects.append((event.key, event.seq, event.attempt))
        event.transaction.execute("INSERT INTO ledger VALUES (?, ?)", (event.key, event.seq))
        world.hook(event)

    world.process_ = world.process(store, handler=handle)
    world.rows = lambda: [row[0] for row in raw(path, "SELECT seq FROM ledger ORDER BY rowid")]
    return world


def test_rule_9_effects_commit_with_the_acknowledgement(ledger):
    process = ledger.process_
    ledger.publish(process.store, 50)
    process.tick()
    process.work()
    assert sorted(ledger.rows()) == list(range(1, 51))
    assert process.store.lowest_unresolved("g") == 51


def test_rule_9_an_exception_undoes_its_own_event_only(ledger):
    process = ledger.process_
    ledger.publish(process.store, 20)
    failed = []

    def hook(event):
        if event.seq == 7 and not failed:
            failed.append(event)
            raise ValueError("once")

    ledger.hook = hook
    process.tick()
    process.work()
    assert 7 not in ledger.rows()
    ledger.settle(process, seconds=2)
    assert sorted(ledger.rows()) == list(range(1, 21))
    assert ledger.seqs().count(7) == 2
    assert process.store.states("g")[process.store.rows([7])[0][1]].attempts == ()


def test_rule_9_who_was_taken_over_commits_nothing(ledger, opened):
    process = ledger.process_
    ledger.publish(process.store, 20)
    process.tick()
    batch = process.take()
    other = opened()
    other.claim("g", "thief#1", dict(batch.epochs))
    process.runner.run(batch)
    assert ledger.rows() == []


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT x",
        "RELEASE event",
        "PRAGMA synchronous = OFF",
        "ATTACH ':memory:' AS x",
        "SELECT * FROM ringward_log",
        "DELETE FROM Ringward_Documents",
        "UPDATE ringward_documents SET cursor = 99",
        "CREATE TRIGGER t AFTER INSERT ON ringward_log BEGIN DELETE FROM ledger; END",
        "CREATE TEMP TRIGGER t AFTER INSERT ON main.ringward_log BEGIN DELETE FROM ledger; END",
        "CREATE INDEX i ON ringward_log (at)",
        "DROP TABLE ringward_log",
        "ALTER TABLE ringward_log ADD COLUMN x",
        "CREATE TABLE ringward_mine (x)",
        "INSERT INTO ringward_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "CREATE VIEW v AS SELECT * FROM ringward_log; SELECT * FROM v",
        "WITH x AS (SELECT 1) SELECT * FROM x, ringward_meta",
        "SELECT load_extension('x')",
    ],
)
def test_rule_9_what_a_handler_must_not_do_is_refused(ledger, sql):
    process = ledger.process_
    ledger.publish(process.store, 1)
    said = []

    def hook(event):
        with pytest.raises((rw.TransactionError, apsw.SQLError)) as caught:
            event.transaction.execute(sql)
        said.append(str(caught.value))

    ledger.hook = hook
    process.tick()
    process.work()
    assert said
    assert "not allowed" in said[0] or "not authorized" in said[0] or "prohibited" in said[0]
    assert ledger.rows() == [1]
    assert process.store.verify() == []


def test_rule_9_other_tables_may_be_made(ledger, path):
    process = ledger.process_
    ledger.publish(process.store, 1)
    ledger.hook = lambda event: event.transaction.execute("CREATE TABLE mine (x UNIQUE)")
    process.tick()
    process.work()
    assert raw(path, "SELECT count(*) FROM mine") == [(0,)]


def test_rule_9_the_handle_is_dead_after_its_event(ledger):
    process = ledger.process_
    ledger.publish(process.store, 2)
    kept = []

    def hook(event):
        kept.append((event, event.transaction))
        if len(kept) == 2:
            with pytest.raises(rw.TransactionError, match="its event's handler"):
                kept[0][0].transaction  # noqa: B018 - a property that raises

    ledger.hook = hook
    process.tick()
    process.work()
    for event, transaction in kept:
        with pytest.raises(rw.TransactionError):
            transaction.execute("SELECT 1")
        with pytest.raises(rw.TransactionError):
            event.transaction  # noqa: B018 - as above
    assert sorted(ledger.rows()) == [1, 2]


@pytest.mark.parametrize("ledger", [HASTY_S], indirect=True)
def test_rule_9_a_handler_that_takes_too_long_is_rolled_back_and_delivered_alone(ledger):
    process = ledger.process_
    ledger.publish(process.store, 3, keys=1)
    slept = []

    def hook(event):
        if event.seq == 2 and not slept:
            slept.append(event.seq)
            time.sleep(2 * HASTY_S)
            with pytest.raises(rw.TransactionError, match=rf"took longer than {HASTY_S} s"):
                event.transaction.execute("SELECT 1")
            assert publish(process.store, 1)  # writers go on

    ledger.hook = hook
    process.tick()
    process.work()
    assert ledger.rows() == []
    ledger.settle(process, seconds=3)
    assert ledger.rows()[:3] == [1, 2, 3]
    assert ledger.seqs()[:2] == [1, 2]


@pytest.mark.parametrize("ledger", [HASTY_S], indirect=True)
def test_rule_9_a_statement_that_takes_too_long_is_interrupted(ledger):
    process = ledger.process_
    ledger.publish(process.store, 1)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    tried = []

    def hook(event):
        if not tried:
            tried.append(event)
            event.transaction.execute(endless)

    ledger.hook = hook
    process.tick()
    began = time.monotonic()
    process.work()
    assert time.monotonic() - began < 5
    ledger.settle(process, seconds=2)
    assert ledger.rows() == [1]


def test_rule_9_an_interrupt_that_is_late_hits_nobody_else(ledger, opened, path, monkeypatch):
    # It hit what followed on the connection: the commit, the next event, another thread's statement.
    store = ledger.process_.store
    late, hit = [], []
    monkeypatch.setattr(store._watchdog, "watch", lambda seconds, end: late.append(end))
    connection = store._writer.connection
    connection.create_scalar_function("late", lambda of: hit.append(late[of]()))
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT late(?) FROM n"
    opened().open_group("other", 0)
    write_transaction = store.write_transaction("other")
    write_transaction.begin(0, 0)
    write_transaction.end(keep=True)
    write_transaction.begin(0, 0)
    write_transaction.transaction.execute(many, (0,))
    write_transaction.end(keep=True)
    write_transaction.settle([])
    assert connection.execute(many, (1,)).fetchall()
    assert len(hit) == 200
    assert write_transaction.transaction.over == ""


@pytest.mark.parametrize("ledger", [HASTY_S], indirect=True)
def test_rule_9_a_handler_that_swallows_its_interrupt_has_not_succeeded(ledger, opened, monkeypatch):
    store = ledger.process_.store
    ends = []
    monkeypatch.setattr(store._watchdog, "watch", lambda seconds, end: ends.append(end))
    opened().open_group("other", 0)
    write_transaction = store.write_transaction("other")
    write_transaction.begin(0, 0)
    ending = threading.Thread(target=ends[0])
    with write_transaction._lock:  # the handler's thread is faster than the one that interrupts it
        ending.start()
        until(lambda: write_transaction.transaction.over)
        with pytest.raises(rw.TransactionError, match=rf"took longer than {HASTY_S} s"):
            write_transaction.end(keep=True)
    ending.join()
    assert publish(store, 1)


def test_rule_9_a_handler_that_publishes_when_its_time_is_up_has_published_nothing(opened, path):
    # It was rolled back in the midst of a statement of the handler: the watchdog died, and the transaction stayed open.
    store = opened(transaction_timeout_s=0.05)
    tries, seen = [], []
    with Processor(store) as p:

        @p.consumer("g", members=2)
        def handle(event):
            if event.key == "out":
                seen.append(event.payload)
                return
            tries.append(event.attempt)
            assert event.transaction
            if len(tries) < 4:
                end = time.monotonic() + 10
                while time.monotonic() < end:
                    p.publish("out", b"%d" % len(tries))

        p.publish("go", b"")
        p.publish("also", b"")
        p.start()
        assert p.drain(timeout_s=60)
        assert store.verify() == []
    assert seen == []
    assert len(tries) >= 4


def test_rule_9_what_a_handler_published_is_not_taken_for_stored_when_its_time_is_up_just_then(opened, monkeypatch):
    """It was, and when the next event got its seq, the log was said to have been set back: nothing was written any more."""
    store = opened()
    store.open_group("other", 0)
    write_transaction = store.write_transaction("other")
    write_transaction.begin(0, 0)
    run = store._writer.run

    def late(*operations, **options):
        receipts = run(*operations, **options)
        write_transaction.cancel()  # as the watchdog does, from another thread
        return receipts

    with monkeypatch.context() as patch:
        patch.setattr(type(store._writer), "run", lambda _, *operations, **options: late(*operations, **options))
        assert publish(store, 3)[-1].seq == 3
    assert publish(store, 1, first=3)[0].seq == 1
    assert store.totals().tail == 1


def test_rule_9_insert_or_rollback_ends_the_turn_and_nothing_of_it_counts(ledger, path):
    raw(path, "CREATE UNIQUE INDEX only ON ledger (seq)")
    process = ledger.process_
    ledger.publish(process.store, 4, keys=1)
    tried = []

    def hook(event):
        if event.seq == 3 and not tried:
            tried.append(event)
            event.transaction.execute("INSERT OR ROLLBACK INTO ledger VALUES ('x', 1)")

    ledger.hook = hook
    process.tick()
    process.work()
    assert ledger.rows() == []
    ledger.settle(process, seconds=3)
    assert ledger.rows() == [1, 2, 3, 4]


def test_rule_6_an_event_whose_commit_fails_dies_alone(ledger, path):
    connection = (
        "CREATE TABLE parent (x PRIMARY KEY); CREATE TABLE child (x REFERENCES parent DEFERRABLE INITIALLY DEFERRED)"
    )
    raw(path, connection)
    process = ledger.process_
    process.store._writer.connection.execute("PRAGMA foreign_keys = ON")
    seqs = [r.seq for r in ledger.publish(process.store, 6)]
    ledger.hook = lambda event: event.seq == 3 and event.transaction.execute("INSERT INTO child VALUES (1)")
    ledger.settle(process, seconds=30)
    dead_letters = process.store.dead_letters("g")
    assert [(dead_letter.seq, dead_letter.state) for dead_letter in dead_letters if dead_letter.state == "dead"] == [
        (3, "dead")
    ]
    parked = [dead_letter.seq for dead_letter in dead_letters if dead_letter.state == "parked"]
    assert sorted(ledger.rows() + parked + [3]) == seqs


def test_rule_9_publish_inside_joins_the_transaction(ledger):
    process = ledger.process_
    ledger.publish(process.store, 1)
    tried = []

    def hook(event):
        if event.seq == 1:
            tried.append(process.store.append("inner", [process.store.stream.entry("key9", b"", len(tried), None)]))
            if len(tried) == 1:
                raise ValueError("once")

    ledger.hook = hook
    process.tick()
    process.work()
    assert process.store.totals().tail == 1
    ledger.settle(process, seconds=3)
    assert [t[0].seq for t in tried] == [2, 2]
    assert process.store.totals().tail == 2
    assert ledger.rows() == [1, 2]


def test_rule_9_other_writes_inside_are_refused(ledger):
    process = ledger.process_
    ledger.publish(process.store, 1)

    def hook(event):
        with pytest.raises(rw.TransactionError, match="nothing but publish"):
            process.store.reset("g", 0)

    ledger.hook = hook
    process.tick()
    process.work()
    assert ledger.rows() == [1]


def test_rule_9_a_turn_ends_after_200_events(opened, path):
    world = World(opened, batch=1000)
    store = opened()
    raw(path, "CREATE TABLE ledger (key, seq)")
    seen = []

    def handle(event):
        event.transaction.execute("INSERT INTO ledger VALUES (?, ?)", (event.key, event.seq))
        seen.append(raw(path, "SELECT count(*) FROM ledger")[0][0])

    process = world.process(store, handler=handle)
    world.publish(store, 450, keys=1)
    process.tick()
    process.work()
    assert set(seen) >= {0, 200, 400} or max(b - a for a, b in pairwise(seen)) <= 200
    assert raw(path, "SELECT count(*) FROM ledger") == [(450,)]


def test_rule_2_an_operation_of_a_group_commit_fails_alone(opened):
    store = opened()
    publish(store, 1)
    store.open_group("g", 0)
    gate = threading.Event()
    results = []

    def attempt(work):
        gate.wait()
        try:
            results.append(work())
        except rw.RingwardError as error:
            results.append(type(error).__name__)

    conflict = store.stream.entry("other", b"", "id0", None)
    works = [
        lambda: store.append("p", [conflict]),
        *[lambda i=i: publish(store, 1, first=i)[0].duplicate for i in (1, 2, 3)],
    ]
    threads = [threading.Thread(target=attempt, args=(work,)) for work in works]
    leader = store._writer.admitted()  # all wait behind it
    for thread in threads:
        thread.start()
    gate.set()
    until(lambda: store._writer.queue.waiting >= 4)
    store._writer.queue.pass_on(leader)
    for thread in threads:
        thread.join()
    assert sorted(map(str, results)) == ["ConflictError", "False", "False", "False"]
    assert store.verify() == []
