"""`ringward events health`: what it says of a file, whatever state that is in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import fails, run, run_json
from event_commands import POSIX, Program, handlers, program
from waiting import until

from ringward.events import Processor, Retry, SqliteStore
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.log import SqliteLog

LOCKED = """
import sqlite3
with sqlite3.connect("e.db", isolation_level=None) as connection:
    connection.execute("BEGIN IMMEDIATE")
    print("locked", flush=True)
    input()
"""


def ill(*args, file="e.db"):
    """Ask for the health where it is not good; the reasons."""
    told = json.loads(run("events", "health", file, "--json", *args, code=1, silent=True))
    assert told["ok"] is False
    assert told["state"] != "ok"
    text = run("events", "health", file, *args, code=1, silent=True)
    reasons = [reason["text"] for reason in told["reasons"]]
    assert text.splitlines()[0] == f"{file}: {told['state']}"
    assert len(text.splitlines()) == 1 + len(reasons) + len(told["groups"])
    return told["state"], reasons


def boom(_event):
    """Fail."""
    raise ValueError


def test_a_file_that_is_worked_on_is_well():
    """While a processor has it open and handles its events; with figures."""
    with Processor("e.db") as p:
        assert run("events", "health", "e.db") == "e.db: ok\n"
        p.consumer("g", members=["a", "b"])(lambda _event: None)
        p.publish("k", b"x")
        p.start()
        assert p.drain(30)
        assert run("events", "health", "e.db") == "e.db: ok\ng: 0 waiting, 0 dead; a, b\n"
        told = run_json("events", "health", "e.db", "--max-lag", "0", "--max-dead", "0", "--max-age", "0")
        assert told["ok"] is True
        assert told["groups"]["g"]["members"] == ["a", "b"]


def test_bounds_are_kept_or_told():
    """Age, count and dead events, each with its value and its bound."""
    with Processor("e.db") as p:
        p.consumer("g", retry=Retry(attempts=1), members=["a"])(boom)
        p.publish("k", b"x")
        assert p.run(until="idle", timeout_s=30)
        assert run("events", "health", "e.db", "--max-dead", "1") == "e.db: ok\ng: 0 waiting, 1 dead; no members\n"
        assert ill("--max-dead", "0") == ("degraded", ["1 events of g are dead (at most 0)"])
        p.publish_many(["l", "m"], [b"", b""])
        time.sleep(0.01)
        _, reasons = ill("--max-lag", "1", "--max-age", "0", "--max-dead", "0")
        assert "2 events of g wait (at most 1)" in reasons
        assert "the oldest event of g has waited 0 s (at most 0)" in reasons


@POSIX
def test_a_worker_that_was_killed_and_has_no_heir_is_told():
    """Nobody else would notice."""
    handlers("def handle(event): pass\n")
    with Processor("e.db") as p:
        flags = ["--handler", "my_handlers:handle", "--path", ".", "--member", "a"]
        with program("work", "e.db", "--group", "g", *flags) as running:
            until(lambda: "g" in (told := p.stats().groups) and told["g"].members == ("a",))
            running.send_signal(signal.SIGKILL)
            running.wait(30)
    assert ill() == ("degraded", ["group g: the process of a is gone"])


def test_what_is_no_file_of_events_is_told():
    """Missing, a folder, empty, foreign, damaged: failed, with the reason and no traceback."""
    assert ill(file="none.db") == ("failed", ["no such file"])
    Path("folder").mkdir()
    assert ill(file="folder")[0] == "failed"
    Path("empty.db").touch()
    assert ill(file="empty.db") == ("failed", ["an empty file"])
    Path("foreign.db").write_text("this is no database, and long enough to see that it is none" * 20)
    assert "path must be a file of ringward.events" in ill(file="foreign.db")[1][0]
    assert ill("--partitions", "7", file="foreign.db")[0] == "failed"
    with Processor("e.db") as p:
        p.publish_many([f"k{i}" for i in range(2000)], [b"x" * 100] * 2000)
    data = bytearray(Path("e.db").read_bytes())
    data[4096 : len(data) - 4096] = b"\xaa" * (len(data) - 8192)
    Path("e.db").write_bytes(data)
    assert ill()[0] == "failed"
    assert not list(Path().glob("*damaged*"))
    assert not Path("none.db").exists()
    assert not Path("folder-locks").exists()


def test_a_file_that_is_locked_is_told_in_time():
    """By another program, and by a process that stands still inside a write."""
    with Processor("e.db") as p:
        p.publish("k", b"x")
        p.store._write_lock.enter()
        try:
            began = time.monotonic()
            assert ill("--timeout", "0.2") == ("failed", ["no answer within 0.2 s"])
            assert time.monotonic() - began < 5
        finally:
            p.store._write_lock.leave()
    with Program([sys.executable, "-c", LOCKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"locked\n"
        assert ill("--timeout", "0.2") == ("failed", ["no answer within 0.2 s"])
        other.communicate(b"go on\n", timeout=30)
    assert run("events", "health", "e.db") == "e.db: ok\n"


def test_a_store_that_failed_is_told_and_not_repaired():
    """The next processor does that; a look changes nothing."""
    with Processor("e.db") as p:
        p.publish("k", b"x")
        p.store._write_lock.fail()
    before = Path("e.db").stat().st_ino
    assert ill() == ("failed", ["a write to the file has failed: it is copied anew when a processor opens it"])
    assert Path("e.db").stat().st_ino == before
    with Processor("e.db"):
        assert Path("e.db").stat().st_ino != before
        assert run("events", "health", "e.db") == "e.db: ok\n"


@pytest.mark.parametrize(
    "flags", [["--max-age", "-1"], ["--max-lag", "x"], ["--max-dead", "1.5"], ["--timeout", "nan"]]
)
def test_bounds_that_are_none_are_wrong_usage(flags):
    """Exit code 2: a typo in a check is not a sick file."""
    assert flags[0] in fails("events", "health", "e.db", *flags, code=2)


def test_a_file_of_an_older_version_stays_as_it_is(monkeypatch):
    """A look used to bring it to the version of the program that looked, which others then could not open."""
    with monkeypatch.context() as old:
        old.setattr(schema, "STEPS", schema.STEPS[:1])
        old.setattr(schema, "VERSION", 1)
        old.setattr(SqliteStore, "configure", lambda *_, **__: None)
        old.setattr(SqliteLog, "begin_time", lambda *_, **__: None)
        SqliteStore("e.db").close()
    before = Path("e.db").read_bytes()
    state, reasons = ill()
    assert state == "failed"
    assert reasons == ["the file is of version 1: a processor that opens it upgrades it to version 2"]
    assert Path("e.db").read_bytes() == before
    with Processor("e.db"):
        pass
    before = Path("e.db").read_bytes()
    assert run("events", "health", "e.db") == "e.db: ok\n"
    assert Path("e.db").read_bytes() == before
