"""`ringward events consume` and `work`: handle events, by writing them out or by a function."""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

import click

import ringward as rw
from ringward.cli.events.records import CSV_COLUMNS, PAYLOADS, as_csv, json_line
from ringward.cli.events.store import file_options, group_option, json_option, opened, start_from
from ringward.cli.output import echo_json
from ringward.cli.written import delimited
from ringward.events import Event, GiveBack, Processor, Retry, Stream
from ringward.events.processor import Start
from ringward.events.runner import Handler
from ringward.events.work import load_handler, until_told

__all__ = ["consume", "work"]

_STOPPING_S = 0.05  # a member that gives back is asked again at once, until the processor has noticed
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What both commands can be told; it comes as `start`, `until`, `timeout_s` and `options` of a consumer."""

    @click.option(
        "--start",
        metavar="WHERE",
        default="beginning",
        show_default=True,
        callback=start_from,
        help="Where a new group begins: beginning, end, after a seq, or at an ISO time.",
    )
    @click.option(
        "--until", type=click.Choice(["idle"]), help="End when all is handled; on SIGINT or SIGTERM otherwise."
    )
    @click.option(
        "--timeout", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Fail when not idle by then."
    )
    @click.option(
        "--lease",
        "lease_s",
        type=click.FloatRange(0, min_open=True),
        default=5.0,
        show_default=True,
        metavar="SECONDS",
        help="A member that is silent for so long is taken over.",
    )
    @click.option("-v", "--verbose", is_flag=True, help="Log to stderr who claims and releases what.")
    @functools.wraps(command)
    def wrapped(*, lease_s: float, verbose: bool, **options: Any) -> Any:
        if verbose:
            logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT)
        return command(lease={"lease_s": lease_s, "beat_s": min(1.0, lease_s / 5)}, **options)

    return wrapped


def _run(processor: Processor, group: str, until: Any, timeout_s: float | None) -> None:
    with until_told(processor.ask_to_stop):
        if processor.run(until=until, timeout_s=timeout_s):
            return
    waiting = sum(processor.stats().groups[group].lag.values())
    raise click.ClickException(f"not idle after {timeout_s} s: {waiting:,} events of {group} wait")


@click.command()
@file_options
@group_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="End after so many events.")
@click.option("--format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option(
    "--payload-as",
    "payload",
    type=click.Choice(PAYLOADS),
    default="text",
    show_default=True,
    help="json: as a value in the line; what does not fit is base64.",
)
@_run_options
@click.option("--json", "as_json", is_flag=True, help="Write JSON lines, as --format jsonl.")
def consume(
    *,
    file: str,
    stream: Stream | None,
    group: str,
    limit: int | None,
    format: str,
    payload: str,
    start: Start,
    until: str | None,
    timeout_s: float | None,
    lease: dict[str, Any],
    as_json: bool,
) -> None:
    """Write the events of FILE to stdout, each once for the group.

    An event is acknowledged after it was written and flushed. Whoever kills the command gets at most the last
    batch, 200 events, again.
    """
    if as_json and format != "jsonl":
        raise click.UsageError("--json is --format jsonl")
    encode = functools.partial(as_csv if format == "csv" else json_line, payload=payload)
    with opened(file, stream) as processor:
        writer = _Writer(sys.stdout.buffer, encode, limit, processor.ask_to_stop)
        if format == "csv":
            sys.stdout.buffer.write(delimited([CSV_COLUMNS], ","))
        processor.consumer(group, start=start, **lease)(writer)
        _run(processor, group, until, timeout_s)
    if writer.failure is not None:
        raise writer.failure


class _Writer:
    """A handler that writes events; one that it could not write, and all after it, are given back."""

    def __init__(
        self, target: IO[bytes], encode: Callable[[Event], bytes], limit: int | None, stop: Callable[[], None]
    ) -> None:
        self.failure: OSError | None = None
        self._target = target
        self._encode = encode
        self._left = limit
        self._stop = stop
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        with self._lock:
            if self._left != 0:
                try:
                    self._target.write(self._encode(event))
                    self._target.flush()
                except OSError as error:
                    self.failure, self._left = error, 0
                else:
                    self._left = None if self._left is None else self._left - 1
                    if self._left == 0:
                        self._stop()
                    return
        self._stop()
        time.sleep(_STOPPING_S)
        raise GiveBack


def _handler_from(_ctx: click.Context, _option: click.Parameter, name: str) -> Handler:
    try:
        return load_handler(name)
    except rw.ArgumentError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@file_options
@group_option
@click.option(
    "--handler",
    required=True,
    metavar="PKG.MOD:FUNC",
    callback=_handler_from,
    help="Called with each event; modules of the working directory are found too.",
)
@click.option(
    "--members",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Threads of this process that share the partitions, with other processes.",
)
@click.option("--member", "names", multiple=True, metavar="NAME", help="A member of this name, instead; repeatable.")
@click.option(
    "--attempts",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    metavar="N",
    help="Deliveries of an event that fails, before it is dead.",
)
@click.option(
    "--on-dead",
    type=click.Choice(["park", "skip"]),
    default="park",
    show_default=True,
    help="Later events of a dead event's key: they wait with it, or go on.",
)
@click.option(
    "--codec", type=click.Choice(["json", "msgspec"]), help="What event.payload is decoded with; bytes otherwise."
)
@_run_options
@json_option
def work(
    *,
    file: str,
    stream: Stream | None,
    group: str,
    handler: Handler,
    members: int,
    names: tuple[str, ...],
    attempts: int,
    on_dead: Any,
    codec: Any,
    start: Start,
    until: str | None,
    timeout_s: float | None,
    lease: dict[str, Any],
    as_json: bool,
) -> None:
    """Handle the events of FILE by a function, beside all other processes that do so for the group.

    What the function raises is a failed attempt. A process that is killed is taken over by the others; one that is
    told to end by SIGINT or SIGTERM finishes what is in flight and hands its partitions over.
    """
    with opened(file, stream, codec=codec) as processor:
        options = {"retry": Retry(attempts=attempts), "on_dead": on_dead, **lease}
        processor.consumer(group, members=names or members, start=start, **options)(handler)
        _run(processor, group, until, timeout_s)
        stats = processor.stats().groups[group]
    if as_json:
        told = ("handled", "retries", "deaths", "takeovers")
        echo_json({"group": group, **{name: getattr(stats, name) for name in told}})
        return
    click.echo(f"{group}: {stats.handled:,} handled, {stats.retries:,} retried, {stats.deaths:,} dead")
