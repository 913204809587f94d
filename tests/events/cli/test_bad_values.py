"""Each option of `ringward events` with values that it does not take: one line that names the option."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from command import run
from event_commands import handlers

from ringward.cli.group import group
from ringward.events import Processor

LONG = "x" * 5000
SECONDS = ["nan", "inf", "-1", "1e300", "soon", ""]
COUNTS = ["0", "-1", "1.5", "1e3", "many", ""]
PLACES = [
    "31",
    "99999999999999999999999999",
    "9" * 5000,
    "-1",
    "1.5",
    "soon",
    "",
    "0001-01-01",
    "2026-13-01",
    "\x1b[2J",
]
NAMES = ["", "\udce9"]
RUN = {
    "--group": NAMES,
    "--start": PLACES,
    "--timeout": SECONDS,
    "--stop-timeout": SECONDS,
    "--lease": [*SECONDS, "0", "1e-9"],
    "--until": ["never", ""],
}
COMMANDS = {
    "publish": (
        ["rows.csv", "--key", "tail"],
        {
            "--key": ["", "tial", LONG],
            "--id": ["", "on"],
            "--payload": ["", "x"],
            "--format": ["parquet", ""],
            "--producer": NAMES,
            "--batch": [*COUNTS, "100001"],
            "--wait": SECONDS,
            "--partitions": [*COUNTS, "65537", "100"],
            "--hash-key-file": ["no-such-file", "rows.csv", "."],
        },
    ),
    "consume": (
        ["--group", "g", "--until", "idle"],
        {**RUN, "--limit": COUNTS, "--format": ["xml"], "--payload-as": [""]},
    ),
    "work": (
        ["--group", "g", "--until", "idle", "--handler", "my_handlers:handle", "--path", "."],
        {
            **RUN,
            "--handler": [
                "",
                ":",
                "x",
                "x:",
                ":x",
                "x:y",
                "my_handlers:no",
                "my_handlers:number",
                ".x:y",
                "a\x00:b",
                LONG,
            ],
            "--path": ["no-such-folder", "rows.csv", "a\x00b"],
            "--members": [*COUNTS, "10001"],
            "--member": NAMES,
            "--attempts": [*COUNTS, "9" * 40],
            "--on-dead": ["die"],
            "--codec": ["pickle"],
        },
    ),
    "lag": ([], {"--group": ["nobody", "", LONG], "--partitions": ["512"]}),
    "health": ([], {"--max-age": SECONDS, "--max-lag": COUNTS[1:], "--max-dead": COUNTS[1:], "--timeout": SECONDS}),
    "tail": ([], {"-n": COUNTS[1:], "--payload-as": ["yaml"]}),
    "dead": (["--group", "g"], {"--group": ["nobody", "", LONG], "--seq": [*COUNTS, "7"], "--limit": COUNTS}),
    "redrive": (["--group", "g", "--all"], {"--group": ["nobody", ""], "--seq": [*COUNTS, "7", "9" * 40]}),
    "drop": (["--group", "g", "--all"], {"--group": ["nobody", ""], "--seq": [*COUNTS, "7", "9" * 40]}),
    "backup": (["copy.db"], {"--partitions": ["512"], "--hash-key-file": ["no-such-file", "rows.csv", "."]}),
    "configure": (
        [],
        {
            "--retention-age": [*SECONDS, "-1d", "1y", "9" * 40],
            "--retention-bytes": [*COUNTS[1:], "1T", "9" * 40],
            "--retention-count": [*COUNTS[1:], "1k", "9" * 40],
            "--id-window": [*SECONDS, "none", "1y", "9" * 40],
        },
    ),
    "reset": (["--group", "g", "--to", "end"], {"--group": ["nobody", ""], "--to": PLACES}),
}


@pytest.fixture
def ready(filled):
    """A file with a group, and a module with a handler."""
    handlers("number = 7\ndef handle(event): pass\n")
    run("events", "consume", "e.db", "--group", "g", "--until", "idle")


def trouble(args, option, value):
    """What is wrong with how a command fails; None when nothing is."""
    result = CliRunner().invoke(group, ["events", *args])
    last = (result.stderr.splitlines() or [""])[-1]
    if not isinstance(result.exception, SystemExit) or result.exit_code not in (1, 2):
        return f"exit code {result.exit_code}, {result.exception!r:.200}"
    if not last.startswith("Error: ") or len(last) > 1000 or not last.isprintable():
        return f"said {last[:200]!a}"
    if result.exit_code == 1 and len(result.stderr.splitlines()) > 1:
        return "more than one line"
    named = (
        option in last
        or option.lstrip("-") in last
        or repr(value)[:20] in last
        or (len(value) > 0 and value[:20] in last)
    )
    return None if named else f"does not name it: {last[:200]}"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_value_that_is_none_is_one_line_of_error(ready, command):
    """Exit code 1 or 2; the line names the option or shows the value, and nothing has changed."""
    needed, options = COMMANDS[command]
    troubles = {}
    for option, values in options.items():
        at = needed.index(option) if option in needed else len(needed)
        for value in values:
            args = [command, "e.db", *needed[:at], *needed[at + 2 :], option, value]
            troubles[f"{option} {value[:12]!a}"] = trouble(args, option, value)
    assert {what: wrong for what, wrong in troubles.items() if wrong} == {}
    with Processor("e.db") as p:
        assert p.stats().tail == 30
        assert set(p.stats().groups) == {"g"}
        assert p.stats().groups["g"].lag == {}


def test_a_backup_onto_a_name_that_is_taken_names_its_option(ready):
    """`--overwrite`, and not only what the library calls it; the file is as it was."""
    for to in ("rows.csv", "e.db"):
        assert trouble(["backup", "e.db", to], to, to) is None
    result = CliRunner().invoke(group, ["events", "backup", "e.db", "rows.csv"])
    assert "--overwrite" in result.stderr
    assert run("events", "backup", "e.db", "rows.csv", "--overwrite")
