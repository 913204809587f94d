"""`ringward events lag`, `tail` and `verify`."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing

import pytest
from command import process, run, run_json
from event_commands import POSIX, consumed, lines, program

from ringward.events import Processor, Retry


def test_lag_tells_what_waits(filled):
    """For all groups or one, in sum and for each partition, as the library says."""
    assert run("events", "lag", "e.db").endswith("\nno groups\n")
    consumed("--limit", "10")
    with Processor("e.db") as p:
        stats = p.stats()
    waiting = stats.groups["g"].lag
    told = run_json("events", "lag", "e.db")
    assert (told["first"], told["tail"], told["bytes"]) == (1, 30, stats.bytes)
    assert told["groups"]["g"]["lag"] == {str(partition): count for partition, count in waiting.items()}
    assert told["groups"]["g"]["waiting"] == sum(waiting.values()) == 20
    assert told["groups"]["g"]["waiting_since_ms"] == stats.groups["g"].waiting_since_ms
    text = run("events", "lag", "e.db", "--group", "g").splitlines()
    assert text[0].startswith("e.db: seq 1 to 30, ")
    assert text[3].split()[:2] == ["g", "20"]
    rows = [line.split() for line in run("events", "lag", "e.db", "--by-partition").splitlines()[3:]]
    assert rows == [["g", str(partition), str(count)] for partition, count in sorted(waiting.items())]


def test_tail_shows_the_last_events_and_acknowledges_none(filled):
    """On lines to read, or as JSON."""
    text = run("events", "tail", "e.db", "-n", "3").splitlines()
    assert [line.split()[0] for line in text] == ["28", "29", "30"]
    assert text[-1].split()[3] == "N4"
    assert text[-1].endswith('{"tail":"N4","dest":"to 29","no":"29"}')
    events = lines(run("events", "tail", "e.db", "-n", "100", "--json", "--payload-as", "json"))
    assert [event["payload"] for event in events] == filled
    assert "attempt" not in events[0]
    assert run("events", "tail", "e.db", "-n", "0") == ""
    assert len(consumed()) == 30


def test_tail_does_not_let_payloads_act_on_the_terminal():
    """Escapes are shown, not sent."""
    with Processor("e.db") as p:
        p.publish("k\x1b[2J", b"\x1b]0;title\x07")
    assert "\x1b" not in run("events", "tail", "e.db")


def test_verify_finds_a_row_that_is_not_the_one_that_was_stored(filled):
    """Exit code 1, and the seq."""
    consumed("--limit", "1")
    assert run("events", "verify", "e.db") == "e.db: 30 events, 1 groups; all is as it was stored\n"
    assert run_json("events", "verify", "e.db") == {"file": "e.db", "events": 30, "first": 1, "tail": 30, "wrong": []}
    with closing(sqlite3.connect("e.db")) as connection, connection:
        connection.execute("UPDATE ringward_log SET payload = 'x' WHERE seq = 7")
    for flags in ([], ["--json"]):
        done = process("events", "verify", "e.db", *flags)
        assert done.returncode == 1
        assert "seq 7: the row is not the one that was appended here" in done.stdout.decode()


@POSIX
def test_tail_follows(table):
    """What is published comes at once; a signal ends it."""
    run("events", "publish", "e.db", "rows.csv", "--key", "tail")
    with program("tail", "e.db", "-n", "1", "--follow", "--json") as running:
        assert json.loads(running.stdout.readline())["seq"] == 30
        run("events", "publish", "e.db", "--key", "k", stdin="k\na\n")
        assert json.loads(running.stdout.readline())["key"] == "a"
        running.send_signal(signal.SIGINT)
        assert running.communicate(timeout=60) == (b"", b"")
        assert running.returncode == 0


def test_no_payload_stops_a_look_at_it():
    deep = b"[" * 200_000 + b"]" * 200_000
    payloads = [deep, b"NaN", b"1e999", b"9" * 5000, b'"\\ud800"', b"\xff\xfe", b"", '"é"'.encode() * 50, b"[1]"]
    with Processor("e.db") as p:
        p.publish_many([f"k{n}\x1b[2J" for n in range(len(payloads))], payloads)
        p.consumer("g", retry=Retry(attempts=1))(fail)
        assert p.run(until="idle", timeout_s=30)
    for command in (["tail", "-n", "20"], ["dead", "--group", "g"]):
        assert "\x1b" not in run("events", command[0], "e.db", *command[1:])
        for form in ("text", "json", "base64"):
            lines = run("events", command[0], "e.db", *command[1:], "--json", "--payload-as", form).splitlines()
            assert len(lines) == len(payloads)
            for line in lines:
                json.loads(line, parse_constant=pytest.fail) if len(line) < 100_000 else line.isascii()
    for seq in range(1, len(payloads) + 1):
        assert "\x1b" not in run("events", "dead", "e.db", "--group", "g", "--seq", str(seq), "--payload-as", "json")


def fail(event):
    """Fail with what must not reach a terminal."""
    raise ValueError(f"\x1b[2J{event.seq}")
