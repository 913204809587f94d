"""`ringward demo`: its two parts, one after the other, and the exit code."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ringward.cli.demo.flights import Flight, carried_flights
from ringward.cli.demo.screen import echo_strategies, echo_stream, progress_bars
from ringward.cli.demo.strategies import FAILING, ZONES, played, routers
from ringward.cli.helping import examples
from ringward.cli.output import echo_json

if TYPE_CHECKING:
    from ringward.cli.demo.stream import Streamed

__all__ = ["demo"]


@click.command(epilog=examples("demo", "demo --json"))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def demo(ctx: click.Context, as_json: bool) -> None:
    """Route real flights by aircraft over four nodes, and stream them through four processes; one fails.

    Each strategy shows who took over and exactly what moved, and checks it. Then the flights are published as
    events and handled by four processes, one of which is killed; nothing may be lost or come out of order. The exit
    code is 1 if any check fails.
    """
    flights = carried_flights()
    keys = [flight.tail for flight in flights]
    outcomes = [played(options, router, keys) for options, router in routers()]
    facts = {"events": len(flights), "keys": len(set(keys)), "first": flights[0].time, "last": flights[-1].time}
    if not as_json:
        echo_strategies(facts, outcomes)
    stream = _streamed(flights, quiet=as_json)
    passed = all(all(outcome.checks.values()) for outcome in outcomes)
    passed &= stream is None or all(stream.checks.values())
    if as_json:
        told = None if stream is None else asdict(stream)
        strategies = [asdict(outcome) for outcome in outcomes]
        echo_json({**facts, "zones": ZONES, "strategies": strategies, "stream": told, "passed": passed})
    else:
        if stream is not None:
            echo_stream(stream)
        click.echo("\nAll checks hold." if passed else "\nSome of the checks FAILED.")
    if not passed:
        ctx.exit(1)


def _streamed(flights: list[Flight], *, quiet: bool) -> Streamed | None:
    """The second part; None, and a word about it, where apsw is missing."""
    try:
        from ringward.cli.demo.stream import streamed  # noqa: PLC0415 - needs the extra `events`
    except ImportError as error:
        if error.name != "apsw":
            raise
        click.echo("\nThe flights as a stream of events: pip install 'ringward[cli,events]' shows them.", err=quiet)
        return None
    payloads = [json.dumps(flight._asdict()).encode() for flight in flights]
    with progress_bars(len(flights), quiet=quiet) as show:
        return streamed([flight.tail for flight in flights], payloads, list(ZONES), FAILING, show)
