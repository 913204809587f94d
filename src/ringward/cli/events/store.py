"""The file of events that commands open, and the options that they share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import click

import ringward as rw
from ringward.cli.nodes import read_hash_key
from ringward.cli.sources import InputError
from ringward.events import Processor, Stream
from ringward.events.processor import Start

__all__ = ["file_options", "group_option", "json_option", "opened", "start_from"]

Command = Callable[..., Any]
NEEDED = "events in files need apsw: pip install 'ringward[cli,events]'"

group_option = click.option("--group", required=True, metavar="NAME", help="The group of consumers.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def file_options(command: Command) -> Command:
    """The argument FILE, and what must be known of its stream; the command gets `file` and `stream`."""

    @click.argument("file")
    @click.option(
        "--partitions", type=click.IntRange(1, 1 << 16), help="Of a new file, or of one with --hash-key-file.  [256]"
    )
    @click.option("--hash-key-file", metavar="FILE", help="Keys are hashed by SipHash, with the secret in this file.")
    @functools.wraps(command)
    def wrapped(*, partitions: int | None, hash_key_file: str | None, **options: Any) -> Any:
        given: dict[str, Any] = {} if partitions is None else {"partitions": partitions}
        if hash_key_file is not None:
            given["hash"] = rw.SipHash(read_hash_key(hash_key_file))
        return command(stream=Stream(**given) if given else None, **options)

    return wrapped


@contextmanager
def opened(file: str, stream: Stream | None, *, new: bool = False, **options: Any) -> Iterator[Processor]:
    """A processor on a file, which must be there unless it may be `new`."""
    try:
        from ringward.events import SqliteStore  # noqa: F401, PLC0415 - needs the extra
    except ImportError as error:
        raise click.ClickException(NEEDED) from error
    if not new and not Path(file).exists():
        raise InputError(file, "no such file")
    with Processor(file, stream=stream, **options) as processor:
        yield processor


def start_from(_ctx: click.Context, _option: click.Parameter, text: str | None) -> Start | None:
    """A position: "beginning", "end", a seq, or a time in ISO 8601."""
    match text:
        case None | "beginning" | "end":
            return text
    if text.isdecimal():
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(f"must be beginning, end, a seq or an ISO time (was {text!r})") from None
