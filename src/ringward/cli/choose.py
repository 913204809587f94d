"""`ringward choose`: which strategy suits these nodes."""

from __future__ import annotations

from typing import Any

import click

import ringward as rw
from ringward import plots
from ringward.cli.helping import examples
from ringward.cli.nodes import read_nodes
from ringward.cli.output import echo, echo_json, echo_prose, echo_table
from ringward.cli.page import checked_page_path, write_page
from ringward.cli.simulate import read_failures, read_workload, running, trace_options
from ringward.simulation.choosing import CANDIDATES, CHOOSE_DETECTORS, CHOOSE_SEEDS, PREFER
from ringward.simulation.choosing import choose as chosen
from ringward.simulation.strategies import strategy as strategy_of

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
@click.option(
    "--html",
    metavar="FILE",
    callback=checked_page_path,
    help="Write one page with figures and table, which needs no network.",
)
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
    html: str | None,
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
    if html is not None:
        _write_page(html, members, result)
    if as_json:
        echo_json(result)
    else:
        _echo(result)


_CLOSE = 0.05  # of scores: 3.5 % in what counts
_COLUMNS = {"score": "score", "unavailable key-s": "availability", "keys moved": "movement", "load p99": "balance"}


def _heading(result: dict[str, Any]) -> str:
    trace = result["trace"]
    weights = ", ".join(f"{name} {weight:.0%}" for name, weight in result["prefer"].items())
    days = f"{trace['span_s'] / 86400:,.1f} days"
    return f"{trace['nodes']:,} nodes, {trace['outages']:,} outages in {days}; what counts: {weights}"


def _best(result: dict[str, Any]) -> list[str]:
    ranking = result["ranking"]
    best = ranking[0]
    close = [
        f"{row['strategy']} with {row['detector']}" for row in ranking[1:] if row["score"] - best["score"] < _CLOSE
    ]
    lines = [f"Best: {best['strategy']} with {best['detector']}: {best['reason']}.", f"In Python: {best['settings']}"]
    return [*lines, f"About as good, so take what you know best: {', '.join(close)}."] if close else lines


def _cells(row: dict[str, Any]) -> list[str]:
    return [f"{row[name]:.3g}" for name in _COLUMNS.values()]


def _write_page(path: str, members: list[rw.Node], result: dict[str, Any]) -> None:
    strategy = result["ranking"][0]["strategy"].removeprefix("adaptive:").replace(",", ":", 1)
    inside = strategy_of(strategy).router(members)
    figures = [("Load of the nodes, all of them live", plots.load(inside))]
    columns = ["strategy", "detector", *_COLUMNS, "settings"]
    rows = [
        dict(zip(columns, [row["strategy"], row["detector"], *_cells(row), row["settings"]], strict=True))
        for row in result["ranking"]
    ]
    left = ["strategy", "detector", "settings"]
    write_page(
        path, "Which strategy suits these nodes", [_heading(result), *_best(result)], rows, left=left, figures=figures
    )


def _echo(result: dict[str, Any]) -> None:
    echo(_heading(result))
    echo()
    rows = [[str(row["rank"]), row["strategy"], row["detector"], *_cells(row)] for row in result["ranking"]]
    echo_table(["rank", "strategy", "detector", *_COLUMNS], rows, left=("strategy", "detector"))
    best, settings, *close = _best(result)
    echo()
    echo_prose(best)
    echo(settings)
    for text in close:
        echo()
        echo_prose(text)
