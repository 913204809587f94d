"""`ringward events lag`, `tail` and `verify`: what a file holds, and whether it is whole."""

from __future__ import annotations

import sys
import threading
import time
from datetime import timedelta

import click

from ringward.cli.events.records import PAYLOADS, beginning, event_of, iso_time, json_line, plain
from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.output import echo_json, echo_table, plain_name
from ringward.errors import UnknownGroupError
from ringward.events import Processor, Stats, Stream
from ringward.events.worker import until_told

__all__ = ["lag", "tail", "verify"]

_POLL_S = 0.1
_READ = 1000
_WIDTH = 80


@click.command()
@file_options
@click.option("--group", metavar="NAME", help="Of this group only.")
@click.option("--by-partition", is_flag=True, help="A row for each partition in which events wait.")
@json_option
def lag(*, file: str, stream: Stream | None, group: str | None, by_partition: bool, as_json: bool) -> None:
    """Tell how many events wait, for each group."""
    with opened(file, stream) as processor:
        stats = processor.stats()
    if group is not None:
        if group not in stats.groups:
            raise UnknownGroupError(group)
        stats = stats._replace(groups={group: stats.groups[group]})
    if as_json:
        echo_json({"file": file, **_described(stats)})
        return
    click.echo(f"{file}: seq {stats.first:,} to {stats.tail:,}, {stats.bytes:,} bytes of payload")
    if not stats.groups:
        click.echo("no groups")
        return
    click.echo()
    if by_partition:
        rows = [
            [name, str(partition), f"{count:,}"]
            for name, told in stats.groups.items()
            for partition, count in sorted(told.lag.items())
        ]
        echo_table(["group", "partition", "waiting"], rows, left=["group"])
        return
    rows = [
        [
            *(name, f"{sum(told.lag.values()):,}", _age(told.waiting_since_ms)),
            *(str(len(told.lag)), str(told.dead), str(told.parked), ", ".join(told.members)),
        ]
        for name, told in stats.groups.items()
    ]
    columns = ["group", "waiting", "for", "partitions", "dead", "parked", "members"]
    echo_table(columns, rows, left=["group", "members"])


def _age(since_ms: int | None) -> str:
    if since_ms is None:
        return ""
    return str(timedelta(seconds=max(0, int(time.time() - since_ms / 1000))))


def _described(stats: Stats) -> dict[str, object]:
    groups = {
        name: {
            "waiting": sum(told.lag.values()),
            "lag": {str(partition): count for partition, count in sorted(told.lag.items())},
            "waiting_since_ms": told.waiting_since_ms,
            "dead": told.dead,
            "parked": told.parked,
            "members": list(told.members),
        }
        for name, told in stats.groups.items()
    }
    return {"first": stats.first, "tail": stats.tail, "bytes": stats.bytes, "groups": groups}


@click.command()
@file_options
@click.option(
    "-n", "count", type=click.IntRange(0), default=10, show_default=True, metavar="N", help="The last so many."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until SIGINT or SIGTERM.")
@click.option("--payload-as", "payload", type=click.Choice(PAYLOADS), default="text", show_default=True)
@json_option
def tail(*, file: str, stream: Stream | None, count: int, follow: bool, payload: str, as_json: bool) -> None:
    """Show the last events of FILE. Nothing is acknowledged: this is a look, no group.

    On a line: seq, time, partition, key and the beginning of the payload. With --json: JSON lines, all of it.
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


@click.command()
@file_options
@json_option
@click.pass_context
def verify(ctx: click.Context, *, file: str, stream: Stream | None, as_json: bool) -> None:
    """Check every event against its digest, the chain of all, the letters, and SQLite's own structures.

    The exit code is 1, and what is wrong is listed, if anything is.
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
