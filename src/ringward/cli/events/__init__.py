"""`ringward events`: the event processor on a file, from the command line."""

from __future__ import annotations

import click

from ringward.cli.events.backup import backup
from ringward.cli.events.compact import compact
from ringward.cli.events.configure import configure
from ringward.cli.events.consume import consume
from ringward.cli.events.delete_group import delete_group
from ringward.cli.events.health import health
from ringward.cli.events.letters import dead, drop, redrive
from ringward.cli.events.look import lag, tail, verify
from ringward.cli.events.publish import publish
from ringward.cli.events.reset import reset
from ringward.cli.events.work import work

__all__ = ["events"]


@click.group()
def events() -> None:
    """Publish, handle and look after the events in a file: nothing is lost, keys keep their order.

    FILE is a SQLite file, which several processes may have open at once. `publish` makes it.
    """


for command in (
    publish,
    consume,
    work,
    lag,
    health,
    dead,
    redrive,
    drop,
    reset,
    delete_group,
    tail,
    verify,
    configure,
    compact,
    backup,
):
    events.add_command(command)
