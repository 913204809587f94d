"""`ringward events work`, dead letters and replay."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from command import fails, process, run, run_json
from event_commands import POSIX, consumed, handlers, lines, program
from waiting import until

from ringward.events import Processor

FAILING = """
from pathlib import Path

def handle(event):
    if event.key == "N3" and not Path("fixed").exists():
        raise ValueError("no such plane: " + event.key)
"""


def test_work_dead_redrive_and_drop(filled):
    """From a failing key to an empty queue, as a person would do it."""
    handlers(FAILING)
    command = [
        "events",
        "work",
        "e.db",
        "--group",
        "g",
        "--handler",
        "my_handlers:handle",
        "--path",
        ".",
        "--until",
        "idle",
    ]
    assert run(*command, "--attempts", "1", "--members", "2") == "g: 24 handled, 0 retried, 1 dead\n"
    text = run("events", "dead", "e.db", "--group", "g").splitlines()
    assert text[0] == "g: 1 dead, 5 parked behind them or to be delivered again"
    assert text[3].split(maxsplit=5) == ["4", "dead", "N3", "3", "1", "ValueError: no such plane: N3"]
    assert [line.split()[:2] for line in text[4:]] == [[str(seq), "parked"] for seq in range(9, 31, 5)]
    listed = run("events", "dead", "e.db", "--group", "g", "--limit", "2")
    assert listed.endswith("\nand 4 more: see --limit\n")
    entries = lines(run("events", "dead", "e.db", "--group", "g", "--json", "--payload-as", "json"))
    assert [entry["payload"] for entry in entries] == [row for row in filled if row["tail"] == "N3"]
    assert (entries[0]["state"], entries[0]["attempts"]) == ("dead", 1)
    one = run("events", "dead", "e.db", "--group", "g", "--seq", "4")
    assert 'payload         {"tail":"N3","dest":"to 3","no":"3"}\n' in one
    assert "error           ValueError: no such plane: N3\n" in one
    assert fails("events", "dead", "e.db", "--group", "g", "--seq", "5").endswith("not in the dead-letter queue of g")

    assert fails("events", "redrive", "e.db", "--group", "g", "--seq", "9") == "g: seq 9 is not dead"
    assert fails("events", "drop", "e.db", "--group", "g", "--seq", "5") == "g: seq 5 is not in the dead-letter queue"
    assert run_json("events", "drop", "e.db", "--group", "g", "--seq", "9") == {"group": "g", "dropped": 1}
    assert run("events", "redrive", "e.db", "--group", "g", "--all") == "g: 1 redriven\n"
    Path("fixed").touch()
    assert run_json(*command) == {"group": "g", "handled": 5, "retries": 0, "deaths": 0, "takeovers": 0}
    assert run("events", "dead", "e.db", "--group", "g") == "g: 0 dead, 0 parked behind them or to be delivered again\n"
    assert run("events", "redrive", "e.db", "--group", "g", "--all") == "g: 0 redriven\n"


def test_work_goes_on_past_a_dead_event_when_told(filled):
    """--on-dead skip: later events of the key do not wait."""
    handlers(FAILING)
    flags = [
        "--handler",
        "my_handlers:handle",
        "--path",
        ".",
        "--until",
        "idle",
        "--attempts",
        "1",
        "--on-dead",
        "skip",
    ]
    assert run_json("events", "work", "e.db", "--group", "g", *flags, "--member", "a")["deaths"] == 6
    with Processor("e.db") as p:
        assert [name for name, _ in p.store.membership("g").members] == ["a"]


def test_work_decodes_payloads(filled):
    """--codec json and msgspec."""
    handlers("from pathlib import Path\ndef handle(event):\n    Path(event.payload['no']).touch()\n")
    for codec in ("json", "msgspec"):
        flags = ["--handler", "my_handlers:handle", "--path", ".", "--until", "idle", "--codec", codec]
        assert run_json("events", "work", "e.db", "--group", codec, *flags)["handled"] == 30
        assert all(Path(str(number)).exists() for number in range(30))
        for number in range(30):
            Path(str(number)).unlink()


def test_work_that_is_not_idle_in_time_fails(filled):
    """With one line that says how much waits."""
    handlers("def handle(event):\n    raise ValueError\n")
    flags = ["--handler", "my_handlers:handle", "--path", ".", "--until", "idle", "--timeout", "0.3"]
    assert fails("events", "work", "e.db", "--group", "g", *flags) == "not idle after 0.3 s: 30 events of g wait"


def test_reset_replays(filled):
    """From a seq, a time, the beginning, or not at all."""
    consumed()
    assert run("events", "reset", "e.db", "--group", "g", "--to", "27") == "g: continues at seq 28; 3 events wait\n"
    assert sorted(event["seq"] for event in consumed()) == [28, 29, 30]
    for to, count in {"beginning": 30, "2001-01-01": 30, "end": 0}.items():
        assert run_json("events", "reset", "e.db", "--group", "g", "--to", to)["waiting"] == count
    assert consumed() == []
    message = fails("events", "reset", "e.db", "--group", "g", "--to", "31")
    assert message == "--to must be at least 0 and at most 30, the last seq (was 31)"


@POSIX
def test_two_workers_share_and_one_that_is_told_to_end_hands_over(table):
    """The other goes on at once, well before the lease is over."""
    handlers(
        "import os, time\n"
        "def handle(event):\n"
        "    time.sleep(0.01)\n"
        "    with open(f'{os.environ[\"WHO\"]}.log', 'a') as log:\n"
        "        log.write(f'{event.seq} {event.key}\\n')\n"
    )
    flags = ["work", "e.db", "--group", "g", "--handler", "my_handlers:handle", "--path", ".", "--lease", "30"]
    with Processor("e.db") as p:
        p.store.open_group("g", 0)
        with (
            program(*flags, env={**os.environ, "WHO": "a"}) as first,
            program(*flags, env={**os.environ, "WHO": "b"}) as second,
        ):
            until(lambda: len(p.stats().groups["g"].members) >= 2)
            p.publish_many([f"k{i % 20}" for i in range(200)], [b""] * 200)
            until(lambda: Path("a.log").exists() and Path("b.log").exists())
            first.terminate()
            assert first.communicate(timeout=60)[0].endswith(b" 0 retried, 0 dead\n")
            assert first.returncode == 0
            until(lambda: not p.stats().groups["g"].lag)
            second.terminate()
            assert second.wait(60) == 0
    seqs = [int(line.split()[0]) for name in "ab" for line in Path(f"{name}.log").read_text().splitlines()]
    assert sorted(seqs) == list(range(1, 201))


def test_a_handler_is_looked_for_where_it_is_told(filled):
    """--path, not the working directory; the error says so."""
    handlers("def handle(event): pass\n")
    command = [sys.executable, "-P", "-m", "ringward", "events", "work", "e.db", "--group", "g", "--until", "idle"]
    command += ["--handler", "my_handlers:handle"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "there is no my_handlers" in done.stderr
    assert "--path . is the working directory" in done.stderr
    done = subprocess.run([*command, "--path", "."], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "g: 30 handled, 0 retried, 0 dead\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import no_such_package", "No module named 'no_such_package'"),
        ("def handle(event:", "SyntaxError"),
        ("raise ValueError('\\x1b[2J\\n')", r"ValueError: \x1b[2J"),
        ("async def handle(event): pass", "a coroutine function needs ringward.events.aio"),
        ("def handle(event): yield", "generator"),
        ("def handle(): pass", "must "),
        ("class handle: pass", "must "),
        ("handle = 7", "the name of something callable"),
    ],
)
def test_a_handler_that_is_none_is_one_line_and_exit_code_2(filled, text, reason):
    """Whatever its module does; nothing is delivered."""
    handlers(text + "\n")
    flags = ["--handler", "my_handlers:handle", "--path", ".", "--until", "idle"]
    message = fails("events", "work", "e.db", "--group", "g", *flags, code=2)
    assert reason in message
    assert message.isprintable()


def test_a_failed_attempt_is_a_line_and_with_verbose_a_traceback(filled):
    """Neutral, whatever the error says; nothing is logged where the handler's module sets up logging."""
    raising = "def handle(event):\n    if event.seq == 4:\n        raise ValueError('no\\x1b[2J\\nuser')\n"
    flags = ["--handler", "my_handlers:handle", "--path", ".", "--until", "idle", "--attempts", "1"]
    handlers(raising)
    done = process("events", "work", "e.db", "--group", "g", *flags)
    assert done.returncode == 0
    assert done.stderr.decode().splitlines() == [
        r"WARNING group g, seq 4, attempt 1: ValueError: no\x1b[2J\nuser",
        r"ERROR group g: seq 4 is dead after 1 attempts: ValueError: no\x1b[2J\nuser",
    ]
    done = process("events", "work", "e.db", "--group", "h", *flags, "--verbose")
    assert b"Traceback (most recent call last):" in done.stderr
    assert b"INFO ringward.events: group h: member-1 claimed" in done.stderr
    assert b"\x1b" not in done.stderr
    handlers("import no_such_package")
    done = process("events", "work", "e.db", "--group", "h", *flags, "--verbose")
    assert done.returncode == 2
    assert b'my_handlers.py", line 1, in <module>' in done.stderr
    handlers("import logging\nlogging.basicConfig(format='mine: %(message)s')\n" + raising)
    done = process("events", "work", "e.db", "--group", "i", *flags, "--quiet")
    assert done.stdout == b""
    assert done.stderr.startswith(b"mine: ")
    assert b"WARNING" not in done.stderr


@POSIX
def test_progress_shows_on_a_terminal_only(filled):
    """On stderr, so that stdout stays what it is; not with --quiet."""
    import pty  # noqa: PLC0415 - is of POSIX

    handlers("import time\ndef handle(event): time.sleep(0.05)\n")
    for group, flags in {"g": [], "h": ["--quiet"]}.items():
        ours, terminal = pty.openpty()
        arguments = ["--group", group, "--handler", "my_handlers:handle", "--path", ".", "--until", "idle", *flags]
        with program("work", "e.db", *arguments, stderr=terminal, env={**os.environ, "COLUMNS": "200"}) as running:
            os.close(terminal)
            shown = b""
            with suppress(OSError):  # the other end is closed
                while data := os.read(ours, 4096):
                    shown += data
            assert running.wait(30) == 0
            assert running.stdout.read() == (b"" if flags else b"g: 30 handled, 0 retried, 0 dead\n")
        os.close(ours)
        assert (b" a second; " in shown) is not bool(flags)
        assert (b"g is a new group" in shown) is not bool(flags)


@POSIX
def test_dropping_all_is_asked_first_on_a_terminal(filled):
    """No is no; --yes and scripts are not asked."""
    import pty  # noqa: PLC0415 - is of POSIX

    handlers(FAILING)
    flags = ["--handler", "my_handlers:handle", "--path", ".", "--until", "idle", "--attempts", "1"]
    run("events", "work", "e.db", "--group", "g", *flags)
    for answer, code in {b"n\n": 1, b"y\n": 0}.items():
        ours, terminal = pty.openpty()
        with program("drop", "e.db", "--group", "g", "--all", stdin=terminal) as running:
            os.write(ours, answer)
            out, err = running.communicate(timeout=60)
        os.close(ours)
        os.close(terminal)
        assert running.returncode == code
        assert b"delete 6 dead and parked events for good?" in err
        assert out == (b"" if code else b"g: 6 dropped\n")
    assert run("events", "drop", "e.db", "--group", "g", "--all") == "g: 0 dropped\n"
