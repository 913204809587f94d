"""SQLite's locks in the -shm belong to its own descriptor: nothing else in the process can drop or share them."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading

import pytest

from ringward._core import system_calls
from ringward.events import Processor, SqliteStore
from ringward.events.stores.sqlite import watched_files

pytestmark = pytest.mark.skipif(not system_calls(), reason="no open-file-description locks on this platform")


def entry(store, number):
    return store.stream.entry(f"k{number}", b"x", None, None)


def test_another_sqlite_of_the_process_waits_for_our_transaction_though_someone_closed_the_files(tmp_path):
    """POSIX locks of one process do not conflict, and were gone after any close: two wrote to the log at once."""
    path = tmp_path / "a.db"
    met = []

    def look(point):
        if point == "commit" and not met:
            for suffix in ("", "-shm"):
                (tmp_path / f"a.db{suffix}").read_bytes()
            other = sqlite3.connect(path, timeout=0)
            with contextlib.closing(other), pytest.raises(sqlite3.OperationalError, match="locked") as error:
                other.execute("BEGIN IMMEDIATE")
            met.append(error)

    store = SqliteStore(path)
    store._writer.faults = look
    assert store.append("p", [entry(store, 1)])[0].seq == 1
    assert met
    assert store._watch.kept
    other = sqlite3.connect(path, timeout=0)
    with contextlib.closing(other):
        other.execute("CREATE TABLE theirs (x)")
    assert store.append("p", [entry(store, 2)])[0].seq == 2
    assert not store.verify()
    store.close()


BESIDE = {
    "writes": "c.execute('CREATE TABLE IF NOT EXISTS mine (x)'); c.execute('INSERT INTO mine VALUES (1)'); c.commit()",
    "checkpoints": "c.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()",
}


@pytest.mark.parametrize("form", BESIDE)
def test_receipts_hold_beside_another_sqlite_of_the_process_that(form, tmp_path):
    """Seqs were given out twice, and the file was no database any more."""
    script = f"""
        import contextlib, os, sqlite3, sys, threading, time
        from ringward.events import Processor
        p = Processor(sys.argv[1])
        receipts = []
        def publish():
            while True:
                receipts.append(p.publish("k", b"x").seq)
                os.write(1, b"%d\\n" % receipts[-1])
        threads = [threading.Thread(target=publish, daemon=True) for _ in range(2)]
        [thread.start() for thread in threads]
        began = time.monotonic()
        while time.monotonic() < began + 0.7 or len(receipts) <= 20 and time.monotonic() < began + 60:
            c = sqlite3.connect(sys.argv[1])
            with contextlib.suppress(sqlite3.OperationalError):
                {BESIDE[form]}
            c.close()
        assert all(thread.is_alive() for thread in threads), "a publisher met an error"
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    """
    file = tmp_path / "a.db"
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(file)], capture_output=True, text=True, check=False
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    seqs = [int(line) for line in child.stdout.splitlines()]
    assert len(set(seqs)) == len(seqs) > 10
    with Processor(file) as p:
        assert set(seqs) <= {seq for seq, _ in p.store.heads(0, 10**6)}
        assert not p.verify()


def test_a_forked_child_holds_no_lock_of_a_parent_that_is_killed_in_its_transaction(tmp_path):
    """A description is shared with a child: nobody could write for as long as it lived."""
    script = """
        import os, sys, time
        from ringward.events import SqliteStore
        store = SqliteStore(sys.argv[1])
        def die(point):
            if point == "commit":
                child = os.fork()
                if not child:
                    time.sleep(60)
                    os._exit(0)
                print(child, flush=True)
                time.sleep(0.2)
                os.kill(os.getpid(), 9)
        store._writer.faults = die
        store.append("p", [store.stream.entry("k", b"x", None, None)])
    """
    file = tmp_path / "a.db"
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script), str(file)], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    try:
        parent.wait(30)
        with contextlib.closing(SqliteStore(file)) as store:
            assert store.append("p", [entry(store, 1)])[0].seq == 1
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_a_checkpoint_of_another_program_that_is_under_way_is_not_taken_for_damage(tmp_path):
    """The main file was said to be written over, since it changed while the index stayed as it was."""
    path = tmp_path / "a.db"
    with contextlib.closing(SqliteStore(path)) as store:
        for number in range(3):
            store.append("p", [entry(store, number)])
        watch = store._watch
        with (tmp_path / "a.db-shm").open("r+b") as index:  # as it is between the first and the last page
            index.seek(128)
            index.write((5).to_bytes(4, sys.byteorder))
        for size in (1, 2):
            with path.open("r+b") as main:
                main.truncate(path.stat().st_size + 4096 * size)
            assert watch.begun() == 0


def test_a_transaction_that_is_larger_than_the_cache_is_no_damage(tmp_path):
    """SQLite begins its log anew in the midst of it, which was taken for a write of somebody else."""
    with contextlib.closing(SqliteStore(tmp_path / "a.db")) as store:
        for _ in range(2):
            store._writer.connection.pragma("cache_size", 10)
            store.append("p", [store.stream.entry(f"k{n}", bytes(10_000), None, None) for n in range(40)])
            store._writer.connection.pragma("wal_checkpoint", "FULL")
        assert store.totals().tail == 80
        assert not store.verify()


def test_a_process_may_open_more_files_one_after_the_other_than_any_bound(tmp_path):
    for number in range(1100):
        path = tmp_path / "a.db"
        if number % 20:  # a name is enough
            watched_files.Held(_made(tmp_path / f"{number}.db")).close()
            continue
        with contextlib.closing(SqliteStore(path)) as store:
            assert store._watch.kept
        for left in tmp_path.glob("a.db*"):
            if left.is_file():
                left.unlink()


def _made(path):
    path.touch()
    return path


def test_the_mark_of_a_turn_is_not_taken_from_the_next_store(tmp_path):
    """It was cleared after the lock was let go, so that a nested write was not noticed."""
    path = tmp_path / "a.db"
    with contextlib.closing(SqliteStore(path)) as first, contextlib.closing(SqliteStore(path)) as second:
        first.open_group("g", 0)
        write_transaction = first.write_transaction("g")
        assert second._watch.writing_thread == threading.get_ident()
        second._watch.writing_thread = 7  # as when another thread had its turn before this one had cleared the mark
        write_transaction.cancel()
        assert second._watch.writing_thread == 7
        second._watch.writing_thread = None
