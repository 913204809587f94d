"""`ringward demo`: the whole job on real events, with every claim checked."""

from __future__ import annotations

import csv
import gzip
import io
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

import ringward as rw
from ringward.cli.helping import examples
from ringward.cli.output import echo_json, echo_prose, echo_table, percent

if TYPE_CHECKING:
    from ringward.cli.events.killed import Streamed

__all__ = ["demo"]

_FAILING = "node2"
_ZONES = {"node1": "a", "node2": "a", "node3": "b", "node4": "b"}


class Flight(NamedTuple):
    """One event: a plane leaves New York."""

    time: str
    tail: str
    dest: str


@dataclass
class Outcome:
    """What one strategy did.

    Attributes
    ----------
    strategy, options : str
    owners : dict of str to int
        Events of each node.
    failed : str
        The node that failed.
    moved, moved_share
        Events that moved then, and the share of the hash space.
    takers : dict of str to int
        Who took how many of them over.
    returned : int
        Events that came back with the node.
    checks : dict of str to bool
    """

    strategy: str
    options: str
    owners: dict[str, int]
    failed: str = _FAILING
    moved: int = 0
    moved_share: float = 0.0
    takers: dict[str, int] = field(default_factory=dict)
    returned: int = 0
    checks: dict[str, bool] = field(default_factory=dict)


def carried_flights() -> list[Flight]:
    """The events that the package carries, in the order of time; see data/README.md."""
    packed = (files("ringward") / "data" / "flights.csv.gz").read_bytes()
    rows = csv.reader(io.StringIO(gzip.decompress(packed).decode()))
    next(rows)
    return [Flight(*row) for row in rows]


def _routers() -> list[tuple[str, rw.Router]]:
    nodes = [rw.Node(name, zone=zone) for name, zone in _ZONES.items()]
    priority = sorted(nodes, key=lambda node: node.name != _FAILING)
    return [
        ("160 points a node", rw.HashRing(nodes)),
        ("2 parts of 2 nodes", rw.PartitionedRing(nodes, part_size=2)),
        ("4096 partitions, 2 replicas", rw.PartitionTable(nodes, replicas=2)),
        (f"{_FAILING} is primary", rw.PrimaryBackup(priority)),
    ]


def _counts(router: rw.Router, ids: npt.NDArray[np.uint32]) -> dict[str, int]:
    counts = Counter(ids.tolist())
    return {name: counts[router.id_of(name)] for name in sorted(router) if counts[router.id_of(name)]}


def played(options: str, router: rw.Router, keys: list[str]) -> Outcome:
    """Route the keys, let a node fail and return, and check each claim against routing all keys again."""
    hashes = rw.hash_keys(keys, router.hash)
    failing = router.id_of(_FAILING)
    first = router.assign(keys)
    outcome = Outcome(type(router).__name__, options, dict.fromkeys(router, 0) | _counts(router, first))
    checks = outcome.checks
    checks["one lookup agrees with the bulk call"] = all(
        router.route(key) == router.names[node] for key, node in dict(zip(keys, first.tolist(), strict=True)).items()
    )

    failure = router.mark_down(_FAILING)
    ids = first.copy()
    moved = failure.apply(ids, hashes)
    outcome.moved, outcome.moved_share = len(moved), failure.share
    outcome.takers = _counts(router, ids[moved])
    checks["apply equals assign after the failure"] = np.array_equal(ids, router.assign(keys))
    checks[f"exactly the keys of {_FAILING} moved"] = np.array_equal(moved, np.flatnonzero(first == failing))
    checks["no other key changed its owner"] = np.array_equal(moved, np.flatnonzero(first != ids))
    checks[f"nothing is left on {_FAILING}"] = not bool((ids == failing).any())

    recovery = router.mark_up(_FAILING)
    outcome.returned = len(recovery.apply(ids, hashes))
    checks["apply equals assign after the return"] = np.array_equal(ids, router.assign(keys))
    checks["everything is back where it was"] = np.array_equal(ids, first) and recovery.share == failure.share
    return outcome


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
    outcomes = [played(options, router, keys) for options, router in _routers()]
    facts = {"events": len(flights), "keys": len(set(keys)), "first": flights[0].time, "last": flights[-1].time}
    if not as_json:
        _echo(facts, outcomes)
    stream = _streamed(flights, quiet=as_json)
    passed = all(all(outcome.checks.values()) for outcome in outcomes)
    passed &= stream is None or all(stream.checks.values())
    if as_json:
        told = None if stream is None else asdict(stream)
        strategies = [asdict(outcome) for outcome in outcomes]
        echo_json({**facts, "zones": _ZONES, "strategies": strategies, "stream": told, "passed": passed})
    else:
        if stream is not None:
            _echo_stream(stream)
        click.echo("\nAll checks hold." if passed else "\nSome of the checks FAILED.")
    if not passed:
        ctx.exit(1)


def _streamed(flights: list[Flight], *, quiet: bool) -> Streamed | None:
    """The second part; None, and a word about it, where apsw is missing."""
    try:
        from ringward.cli.events.killed import streamed  # noqa: PLC0415 - needs the extra `events`
    except ImportError as error:
        if error.name != "apsw":
            raise
        click.echo("\nThe flights as a stream of events: pip install 'ringward[cli,events]' shows them.", err=quiet)
        return None
    payloads = [json.dumps(flight._asdict()).encode() for flight in flights]
    with _shown(len(flights), quiet=quiet) as show:
        return streamed([flight.tail for flight in flights], payloads, list(_ZONES), _FAILING, show)


@contextmanager
def _shown(total: int, *, quiet: bool) -> Iterator[Callable[[int, dict[str, int]], None]]:
    """Bars of what is published and handled, on a terminal."""
    if quiet or not sys.stdout.isatty():
        yield lambda _published, _handled: None
        return
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 - only where it is shown

    columns = (TextColumn("{task.description:<10}"), BarColumn(None), TextColumn("{task.completed:>7,.0f}"))
    with Progress(*columns, transient=True) as bars:
        tasks = {name: bars.add_task(name, total=total) for name in ("published", *_ZONES)}

        def show(published: int, handled: dict[str, int]) -> None:
            for name, count in {"published": published, **handled}.items():
                bars.update(tasks[name], completed=count)

        yield show


def _echo(facts: dict[str, Any], outcomes: list[Outcome]) -> None:
    total = facts["events"]
    echo_prose(
        f"{total:,} departures from New York, {facts['first']} to {facts['last']}; the key is the aircraft"
        f" ({facts['keys']:,} of them), so one aircraft's events stay in order on one node."
    )
    click.echo("\nEvents of each node")
    names = list(_ZONES)
    rows = [
        [outcome.strategy, outcome.options, *(f"{outcome.owners.get(name, 0):,}" for name in names)]
        for outcome in outcomes
    ]
    echo_table(["strategy", "with", *names], rows, left=["strategy", "with"])

    click.echo(f"\n{_FAILING} fails: who takes over, and what moves")
    rows = [
        [
            outcome.strategy,
            f"{outcome.moved:,}",
            percent(outcome.moved / total),
            percent(outcome.moved_share),
            *(f"+{outcome.takers[name]:,}" if name in outcome.takers else "" for name in names if name != _FAILING),
            f"{outcome.returned:,}",
        ]
        for outcome in outcomes
    ]
    others = [name for name in names if name != _FAILING]
    columns = ["strategy", "events moved", "of all", "of the hash space", *others, f"back with {_FAILING}"]
    echo_table(columns, rows, left=["strategy"])

    click.echo("\nChecked by routing all events again")
    rows = [
        [claim, *("yes" if outcome.checks[claim] else "NO" for outcome in outcomes)] for claim in outcomes[0].checks
    ]
    echo_table(["claim", *(outcome.strategy for outcome in outcomes)], rows, left=["claim"])


def _echo_stream(stream: Streamed) -> None:
    how = "kill -9" if hasattr(signal, "SIGKILL") else "TerminateProcess"
    click.echo()
    echo_prose(
        "The same departures as a stream: published durably while four processes, the members of one group, handle them."
        f" After {stream.after:,} the process of {stream.killed} is killed ({how})."
    )
    rows = [
        [name, f"{stream.partitions[name]:,}", f"{stream.handled[name]:,}", "killed" if name == stream.killed else ""]
        for name in _ZONES
    ]
    click.echo()
    echo_table(["member", "partitions before", "events handled", "fate"], rows, left=["member", "fate"])
    click.echo()
    rate = stream.events / stream.seconds
    echo_prose(
        f"Its {stream.partitions[stream.killed]:,} partitions, in which {stream.waiting:,} events waited, went on after"
        f" {stream.takeover_ms:,.0f} ms with others. All {stream.events:,} events were published and handled in"
        f" {stream.seconds:.1f} s, {rate:,.0f} a second."
    )
    click.echo("\nChecked against what was published")
    echo_table(
        ["claim", "holds"],
        [[claim, "yes" if holds else "NO"] for claim, holds in stream.checks.items()],
        left=["claim"],
    )
