"""`ringward choose`: which strategy suits these nodes."""

from __future__ import annotations

from typing import Any

import click

from ringward.cli.helping import examples
from ringward.cli.nodes import read_nodes
from ringward.cli.output import echo, echo_json, echo_prose, echo_table
from ringward.cli.simulate import read_failures, read_workload, running, trace_options
from ringward.simulation.choosing import CANDIDATES, CHOOSE_DETECTORS, CHOOSE_SEEDS, PREFER
from ringward.simulation.choosing import choose as chosen

__all__ = ["choose"]


def _preferences(_ctx: click.Context, _option: click.Parameter, text: str | None) -> dict[str, float]:
    if text is None:
        return PREFER
    prefer: dict[str, float] = {}
    for part in text.split(","):
        name, equals, value = (each.strip() for each in part.partition("="))
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if name not in PREFER or name in prefer or not equals or not 0 <= number < float("inf"):
            raise click.BadParameter(
                f"must be {', '.join(PREFER)}, each once, as in availability=3,movement=2 (was {text})"
            )
        prefer[name] = number
    if not any(prefer.values()):
        raise click.BadParameter("must be above 0 for something")
    return prefer


@click.command(
    epilog=examples(
        "choose --nodes nodes.csv",
        "choose --nodes nodes.csv --failures outages.csv --prefer availability=5,balance=1",
    )
)
@click.option("--nodes", required=True, metavar="FILE", help="The node list, with weights and zones.")
@trace_options(required=False, seeds=CHOOSE_SEEDS)
@click.option(
    "--prefer",
    metavar="WHAT=N,...",
    callback=_preferences,
    help="How much each counts.  [default: availability=3,movement=2,balance=1]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def choose(
    *,
    nodes: str,
    failures: str | None,
    format: str | None,
    part: tuple[float, float] | None,
    keys_file: str | None,
    key: str | None,
    seeds: int,
    seed: int,
    prefer: dict[str, float],
    as_json: bool,
) -> None:
    """Rank failover strategies and detectors for a node list, by simulation.

    Without --failures, 90 days of typical failures are drawn: what was found in nine years of 22 systems.
    """
    if failures is None and (format is not None or part is not None):
        raise click.UsageError("--format and --part need --failures")
    members = read_nodes(nodes)
    trace = None if failures is None else read_failures(failures, format, part)
    workload = read_workload(keys_file, key)
    with running(len(CANDIDATES) * len(CHOOSE_DETECTORS) * seeds) as progress:
        result = chosen(
            members, trace=trace, workload=workload, prefer=prefer, seeds=seeds, seed=seed, progress=progress
        )
    if as_json:
        echo_json(result)
    else:
        _echo(result)


_CLOSE = 0.05  # of scores: 3.5 % in what counts
_COLUMNS = {"score": "score", "unavailable key-s": "availability", "keys moved": "movement", "load p99": "balance"}


def _echo(result: dict[str, Any]) -> None:
    trace, ranking = result["trace"], result["ranking"]
    weights = ", ".join(f"{name} {weight:.0%}" for name, weight in result["prefer"].items())
    echo(
        f"{trace['nodes']:,} nodes, {trace['outages']:,} outages in {trace['span_s'] / 86400:,.1f} days; what counts: {weights}"
    )
    echo()
    rows = [
        [str(row["rank"]), row["strategy"], row["detector"], *(f"{row[name]:.3g}" for name in _COLUMNS.values())]
        for row in ranking
    ]
    echo_table(["rank", "strategy", "detector", *_COLUMNS], rows, left=("strategy", "detector"))
    best = ranking[0]
    echo()
    echo_prose(f"Best: {best['strategy']} with {best['detector']}: {best['reason']}.")
    echo(f"In Python: {best['settings']}")
    close = [
        f"{row['strategy']} with {row['detector']}" for row in ranking[1:] if row["score"] - best["score"] < _CLOSE
    ]
    if close:
        echo()
        echo_prose(f"About as good, so take what you know best: {', '.join(close)}.")
