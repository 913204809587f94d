"""`ringward events tail`: the last events of a file, and those that come."""

from __future__ import annotations

import sys
import threading

import click

from ringward.cli.events.event_text import PAYLOADS, beginning, event_of, iso_time, json_line, plain
from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.output import plain_name
from ringward.events import Processor, Stream
from ringward.events.worker import until_told

__all__ = ["tail"]

_POLL_S = 0.1
_READ = 1000
_WIDTH = 80


@click.command()
@file_options
@click.option(
    "-n", "count", type=click.IntRange(0), default=10, show_default=True, metavar="N", help="Show the last N events."
)
@click.option("-f", "--follow", is_flag=True, help="Continue with new events until SIGINT or SIGTERM.")
@click.option("--payload-as", "payload", type=click.Choice(PAYLOADS), default="text", show_default=True)
@json_option
def tail(*, file: str, stream: Stream | None, count: int, follow: bool, payload: str, as_json: bool) -> None:
    """Show the last events of FILE. The command belongs to no group and acknowledges nothing.

    A line has seq, time, partition, key and the beginning of the payload. With --json, JSON lines have all of it.
    """
    over = threading.Event()
    with opened(file, stream) as processor, until_told(over.set):
        totals = processor.store.totals()
        seen = max(totals.first - 1, totals.tail - count)
        while True:
            while (now := _shown_past(processor, seen, payload, as_json)) > seen:
                seen = now
            sys.stdout.flush()
            if not follow or over.wait(_POLL_S):
                return


def _shown_past(processor: Processor, seen: int, payload: str, as_json: bool) -> int:
    """Show events past a seq; the last that was."""
    heads = processor.store.heads(seen, _READ)
    for row in processor.store.rows([seq for seq, _ in heads]):
        event = event_of(row)
        if as_json:
            click.echo(json_line(event, payload).decode(), nl=False)
        else:
            body = beginning(event.payload, _WIDTH)
            click.echo(
                f"{event.seq:>8}  {iso_time(event.at_ms)}  {event.partition:>5}  {plain_name(plain(event.key))}  {body}"
            )
    return heads[-1][0] if heads else seen
