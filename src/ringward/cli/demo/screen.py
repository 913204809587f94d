"""What the demo shows to a person."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ringward.cli.demo.strategies import FAILING, ZONES, Outcome
from ringward.cli.output import echo_prose, echo_table, percent

if TYPE_CHECKING:
    from ringward.cli.demo.stream import Streamed

__all__ = ["echo_strategies", "echo_stream", "progress_bars"]


def echo_strategies(facts: dict[str, Any], outcomes: list[Outcome]) -> None:
    """Tables of what each strategy did."""
    total = facts["events"]
    echo_prose(
        f"{total:,} departures from New York, {facts['first']} to {facts['last']}; the key is the aircraft"
        f" ({facts['keys']:,} of them), so one aircraft's events stay in order on one node."
    )
    click.echo("\nEvents of each node")
    names = list(ZONES)
    rows = [
        [outcome.strategy, outcome.options, *(f"{outcome.owners.get(name, 0):,}" for name in names)]
        for outcome in outcomes
    ]
    echo_table(["strategy", "with", *names], rows, left=["strategy", "with"])

    click.echo(f"\n{FAILING} fails: who takes over, and what moves")
    rows = [
        [
            outcome.strategy,
            f"{outcome.moved:,}",
            percent(outcome.moved / total),
            percent(outcome.moved_share),
            *(f"+{outcome.takers[name]:,}" if name in outcome.takers else "" for name in names if name != FAILING),
            f"{outcome.returned:,}",
        ]
        for outcome in outcomes
    ]
    others = [name for name in names if name != FAILING]
    columns = ["strategy", "events moved", "of all", "of the hash space", *others, f"back with {FAILING}"]
    echo_table(columns, rows, left=["strategy"])

    click.echo("\nChecked by routing all events again")
    rows = [
        [claim, *("yes" if outcome.checks[claim] else "NO" for outcome in outcomes)] for claim in outcomes[0].checks
    ]
    echo_table(["claim", *(outcome.strategy for outcome in outcomes)], rows, left=["claim"])


def echo_stream(stream: Streamed) -> None:
    """What became of the stream."""
    how = "kill -9" if hasattr(signal, "SIGKILL") else "TerminateProcess"
    click.echo()
    echo_prose(
        "The same departures as a stream: published durably while four processes, the members of one group, handle them."
        f" After {stream.after:,} the process of {stream.killed} is killed ({how})."
    )
    rows = [
        [name, f"{stream.partitions[name]:,}", f"{stream.handled[name]:,}", "killed" if name == stream.killed else ""]
        for name in ZONES
    ]
    click.echo()
    echo_table(["member", "partitions before", "events handled", "fate"], rows, left=["member", "fate"])
    click.echo()
    rate = stream.events / stream.seconds
    echo_prose(
        f"The others took over its {stream.partitions[stream.killed]:,} partitions, with {stream.waiting:,} waiting events,"
        f" after {stream.takeover_ms:,.0f} ms. All {stream.events:,} events were published and handled in"
        f" {stream.seconds:.1f} s, {rate:,.0f} a second."
    )
    click.echo("\nChecked against what was published")
    echo_table(
        ["claim", "holds"],
        [[claim, "yes" if holds else "NO"] for claim, holds in stream.checks.items()],
        left=["claim"],
    )


@contextmanager
def progress_bars(total: int, *, quiet: bool) -> Iterator[Callable[[int, dict[str, int]], None]]:
    """Bars of what is published and handled, on a terminal."""
    if quiet or not sys.stdout.isatty():
        yield lambda _published, _handled: None
        return
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - only where it is shown

    columns = (TextColumn("{task.description:<10}"), BarColumn(None), TextColumn("{task.completed:>7,.0f}"))
    with Progress(*columns, transient=True) as bars:
        tasks = {name: bars.add_task(name, total=total) for name in ("published", *ZONES)}

        def show(published: int, handled: dict[str, int]) -> None:
            for name, count in {"published": published, **handled}.items():
                bars.update(tasks[name], completed=count)

        yield show
