"""`ringward events consume`, against what the library says of the same file."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import process, run
from event_commands import POSIX, consumed, lines, program

from ringward.events import Processor


def test_payloads_and_keys_that_are_no_text():
    """Bytes come as base64 under a name that says so."""
    with Processor("e.db") as p:
        p.publish(b"\xff", b"\xfe\xfd", id=b"\xfc", headers={"a": "b"})
    (event,) = consumed()
    assert (event["key_base64"], event["id_base64"], event["payload_base64"]) == ("/w==", "/A==", "/v0=")
    assert event["headers"] == {"a": "b"}
    assert not {"key", "id", "payload"} & event.keys()
    for form in ("json", "base64"):
        (event,) = lines(run("events", "tail", "e.db", "--json", "--payload-as", form))
        assert base64.b64decode(event["payload_base64"]) == b"\xfe\xfd"
    run("events", "reset", "e.db", "--group", "g", "--to", "beginning")
    text = run("events", "consume", "e.db", "--group", "g", "--until", "idle", "--format", "csv")
    assert text.splitlines()[1].endswith(r",\xff,\xfc,1,\xfefd")


def test_consume_writes_csv(filled):
    """A header, and a row for each event."""
    flags = ["--until", "idle", "--format", "csv", "--limit", "3"]
    rows = list(csv.DictReader(io.StringIO(run("events", "consume", "e.db", "--group", "g", *flags))))
    assert len(rows) == 3
    for row in rows:
        assert json.loads(row["payload"]) == filled[int(row["seq"]) - 1]
        assert (row["key"], row["id"]) == (filled[int(row["seq"]) - 1]["tail"], filled[int(row["seq"]) - 1]["no"])


def test_a_limit_is_exact_and_what_is_beyond_is_not_charged(filled):
    """Taken in pieces, each event comes once, as a first attempt."""
    seen = []
    while part := consumed("--limit", "7"):
        seen += part
        assert len(part) == min(7, 30 - len(seen) + len(part))
    assert sorted(event["seq"] for event in seen) == list(range(1, 31))
    assert {event["attempt"] for event in seen} == {1}


def test_a_group_begins_where_it_is_told(filled):
    """At the beginning, at the end, after a seq, at a time."""
    now = datetime.now(UTC).isoformat()
    expected = {"beginning": 30, "end": 0, "25": 5, now: 0, "2001-01-01T00:00:00+00:00": 30}
    for at, (start, count) in enumerate(expected.items()):
        text = run("events", "consume", "e.db", "--group", f"g{at}", "--until", "idle", "--start", start)
        assert len(text.splitlines()) == count


@POSIX
@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_consume_in_an_orderly_way(table, number):
    """Exit code 0; what was written is acknowledged, all partitions are given back, and the rest comes later."""
    run("events", "publish", "e.db", "rows.csv", "--key", "tail")
    with program("consume", "e.db", "--group", "g") as running:
        seen = [json.loads(running.stdout.readline()) for _ in range(30)]
        running.send_signal(getattr(signal, number))
        out, err = running.communicate(timeout=60)
        assert (running.returncode, out, err) == (0, b"", b"")
    assert sorted(event["seq"] for event in seen) == list(range(1, 31))
    with Processor("e.db") as p:
        assert {state.owner for state in p.store.states("g").values()} == {None}
        assert p.stats().groups["g"].members == ()
        assert p.stats().groups["g"].lag == {}


@POSIX
def test_a_reader_that_has_seen_enough_ends_consume(tmp_path):
    """`| head`: no word, exit code 0; what could not be written comes again, as a first attempt."""
    with Processor("e.db") as p:
        p.publish_many([f"k{i % 50}" for i in range(3000)], [b"x" * 100] * 3000)
    with program("consume", "e.db", "--group", "g") as running:
        first = [json.loads(running.stdout.readline()) for _ in range(3)]
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait(60) == 0
    rest = consumed()
    assert {event["attempt"] for event in rest} == {1}
    seqs = [event["seq"] for event in (*first, *rest)]
    assert len(seqs) == len(set(seqs))
    assert 1000 < len(rest) < 3000  # what lay in the pipe was written


def test_verbose_logs_who_has_what(filled):
    """To stderr, so that the lines on stdout stay lines."""
    done = process("events", "consume", "e.db", "--group", "g", "--until", "idle", "--verbose")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 30
    assert b"INFO ringward.events: group g: member-1 claimed 256 partitions, 0 of them taken over" in done.stderr
    assert b"released 256 partitions" in done.stderr


@POSIX
@pytest.mark.parametrize("where", ["closed", "full"])
def test_what_cannot_be_written_is_not_acknowledged(filled, where):
    """A stdout that is closed, or a disk that is full: one line, exit code 1, and all of it comes later."""
    if where == "full" and not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    target = ">&-" if where == "closed" else ">/dev/full"
    command = f"exec {sys.executable} -m ringward events consume e.db --group g --until idle {target}"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert re.fullmatch(r"Error: (stdout: closed: .*|the output: No space left on device)\n", done.stderr)
    assert sorted(event["seq"] for event in consumed()) == list(range(1, 31))


@POSIX
def test_files_get_no_number_of_a_stream_that_is_closed(filled):
    """With stdin, stdout and stderr closed a file of ours would be fd 2, and take what is written there."""
    command = f"exec {sys.executable} -m ringward events publish e.db rows.csv --key tail <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], timeout=60, check=False).returncode == 0
    assert run("events", "verify", "e.db").startswith("e.db: 60 events")
