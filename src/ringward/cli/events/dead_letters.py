"""`ringward events dead`, `redrive` and `drop`: the dead-letter queue of a group."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from ringward.cli.events.event_text import PAYLOADS, as_dict, event_of, plain
from ringward.cli.events.store import file_options, group_option, json_option, opened
from ringward.cli.output import echo_json, echo_table, plain_name
from ringward.cli.sources import InputError
from ringward.events import DeadLetter, Processor, Stream
from ringward.events.model.event import Row

__all__ = ["dead", "drop", "redrive"]

_ERROR_WIDTH = 60


@click.command()
@file_options
@group_option
@click.option("--seq", type=click.IntRange(1), metavar="N", help="Show this event in full, with its payload.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="Show the first N.")
@click.option("--payload-as", "payload", type=click.Choice(PAYLOADS), default="text", show_default=True)
@json_option
def dead(
    *, file: str, stream: Stream | None, group: str, seq: int | None, limit: int, payload: str, as_json: bool
) -> None:
    """List the dead events of a group, and the events parked behind them.

    With --json: one line for each.
    """
    with opened(file, stream) as processor:
        letters = processor.store.dead_letters(group)
        chosen = [letter for letter in letters if seq in (None, letter.seq)][:limit]
        if seq is not None and not chosen:
            raise InputError(file, f"seq {seq} is not in the dead-letter queue of {group}")
        rows = {row[0]: row for row in processor.store.bodies(group, [letter.seq for letter in chosen])}
    entries = [(letter, rows[letter.seq]) for letter in chosen if letter.seq in rows]
    if as_json:
        for letter, row in entries:
            click.echo(json.dumps(_described(letter, row, payload)))
    elif seq is not None:
        for name, value in _described(*entries[0], payload).items():
            shown = value if isinstance(value, str) else json.dumps(value)
            click.echo(f"{name:<15} " + "\n".join(plain_name(line) for line in shown.splitlines()))
    else:
        _list(group, letters, entries)


def _described(letter: DeadLetter, row: Row, payload: str) -> dict[str, Any]:
    about = {"state": letter.state, "attempts": letter.attempts, "error": letter.error}
    return {**as_dict(event_of(row), payload), **about}


def _list(group: str, letters: list[DeadLetter], entries: list[tuple[DeadLetter, Row]]) -> None:
    count = sum(letter.state == "dead" for letter in letters)
    click.echo(f"{group}: {count:,} dead, {len(letters) - count:,} parked behind them or to be delivered again")
    rows = []
    for letter, row in entries:
        event = event_of(row)
        error = plain_name(letter.error.partition("\n")[0])
        error = error if len(error) <= _ERROR_WIDTH else error[: _ERROR_WIDTH - 1] + "…"
        name = "" if event.id is None else plain(event.id)
        rows.append([str(letter.seq), letter.state, plain(event.key), name, str(letter.attempts), error])
    if rows:
        click.echo()
        echo_table(["seq", "state", "key", "id", "attempts", "error"], rows, left=["state", "key", "id", "error"])
    if len(entries) < len(letters):
        click.echo(f"\nand {len(letters) - len(entries):,} more: see --limit")


def _chosen(processor: Processor, group: str, seqs: tuple[int, ...], every: bool, state: str | None) -> list[int]:
    """The seqs that are meant; all must be there."""
    if bool(seqs) == every:
        raise click.UsageError("give --seq, or --all")
    there = [letter.seq for letter in processor.store.dead_letters(group) if state in (None, letter.state)]
    if missing := sorted(set(seqs).difference(there)):
        raise click.ClickException(f"{group}: seq {missing[0]} is not {state or 'in the dead-letter queue'}")
    return there if every else list(seqs)


_seqs_option = click.option("--seq", "seqs", multiple=True, type=click.IntRange(1), metavar="N", help="Repeatable.")


@click.command()
@file_options
@group_option
@_seqs_option
@click.option("--all", "every", is_flag=True, help="All dead events.")
@json_option
def redrive(*, file: str, stream: Stream | None, group: str, seqs: tuple[int, ...], every: bool, as_json: bool) -> None:
    """Deliver dead events again, each before the events parked behind it."""
    with opened(file, stream) as processor:
        count = processor.redrive(group, _chosen(processor, group, seqs, every, "dead"))
    _tell(group, "redriven", count, as_json)


@click.command()
@file_options
@group_option
@_seqs_option
@click.option("--all", "every", is_flag=True, help="All dead and parked events; asks first on a terminal.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def drop(
    *, file: str, stream: Stream | None, group: str, seqs: tuple[int, ...], every: bool, yes: bool, as_json: bool
) -> None:
    """Delete entries of the dead-letter queue for good; events parked behind them are handled."""
    with opened(file, stream) as processor:
        chosen = _chosen(processor, group, seqs, every, None)
        if every and chosen and not yes and sys.stdin is not None and sys.stdin.isatty():
            click.confirm(f"{group}: delete {len(chosen):,} dead and parked events for good?", abort=True, err=True)
        count = processor.drop(group, chosen)
    _tell(group, "dropped", count, as_json)


def _tell(group: str, done: str, count: int, as_json: bool) -> None:
    if as_json:
        echo_json({"group": group, done: count})
    else:
        click.echo(f"{group}: {count:,} {done}")
