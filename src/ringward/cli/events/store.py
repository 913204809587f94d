"""The file of events that commands open, and the options that they share."""

from __future__ import annotations

import functools
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
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
_DIGITS_MOST = 20
_OPTIONS = {  # argument of the library → what it is called here, where that differs; the command has one of them
    "path": ("file",),
    "start": ("--start",),
    "members": ("--member", "--members"),
    "lease_s": ("--lease",),
    "heartbeat_s": ("--lease",),
    "hash": ("--hash-key-file",),
}


def file_options(command: Command) -> Command:
    """The argument FILE, and what must be known of its stream; the command gets `file` and `stream`."""

    @click.argument("file")
    @click.option(
        "--partitions",
        type=click.IntRange(1, 1 << 16),
        metavar="N",
        help="Number of partitions of a file that is new or has --hash-key-file.  [256]",
    )
    @click.option("--hash-key-file", metavar="FILE", help="Keys are hashed by SipHash, with the secret in this file.")
    @functools.wraps(command)
    def wrapped(*, partitions: int | None, hash_key_file: str | None, **options: Any) -> Any:
        given: dict[str, Any] = {} if partitions is None else {"partitions": partitions}
        if hash_key_file is not None:
            given["hash"] = rw.SipHash(read_hash_key(hash_key_file))
        try:
            return command(stream=Stream(**given) if given else None, **options)
        except (rw.ArgumentError, rw.ArgumentTypeError) as error:
            raise click.ClickException(_as_option(error)) from error
        except OSError as error:
            if error.filename is None and not isinstance(error, rw.RingwardError) and _of_the_store(error):
                error.filename = options["file"]
            raise

    return wrapped


def _of_the_store(error: OSError) -> bool:
    """Whether it was met at the file of events, and not at what the command reads or writes itself."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(str(frame.f_globals.get("__name__")).startswith("ringward.events") for frame, _ in frames)


def _as_option(error: rw.ArgumentError | rw.ArgumentTypeError) -> str:
    """The error of an argument as one of the option that it came from, if there is one."""
    options = [option for param in click.get_current_context().command.params for option in param.opts]
    names = _OPTIONS.get(error.argument, (f"--{error.argument.replace('_', '-')}",))
    name = next((name for name in names if name in options), None)
    if name is None:
        return str(error)
    value = str(error.value) if isinstance(error.value, datetime) else repr(error.value)
    seqs = ", the last seq" if error.argument in ("start", "to") and isinstance(error.value, int) else ""
    return f"{name if name.startswith('-') else name.upper()} must be {error.bound}{seqs} (was {value})"


@contextmanager
def opened(
    file: str, stream: Stream | None, *, path: str | None = None, new: bool = False, **options: Any
) -> Iterator[Processor]:
    """A processor on a file, which must be there unless it may be `new`; `path` is the file's, if it has another."""
    try:
        from ringward.events.stores.sqlite.paths import resolved_path  # noqa: PLC0415 - the extra is looked for here
        from ringward.events.stores.sqlite.store import SqliteStore  # noqa: F401, PLC0415 - needs the extra
    except ImportError as error:
        raise click.ClickException(NEEDED) from error
    path = path or file
    if file == "-":
        raise InputError(file, "FILE is a file of events, which stdin and stdout cannot be")
    resolved_path(file)  # which says what is meant by ":memory:" and "sqlite:///"
    if os.path.isdir(path):  # noqa: PTH112 - FILE may be anything, and is shown as it was given
        raise InputError(file, "a folder")
    if not new and not os.path.lexists(path):
        raise InputError(file, "no such file; `ringward events publish` makes it")
    if not new and os.path.isfile(path) and not os.path.getsize(path):  # noqa: PTH113, PTH202 - as above
        raise InputError(file, "an empty file, without a stream of events")
    try:
        processor = Processor(path, stream=stream, create=new, **options)
    except ImportError as error:  # of a codec's extra, which is looked for before the file is opened
        raise click.ClickException(str(error)) from error
    except rw.StoreFormatError as error:
        raise click.ClickException(_misfit(file, stream, str(error))) from error
    with processor:
        yield processor


def _misfit(file: str, stream: Stream | None, reason: str) -> str:
    """Why a file cannot be opened, by the names that the command line has for things."""
    if reason.startswith("path must be a file of ringward.events"):
        return f"{file} is not a file of ringward events: {reason}"
    if stream is not None and reason.startswith("stream must be the one in the file"):
        return f"{file}: --partitions or --hash-key-file do not fit: {reason}"
    return reason


def start_from(_ctx: click.Context, _option: click.Parameter, text: str | None) -> Start | None:
    """A position: "beginning", "end", a seq, or a time in ISO 8601."""
    match text:
        case None | "beginning" | "end":
            return text
    if text.isdecimal() and len(text) <= _DIGITS_MOST:
        return int(text)
    try:
        time = datetime.fromisoformat(text)
        time.timestamp()  # a local time at the ends of the calendar may have none
    except (ValueError, OverflowError, OSError):
        raise click.BadParameter(f"must be beginning, end, a seq or an ISO time (was {text[:40]!r})") from None
    return time
