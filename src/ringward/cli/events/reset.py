"""`ringward events reset`: replay."""

from __future__ import annotations

import click

from ringward.cli.events.store import file_options, group_option, json_option, opened, start_from
from ringward.cli.output import echo_json
from ringward.events import Stream
from ringward.events.processor import Start

__all__ = ["reset"]


@click.command()
@file_options
@group_option
@click.option(
    "--to",
    required=True,
    metavar="WHERE",
    callback=start_from,
    help="beginning, end, a seq (continue after it), or an ISO time.",
)
@json_option
def reset(*, file: str, stream: Stream | None, group: str, to: Start, as_json: bool) -> None:
    """Let a group handle events again, or skip some.

    It may be used while the group is at work: work in flight is discarded.
    """
    with opened(file, stream) as processor:
        processor.reset(group, to)
        stats = processor.stats().groups[group]
    waiting = sum(stats.lag.values())
    if as_json:
        echo_json({"group": group, "next": stats.lowest, "waiting": waiting})
    else:
        click.echo(f"{group}: continues at seq {stats.lowest:,}; {waiting:,} events wait")
