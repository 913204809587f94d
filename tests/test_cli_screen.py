"""What the command line looks like: on terminals of any width, and in its help."""

import shlex
import sys

import click
import pytest
from command import run
from rich.cells import cell_len
from terminal import shown_on_terminal

from ringward.cli.events import events
from ringward.cli.group import group
from ringward.cli.screen import table_lines

COLUMNS = ["strategy", "with", "events moved", "back"]
ROWS = [["PartitionedRing", "160 points a node", "28,868", "7"], ["PrimaryBackup", "node2 is primary", "9", "8,162"]]
COMMANDS = [
    *((name, group.get_command(None, name)) for name in group.list_commands(None) if name != "events"),
    *((f"events {name}", command) for name, command in events.commands.items()),
]


@pytest.mark.parametrize("width", range(20, 100))
def test_tables_fit_and_no_word_is_cut(width):
    """Words were cut inside, as in `Partitio nedRing`; where a word has no room, a row is a list."""
    lines = table_lines(COLUMNS, ROWS, ["strategy", "with"], width)
    assert all(cell_len(line) <= width for line in lines)
    words = {word.strip(":") for line in lines for word in line.split()}
    assert {"PartitionedRing", "28,868", "8,162", "primary", "node2", "160"} <= words


def test_wide_characters_and_long_names_stay_in_the_table():
    """Names of Chinese characters take two columns each; a name without end is cut at last."""
    rows = [["節點" * 30, "1"], ["x" * 300, "2"], ["short", "3"]]
    lines = table_lines(["node", "weight"], rows, ["node"], 40)
    assert all(cell_len(line) <= 40 for line in lines)
    assert "".join(line.split("  ")[0].strip() for line in lines).count("x") == 300


def test_where_there_is_no_terminal_a_row_is_a_line():
    """Scripts read it."""
    assert table_lines(COLUMNS, ROWS, ["strategy", "with"], None) == [
        "strategy         with               events moved   back",
        "PartitionedRing  160 points a node        28,868      7",
        "PrimaryBackup    node2 is primary              9  8,162",
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_demo_fits_a_terminal(width):
    """It is the first thing that anybody sees."""
    code = (
        "import sys; import ringward.cli.demo.command as demo; demo._streamed = lambda *_, **__: None;"
        "sys.argv = ['ringward', 'demo']; import ringward.cli; ringward.cli.main()"
    )
    ended, shown = shown_on_terminal([sys.executable, "-c", code], width=width, height=50)
    assert ended == 0
    lines = shown.split("\r\n")
    assert max(map(cell_len, lines)) <= width
    words = " ".join(lines).split()
    assert {"PartitionedRing", "PartitionTable", "28,868", "departures", "primary"} <= {
        word.strip(":") for word in words
    }
    assert "All checks hold." in lines


@pytest.mark.parametrize("args", [[], ["events"]])
def test_lists_of_commands_have_whole_sentences(args):
    """They were cut off with dots."""
    text = run(*args, "--help")
    assert "..." not in text.partition("Commands:")[2]
    listed = group if not args else events
    for name in listed.list_commands(None):
        command = listed.get_command(None, name)
        first = " ".join(command.help.split("\n\n")[0].split()).partition(". ")[0].removesuffix(".")
        assert first in " ".join(text.split()), name
    assert all(len(line) <= 80 for line in text.splitlines())


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_the_help_of_a_command_has_examples_that_can_be_given(name, command, tmp_path, monkeypatch):
    """Each is a line by itself, and its flags are those of the command."""
    monkeypatch.chdir(tmp_path)
    lines = [line.strip() for line in run(*name.split(), "--help").partition("Example")[2].splitlines()[1:]]
    assert lines
    for line in lines:
        words = shlex.split(line.partition(" < ")[0].partition(" > ")[0])
        given = ["ringward", *name.split()]
        assert words[: len(given)] == given
        assert isinstance(command, click.Command)
        command.make_context(name, words[len(given) :])


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_the_usage_of_a_command_shows_what_must_be_given(name, command):
    """`Usage: ringward assign [OPTIONS] FILE` left out --nodes; a number was an `INTEGER RANGE`."""
    text = run(*name.split(), "--help")
    usage = text.partition("\n\n")[0]
    assert "INTEGER" not in text
    for option in command.params:
        if isinstance(option, click.Option):
            assert (f"{option.opts[0]} {option.metavar} " in usage) == option.required


def test_figures_are_not_broken():
    """A share such as `28.27 %` stays on its line."""
    rows = [["a word or two", "28.27 %", "100.00 %"]]
    for width in range(20, 60):
        lines = table_lines(["node", "share", "of the hash space"], rows, ["node"], width)
        assert any("28.27 %" in line for line in lines)
        assert any("100.00 %" in line for line in lines)
