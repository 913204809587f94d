"""`ringward watch`: how nodes fare now, by probes and a failure detector."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ringward.cli.helping import examples
from ringward.cli.nodes import read_nodes
from ringward.cli.options import Seconds
from ringward.cli.output import echo, echo_json, echo_table
from ringward.cli.screen import screen_width, table_lines
from ringward.errors import RingwardError
from ringward.health import Agreed, Detector, LocalHealth, Outlier, PhiAccrual, Status, detector_named
from ringward.texts import neutral

if TYPE_CHECKING:
    from ringward.health.probes import Result

__all__ = ["watch"]

_LOOK_S = 0.25
_LINES_BESIDE = 4  # of the screen: heading, rule, summary, and the line of the cursor
_PROBES = {"tcp": "Tcp", "http": "Http", "redis": "Redis", "memcached": "Memcached"}  # → class


@click.command(
    epilog=examples(
        "watch nodes.txt --probe redis",
        "watch nodes.txt --probe http --path /health --detector phi:threshold=5",
        "watch nodes.txt --probe tcp --port 11211 --once --json",
    )
)
@click.argument("nodes")
@click.option("--probe", "kind", type=click.Choice([*_PROBES]), default="tcp", show_default=True, help="What is asked.")
@click.option("--port", type=click.IntRange(1, 65_535), metavar="N", help="The port of nodes whose name has none.")
@click.option("--path", metavar="PATH", help="http: what is asked for.  [default: /]")
@click.option(
    "--detector",
    "named",
    metavar="NAME[:OPTION=VALUE,…]",
    help="Who decides: deadline, phi, outlier or local.  [default: phi or outlier, inside local]",
)
@click.option(
    "--every", "every_s", type=Seconds(0.01), default=1.0, show_default=True, help="How often each node is probed."
)
@click.option(
    "--probe-timeout", "probe_s", type=Seconds(0.001), default=1.0, show_default=True, help="How long a probe may take."
)
@click.option("--once", is_flag=True, help="Probe each node once and end; exit code 1 if one does not answer.")
@click.option("--timeout", "timeout_s", type=Seconds(), help="End after this time; exit code 1 if a node is suspected.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: of each change a line, or with --once one object.")
@click.pass_context
def watch(
    ctx: click.Context,
    *,
    nodes: str,
    kind: str,
    port: int | None,
    path: str | None,
    named: str | None,
    every_s: float,
    probe_s: float,
    once: bool,
    timeout_s: float | None,
    as_json: bool,
) -> None:
    """Probe the nodes of a list, and show which of them are suspected.

    The name of a node is where it answers: host:port, [IPv6]:port or unix:/path. On a terminal it is a table that is kept up
    to date until Ctrl-C; elsewhere, and with --json, each change of a node is a line of JSON.
    """
    import asyncio  # noqa: PLC0415 - no other command waits for it, nor for the probes

    from ringward.health import probes  # noqa: PLC0415

    if path is not None and kind != "http":
        raise click.UsageError(f"--path needs --probe http (was {kind})")
    if once and (timeout_s is not None or named is not None):
        raise click.UsageError("--once takes neither --timeout nor --detector")
    options: dict[str, Any] = {} if port is None else {"port": port}
    probe = getattr(probes, _PROBES[kind])(**options, **({} if path is None else {"path": path}))
    detector = _default_detector(every_s) if named is None else _detector(named)
    watched = _Watched([node.name for node in read_nodes(nodes)], detector)
    prober = probes.Prober(
        watched.names, probe, detector=detector, every_s=every_s, timeout_s=probe_s, on_result=watched.note
    )
    if once:
        results = asyncio.run(prober.once())
        _echo_results(results, as_json=as_json)
        ctx.exit(int(any(result.error is not None for result in results)))
    with prober:
        show = _show_changes if as_json or not sys.stdout.isatty() else _show_table
        show(watched, timeout_s)
    if any(status.suspected for status in watched.statuses().values()):
        ctx.exit(1)


def _detector(named: str) -> Detector:
    try:
        return detector_named(named)
    except RingwardError as error:
        raise click.BadParameter(str(error), param_hint="--detector") from error


def _default_detector(every_s: float) -> Detector:
    inside = Agreed(1, PhiAccrual(interval_s=every_s), Outlier())
    return LocalHealth(inside, every_s=max(every_s, _LOOK_S), heartbeat_s=every_s)


class _Watched:
    """The nodes that are watched, and what is known of them."""

    def __init__(self, names: list[str], detector: Detector) -> None:
        self.names = names
        self.last: dict[str, Result] = {}
        self.answered = dict.fromkeys(names, 0)
        self.failed = dict.fromkeys(names, 0)
        self._detector = detector

    def note(self, result: Result) -> None:
        """Remember what a probe found."""
        counts = self.answered if result.error is None else self.failed
        counts[result.node] += 1
        self.last[result.node] = result

    def statuses(self) -> dict[str, Status]:
        """What the detector says of each node that was probed."""
        now_s = time.monotonic()
        return {name: self._detector.status(name, now_s) for name in self.names if name in self.last}


def _looks(timeout_s: float | None) -> Iterator[None]:
    """Now and then, until the time is up."""
    ends_s = None if timeout_s is None else time.monotonic() + timeout_s
    while ends_s is None or time.monotonic() < ends_s:
        left_s = _LOOK_S if ends_s is None else min(_LOOK_S, max(0.0, ends_s - time.monotonic()))
        time.sleep(left_s)
        yield


def _show_changes(watched: _Watched, timeout_s: float | None) -> None:
    """A line of JSON for each node that is first known, suspected, or trusted again."""
    was: dict[str, bool] = {}
    for _ in _looks(timeout_s):
        for name, status in watched.statuses().items():
            if was.get(name) != status.suspected:
                was[name] = status.suspected
                echo_json(_change(watched, name, status))
        sys.stdout.flush()


def _change(watched: _Watched, name: str, status: Status) -> dict[str, Any]:
    last = watched.last[name]
    return {
        "time_ms": int(time.time() * 1000),
        "node": name,
        "suspected": status.suspected,
        "level": round(status.level, 3),
        "trouble": status.trouble,
        "reason": status.reason,
        "answered": watched.answered[name],
        "failed": watched.failed[name],
        "latency_ms": round(last.latency_s * 1000, 3),
        "error": last.error,
    }


def _show_table(watched: _Watched, timeout_s: float | None) -> None:
    """A table on the terminal, those first that are suspected, until the time is up or Ctrl-C."""
    from rich.console import Console  # noqa: PLC0415 - only where it is shown
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Live(console=Console(), auto_refresh=False) as shown:
        for _ in _looks(timeout_s):
            text = Text(_table(watched), no_wrap=True, overflow="ellipsis")
            text.highlight_words(["suspected"], "bold red")
            shown.update(text, refresh=True)


def _table(watched: _Watched) -> str:
    statuses = watched.statuses()
    alarm = {name: status.level for name, status in statuses.items() if status.suspected}
    order = sorted(watched.names, key=lambda name: (-alarm.get(name, 0.0), name))
    columns = ["node", "state", "level", "latency", "answered", "failed", "why"]
    summary = f"{len(watched.names):,} nodes, {len(alarm):,} suspected"
    if len(statuses) < len(watched.names):
        summary += f", {len(watched.names) - len(statuses):,} not probed yet"
    height = max(1, shutil.get_terminal_size().lines - _LINES_BESIDE)
    rows = [[neutral(cell) for cell in _row(watched, name, statuses.get(name))] for name in order[:height]]
    lines = table_lines(columns, rows, ["node", "state", "why"], screen_width())
    if len(lines) > height + 2 or len(order) > height:
        lines = lines[: height + 2]
        summary += "; those that are worst"
    return "\n".join([*lines, summary])


def _row(watched: _Watched, name: str, status: Status | None) -> list[str]:
    if status is None:
        return [name, "…", "", "", "", "", ""]
    last = watched.last[name]
    return [
        name,
        "suspected" if status.suspected else "fine",
        f"{min(status.level, 999):.2f}",
        f"{last.latency_s * 1000:,.1f} ms" if last.error is None else "",
        f"{watched.answered[name]:,}",
        f"{watched.failed[name]:,}",
        "; ".join(filter(None, [status.reason, last.error])),
    ]


def _echo_results(results: list[Result], *, as_json: bool) -> None:
    failed = sum(result.error is not None for result in results)
    if as_json:
        told = [
            {"node": each.node, "latency_ms": round(each.latency_s * 1000, 3), "error": each.error} for each in results
        ]
        echo_json({"nodes": told, "failed": failed, "unasked": sum(not result.counts for result in results)})
        return
    rows = [[each.node, f"{each.latency_s * 1000:,.1f} ms", each.error or "answered"] for each in results]
    echo_table(["node", "latency", "found"], rows, left=["node", "found"])
    echo(f"{len(results) - failed:,} of {len(results):,} nodes answer")
    unasked = [result for result in results if not result.counts]
    if unasked:
        echo(f"{len(unasked):,} were not asked, for reasons of this machine: {unasked[0].error}")
