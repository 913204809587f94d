"""The file is the file under its path: moved, replaced, deleted, or with another SQLite at it in the same process."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import ringward as rw
from ringward.events import Processor, SqliteStore
from ringward.events.stores.sqlite import locks, watched_files

posix = pytest.mark.skipif(sys.platform == "win32", reason="there, what is open can be neither moved nor deleted")
ofd = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open-file-description locks are of Linux")

CHILD = textwrap.dedent("""
    import os, shutil, signal, sqlite3, subprocess, sys
    from ringward.events import Processor
    folder = sys.argv[1]
    f = folder + "/store.db"
    p = Processor(f)
    for i in range(20):
        print(p.publish("key", b"%d" % i).seq, flush=True)
    exec(sys.argv[2])
    print("done", flush=True)
    try:
        for i in range(20):
            print(p.publish("key", b"%d" % i).seq, flush=True)
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
""")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "here" / "store.db"


@pytest.fixture(autouse=True)
def _folder(path):
    path.parent.mkdir()


def crash(path, act):
    """Publish 20 events, do something to the files, publish until that fails, die; seqs of before and after, what failed."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path.parent), textwrap.dedent(act)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    lines = done.stdout.splitlines()
    cut = lines.index("done")
    seqs = [int(line) for line in lines[cut + 1 :] if line.isdecimal()]
    return [int(line) for line in lines[:cut]], seqs, next((line for line in lines[cut:] if "Error" in line), "")


def seqs_in(path):
    """What is stored under a path."""
    with closing(SqliteStore(path, create=False)) as store:
        assert store.verify() == []
        return [seq for seq, _ in store.heads(0, 100_000)]


# --- moved, replaced, deleted


@posix
@pytest.mark.parametrize(
    ("act", "found"),
    [
        ("os.rename(f, folder + '/moved.db')", "moved.db"),
        ("os.rename(folder, folder + '-moved')", "../here-moved/store.db"),
        ("os.remove(f)", None),
        ("shutil.rmtree(folder)", None),
        ("os.rename(f, folder + '/moved.db'); os.mkdir(f)", "moved.db"),
        ("os.rename(f, folder + '/moved.db'); os.symlink('elsewhere', f)", "moved.db"),
    ],
)
def test_a_file_that_is_moved_or_deleted_gives_no_receipt_any_more_and_takes_along_what_was_accepted(path, act, found):
    before, after, error = crash(path, act)
    assert (before, after) == (list(range(1, 21)), [])
    assert "StoreFailedError" in error
    assert "the file was moved, replaced or deleted" in error
    if found:
        assert seqs_in(path.parent / found) == before


@posix
def test_a_file_that_is_put_in_the_place_of_an_open_one_is_not_mixed_with_it(path, tmp_path):
    new = tmp_path / "new.db"
    with Processor(new) as p:
        p.publish_many(["other"] * 3, [b""] * 3)
    before, after, error = crash(path, f"os.rename({str(new)!r}, f)")
    assert (len(before), after) == (20, [])
    assert "moved, replaced or deleted" in error
    assert seqs_in(path) == [1, 2, 3]
    with Processor(path) as p:  # it is not condemned
        assert p.publish("other", b"").seq == 4


@posix
@pytest.mark.parametrize("suffix", ["-wal", pytest.param("-shm", marks=ofd)])
@pytest.mark.parametrize("act", ["os.remove({})", "os.rename({}, folder + '/aside')"])
def test_a_log_or_an_index_that_is_deleted_under_a_process_loses_nothing(path, suffix, act):
    before, after, error = crash(path, act.format(f"f + {suffix!r}"))
    assert after == []
    assert f"its {suffix} was moved, replaced or deleted" in error
    assert seqs_in(path) == (before if sys.platform.startswith("linux") or suffix == "-shm" else [])


@ofd
@pytest.mark.parametrize(
    ("act", "said"),
    [
        ("open(f + '-wal', 'wb').close()", "its -wal was truncated"),
        ("os.truncate(f + '-wal', 5000)", "its -wal was truncated"),
        ("shutil.copyfile(f, folder + '/c'); os.replace(folder + '/c', f + '-wal')", "its -wal was moved"),
        ("b = open(f + '-wal', 'r+b'); b.write(bytes(100)); b.close()", "its -wal was overwritten"),
        ("shutil.copyfile(folder + '/../old.db', f)", "it was overwritten"),
        ("open(f, 'wb').close()", "it was overwritten"),
    ],
)
def test_files_that_are_cut_off_or_written_over_give_no_receipt_any_more(path, tmp_path, act, said):
    with Processor(tmp_path / "old.db") as p:
        p.publish_many(["old"] * 300, [b"x" * 100] * 300)
    before, after, error = crash(path, act)
    assert (len(before), after) == (20, [])
    assert said in error
    try:
        with closing(SqliteStore(path)) as store:
            store.verify()
    except rw.RingwardError:
        pass  # too little of it can be read; it says so


@ofd
def test_a_file_whose_times_are_changed_is_still_the_same(path):
    before, after, error = crash(path, "os.utime(f, (1, 1)); os.utime(f + '-wal', (1, 1)); os.chmod(f, 0o640)")
    assert error == ""
    assert seqs_in(path) == before + after == list(range(1, 41))


@posix
def test_a_newcomer_after_the_index_was_deleted_and_the_old_process_are_not_mixed(path):
    other = "import sys; from ringward.events import Processor; print(Processor(sys.argv[1]).publish('key', b'').seq)"
    act = f"os.remove(f + '-shm'); print(subprocess.run([sys.executable, '-c', {other!r}, f], capture_output=True, text=True).stdout, end='')"
    before, after, error = crash(path, act)
    assert before == list(range(1, 22))
    assert after == []
    assert "StoreFailedError" in error
    assert seqs_in(path) == before


@posix
def test_who_reads_or_handles_learns_that_the_file_is_gone(path):
    p = Processor(path)
    p.consumer("g")(lambda _: None)
    p.publish("key", b"")
    p.start()
    path.unlink()
    end = time.monotonic() + 10

    def look():
        while time.monotonic() < end:
            p.stats()
            time.sleep(0.02)

    with pytest.raises(rw.StoreFailedError, match="moved, replaced or deleted"):
        look()
    with pytest.raises(rw.StoreFailedError, match="moved, replaced or deleted"):
        p.publish("key", b"")
    with pytest.raises(rw.StoreFailedError, match="moved, replaced or deleted"):
        p.close()


@posix
def test_what_a_transactional_handler_did_to_a_file_that_is_gone_is_not_acknowledged(path):
    with closing(SqliteStore(path)) as store:
        store.open_group("g", 0)
        store.append("p", [store.stream.entry("key", b"", None, None)])
        write_transaction = store.write_transaction("g")
        write_transaction.transaction.alive = True
        write_transaction.transaction.execute("CREATE TABLE theirs (x)")
        path.rename(path.with_name("moved.db"))
        with pytest.raises(rw.StoreFailedError, match="moved, replaced or deleted"):
            write_transaction.settle([])
        with pytest.raises(rw.StoreFailedError):
            store.mark("g", [])


@posix
def test_a_file_that_is_made_anew_beside_the_log_of_a_deleted_one_is_refused(path):
    crash(path, "os._exit = None")  # the -wal stays
    path.unlink()
    with pytest.raises(rw.StoreFormatError, match=r"put that file back, or remove the -wal"):
        SqliteStore(path)
    path.with_name("store.db-wal").unlink()
    SqliteStore(path).close()


@posix
def test_a_file_in_the_place_of_one_that_a_process_died_with_does_not_get_its_log(path, tmp_path):
    """SQLite would apply it, and neither file would be whole."""
    with Processor(tmp_path / "new.db") as p:
        p.publish("other", b"")
    before, _, _ = crash(path, "pass")  # the -wal stays
    shutil.copytree(path.parent, tmp_path / "copied")  # also a copy of all of it may be opened
    path.rename(path.with_name("moved.db"))
    (tmp_path / "new.db").rename(path)
    with pytest.raises(rw.StoreFormatError, match=r"replaced another file, whose store\.db-wal is still there"):
        SqliteStore(path)
    path.rename(tmp_path / "new.db")
    path.with_name("moved.db").rename(path)
    assert len(seqs_in(path)) == 2 * len(before)
    assert len(seqs_in(tmp_path / "copied" / "store.db")) == 2 * len(before)


@posix
def test_a_file_in_the_place_of_one_that_is_open_waits_for_who_has_that(path, tmp_path):
    with Processor(tmp_path / "new.db") as p:
        p.publish("other", b"")
    old = SqliteStore(path)
    old.append("p", [old.stream.entry("key", b"", None, None)])
    (tmp_path / "new.db").rename(path)
    with pytest.raises(rw.StoreFailedError, match="1 processes still have the old file open: stop them first"):
        SqliteStore(path)
    with pytest.raises(rw.StoreFailedError, match="moved, replaced or deleted"):
        old.append("p", [old.stream.entry("key", b"", None, None)])
    old.close()
    assert seqs_in(path) == [1]


def test_a_path_stays_the_same_when_the_working_directory_changes(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    with closing(SqliteStore("store.db")) as first, closing(SqliteStore(path)) as second:
        monkeypatch.chdir("/")
        assert first.path == second.path == path
        assert first.hint(second.process) == "here"
        first.append("p", [first.stream.entry("key", b"", None, None)])
        assert second.totals().tail == 1


# --- other SQLites in this process


ACTS = {
    "read": "c = sqlite3.connect(f); c.execute('SELECT count(*) FROM sqlite_master').fetchone(); c.close()",
    "read only": "c = sqlite3.connect('file:' + f + '?mode=ro', uri=True); c.execute('SELECT * FROM ringward_log'); c.close()",
    "vacuum into": "c = sqlite3.connect(f); c.execute('VACUUM INTO ?', (folder + '/backup.db',)); c.close()",
    "checkpoint": "c = sqlite3.connect(f); c.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall(); c.close()",
    "open and close": "open(f, 'rb').close(); open(f + '-shm', 'rb').close(); open(f + '-wal', 'rb').close()",
    "copy": "shutil.copy(f, folder + '/copy.db')",
}
LOOK = "import sys; from ringward.events import Processor; p = Processor(sys.argv[1]); p.stats(); p.close()"
PLAIN = "import sys, sqlite3; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM ringward_log').fetchall(); c.close()"


@ofd
@pytest.mark.parametrize(
    "acts",
    [
        [ACTS["read"]],
        [ACTS["open and close"], f"subprocess.run([sys.executable, '-c', {LOOK!r}, f], check=True)"],
        [*ACTS.values(), f"subprocess.run([sys.executable, '-c', {PLAIN!r}, f], check=True)"],
        ["p2 = Processor(f); p2.publish('key', b''); p2.close(); print(21)"],
    ],
)
def test_another_sqlite_in_the_process_does_no_harm(path, acts):
    """It dropped SQLite's locks, thought itself alone and unlinked the log: receipts were for what was nowhere."""
    before, after, error = crash(path, "\n".join(acts))
    assert error == ""
    assert len(after) == 20
    assert seqs_in(path) == before + after


@ofd
def test_no_other_process_writes_in_the_midst_of_a_transaction_though_the_file_was_closed_here(path):
    """The close dropped our locks, and what the other wrote was committed over."""
    with Processor(path) as p:
        p.publish("k", b"")
        code = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('CREATE TABLE t (x)')"
        said = []

        def faults(point):
            if point == "commit" and not said:
                with closing(sqlite3.connect(path)) as file:
                    file.execute("SELECT count(*) FROM sqlite_master").fetchall()
                done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=False)
                said.append(done.stderr)

        p.store._writer.faults = faults
        assert p.publish("k", b"").seq == 2
        assert "database is locked" in said[0]
    assert seqs_in(path) == [1, 2]


@ofd
def test_a_connection_whose_locks_can_be_dropped_must_not_come_first(path):
    SqliteStore(path).close()
    with closing(apsw.Connection(str(path))) as first:
        first.execute("SELECT count(*) FROM ringward_log").fetchall()
        with pytest.raises(rw.StoreUnavailableError, match="opened it first"):
            SqliteStore(path)
    with closing(SqliteStore(path)) as store, closing(apsw.Connection(str(path))) as second:
        second.execute("SELECT count(*) FROM ringward_log").fetchall()
        assert store._watch.kept


@ofd
def test_the_log_is_put_away_when_the_last_store_closes_and_nothing_stays_open(path):
    first = SqliteStore(path)
    second = SqliteStore(path)
    first.append("p", [first.stream.entry("key", b"", None, None)])
    first.close()
    assert path.with_name("store.db-wal").exists()
    with closing(sqlite3.connect(path)) as file:
        file.execute("SELECT count(*) FROM ringward_log").fetchall()
    assert path.with_name("store.db-wal").exists()
    second.append("p", [second.stream.entry("key", b"", None, None)])
    second.close()
    assert not path.with_name("store.db-wal").exists()
    assert not [held for held in watched_files._held.values() if held.path == path]
    assert not [fd for fd in Path("/proc/self/fd").iterdir() if str(path) in _target(fd)]


def _target(fd):
    try:
        return str(fd.readlink())
    except OSError:
        return ""


@ofd
def test_the_locks_of_a_connection_that_the_application_has_open_stay(path):
    """Closing our own descriptors of the file would drop them."""
    store = SqliteStore(path)
    with closing(apsw.Connection(str(path))) as mine:
        mine.execute("CREATE TABLE mine (x)")
        store.close()
        code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM mine').fetchall(); c.close()"
        subprocess.run([sys.executable, "-c", code, path], check=True)
        assert path.with_name("store.db-wal").exists()
        mine.execute("INSERT INTO mine VALUES (1)")
        again = SqliteStore(path)
        again.close()
    assert [held for held in watched_files._held.values() if held.path == path]  # it waits for the next store
    SqliteStore(path).close()
    assert not [held for held in watched_files._held.values() if held.path == path]


@posix
def test_a_forked_child_that_opens_the_file_holds_locks_of_its_own(path):
    act = """
        if os.fork() == 0:
            p = Processor(f)
            for i in range(20):
                p.publish("key", b"child")
            os.kill(os.getpid(), signal.SIGKILL)
        os.wait()
        [print(seq) for seq in range(21, 41)]
    """
    before, after, error = crash(path, act)
    assert error == ""
    assert seqs_in(path) == before + after == list(range(1, 61))


# --- two stores of one process


def test_a_second_processor_inside_a_transactional_handler_is_an_error_at_once(path):
    """It waited for its own thread, until that was rolled back: six copies of what it published."""
    link = path.with_name("link.db")
    said, began = [], time.monotonic()
    with Processor(path) as p:
        link.symlink_to(path)
        with Processor(link) as other:
            other.store.open_group("g", 0)
            calls = {
                "publish": lambda: other.publish("other", b"x"),
                "reset": lambda: other.reset("g", "beginning"),
                "redrive": lambda: other.redrive("g", [1]),
                "open": lambda: SqliteStore(path),
                "turn": lambda: other.store.write_transaction("g"),
                "prune": other.prune,
            }

            @p.consumer("g")
            def handle(event):
                event.transaction.execute("CREATE TABLE IF NOT EXISTS mine (x)")
                for name, call in calls.items():
                    try:
                        call()
                    except rw.TransactionError as error:
                        said.append((name, "on the same file, through another Processor or store" in str(error)))

            p.publish("key", b"")
            assert p.run(until="idle", timeout_s=20)
            assert said == [(name, True) for name in calls]
            assert time.monotonic() - began < 10
            assert other.publish("other", b"x").seq == 2  # afterwards it may


@posix
def test_a_second_name_of_a_file_is_refused(path, tmp_path):
    with closing(SqliteStore(path)):
        os.link(path, tmp_path / "second.db")
        with pytest.raises(rw.StoreFormatError, match=r"the file's only name.*2 hard links"):
            SqliteStore(tmp_path / "second.db")


def test_a_copy_that_runs_beside_is_another_file(path, tmp_path):
    with closing(SqliteStore(path)) as store:
        store.append("p", [store.stream.entry("key", b"", None, None)])
    shutil.copy(path, tmp_path / "copy.db")
    with closing(SqliteStore(path)) as store, closing(SqliteStore(tmp_path / "copy.db")) as copy:
        store.append("p", [store.stream.entry("key", b"", None, None)])
        assert (store.totals().tail, copy.totals().tail) == (2, 1)


@posix
def test_a_file_that_was_copied_anew_is_no_stranger_to_those_who_come_later(path):
    """The signs of processes that had died named the file that it was: nobody could open it any more."""
    script = """
        import os, sys, apsw
        from ringward.events import SqliteStore
        store = SqliteStore(sys.argv[1])
        entry = store.stream.entry("key", b"", None, None)
        store.append("p", [entry])
        def fails(point):
            if point == "commit":
                raise apsw.IOError("the disk is on fire")
        if sys.argv[2] == "fails":
            store._writer.faults = fails
            try:
                store.append("p", [entry])
            except Exception:
                pass
        os.kill(os.getpid(), 9)
    """
    for act in ("fails", "dies", "dies"):  # the second copies it, and leaves a log behind, as does the third
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), path, act], capture_output=True, text=True, check=False
        )
        assert child.returncode == -signal.SIGKILL, child.stderr
    assert seqs_in(path) == [1, 2, 3]


@posix
def test_signs_of_another_boot_or_mount_tell_nothing_of_files(path, monkeypatch):
    """Numbers of files change from mount to mount: after a power cut the store was refused, log and all."""
    crash(path, "")
    monkeypatch.setattr(locks, "_boot", lambda: "another")
    for sign in path.with_name("store.db-locks").glob("alive-*"):
        noted = sign.read_text().split()
        sign.write_text(" ".join(["1", *noted[1:]]))
    assert seqs_in(path)


@posix
def test_a_counter_of_news_that_is_cut_off_ends_nobody(path):
    """As `cp -r` of a folder over this one does: touching what is mapped behind the end of a file ends the process."""
    program = """
import os, sys, threading
from ringward.events import Processor
path, seen = sys.argv[1], threading.Semaphore(0)
with Processor(path) as p:
    p.consumer("g")(lambda event: seen.release())
    p.start()
    for number in range(6):
        os.truncate(path + "-locks/news", 0)
        p.publish("k", b"")
        assert seen.acquire(timeout=20)
    with Processor(path) as other:
        other.publish("k", b"")
        assert seen.acquire(timeout=20)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, text=True, check=False, timeout=120
    )
    assert (ended.returncode, ended.stderr) == (0, "")
