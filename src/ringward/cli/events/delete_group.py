"""`ringward events delete-group`: forget a group that nobody needs any more."""

from __future__ import annotations

import sys

import click

from ringward.cli.events.store import file_options, group_option, json_option, opened
from ringward.cli.output import echo_json
from ringward.errors import UnknownGroupError
from ringward.events import Processor, Stream

__all__ = ["delete_group"]


@click.command("delete-group")
@file_options
@group_option
@click.option("--yes", is_flag=True, help="Do not ask on a terminal.")
@json_option
def delete_group(*, file: str, stream: Stream | None, group: str, yes: bool, as_json: bool) -> None:
    """Delete a group that nobody needs any more: its position, its members and its dead-letter queue.

    Events stay as long as other groups and the retention need them. No process may be at work for the group.
    """
    with opened(file, stream) as processor:
        if group not in {state.name for state in processor.store.groups()}:
            raise UnknownGroupError(group)
        if busy := _at_work(processor, group):
            raise click.ClickException(f"{group}: {', '.join(busy)} are at work: stop them first")
        waiting = sum(processor.store.unresolved(group).values())
        dead_letters = len(processor.store.dead_letters(group))
        if not yes and sys.stdin is not None and sys.stdin.isatty():
            left = f"{waiting:,} events that wait and {dead_letters:,} dead and parked ones"
            click.confirm(f"{group}: delete it, with {left}?", abort=True, err=True)
        processor.delete_group(group)
    if as_json:
        echo_json({"group": group, "waiting": waiting, "dead_letters": dead_letters})
    else:
        click.echo(f"{group}: deleted; {waiting:,} events waited, {dead_letters:,} were dead or parked")


def _at_work(processor: Processor, group: str) -> list[str]:
    """Members that are up in processes that live."""
    membership = processor.store.membership(group)
    members = () if membership is None else membership.members
    return [name for name, member in members if member.up and processor.store.hint(member.process) == "here"]
