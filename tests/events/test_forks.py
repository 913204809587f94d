"""Children that a process forks while it has a processor, or while a handler has its transaction."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

import ringward as rw
from ringward.events import Processor, SqliteStore

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


def forked(act):
    """Run something in a child; its exit status."""
    child = os.fork()
    if not child:
        try:
            act()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent is told
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_in_a_child_a_processor_is_over_at_once(tmp_path):
    """It waited 30 s for threads that are not there; `start` came back as if it ran."""
    with Processor(tmp_path / "store.db") as p:
        p.consumer("g", members=3)(lambda event: None)
        p.start()

        def act():
            for call in (p.start, p.run, lambda: p.publish("k", b"")):
                with pytest.raises(rw.StoreClosedError):
                    call()
            assert p.stop() is True
            p.close()

        assert forked(act) == 0
        p.publish("k", b"")
        assert p.drain(30)


LEAVES = {"exits": "sys.exit(0)", "raises": "raise ValueError('child')", "returns": "return"}


@pytest.mark.parametrize("leaves", LEAVES)
def test_a_child_that_leaves_a_transactional_handler_does_no_harm(leaves, tmp_path):
    """It went on as a worker, and rolled the parent's transaction back: the file was condemned for all."""
    script = """
import os, sys, warnings
warnings.simplefilter("ignore")
from ringward.events import Processor
with Processor(sys.argv[1]) as p:
    p.publish_many(["a", "b", "c"], [b""] * 3)
    @p.consumer("g")
    def handle(event):
        event.transaction.execute("CREATE TABLE IF NOT EXISTS done (seq)")
        event.transaction.execute("INSERT INTO done VALUES (?)", (event.seq,))
        child = os.fork()
        if not child:
            LEAVES
        os.waitpid(child, 0)
    assert p.run(until="idle", timeout_s=30)
    assert p.health().state != "failed"
""".replace("LEAVES", LEAVES[leaves])
    path = tmp_path / "store.db"
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT seq FROM done ORDER BY seq").fetchall() == [(1,), (2,), (3,)]
    with contextlib.closing(SqliteStore(path)) as store:
        assert not store.verify()


def test_a_log_that_is_set_back_while_it_is_open_gives_no_seq_twice(tmp_path):
    """SQLite's own `.restore` goes through transactions: receipts were given for seqs that consumers were past."""
    path, backup = tmp_path / "store.db", tmp_path / "backup.db"
    with contextlib.closing(SqliteStore(path)) as store:
        entries = [store.stream.entry("k", b"", None, None)]
        store.append("p", entries)
        store.backup(backup)
        store.append("p", entries)
        with contextlib.closing(sqlite3.connect(backup)) as source, contextlib.closing(sqlite3.connect(path)) as target:
            source.backup(target)
        with pytest.raises(rw.StoreFailedError, match="set back from seq 2 to 1"):
            store.append("p", entries)
        with pytest.raises(rw.StoreFailedError):
            store.totals()
    with contextlib.closing(SqliteStore(path)) as store:
        assert store.append("p", entries)[0].seq == 2
