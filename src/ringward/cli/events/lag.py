"""`ringward events lag`: how many events wait, for each group."""

from __future__ import annotations

import time
from datetime import timedelta

import click

from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.output import echo_json, echo_table
from ringward.errors import UnknownGroupError
from ringward.events import Stats, Stream

__all__ = ["lag"]


@click.command()
@file_options
@click.option("--group", metavar="NAME", help="Show this group only.")
@click.option("--by-partition", is_flag=True, help="A row for each partition in which events wait.")
@json_option
def lag(*, file: str, stream: Stream | None, group: str | None, by_partition: bool, as_json: bool) -> None:
    """Show how many events wait in each group."""
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
