"""`ringward events verify`: whether a file is whole."""

from __future__ import annotations

import click

from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.output import echo_json, plain_name
from ringward.events import Stream

__all__ = ["verify"]


@click.command()
@file_options
@json_option
@click.pass_context
def verify(ctx: click.Context, *, file: str, stream: Stream | None, as_json: bool) -> None:
    """Check every event against its digest and the chain of digests, the dead letters, and SQLite's own structures.

    If anything is wrong, it is listed and the exit code is 1.
    """
    with opened(file, stream) as processor:
        wrong = processor.verify()
        stats = processor.stats()
    events = stats.tail - stats.first + 1
    if as_json:
        echo_json({"file": file, "events": events, "first": stats.first, "tail": stats.tail, "wrong": wrong})
    else:
        for text in wrong:
            click.echo(f"{file}: {plain_name(text)}")
        if not wrong:
            click.echo(f"{file}: {events:,} events, {len(stats.groups)} groups; all is as it was stored")
    if wrong:
        ctx.exit(1)
