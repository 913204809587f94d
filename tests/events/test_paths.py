"""What a path means, what is said when it cannot be meant, and the files of locks that somebody tidies up."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

import ringward as rw
from ringward.events import Processor, SqliteStore
from ringward.events.stores.sqlite import locks, paths

posix = pytest.mark.skipif(sys.platform == "win32", reason="there, what is open cannot be deleted")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def publish(store):
    return store.append("p", [store.stream.entry("key", b"", None, None)])[0].seq


# --- paths


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (":memory:", rw.ArgumentError, r"Processor\(\) or MemoryStore\(\)"),
        ("file::memory:?cache=shared", rw.ArgumentError, r"Processor\(\) or MemoryStore\(\)"),
        ("sqlite://", rw.ArgumentError, r"Processor\(\) or MemoryStore\(\)"),
        ("sqlite:///:memory:", rw.ArgumentError, r"Processor\(\) or MemoryStore\(\)"),
        ("", rw.ArgumentError, "not empty"),
        ("a\0b", rw.ArgumentError, "without NUL"),
        ("sqlite:///orders.db", rw.ArgumentError, r"a path without a scheme: use 'orders\.db'"),
        ("sqlite:////var/orders.db", rw.ArgumentError, r"use '/var/orders\.db'"),
        ("sqlite+aiosqlite:///orders.db", rw.ArgumentError, r"use 'orders\.db'"),
        ("file:orders.db?mode=ro", rw.ArgumentError, r"use 'orders\.db'"),
        (Path("sqlite:///orders.db"), rw.ArgumentError, "a path without a scheme"),
        ("postgresql://host/db", rw.UnsupportedError, "no store for postgresql:// yet"),
        ("nats://host", rw.UnsupportedError, "no store for nats:// yet"),
        ("orders/", rw.ArgumentError, "the path of a file, not of a folder"),
    ],
)
def test_what_is_no_path_of_a_file_is_an_error_that_says_what_is_meant(given, error, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        Processor(given)
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_no_path():
    with pytest.raises(rw.ArgumentTypeError, match=r"os\.fsdecode"):
        SqliteStore(b"store.db")
    with pytest.raises(rw.ArgumentTypeError):
        Processor(b"store.db")


def test_a_missing_folder_is_named_and_never_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (tmp_path / "none" / "store.db", "none/deep/store.db"):
        with pytest.raises(rw.StoreNotFoundError, match=r"no such folder: .*none") as raised:
            Processor(given)
        assert isinstance(raised.value, FileNotFoundError)
    with pytest.raises(rw.StoreNotFoundError, match=r"~ is taken as it is: os\.path\.expanduser"):
        Processor("~/store.db")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_made_unless_told_otherwise(path):
    with pytest.raises(rw.StoreNotFoundError, match=r"no such file: .*create=True creates it") as raised:
        Processor(path, create=False)
    assert raised.value.path == str(path)
    path.touch()
    with pytest.raises(rw.StoreNotFoundError, match="it is empty"):
        SqliteStore(path, create=False)
    path.unlink()
    assert list(path.parent.iterdir()) == []
    Processor(path).close()
    Processor(path, create=False).close()


@posix
def test_what_is_no_plain_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for given in ("/dev/null", tmp_path / "pipe", tmp_path):
        with pytest.raises(rw.StoreFormatError, match="must be a file"):
            SqliteStore(given)
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(rw.RingwardError):
        SqliteStore(tmp_path / "a")


@pytest.mark.parametrize(
    ("code", "said"), [(errno.EACCES, "this user has no permission for"), (errno.EROFS, "mounted read-only")]
)
def test_a_missing_permission_is_one_error_that_names_the_path(path, monkeypatch, code, said):
    SqliteStore(path).close()

    def refused(*_, **__):
        raise OSError(code, os.strerror(code), str(path) + "-locks/next")

    monkeypatch.setattr(locks, "_open", refused)
    with pytest.raises(rw.StoreAccessError, match=said) as raised:
        SqliteStore(path)
    assert isinstance(raised.value, PermissionError)
    assert raised.value.path.endswith("next")


def test_a_folder_in_which_no_files_can_be_made_is_named(path, monkeypatch):
    SqliteStore(path).close()
    real = os.access
    monkeypatch.setattr(paths.os, "access", lambda given, mode: real(given, mode) and Path(given) != path.parent)
    with pytest.raises(rw.StoreAccessError, match="no permission to create files"):
        SqliteStore(path)


@posix
def test_a_symbolic_link_leads_to_the_same_locks(path):
    link = path.with_name("link.db")
    link.symlink_to(path)
    with closing(SqliteStore(link)) as first, closing(SqliteStore(path)) as second:
        assert first.path == second.path
        assert first.hint(second.process) == "here"
    assert not link.with_name("link.db-locks").exists()


# --- locks that somebody tidies up


def tidied(store, what):
    """Remove files of locks, as a cleaner of old files does; then let time pass."""
    folder = store.path.with_name(store.path.name + "-locks")
    if what == "all":
        shutil.rmtree(folder)
    else:
        for each in folder.glob(what):
            each.unlink()
    store._presence._looked = store._write_lock.looked_at = 0.0


@posix
@pytest.mark.parametrize("what", ["alive-*", "write", "next", "*", "all"])
def test_locks_that_were_removed_are_no_proof_of_death_and_are_made_again(path, what):
    """A missing file counted as a dead process: 80,000 takeovers in 5 s."""
    with closing(SqliteStore(path)) as first, closing(SqliteStore(path)) as second:
        tidied(first, what)
        assert second.hint(first.process) in ("here", "unknown")
        assert publish(first) == 1
        assert second.hint(first.process) == "here"
        tidied(second, "nothing")
        assert publish(second) == 2
        assert first.hint(second.process) == "here"
        assert first._write_lock._write.in_place()
        assert second._write_lock._write.in_place()
        assert first._write_lock._next.in_place()
    with closing(SqliteStore(path)) as store:
        assert store.verify() == []


@posix
def test_members_are_not_taken_over_when_their_locks_are_removed(path):
    with closing(SqliteStore(path)) as first, closing(SqliteStore(path)) as second:
        assert first.hint("0" * 32) == "unknown"
        for each in path.with_name("store.db-locks").glob("alive-*"):
            each.unlink()
        assert first.hint(second.process) == "unknown"
        assert second.hint(first.process) == "unknown"


@posix
def test_who_reads_looks_after_the_locks_too_and_keeps_them_young(path):
    with closing(SqliteStore(path)) as store:
        sign = path.with_name("store.db-locks") / f"alive-{store.process}"
        os.utime(sign, (1, 1))
        store._presence._looked = store._file.look_due = 0.0
        store.totals()
        assert time.time() - sign.stat().st_mtime < 60
        sign.unlink()
        store._presence._looked = store._file.look_due = 0.0
        store.totals()
        assert sign.exists()


@posix
def test_only_old_signs_of_dead_processes_are_removed(path):
    folder = path.with_name("store.db-locks")
    with closing(SqliteStore(path)) as store:
        for name in ("alive-young", "alive-old", "new-old"):
            (folder / name).touch()
        for name in ("alive-old", "new-old", f"alive-{store.process}"):
            os.utime(folder / name, (1, 1))
        with closing(SqliteStore(path)) as second:
            assert second.hint(store.process) == "here"
            assert second.hint("young") == "gone"
            assert second.hint("old") == "unknown"
            assert not (folder / "new-old").exists()


def test_a_process_that_had_members_leaves_the_proof_of_its_end(path):
    first, second = SqliteStore(path), SqliteStore(path)
    for store in (first, second):
        store.open_group("g", 0)
    first._presence.known = True
    first.close()
    with closing(SqliteStore(path)) as third:
        assert third.hint(first.process) == "gone"
        second.close()
        assert third.hint(second.process) == "unknown"


@posix
@pytest.mark.parametrize("what", ["write", "all"])
def test_the_mark_of_failure_outlives_the_locks(path, what):
    store = SqliteStore(path)
    publish(store)
    with closing(SqliteStore(path)) as other:
        store._write_lock.fail()
        tidied(store, what)
        with pytest.raises(rw.StoreFailedError):
            publish(other)
        with pytest.raises(rw.StoreFailedError, match="has to be copied anew"):
            SqliteStore(path)
    store.close()
    tidied(store, what)
    with closing(SqliteStore(path)) as again:  # it was copied anew
        assert publish(again) == 2
        assert again.verify() == []
    assert not path.with_name("store.db-failed").exists()


# --- what the system refuses


@pytest.mark.parametrize(
    ("number", "error", "transient"),
    [
        (errno.EMFILE, rw.StoreUnavailableError, True),
        (errno.ENFILE, rw.StoreUnavailableError, True),
        (errno.EIO, rw.StoreUnavailableError, True),
        (errno.ENOMEM, rw.StoreUnavailableError, True),
        (errno.ENOSPC, rw.StoreFullError, True),
        (errno.EFBIG, rw.StoreFullError, True),
        (errno.ENOENT, rw.StoreNotFoundError, False),
        (errno.EACCES, rw.StoreAccessError, False),
        (errno.EROFS, rw.StoreAccessError, False),
        (errno.ENOTDIR, rw.StoreFormatError, False),
        (errno.ENAMETOOLONG, rw.StoreFormatError, False),
    ],
)
def test_what_may_pass_is_told_apart_from_what_does_not(path, number, error, transient):
    told = paths.access_error(OSError(number, os.strerror(number), os.fsencode(path)), path)
    assert type(told) is error
    assert told.transient is transient
    assert str(path) in str(told)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there, nobody counts descriptors")
def test_without_descriptors_it_is_unavailable_until_there_are_some(path):
    resource = pytest.importorskip("resource")
    SqliteStore(path).close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limited(spare, act):
        resource.setrlimit(resource.RLIMIT_NOFILE, (used() + spare, hard))
        try:
            return act()
        except rw.StoreUnavailableError:
            return None
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def used():
        return len(list(Path("/proc/self/fd").iterdir())) - 1

    before, refused = used(), 0
    while (store := limited(refused, lambda: SqliteStore(path))) is None:
        assert used() == before
        refused += 1
    assert refused > 5
    with closing(store):
        for act in (lambda: store.query("SELECT 1"), store.verify, lambda: store.backup(path.with_name("copy.db"))):
            limited(0, act)  # SQLite may have a descriptor left over
        assert store.query("SELECT 1") == [(1,)]
        publish(store)


def test_a_file_that_cannot_grow_is_no_error_of_sql(path):
    program = """
import resource, sys
from ringward.events import SqliteStore
for size in range(0, 100_000, 4096):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        SqliteStore(sys.argv[1]).close()
    except Exception as error:
        print(type(error).__name__, error)
    else:
        break
"""
    pytest.importorskip("resource")
    said = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=60)
    lines = said.stdout.splitlines()
    assert len(lines) > 5
    assert all(line.startswith(("StoreUnavailableError", "StoreFullError")) for line in lines), lines


# --- a store that has failed, whose data somebody takes away


@pytest.mark.parametrize("act", ["cut off", "removed"])
def test_a_failed_store_whose_file_was_taken_away_begins_anew(path, act):
    store = SqliteStore(path)
    publish(store)
    store._writer.condemned("a test says so")
    store.close()
    assert path.with_name("store.db-failed").exists()
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    if act == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    with pytest.raises(rw.StoreNotFoundError):
        SqliteStore(path, create=False)
    with closing(SqliteStore(path)) as store:
        assert publish(store) == 1
        assert store.verify() == []
    assert not path.with_name("store.db-failed").exists()
    assert path.with_name("store.db-locks").joinpath("write").stat().st_size == 0


def test_a_full_disk_keeps_out_nobody_who_looks_or_makes_room(tmp_path, monkeypatch):
    """Nothing could be looked at, pruned or compacted where there was no room for 50 bytes in a lock's file."""
    path = tmp_path / "store.db"
    with Processor(path) as p:
        p.publish("k", b"x")
    write = os.pwrite

    def full(fd, data, at):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with Processor(path) as p:
        assert p.stats().tail == 1
        assert p.verify() == []
        monkeypatch.setattr(os, "pwrite", write)
        p.store._presence._looked = p.store._file.look_due = -100.0
        p.stats()  # what could not be noted is noted then
        assert str(path.stat().st_ino) in p.store._presence._path.read_text("ascii")


def test_what_there_is_no_room_for_is_named(tmp_path):
    error = paths.access_error(OSError(errno.ENOSPC, "No space left on device"), tmp_path / "store.db")
    assert (
        str(error)
        == f"nothing was stored: there is no room for {str(tmp_path / 'store.db')!r}: No space left on device"
    )


def test_an_error_of_the_system_within_a_commit_is_one_of_ours(tmp_path, monkeypatch):
    with closing(SqliteStore(tmp_path / "store.db")) as store:

        def refused(*_arguments, **_options):
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(store._log, "_append", refused)
        with pytest.raises(rw.StoreUnavailableError, match=r"store\.db"):
            store.append("p", [store.stream.entry("k", b"x", None, None)])
        monkeypatch.undo()
        assert store.append("p", [store.stream.entry("k", b"x", None, None)])[0].seq == 1


def test_whose_files_were_closed_under_it_says_so_and_writes_nothing_more(path, monkeypatch):
    """As by a handler that closes all descriptors, to become a daemon: to try that again would never end."""
    with closing(SqliteStore(path)) as store:

        def refused(*_arguments, **_options):
            raise OSError(errno.EBADF, "Bad file descriptor")

        monkeypatch.setattr(store._log, "_append", refused)
        for _ in range(2):
            with pytest.raises(rw.StoreFailedError, match="somebody has closed its files in this process") as caught:
                publish(store)
            assert not caught.value.transient
            monkeypatch.undo()
