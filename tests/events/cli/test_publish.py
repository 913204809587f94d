"""`ringward events publish`: what becomes an event, and every kind of bad input."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from pathlib import Path

import pytest
from command import fails, run, run_json
from event_commands import HEADER, consumed

from ringward.events import Processor


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
        "more.csv, row 3: id '3' belongs to another event, seq 4: a repeat must have the same key, payload and"
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
        ("k,v\na,1\n", ["--key", "k", "--int"], "line 2: the key 'a' is not an integer"),
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


def test_what_cannot_be_read_makes_no_file(table):
    """A typo is mended and tried again, perhaps with other partitions; and --no-create makes none at all."""
    assert "no column 'tial'" in fails("events", "publish", "new.db", "rows.csv", "--key", "tial")
    assert "No such file" in fails("events", "publish", "new.db", "none.csv", "--key", "tail")
    assert fails("events", "publish", "new.db", "rows.csv", "--key", "tail", "--no-create") == "new.db: no such file"
    assert "stdin and stdout cannot be" in fails("events", "publish", "-", "rows.csv", "--key", "tail")
    assert "Processor()" in fails("events", "publish", ":memory:", "rows.csv", "--key", "tail")
    assert [path.name for path in Path().iterdir()] == ["rows.csv"]
    assert run_json("events", "publish", "new.db", "rows.csv", "--key", "tail", "--partitions", "16")["events"] == 30
    assert run_json("events", "publish", "new.db", "rows.csv", "--key", "tail", "--no-create")["events"] == 30
