"""`ringward events consume`: handle events by writing them out."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from typing import IO, Any

import click

from ringward.cli.events.event_text import CSV_COLUMNS, PAYLOADS, as_csv, json_line
from ringward.cli.events.logs import logged
from ringward.cli.events.running import Within, finished, leaving, run_options
from ringward.cli.events.store import file_options, group_option, opened
from ringward.cli.output_file import delimited
from ringward.cli.sources import InputError
from ringward.events import Event, GiveBack, Stream
from ringward.events.processor import Start
from ringward.mutex import Mutex

__all__ = ["consume"]

_STOPPING_S = 0.05  # a member that gives back is asked again at once, until the processor has noticed


@click.command()
@file_options
@group_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="End after this many events.")
@click.option("--format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option(
    "--payload-as",
    "payload",
    type=click.Choice(PAYLOADS),
    default="text",
    show_default=True,
    help="json: as a value in the line; payloads that do not fit become base64.",
)
@run_options
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
    within: Within,
    lease: dict[str, Any],
    verbose: bool,
    as_json: bool,
) -> None:
    """Write the events of FILE to stdout, each once for the group.

    An event is acknowledged after it was written and flushed. After kill -9, at most the last batch of 200 events is
    written again.
    """
    if as_json and format != "jsonl":
        raise click.UsageError("--json is --format jsonl")
    row = functools.partial(as_csv, safe=sys.stdout.isatty())
    encode = functools.partial(row if format == "csv" else json_line, payload=payload)
    if sys.stdout.name == os.devnull:  # not the caller's /dev/null, which has another name: there is no stdout
        raise InputError("stdout", "closed: events that nobody reads are not acknowledged")
    with leaving() as leave, logged(verbose=verbose), opened(file, stream) as processor:
        leave.of(processor)
        writer = _Writer(sys.stdout.buffer, encode, limit, processor.ask_to_stop)
        if format == "csv":
            sys.stdout.buffer.write(delimited([CSV_COLUMNS], ","))
        processor.consumer(group, start=start, **lease)(writer)
        finished(processor, group, within)
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
        self._lock = Mutex()

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
