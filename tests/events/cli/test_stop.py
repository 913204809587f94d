"""How `ringward events work` and `consume` end, and the exit code that tells."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command import fails, process, run
from event_commands import POSIX, Program, handlers, program
from waiting import until

from ringward.events import Processor

pytestmark = POSIX
WORK = ["work", "e.db", "--group", "g", "--handler", "my_handlers:handle", "--path", "."]


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
        assert {state.owner for state in p.store.states("g").values()} == {None}


@pytest.mark.parametrize(
    ("code", "number"),
    [(SLOW, "SIGTERM"), (SLOW, "SIGHUP"), (SLOW_TURN, "SIGINT")],
    ids=["SIGTERM", "SIGHUP", "SIGINT in its turn"],
)
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


def test_a_signal_before_there_is_anything_to_stop_ends_at_once():
    """While the handler's module is imported, or the file waits for somebody's lock; nothing was in flight."""
    handlers("import time\nfrom pathlib import Path\nPath('importing').touch()\ntime.sleep(60)\n")
    published()
    with program(*WORK) as running:
        until(lambda: Path("importing").exists())
        running.terminate()
        assert running.communicate(timeout=30) == (b"", b"")
        assert running.returncode == 0
    handlers("from pathlib import Path\nPath('imported').touch()\ndef handle(event): pass\n")
    with Processor("e.db") as p:
        p.store._write_lock.enter()
        try:
            with program(*WORK) as running:
                until(lambda: Path("imported").exists())
                time.sleep(0.2)
                running.terminate()
                assert running.communicate(timeout=30) == (b"", b"")
                assert running.returncode == 0
        finally:
            p.store._write_lock.leave()


def test_a_stop_without_time_is_no_failure_where_nothing_runs():
    """--stop-timeout 0: only what is cut off is told."""
    handlers("def handle(event): pass\n")
    published(3)
    assert run("events", *WORK, "--until", "idle", "--stop-timeout", "0") == "g: 3 handled, 0 retried, 0 dead\n"


def test_ctrl_c_tells_what_publish_has_stored():
    """Exit code 130, and one line."""
    with program("publish", "e.db", "--key", "k", "--batch", "2", stdin=subprocess.PIPE) as running:
        running.stdin.write(b"k\n" + b"a\n" * 5)
        running.stdin.flush()
        until(lambda: Path("e.db").exists())
        with Processor("e.db") as p:
            until(lambda: p.stats().tail == 4)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 130
        told = running.stderr.read().decode()
        assert told == "Error: interrupted; the 4 rows before are stored, and perhaps one commit more\n"


@pytest.mark.parametrize("command", [["tail", "e.db", "--follow"], ["lag", "e.db"]])
def test_ctrl_c_of_a_command_that_looks_is_silent(command):
    """Exit code 130, here while it waits for somebody's lock."""
    published()
    with Processor("e.db") as p:
        p.store._write_lock.enter()
        try:
            with program(*command) as running:
                until(p.store._presence.others)
                running.send_signal(signal.SIGINT)
                assert running.communicate(timeout=30)[1] == b""
                assert running.returncode == 130
        finally:
            p.store._write_lock.leave()


def test_an_exit_code_survives_a_reader_that_is_gone():
    """The summary has no reader; the code still tells."""
    handlers("def handle(event):\n    raise ValueError\n")
    published()
    flags = ["--until", "idle", "--attempts", "1", "--fail-on-dead"]
    reader, writer = os.pipe()
    os.close(reader)
    with program(*WORK, *flags, stdout=writer) as running:
        os.close(writer)
        assert running.wait(60) == 3


def test_whoever_interrupts_a_stop_is_gone_at_once():
    """The second Ctrl-C does not wait for the rest of the time."""
    script = SLOW.replace("SECONDS", "60") + (
        "from ringward.events import Processor\n"
        "p = Processor('e.db')\n"
        "p.consumer('g')(handle)\n"
        "p.publish('k', b'x')\n"
        "p.run()\n"
    )
    with Program([sys.executable, "-c", script], stderr=subprocess.PIPE) as running:
        until(lambda: Path("began-1").exists())
        running.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert running.poll() is None
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=20)
        assert running.returncode not in (0, None)
