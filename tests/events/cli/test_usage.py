"""`ringward events`: wrong usage, files that are missing or foreign, and what is not installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from command import fails, run
from event_commands import consumed

import ringward as rw
from ringward.events import Processor, Stream


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
    assert fails("events", name, "none.db", *flags) == "none.db: no such file; `ringward events publish` makes it"
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
