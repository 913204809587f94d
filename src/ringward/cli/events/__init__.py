"""`ringward events`: the event processor on a file, from the command line."""

from __future__ import annotations

import click

from ringward.cli.events.backup import backup
from ringward.cli.events.compact import compact
from ringward.cli.events.configure import configure
from ringward.cli.events.consume import consume
from ringward.cli.events.dead_letters import dead, drop, redrive
from ringward.cli.events.delete_group import delete_group
from ringward.cli.events.health import health
from ringward.cli.events.lag import lag
from ringward.cli.events.publish import publish
from ringward.cli.events.reset import reset
from ringward.cli.events.tail import tail
from ringward.cli.events.verify import verify
from ringward.cli.events.work import work
from ringward.cli.helping import ListedGroup, examples

__all__ = ["events"]


@click.group(cls=ListedGroup)
def events() -> None:
    """Publish, handle and manage the events in a file: nothing is lost, keys keep their order.

    FILE is a SQLite file, which several processes may have open at once. `publish` creates it.
    """


for command, told in (
    (
        publish,
        ["publish orders.db orders.csv --key user", "publish orders.db - --key user --format jsonl < orders.jsonl"],
    ),
    (consume, ["consume orders.db --group export --until idle > orders.jsonl"]),
    (work, ["work orders.db --group billing --handler shop.billing:charge"]),
    (lag, ["lag orders.db"]),
    (health, ["health orders.db --max-age 300 --max-dead 0"]),
    (dead, ["dead orders.db --group billing", "dead orders.db --group billing --seq 17"]),
    (redrive, ["redrive orders.db --group billing --seq 17", "redrive orders.db --group billing --all"]),
    (drop, ["drop orders.db --group billing --seq 17"]),
    (reset, ["reset orders.db --group billing --to beginning"]),
    (delete_group, ["delete-group orders.db --group billing"]),
    (tail, ["tail orders.db --follow"]),
    (verify, ["verify orders.db"]),
    (configure, ["configure orders.db --retention-age 7d"]),
    (compact, ["compact orders.db"]),
    (backup, ["backup orders.db copy.db"]),
):
    command.epilog = examples(*(f"events {line}" for line in told))
    events.add_command(command)
