"""What a newcomer gets wrong first: one line that says what is meant."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import fails, run, run_json
from event_commands import consumed, handlers, program

from ringward.events import Processor, SqliteStore


@pytest.mark.parametrize(
    ("option", "value"),
    [("--retention-age", "90"), ("--id-window", "90"), ("--retention-bytes", "2"), ("--retention-age", "9x")],
)
def test_a_unit_that_was_forgotten_is_not_guessed(filled, option, value):
    """What is kept too short is deleted."""
    before = run_json("events", "configure", "e.db")
    told = fails("events", "configure", "e.db", option, value, code=2)
    assert "must be a number with a unit (" in told
    assert f"(was '{value}')" in told
    assert run_json("events", "configure", "e.db") == before


@pytest.mark.parametrize(("value", "said"), [("2w", "14 days"), ("90d", "90 days"), ("36h", "1 day, 12:00:00")])
def test_times_are_told_as_one_says_them(filled, value, said):
    """Without a time of day that is none."""
    assert f"kept for {said}; ids for 7 days\n" in run("events", "configure", "e.db", "--retention-age", value)


@pytest.mark.parametrize("batch", ["1", "100"])
def test_an_id_that_is_not_unique_names_both_rows_or_the_row_and_the_event(batch):
    """In one commit the seq would be of what was rolled back."""
    Path("in.csv").write_text("id,k,v\n1,a,x\n2,b,y\n1,c,z\n")
    told = fails("events", "publish", "e.db", "in.csv", "--key", "k", "--id", "id", "--batch", batch)
    if batch == "1":
        assert told.startswith("in.csv, row 3: id '1' belongs to another event, seq 1:")
        assert "that is of this input; is --id unique?; the 2 rows before are stored" in told
    else:
        assert told == (
            "in.csv, row 3 has the same id as row 1 of this input, '1', and another key or payload; is --id unique?;"
            " nothing is stored"
        )


def test_what_looks_like_another_format_is_said():
    """JSON lines and other separators, read as CSV."""
    command = ["events", "publish", "e.db", "-", "--key", "user"]
    assert "--format jsonl" in fails(*command, stdin=b'{"user": 1, "n": 2}\n')
    assert "the separator may be ;" in fails(*command, stdin=b"user;order\n1;2\n")
    assert "--format tsv" in fails(*command, stdin=b"user\torder\n1\t2\n")
    assert "--format csv" in fails(*command, "--format", "tsv", stdin=b"user,order\n1,2\n")
    assert "separator" not in fails(*command, stdin=b"a,b\n1,2\n")


def test_a_folder_that_is_missing_is_not_called_the_output(table):
    """It is named."""
    assert fails("events", "publish", "no/x.db", "rows.csv", "--key", "tail").startswith("no such folder: ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("my_handlers.py:land", "did you mean my_handlers:land?"),
        ("./my_handlers.py:land", "did you mean my_handlers:land?"),
        ("my_handlers.land", "did you mean my_handlers:land?"),
        ("my_handlers", "of the form package.module:function (was"),
    ],
)
def test_the_name_of_a_handler_that_is_none_gets_a_hint(filled, name, hint):
    """A file, or dots all through."""
    assert hint in fails("events", "work", "e.db", "--group", "g", "--handler", name, "--path", ".", code=2)


def test_a_module_that_the_handler_needs_is_not_looked_for_by_path(filled):
    """What was found is not looked for elsewhere."""
    handlers("import no_such_module_at_all\ndef land(event): pass\n")
    work = ["events", "work", "e.db", "--group", "g", "--handler", "my_handlers:land"]
    told = fails(*work, "--path", ".", code=2)
    assert "No module named 'no_such_module_at_all'" in told
    assert "--path DIR" not in told
    assert "--path DIR" in fails(*work[:-1], "none_of_this_name:land", code=2)


def test_members_by_number_and_by_name_exclude_each_other(filled):
    """Neither is silently ignored."""
    handlers("def land(event): pass\n")
    flags = ["--group", "g", "--handler", "my_handlers:land", "--path", ".", "--member", "m"]
    assert "--members or --member" in fails("events", "work", "e.db", *flags, "--members", "3", code=2)
    assert "30 handled" in run("events", "work", "e.db", *flags, "--until", "idle")


def test_a_codec_without_its_extra_is_one_line(filled, monkeypatch):
    """As the other extras."""
    handlers("def land(event): pass\n")
    monkeypatch.setitem(sys.modules, "msgspec", None)
    flags = ["--group", "g", "--handler", "my_handlers:land", "--path", ".", "--codec", "msgspec"]
    assert "pip install 'ringward[msgspec]'" in fails("events", "work", "e.db", *flags)


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
def test_the_exit_code_of_an_error_that_nobody_reads_stays(filled):
    """`work --fail-on-dead 2>&1 | true`."""
    handlers("def land(event): raise ValueError\n")
    command = [sys.executable, "-m", "ringward", "events", "work", "e.db", "--group", "g", "--until", "idle"]
    command += ["--handler", "my_handlers:land", "--path", ".", "--attempts", "1", "--fail-on-dead"]
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(command, stdout=write, stderr=write, timeout=60, check=False)
    finally:
        os.close(write)
    assert done.returncode == 3


def test_a_group_that_nobody_needs_can_be_deleted(filled):
    """Not while somebody works for it; it is forgotten, and so is what was dead."""
    run("events", "consume", "e.db", "--group", "export", "--limit", "1", "--until", "idle")
    run("events", "consume", "e.db", "--group", "other", "--until", "idle")
    assert "degraded" in run("events", "health", "e.db", code=1, silent=True)
    assert "degraded" in run("events", "health", "e.db", "--group", "export", code=1, silent=True)
    assert run("events", "health", "e.db", "--group", "other").startswith("e.db: ok\nother: 0 waiting")
    assert "no group is named 'nobody'" in run("events", "health", "e.db", "--group", "nobody", code=1, silent=True)
    with Processor("e.db") as p:
        p.consumer("export", members=["a"])(lambda _event: None)
        p.start()
        p.drain(30)
        assert fails("events", "delete-group", "e.db", "--group", "export") == "export: a are at work: stop them first"
    assert "no group is named 'exprt'" in fails("events", "delete-group", "e.db", "--group", "exprt")
    run("events", "reset", "e.db", "--group", "export", "--to", "beginning")
    assert run("events", "delete-group", "e.db", "--group", "export") == (
        "export: deleted; 30 events waited, 0 were dead or parked\n"
    )
    assert run("events", "health", "e.db").startswith("e.db: ok\nother: ")


def test_a_file_that_does_not_fit_is_told_by_its_name_and_the_option(filled):
    """Not by names of the library alone."""
    Path("nodes.txt").write_text("node1\n" * 200)
    assert fails("events", "verify", "nodes.txt").startswith("nodes.txt is not a file of ringward events: ")
    assert fails("events", "lag", "e.db", "--partitions", "16").startswith("e.db: --partitions or --hash-key-file do")


@pytest.mark.parametrize("command", ["lag", "tail", "health", "compact", "verify", "configure"])
def test_what_the_system_refuses_of_the_file_is_not_said_of_the_output(filled, monkeypatch, command):
    """On a full disk it said "the output: No space left on device"."""

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    refused = eval("lambda *_, **__: full()", {"__name__": "ringward.events.stores", "full": full})  # noqa: S307 - as of the store
    for name in ("totals", "groups", "compact", "verify", "settings"):
        monkeypatch.setattr(SqliteStore, name, refused)
    told = (
        run("events", command, "e.db", code=1, silent=True) if command == "health" else fails("events", command, "e.db")
    )
    assert "No space left on device" in told
    assert "e.db" in told
    assert "the output" not in told


@pytest.mark.parametrize("command", ["lag", "tail", "dead --group g"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_output_is_said_to_be_the_output(filled, command):
    consumed()
    with (
        Path("/dev/full").open("wb") as full,
        program(*command.split()[:1], "e.db", *command.split()[1:], stdout=full) as p,
    ):
        told = p.stderr.read().decode()
        p.wait(30)
    assert "the output: No space left on device" in told


def test_other_delimiters_and_encodings_can_be_published(tmp_path):
    """What the hint says can be done; an empty key stays a key."""
    file = tmp_path / "orders.db"
    text = "user;order\né;1\n;2\n".encode("cp1252")
    run("events", "publish", file, "-", "--key", "user", "--delimiter", ";", "--encoding", "cp1252", stdin=text)
    lines = run("events", "tail", file, "--json").splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["é", ""]
