"""What commands print: tables on a terminal, plain columns elsewhere, JSON where asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from ringward.cli.screen import paragraph, screen_width, table_lines
from ringward.texts import neutral

__all__ = [
    "INTERRUPTED",
    "CutOffError",
    "DeadError",
    "StoppedError",
    "echo",
    "echo_json",
    "echo_prose",
    "echo_table",
    "note",
    "percent",
    "plain_name",
    "tidy",
]

DEAD = 3  # exit codes, beside 0 (done), 1 (bad data, or not in time) and 2 (wrong usage)
CUT_OFF = 4
INTERRUPTED = 130
_MESSAGE_MOST = 600  # characters


class DeadError(click.ClickException):
    """Events are dead where that was not to be."""

    exit_code = DEAD


class CutOffError(click.ClickException):
    """Handlers were cut off at the end."""

    exit_code = CUT_OFF


class StoppedError(click.ClickException):
    """Ctrl-C, with something to say about it."""

    exit_code = INTERRUPTED


def tidy(message: str, most: int = _MESSAGE_MOST) -> str:
    """An error's text, of bounded length, and without characters that a terminal would act on."""
    if len(message) > most:
        message = f"{message[: most // 2]} … {message[-most // 2 :]}"
    return neutral(message, keep="\n")


def echo(text: str = "") -> None:
    """Print text; whatever names and keys are in it, none acts on a terminal."""
    click.echo(neutral(text, keep="\n"))


def note(text: str) -> None:
    """Tell a person, on stderr, what scripts need not hear."""
    if sys.stderr.isatty():
        click.echo(plain_name(text), err=True)


def echo_json(value: dict[str, Any]) -> None:
    """One JSON object on one line, in ASCII, so that no encoding of stdout can spoil it."""
    click.echo(json.dumps(value, allow_nan=False))


def percent(share: float) -> str:
    """A share as text: 0.25 → 25.00 %."""
    return f"{share:.2%}".replace("%", " %")


def plain_name(name: str) -> str:
    """A name without characters that a terminal would act on."""
    return neutral(name)


def echo_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: Sequence[str] = ()) -> None:
    """Print a table of these headings, cells and columns of text, as `table_lines` takes them."""
    safe = [[plain_name(cell) for cell in row] for row in rows]
    for line in table_lines(columns, safe, left, screen_width() if sys.stdout.isatty() else None):
        click.echo(line)


def echo_prose(text: str) -> None:
    """Print a paragraph, broken between words in the width of the terminal."""
    click.echo(paragraph(neutral(text)))
