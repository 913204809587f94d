"""`ringward simulate`: strategies and detectors on what really failed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
import numpy as np

import ringward as rw
from ringward import plots
from ringward.cli.helping import examples
from ringward.cli.inputs import Layout
from ringward.cli.nodes import read_nodes
from ringward.cli.output import echo, echo_json, echo_table, percent
from ringward.cli.page import checked_page_path, checked_plot_path, write_page, write_plot
from ringward.cli.plan_keys import key_batches
from ringward.cli.sources import byte_source, decoded_lines
from ringward.simulation import Trace, Workload, parse_trace
from ringward.simulation import simulate as simulated
from ringward.simulation.comparison import SEEDS, SEEDS_MOST, STRATEGIES
from ringward.simulation.detectors import BASELINES, DETECTORS, watcher
from ringward.simulation.strategies import STRATEGIES as NAMES
from ringward.simulation.strategies import strategy
from ringward.simulation.traces import FORMATS

__all__ = ["read_failures", "read_workload", "running", "simulate", "trace_options"]

Command = Callable[..., None]


def _each(check: Callable[[str], object]) -> Callable[..., Any]:
    """A callback that refuses what is no such thing as wrong usage."""

    def checked(_ctx: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
        for text in given:
            try:
                check(text)
            except rw.RingwardError as error:
                raise click.BadParameter(str(error)) from error
        return given

    return checked


def _shares(_ctx: click.Context, _option: click.Parameter, text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        begin, end = (float(each) for each in text.split("-"))
    except ValueError:
        begin, end = 1.0, 0.0
    if not 0 <= begin < end <= 1:
        raise click.BadParameter(f"must be two shares of the time, such as 0.5-1 (was {text})")
    return begin, end


def trace_options(*, required: bool, seeds: int = SEEDS) -> Callable[[Command], Command]:
    """Add the flags that say what failed and what is asked for."""
    options = [
        click.option(
            "--failures",
            required=required,
            metavar="FILE",
            help="Who was down when; may be packed by gzip or xz; - is stdin.",
        ),
        click.option(
            "--format",
            type=click.Choice([*FORMATS]),
            help="What --failures is; csv has the columns time, node, state.  [default: by its first line]",
        ),
        click.option(
            "--part", metavar="BEGIN-END", callback=_shares, help="Only this part of the time: 0.5-1 is the second half."
        ),
        click.option("--keys", "keys_file", metavar="FILE", help="The requests: a key each.  [default: 100,000 keys by Zipf's law]"),
        click.option("--key", metavar="COLUMN", help="The column of the keys in --keys. Without it, each line is a key."),
        click.option(
            "--seeds", type=click.IntRange(1, SEEDS_MOST), default=seeds, show_default=True, metavar="N", help="Runs of each pair."
        ),
        click.option(
            "--seed", type=click.IntRange(0), default=0, show_default=True, metavar="N", help="The first seed: it decides everything."
        ),
    ]  # fmt: skip

    def decorated(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def read_failures(path: str, format: str | None, part: tuple[float, float] | None) -> Trace:
    """The trace of a file, or of stdin, or a part of it."""
    with byte_source(path) as source:
        trace = parse_trace(decoded_lines(source), name=source.name, format=format)
    return trace if part is None else trace.part(*part)


def read_workload(path: str | None, key: str | None) -> Workload | None:
    """The keys of a file as requests; None without one."""
    if path is None:
        if key is not None:
            raise click.UsageError("--key needs --keys")
        return None
    with byte_source(path) as source:
        batches = [batch.hashes for batch in key_batches(source, Layout(key), rw.XXH3(), None)]
    return Workload.of(np.concatenate(batches) if batches else np.empty(0, np.uint64))


@contextmanager
def running(total: int) -> Iterator[Callable[[str, str, int], None] | None]:
    """A bar on stderr, where that is a terminal, of so many runs."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only where it is shown
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=total)

        def advance(strategy: str, detector: str, _seed: int) -> None:
            shown.update(task, advance=1, description=f"{strategy}, {detector}")

        yield advance


@click.command(
    epilog=examples(
        "simulate --failures outages.csv",
        "simulate --failures outages.csv --strategy ring --strategy adaptive:ring,hold_down_s=60",
        "simulate --failures outages.csv --detector phi:threshold=12 --seeds 5 --json",
    )
)
@trace_options(required=True)
@click.option("--nodes", metavar="FILE", help="The node list.  [default: all nodes of --failures, of weight 1]")
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    callback=_each(strategy),
    help=f"{', '.join(NAMES)}, with options: partitioned:part_size=8; may be repeated.  [default: all]",
)
@click.option(
    "--detector",
    "detectors",
    multiple=True,
    metavar="NAME",
    callback=_each(watcher),
    help=f"{', '.join(DETECTORS)}, with options: deadline:after_s=3; may be repeated. Always there: {', '.join(BASELINES)}.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--plot", metavar="FILE", callback=checked_plot_path, help="Draw the figures to a .png, .svg or .pdf file."
)
@click.option(
    "--html",
    metavar="FILE",
    callback=checked_page_path,
    help="Write one page with figures and table, which needs no network.",
)
def simulate(
    *,
    failures: str,
    format: str | None,
    part: tuple[float, float] | None,
    nodes: str | None,
    keys_file: str | None,
    key: str | None,
    strategies: tuple[str, ...],
    detectors: tuple[str, ...],
    seeds: int,
    seed: int,
    as_json: bool,
    plot: str | None,
    html: str | None,
) -> None:
    """Replay real failures with each strategy and each detector, and count what users and keys would have seen.

    Real routers, detectors and policies run on a virtual clock. The same seed gives the same figures.
    """
    trace = read_failures(failures, format, part)
    members = None if nodes is None else read_nodes(nodes)
    workload = read_workload(keys_file, key)
    chosen, watchers = strategies or STRATEGIES, [*dict.fromkeys([*detectors, *BASELINES])]
    with running(len({*chosen}) * len(watchers) * seeds) as progress:
        result = simulated(
            trace,
            nodes=members,
            workload=workload,
            strategies=chosen,
            detectors=detectors,
            seeds=seeds,
            seed=seed,
            progress=progress,
        )
    if plot is not None:
        write_plot(plot, plots.outcomes(result))
    if html is not None:
        _write_page(html, failures, trace, result)
    if as_json:
        echo_json(result)
    else:
        _echo(result)


_COLUMNS = {  # heading → figure
    "unavailable key-s": "unavailable_key_s",
    "keys moved": "moved",
    "needlessly": "moved_needlessly",
    "changes": "transitions",
    "detected after, s": "detection_s.p50",
    "mistakes an hour": "mistake_rate",
    "load p99": "load.p99",
    "highest": "load.max",
}


def _told_lines(result: dict[str, Any]) -> list[str]:
    trace = result["trace"]
    seeds = len({run["seed"] for run in result["runs"]})
    found = (
        f"{trace['nodes']:,} nodes, {trace['outages']:,} outages in {trace['span_s'] / 86400:,.1f} days; of these "
        f"{trace['overlapping']:,} overlapping, {trace['zero_length']:,} of no length, {trace['unfinished']:,} unfinished"
    )
    return [
        found,
        f"means of {seeds} seeds; load is relative to the share due to a node's weight; keys moved: 1 = every key once",
    ]


def _rows(result: dict[str, Any]) -> list[list[str]]:
    return [
        [name, detector, *(_told(figures[figure]["mean"]) for figure in _COLUMNS.values())]
        for name, summary in result["summary"].items()
        for detector, figures in summary["detectors"].items()
    ]


def _write_page(path: str, failures: str, trace: Trace, result: dict[str, Any]) -> None:
    figures = [
        ("What each strategy and detector did to the keys", plots.outcomes(result)),
        ("Who was down when", plots.timeline(trace)),
    ]
    title = f"Failover on {failures}"
    columns = ["strategy", "detector", *_COLUMNS]
    rows = [dict(zip(columns, row, strict=True)) for row in _rows(result)]
    write_page(path, title, _told_lines(result), rows, left=columns[:2], figures=figures)


def _echo(result: dict[str, Any]) -> None:
    for line in _told_lines(result):
        echo(line)
    echo()
    echo_table(["strategy", "detector", *_COLUMNS], _rows(result), left=("strategy", "detector"))
    runs = result["runs"]
    found = sum(run["found"] for run in runs) / sum(run["requests"] for run in runs)
    echo()
    echo(f"{percent(found)} of all requests found a live owner")


def _told(value: float | None) -> str:
    return "–" if value is None else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
