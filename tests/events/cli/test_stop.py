"""How `ringward events work` and `consume` end, and the exit code that tells."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from command import fails, process, run
from event_commands import POSIX, handlers, program

from ringward.events import Processor

pytestmark = POSIX
WORK = ["work", "e.db", "--group", "g", "--handler", "my_handlers:handle", "--path", "."]


def until(so, timeout_s=60):
    """Wait until something is so."""
    deadline = time.monotonic() + timeout_s
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def published(count=1):
    """Publish events of one key each."""
    with Processor("e.db") as p:
        p.publish_many([f"k{i}" for i in range(count)], [b"x"] * count)


SLOW = """
import time
from pathlib import Path

def handle(event):
    Path(f"began-{event.seq}").touch()
    time.sleep(SECONDS)
    Path(f"ended-{event.seq}").touch()
"""
SLOW_TURN = SLOW.replace("def handle(event):\n", "def handle(event):\n    event.transaction.execute('SELECT 1')\n")


def test_what_is_in_flight_is_finished_after_a_signal():
    """Exit code 0, although it took a while; nothing is delivered again, and what had not begun waits."""
    handlers(SLOW.replace("SECONDS", "1.0"))
    published(3)
    with program(*WORK, "--stop-timeout", "30") as running:
        until(lambda: Path("began-1").exists())
        running.terminate()
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
    ended = sorted(Path().glob("ended-*"))
    assert len(ended) == len(list(Path().glob("began-*"))) < 3
    assert out == f"g: {len(ended)} handled, 0 retried, 0 dead\n".encode()
    with Processor("e.db") as p:
        assert sum(p.stats().groups["g"].lag.values()) == 3 - len(ended)
        assert {document.owner for document in p.store.documents("g").values()} == {None}


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("code", [SLOW, SLOW_TURN], ids=["plain", "in its turn"])
def test_a_handler_that_is_cut_off_is_told_by_the_exit_code(code, number):
    """4, with the seq; the event is delivered again, as the same attempt."""
    handlers(code.replace("SECONDS", "60"))
    published()
    with program(*WORK, "--stop-timeout", "0.3") as running:
        until(lambda: Path("began-1").exists())
        began = time.monotonic()
        running.send_signal(getattr(signal, number))
        out, err = running.communicate(timeout=30)
        assert time.monotonic() - began < 10
    assert running.returncode == 4
    assert out == b"g: 0 handled, 0 retried, 0 dead\n"
    told = err.decode().splitlines()[-1]
    assert told == ("Error: handlers were cut off after 0.3 s, and what they had is delivered again: group g, seq 1")
    seen = []
    with Processor("e.db") as p:
        p.consumer("g")(lambda event: seen.append((event.seq, event.attempt)))
        assert p.run(until="idle", timeout_s=30)
    assert seen == [(1, 1)]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_second_signal_ends_at_once(number):
    """As the system ends processes; nothing is waited for, and nothing is lost."""
    handlers(SLOW.replace("SECONDS", "60"))
    published()
    with program(*WORK, "--stop-timeout", "60") as running:
        until(lambda: Path("began-1").exists())
        running.send_signal(getattr(signal, number))
        time.sleep(0.3)
        assert running.poll() is None
        running.send_signal(getattr(signal, number))
        assert running.communicate(timeout=10) == (b"", b"")
        assert running.returncode == -getattr(signal, number)
    assert run("events", "verify", "e.db") == "e.db: 1 events, 1 groups; all is as it was stored\n"


def test_a_hangup_is_ignored_where_it_was():
    """`nohup` keeps its promise."""
    handlers(SLOW.replace("SECONDS", "0"))
    published()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        running = program(*WORK)
    finally:
        signal.signal(signal.SIGHUP, before)
    with running:
        until(lambda: Path("ended-1").exists())
        running.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert running.poll() is None
        running.terminate()
        assert running.communicate(timeout=30)[1] == b""
        assert running.returncode == 0


def test_consume_whose_reader_does_not_read_is_cut_off():
    """A full pipe holds the writer for ever: exit code 4, and what was not written comes again."""
    with Processor("e.db") as p:
        p.publish_many([f"k{i}" for i in range(2000)], [b"x" * 1000] * 2000)
    with program("consume", "e.db", "--group", "g", "--stop-timeout", "0.3") as running:
        running.stdout.readline()
        time.sleep(0.5)
        running.terminate()
        assert running.wait(30) == 4
        assert running.stderr.read().startswith(b"Error: handlers were cut off after 0.3 s")
        assert len(running.stdout.read().splitlines()) < 1999


def test_a_timeout_at_whose_end_nothing_waits_is_no_failure():
    """Exit code 0, with --until idle and without."""
    handlers("def handle(event): pass\n")
    published(5)
    for flags in ([], ["--until", "idle"]):
        assert run("events", *WORK, *flags, "--timeout", "1").endswith("0 dead\n")


def test_a_timeout_counts_what_was_redriven_and_is_not_handled():
    """What waits is never none where the exit code is 1."""
    handlers("def handle(event): raise ValueError\n")
    published()
    run("events", *WORK, "--until", "idle", "--attempts", "1")
    run("events", "redrive", "e.db", "--group", "g", "--all")
    assert fails("events", *WORK, "--timeout", "0.2") == "not idle after 0.2 s: 1 event of g waits"


def test_dead_events_fail_where_that_is_asked_for():
    """Exit code 3: at the end of all with --until idle, and otherwise as soon as one dies."""
    handlers("def handle(event):\n    if event.seq == 2:\n        raise ValueError('no such user')\n")
    published(3)
    dead = [*WORK, "--attempts", "1", "--fail-on-dead"]
    done = process("events", *dead, "--until", "idle")
    assert (done.returncode, done.stdout) == (3, b"g: 2 handled, 0 retried, 1 dead\n")
    assert done.stderr.decode().splitlines() == [
        "WARNING group g, seq 2, attempt 1: ValueError: no such user",
        "ERROR group g: seq 2 is dead after 1 attempts: ValueError: no such user",
        "Error: 1 dead in group g: see ringward events dead",
    ]
    assert process("events", *dead, "--until", "idle").returncode == 3
    run("events", "redrive", "e.db", "--group", "g", "--all")
    assert process("events", *dead).returncode == 3
    run("events", "drop", "e.db", "--group", "g", "--all", "--yes")
    assert process("events", *dead, "--until", "idle").returncode == 0
