"""`ringward events`, against what the library says of the same file, and with every kind of bad input."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from command import fails, process, run, run_json

import ringward as rw
from ringward.cli.events import killed
from ringward.events import Processor, Stream

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
HEADER = ["tail", "dest", "no"]
ROWS = [[f"N{i % 5}", f"to {i}", str(i)] for i in range(30)]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    """Run each test in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def table():
    """A small CSV file, and its rows as dicts."""
    with Path("rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *ROWS])
    return [dict(zip(HEADER, row, strict=True)) for row in ROWS]


@pytest.fixture
def filled(table):
    """A file with the rows as events."""
    run("events", "publish", "e.db", "rows.csv", "--key", "tail", "--id", "no")
    return table


def lines(text):
    """JSON lines as objects."""
    return [json.loads(line) for line in text.splitlines()]


def consumed(*flags, file="e.db", until="idle"):
    """Consume what there is."""
    return lines(run("events", "consume", file, "--group", "g", "--until", until, *flags))


def handlers(text):
    """Write a module of handlers."""
    Path("my_handlers.py").write_text(text, encoding="utf-8")
    sys.modules.pop("my_handlers", None)


# --- publish and consume


def test_rows_become_events_and_events_lines(table):
    """Each row once, its key's rows in order, with all its columns as JSON."""
    assert run("events", "publish", "e.db", "rows.csv", "--key", "tail") == "e.db: 30 events stored, seq 1 to 30\n"
    events = consumed("--payload-as", "json")
    assert sorted(events, key=lambda event: event["seq"]) == [
        {**event, "seq": seq, "key": row["tail"], "id": None, "payload": row, "attempt": 1, "epoch": 1}
        for seq, (event, row) in enumerate(zip(sorted(events, key=lambda event: event["seq"]), table, strict=True), 1)
    ]
    by_key = defaultdict(list)
    for event in events:
        by_key[event["key"]].append(event["seq"])
    assert all(seqs == sorted(seqs) for seqs in by_key.values())
    assert consumed() == []
    with Processor("e.db") as p:
        assert [event["partition"] for event in events] == [p.store.stream.partition_of(e["key"]) for e in events]


@pytest.mark.parametrize(
    ("name", "data", "flags", "expected"),
    [
        ("a.csv", "k,v\na,1\nb,2\n", ["--key", "k", "--payload", "v"], [("a", None, "1"), ("b", None, "2")]),
        ("a.csv", "k,v\n1,x\n-2,y\n", ["--key", "k", "--payload", "v", "--int"], [(1, None, "x"), (-2, None, "y")]),
        (
            "a.csv",
            "k,v,w\na,1,é\n",
            ["--key", "k", "--payload", "w", "--payload", "v", "--id", "v"],
            [("a", "1", '{"w":"é","v":"1"}')],
        ),
        ("a.csv", "a,1\n", ["--key", "2", "--no-header", "--payload", "1"], [("1", None, "a")]),
        ("a.csv", "a,1\n", ["--key", "2", "--no-header", "--id", "1"], [("1", "a", '["a","1"]')]),
        ("a.tsv", "k\tv\na\t1\n", ["--key", "v"], [("1", None, '{"k":"a","v":"1"}')]),
        ("a.txt", "k\tv\na\t1\n", ["--key", "v", "--format", "tsv"], [("1", None, '{"k":"a","v":"1"}')]),
        (
            "a.jsonl",
            '{"k": "a", "n": 1.50}\n\n  {"k": 7, "n": [1, 2]}\n',
            ["--key", "k"],
            [("a", None, '{"k": "a", "n": 1.50}'), (7, None, '{"k": 7, "n": [1, 2]}')],
        ),
        (
            "a.ndjson",
            '{"k": "a", "n": "text", "i": 3}\n{"k": "b", "n": {"x": 1}, "i": 4}\n',
            ["--key", "k", "--payload", "n", "--id", "i"],
            [("a", 3, "text"), ("b", 4, '{"x":1}')],
        ),
        (
            "a.json",
            '{"k": "a", "n": "text", "i": 3}\n',
            ["--key", "k", "--payload", "n", "--payload", "i"],
            [("a", None, '{"n":"text","i":3}')],
        ),
    ],
)
@pytest.mark.parametrize("how", ["file", "packed", "stdin"])
def test_what_becomes_key_id_and_payload(name, data, flags, expected, how):
    """From CSV, TSV and JSON lines, packed or not, from a file or stdin."""
    if how == "stdin":
        kind = {"txt": [], "csv": [], "tsv": ["--format", "tsv"]}.get(name.rpartition(".")[2], ["--format", "jsonl"])
        run("events", "publish", "e.db", *flags, *kind, stdin=data.encode())
    else:
        name = name + ".gz" if how == "packed" else name
        Path(name).write_bytes(gzip.compress(data.encode()) if how == "packed" else data.encode())
        run("events", "publish", "e.db", name, *flags)
    events = sorted(consumed(), key=lambda event: event["seq"])
    assert [(event["key"], event["id"], event["payload"]) for event in events] == expected


def test_ids_make_publishing_repeatable(filled):
    """Run again, nothing is stored twice; a row that differs under its id is an error that says what is stored."""
    assert run_json("events", "publish", "e.db", "rows.csv", "--key", "tail", "--id", "no", "--batch", "7") == {
        "file": "e.db",
        "events": 30,
        "duplicates": 30,
        "first_seq": None,
        "last_seq": None,
        "seconds": pytest.approx(0, abs=30),
    }
    assert "; 30 were there already" in run("events", "publish", "e.db", "rows.csv", "--key", "tail", "--id", "no")
    assert len(consumed()) == 30
    with Path("more.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, ["N9", "x", "90"], ["N9", "x", "91"], ["N9", "another", "3"]])
    command = ["events", "publish", "e.db", "more.csv", "--key", "tail", "--id", "no", "--batch", "2"]
    assert fails(*command) == (
        "more.csv, rows from 3: id '3' belongs to another event, seq 4: a repeat must have the same key, payload and"
        " headers; the 2 rows before are stored"
    )
    assert [event["id"] for event in consumed()] == ["90", "91"]
    assert run_json(*command[:-4], "--producer", "other")["duplicates"] == 0


@pytest.mark.parametrize(
    ("data", "flags", "message"),
    [
        ("tail\n", ["--key", "tial"], "no column 'tial'; there are: tail"),
        ("", ["--key", "tail"], "empty: there is no header"),
        ("k,v\na,1\nb\n", ["--key", "k"], "line 3: 1 columns where the first row has 2; nothing is stored"),
        ("k,v\na,1\nb\n", ["--key", "k", "--batch", "1"], "line 3: 1 columns where the first row has 2; the 1 rows"),
        ("k,v\na,1\n", ["--key", "k", "--payload", "w"], "no column 'w'; there are: k, v"),
        ("k,v,v\na,1,2\n", ["--key", "k", "--payload", "v"], "more than one column 'v'"),
        ("k,v\na,1\n", ["--key", "k", "--id", "w"], "no column 'w'"),
        ("k,v\na,1\n", ["--key", "k", "--int"], "line 2: the key 'a' is no integer"),
        ("a,1\n", ["--key", "1", "--no-header", "--payload", "3"], "no column 3; there are 2"),
        ("k,v\na,\n", ["--key", "k", "--id", "v"], "id must be at least 1 and at most 1024 long (was 0) (in the event"),
        ("{\n", ["--key", "k", "--format", "jsonl"], "line 1: no JSON: "),
        ('{"k": 1}\n[1]\n', ["--key", "k", "--format", "jsonl"], "line 2: must be a JSON object (was [1])"),
        ('{"k": 1}\n', ["--key", "l", "--format", "jsonl"], "line 1: no field 'l'; there are: k"),
        ('{"k": 1.5}\n', ["--key", "k", "--format", "jsonl"], "line 1: 'k' must be text or an integer (was 1.5)"),
        ('{"k": true}\n', ["--key", "k", "--format", "jsonl"], "line 1: 'k' must be text or an integer (was true)"),
        ('{"k": 1, "i": null}\n', ["--key", "k", "--id", "i", "--format", "jsonl"], "'i' must be text or an integer"),
        (b"k\n\xff\n", ["--key", "k"], "line 2: not UTF-8"),
    ],
)
def test_rows_that_are_none_are_one_line_of_error(data, flags, message):
    """With file, line and what is stored, and exit code 1."""
    Path("in.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
    assert message in fails("events", "publish", "e.db", "in.csv", *flags)


@pytest.mark.parametrize(
    "args",
    [
        ["publish", "e.db", "rows.csv"],
        ["publish", "e.db", "rows.parquet", "--key", "k"],
        ["publish", "e.db", "rows.csv", "--key", "tail", "--batch", "0"],
        ["publish", "e.db", "rows.csv", "--key", "tail", "--no-header"],
        ["publish", "e.db", "rows.csv", "--key", "k", "--int", "--format", "jsonl"],
        ["consume", "e.db"],
        ["consume", "e.db", "--group", "g", "--limit", "0"],
        ["consume", "e.db", "--group", "g", "--start", "soon"],
        ["consume", "e.db", "--group", "g", "--json", "--format", "csv"],
        ["work", "e.db", "--group", "g"],
        ["work", "e.db", "--group", "g", "--handler", "no_such_module:f"],
        ["work", "e.db", "--group", "g", "--handler", "json:no_such_function"],
        ["redrive", "e.db", "--group", "g"],
        ["redrive", "e.db", "--group", "g", "--seq", "1", "--all"],
        ["drop", "e.db", "--group", "g"],
        ["reset", "e.db", "--group", "g"],
    ],
)
def test_wrong_usage_is_exit_code_2(filled, args):
    """And changes nothing."""
    if "rows.parquet" in args:
        Path("rows.parquet").write_bytes(b"PAR1")
    fails("events", *args, code=2)
    with Processor("e.db") as p:
        assert p.stats()[:2] == (30, 1)
        assert p.store.groups() == []


@pytest.mark.parametrize(
    "command",
    [
        ["consume", "--group", "g"],
        ["work", "--group", "g", "--handler", "json:dumps"],
        ["lag"],
        ["tail"],
        ["verify"],
        ["dead", "--group", "g"],
        ["redrive", "--group", "g", "--all"],
        ["drop", "--group", "g", "--all"],
        ["reset", "--group", "g", "--to", "end"],
    ],
)
def test_a_file_that_is_missing_or_foreign_is_one_line_of_error(command):
    """No command but publish makes one."""
    name, *flags = command
    assert fails("events", name, "none.db", *flags) == "none.db: no such file"
    assert not Path("none.db").exists()
    Path("foreign.db").write_text("this is no database, and long enough to see that it is none" * 20)
    assert "path must be a file of ringward.events" in fails("events", name, "foreign.db", *flags)


@pytest.mark.parametrize("name", ["dead", "redrive", "drop", "reset", "lag"])
def test_a_group_that_is_not_there_is_one_line_of_error(filled, name):
    """Nor do they make a group."""
    flags = {"dead": [], "reset": ["--to", "end"], "lag": []}.get(name, ["--all"])
    assert fails("events", name, "e.db", "--group", "nobody", *flags) == "no group is named 'nobody'"


def test_a_secret_hash_must_be_given_again(table):
    """Keys that strangers choose are hashed by SipHash; the file keeps a fingerprint alone."""
    Path("hash.key").write_text("00112233445566778899aabbccddeeff")
    secret = ["--hash-key-file", "hash.key", "--partitions", "16"]
    run("events", "publish", "e.db", "rows.csv", "--key", "tail", *secret)
    assert "hash" in fails("events", "lag", "e.db")
    assert len(consumed(*secret)) == 30
    stream = Stream(16, rw.SipHash(bytes.fromhex("00112233445566778899aabbccddeeff")))
    with Processor("e.db", stream=stream) as p:
        assert p.stats().tail == 30


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


# --- looking


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


# --- work, dead letters, replay


FAILING = """
from pathlib import Path

def handle(event):
    if event.key == "N3" and not Path("fixed").exists():
        raise ValueError("no such plane: " + event.key)
"""


def test_work_dead_redrive_and_drop(filled):
    """From a failing key to an empty queue, as a person would do it."""
    handlers(FAILING)
    command = ["events", "work", "e.db", "--group", "g", "--handler", "my_handlers:handle", "--until", "idle"]
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
    flags = ["--handler", "my_handlers:handle", "--until", "idle", "--attempts", "1", "--on-dead", "skip"]
    assert run_json("events", "work", "e.db", "--group", "g", *flags, "--member", "a")["deaths"] == 6
    with Processor("e.db") as p:
        assert [name for name, _ in p.store.view("g").members] == ["a"]


def test_work_decodes_payloads(filled):
    """--codec json and msgspec."""
    handlers("from pathlib import Path\ndef handle(event):\n    Path(event.payload['no']).touch()\n")
    for codec in ("json", "msgspec"):
        flags = ["--handler", "my_handlers:handle", "--until", "idle", "--codec", codec]
        assert run_json("events", "work", "e.db", "--group", codec, *flags)["handled"] == 30
        assert all(Path(str(number)).exists() for number in range(30))
        for number in range(30):
            Path(str(number)).unlink()


def test_work_that_is_not_idle_in_time_fails(filled):
    """With one line that says how much waits."""
    handlers("def handle(event):\n    raise ValueError\n")
    flags = ["--handler", "my_handlers:handle", "--until", "idle", "--timeout", "0.3"]
    assert fails("events", "work", "e.db", "--group", "g", *flags) == "not idle after 0.3 s: 30 events of g wait"


def test_reset_replays(filled):
    """From a seq, a time, the beginning, or not at all."""
    consumed()
    assert run("events", "reset", "e.db", "--group", "g", "--to", "27") == "g: goes on at seq 28; 3 events wait\n"
    assert sorted(event["seq"] for event in consumed()) == [28, 29, 30]
    for to, count in {"beginning": 30, "2001-01-01": 30, "end": 0}.items():
        assert run_json("events", "reset", "e.db", "--group", "g", "--to", to)["waiting"] == count
    assert consumed() == []
    assert "start must be at least 0 and at most 30 (was 31)" in fails(
        "events", "reset", "e.db", "--group", "g", "--to", "31"
    )


# --- real processes


def program(*args, **options):
    """Start `python -m ringward events`."""
    command = [sys.executable, "-m", "ringward", "events", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


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
        assert {document.owner for document in p.store.documents("g").values()} == {None}
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
    flags = ["work", "e.db", "--group", "g", "--handler", "my_handlers:handle", "--lease", "30"]
    with Processor("e.db") as p:
        p.store.open_group("g", 0)
        with (
            program(*flags, env={**os.environ, "WHO": "a"}) as first,
            program(*flags, env={**os.environ, "WHO": "b"}) as second,
        ):
            deadline = time.monotonic() + 60
            while len(p.stats().groups["g"].members) < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
            p.publish_many([f"k{i % 20}" for i in range(200)], [b""] * 200)
            while not (Path("a.log").exists() and Path("b.log").exists()) and time.monotonic() < deadline:
                time.sleep(0.01)
            first.terminate()
            assert first.communicate(timeout=60)[0].endswith(b" 0 retried, 0 dead\n")
            assert first.returncode == 0
            while p.stats().groups["g"].lag and time.monotonic() < deadline:
                time.sleep(0.02)
            second.terminate()
            assert second.wait(60) == 0
    seqs = [int(line.split()[0]) for name in "ab" for line in Path(f"{name}.log").read_text().splitlines()]
    assert sorted(seqs) == list(range(1, 201))


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


def test_verbose_logs_who_has_what(filled):
    """To stderr, so that the lines on stdout stay lines."""
    done = process("events", "consume", "e.db", "--group", "g", "--until", "idle", "--verbose")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 30
    assert b"INFO ringward.events: group g: member-1 claimed 256 partitions, 0 of them taken over" in done.stderr
    assert b"released 256 partitions" in done.stderr


def test_without_apsw_one_line_says_what_to_install(filled):
    """The extra is named; the demo still shows what it can."""
    code = "import sys; sys.modules['apsw'] = None; from ringward.cli import main; main()"
    command = [sys.executable, "-c", code]
    for args in (["events", "lag", "e.db"], ["events", "publish", "new.db", "rows.csv", "--key", "tail"]):
        done = subprocess.run([*command, *args], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "Error: events in files need apsw: pip install 'ringward[cli,events]'\n"
    assert not Path("new.db").exists()
    done = subprocess.run([*command, "demo"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "pip install 'ringward[cli,events]' shows them" in done.stdout
    assert done.stdout.endswith("All checks hold.\n")
    done = subprocess.run([*command, "demo", "--json"], capture_output=True, text=True, timeout=60, check=False)
    assert json.loads(done.stdout)["stream"] is None
    assert json.loads(done.stdout)["passed"] is True


# --- the demo


def test_the_demo_kills_a_process_and_loses_nothing():
    """All that was published is handled once and in order; the victim did a part, the others the rest."""
    demo = run_json("demo")
    stream = demo["stream"]
    assert demo["passed"] is True
    assert len(stream["checks"]) == 8
    assert all(stream["checks"].values())
    assert stream["events"] == sum(stream["handled"].values()) == 28_868
    assert all(stream["handled"].values())
    assert sum(stream["partitions"].values()) == 256
    assert stream["after"] == 14_500
    assert 0 < stream["takeover_ms"] < 10_000


@pytest.mark.parametrize("spoil", ["lost", "twice", "order", "other", "late"])
def test_the_demo_finds_out_what_went_wrong(spoil):
    """Each check fails on rows that are not as they should be."""
    keys = ["a", "b", "a", "b", "a", "b"]
    rows = [killed._Row(seq, keys[seq - 1], seq % 2, 1, 1 if seq % 2 else 2, seq) for seq in range(1, 7)]
    rows[4] = rows[4]._replace(pid=2, epoch=2, at_ns=50)
    names = {
        "lost": "every event was handled",
        "twice": "none was handled twice",
        "order": "the events of each aircraft were handled in order",
        "other": "each is the one that was published",
        "late": "node2 wrote nothing after it was taken over",
    }
    good = killed.Streamed("node2", 6)
    killed._check(good, rows, keys, 1, 10)
    assert all(good.checks.values()), good.checks
    assert good.takeover_ms == 0.0
    spoiled = {
        "lost": rows[:-1],
        "twice": [*rows, rows[-1]],
        "order": [rows[1], rows[0], rows[3], rows[2], rows[5], rows[4]][::-1],
        "other": [rows[0]._replace(key="b"), *rows[1:]],
        "late": [*rows, rows[0]._replace(seq=7, at_ns=99)],
    }[spoil]
    outcome = killed.Streamed("node2", 6)
    killed._check(outcome, spoiled, [*keys, "a"] if spoil == "late" else keys, 1, 10)
    assert outcome.checks[names[spoil]] is False


def test_a_worker_of_the_demo_that_ends_is_one_line_of_error(monkeypatch):
    """What it said last is told."""
    monkeypatch.setattr(killed.logbook, "__name__", "no_such_module")
    message = fails("demo", "--json")
    assert re.match(r"the worker node\d ended: ", message)
    assert "no_such_module" in message
