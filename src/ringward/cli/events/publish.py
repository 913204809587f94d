"""`ringward events publish`: the rows of a file, or of stdin, become events."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import click

import ringward as rw
from ringward.cli.events.store import file_options, json_option, opened
from ringward.cli.inputs import TYPED_KINDS, Layout, Rows, hint_at
from ringward.cli.options import Seconds, text_options
from ringward.cli.output import StoppedError, echo_json, note
from ringward.cli.progress import progress
from ringward.cli.sources import ByteSource, InputError, byte_source, decoded_lines
from ringward.events import Processor, Stream
from ringward.texts import shown

__all__ = ["publish"]

BATCH = 1000
_JSON_LINES = (".jsonl", ".ndjson", ".json")


class _Some(NamedTuple):
    """Some events to publish."""

    keys: list[Any]
    payloads: list[bytes]
    ids: list[Any] | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What of a row makes an event."""

    key: str
    id: str | None
    payload: tuple[str, ...]
    header: bool
    integers: bool
    format: str | None
    batch: int
    delimiter: str | None = None
    encoding: str | None = None


@dataclass(slots=True)
class _Total:
    """What was stored."""

    events: int = 0
    duplicates: int = 0
    first_seq: int | None = None
    last_seq: int | None = None
    seconds: float = 0.0


@click.command()
@file_options
@click.argument("source", metavar="INPUT", default="-")
@click.option(
    "--key",
    required=True,
    metavar="COLUMN",
    help="The column of the key, by name or number from 1. Events of one key stay in order.",
)
@click.option("--int", "integers", is_flag=True, help="Keys of CSV and TSV are integers; keys of JSON keep their type.")
@click.option(
    "--payload",
    multiple=True,
    metavar="COLUMN",
    help="A column of the payload; repeatable.  [default: the whole row as JSON]",
)
@click.option(
    "--id", metavar="COLUMN", help="The column with the id of a row: a row whose id is stored already is left out."
)
@click.option("--no-header", is_flag=True, help="The first row is data; columns are numbers from 1.")
@click.option(
    "--format", type=click.Choice(["csv", "tsv", "jsonl"]), help="What INPUT holds.  [default: by its name's ending]"
)
@text_options
@click.option("--producer", default="default", show_default=True, metavar="NAME", help="The namespace of ids.")
@click.option(
    "--batch", type=click.IntRange(1, 100_000), default=BATCH, show_default=True, metavar="N", help="Rows per commit."
)
@click.option("--wait", "wait_s", type=Seconds(), help="How long to wait for room when too many events wait.")
@click.option("--no-create", is_flag=True, help="Fail when FILE is missing.")
@json_option
def publish(
    *,
    file: str,
    stream: Stream | None,
    source: str,
    key: str,
    integers: bool,
    payload: tuple[str, ...],
    id: str | None,
    no_header: bool,
    format: str | None,
    delimiter: str | None,
    encoding: str | None,
    producer: str,
    batch: int,
    wait_s: float | None,
    no_create: bool,
    as_json: bool,
) -> None:
    """Store the rows of INPUT (CSV, TSV or JSON lines; - is stdin) as events in FILE, durably.

    FILE is created if it is missing. With --id, rows that are already stored are left out, so you can run the same
    command again after any error. With one --payload column the payload is its text; with several, a JSON object.
    """
    wanted = _Wanted(key, id, payload, not no_header, integers, format, batch, delimiter, encoding)
    total, began = _Total(), time.perf_counter()
    fresh = not os.path.lexists(file)
    if fresh and no_create:
        raise InputError(file, "no such file")
    if source == "-" and sys.stdin is not None and sys.stdin.isatty():
        note("rows are read from the terminal; Ctrl-D ends them")
    with byte_source(source) as raw:
        events = _events(raw, wanted)
        try:
            first = next(events, None)  # before FILE is made: an INPUT that cannot be read makes none
        except InputError as error:
            raise click.ClickException(f"{error}{_before(total)}") from error
        events = itertools.chain(() if first is None else (first,), events)
        with opened(file, stream, new=True, producer=producer) as processor:
            if fresh:
                note(f"{file} is new: {processor.store.stream.partitions} partitions")
            _publish(processor, raw, events, total, wait_s)
    total.seconds = round(time.perf_counter() - began, 3)
    if as_json:
        echo_json({"file": file, **asdict(total)})
        return
    where = "" if total.first_seq is None else f", seq {total.first_seq:,} to {total.last_seq:,}"
    again = f"; {total.duplicates:,} were there already" if total.duplicates else ""
    stored = total.events - total.duplicates
    click.echo(f"{file}: {stored:,} event{'' if stored == 1 else 's'} stored{where}{again}")


def _publish(
    processor: Processor, source: ByteSource, events: Iterator[_Some], total: _Total, wait_s: float | None
) -> None:
    some: _Some | None = None
    with progress(source, None, quiet=False) as advance:
        try:
            for some in events:
                receipts = processor.publish_many(*some, wait_s=wait_s)
                fresh = [receipt.seq for receipt in receipts if not receipt.duplicate]
                total.events += len(receipts)
                total.duplicates += len(receipts) - len(fresh)
                if fresh:
                    total.first_seq, total.last_seq = total.first_seq or fresh[0], fresh[-1]
                advance(len(receipts))
        except InputError as error:
            raise click.ClickException(f"{error}{_before(total)}") from error
        except OSError as error:  # of reading: the store has errors of its own
            raise click.ClickException(f"{source.name}: {error.strerror or error}{_before(total)}") from error
        except KeyboardInterrupt as error:
            rows = f"the {total.events:,} rows before are stored" if total.events else "none is"
            raise StoppedError(f"interrupted; {rows}, and perhaps one commit more") from error
        except rw.RingwardError as error:
            raise click.ClickException(f"{source.name}, {_refused(error, some, total)}{_before(total)}") from error


def _refused(error: rw.RingwardError, some: _Some | None, total: _Total) -> str:
    """Which row is refused, as far as that is known, and why."""
    name, first = getattr(error, "id", None), total.events + 1
    same = (
        []
        if name is None or some is None or some.ids is None
        else [i for i, other in enumerate(some.ids) if other == name]
    )
    if same and some is not None:
        events = list(zip(some.keys, some.payloads, strict=True))
        other = next((i for i in same if events[i] != events[same[0]]), None)
        if isinstance(error, rw.ConflictError) and other is not None:
            return (
                f"row {first + other:,} has the same id as row {first + same[0]:,} of this input, {shown(name)},"
                " and another key or payload; is --id unique?"
            )
        seq = getattr(error, "seq", 0)
        if total.first_seq is not None and total.last_seq is not None and total.first_seq <= seq <= total.last_seq:
            return f"row {first + same[0]:,}: {error}, and that is of this input; is --id unique?"
        return f"row {first + same[0]:,}: {error}"
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"rows from {first:,}: {error}{notes}"


def _before(total: _Total) -> str:
    return f"; the {total.events:,} rows before are stored" if total.events else "; nothing is stored"


def _events(source: ByteSource, wanted: _Wanted) -> Iterator[_Some]:
    kind = wanted.format or _kind(source.name)
    if kind == "jsonl":
        return _from_json(source, wanted)
    return _from_table(source, wanted, kind)


def _kind(name: str) -> str:
    stem = name.lower().removesuffix(".gz").removesuffix(".xz")
    if stem.endswith(_JSON_LINES):
        return "jsonl"
    kind = Layout("").kind(name)
    if kind in {*TYPED_KINDS, "other"}:
        raise click.UsageError(f"publish reads CSV, TSV and JSON lines (was {name})")
    return kind


def _from_table(source: ByteSource, wanted: _Wanted, kind: str) -> Iterator[_Some]:
    if not wanted.header and not all(name.isdecimal() for name in (wanted.key, wanted.id or "1", *wanted.payload)):
        raise click.UsageError("with --no-header, columns are numbers from 1")
    layout = Layout(wanted.key, wanted.header, wanted.integers, kind, None, wanted.delimiter, wanted.encoding, "empty")
    rows = Rows(source, layout)
    names = rows.columns
    places = [_place(source, names, name) for name in wanted.payload]
    id_place = None if wanted.id is None else _place(source, names, wanted.id)
    for batch in rows.batches(wanted.batch):
        width = len(batch.rows[0])
        if over := [place + 1 for place in (*places, id_place or 0) if place >= width]:
            raise InputError(source.name, f"no column {over[0]}; there are {width}")
        payloads = [_table_payload(row, names, places) for row in batch.rows]
        ids = None if id_place is None else [row[id_place] for row in batch.rows]
        yield _Some(batch.keys, payloads, ids)


def _place(source: ByteSource, names: list[str] | None, name: str) -> int:
    if names is None:
        return int(name) - 1
    if names.count(name) != 1:
        found = "no column" if name not in names else "more than one column"
        raise InputError(source.name, f"{found} {name!r}; there are: {', '.join(names)}{hint_at(names)}")
    return names.index(name)


def _table_payload(row: list[str], names: list[str] | None, places: list[int]) -> bytes:
    if len(places) == 1:
        return row[places[0]].encode()
    chosen = places or range(len(row))
    if names is None:
        return _json([row[place] for place in chosen])
    return _json({names[place]: row[place] for place in chosen})


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _from_json(source: ByteSource, wanted: _Wanted) -> Iterator[_Some]:
    if not wanted.header or wanted.integers or wanted.delimiter:
        raise click.UsageError("--no-header, --int and --delimiter are for CSV and TSV")
    keys: list[Any] = []
    payloads: list[bytes] = []
    ids: list[Any] = []
    for number, line in enumerate(decoded_lines(source, wanted.encoding), 1):
        if not line.strip():
            continue
        record = _record(source, line, number)
        keys.append(_field(source, record, wanted.key, number, (str, int)))
        payloads.append(_json_payload(source, record, line, wanted.payload, number))
        ids.append(None if wanted.id is None else _field(source, record, wanted.id, number, (str, int)))
        if len(keys) == wanted.batch:
            yield _Some(keys, payloads, None if wanted.id is None else ids)
            keys, payloads, ids = [], [], []
    if keys:
        yield _Some(keys, payloads, None if wanted.id is None else ids)


def _record(source: ByteSource, line: str, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(source.name, f"no JSON: {error}", number) from error
    if not isinstance(record, dict):
        raise InputError(source.name, f"must be a JSON object (was {line.strip()[:40]})", number)
    return record


def _field(source: ByteSource, record: dict[str, Any], name: str, number: int, types: tuple[type, ...] = ()) -> Any:
    if name not in record:
        raise InputError(source.name, f"no field {name!r}; there are: {', '.join(record)}", number)
    value = record[name]
    if types and (isinstance(value, bool) or not isinstance(value, types)):
        raise InputError(source.name, f"{name!r} must be text or an integer (was {json.dumps(value)[:40]})", number)
    return value


def _json_payload(
    source: ByteSource, record: dict[str, Any], line: str, payload: tuple[str, ...], number: int
) -> bytes:
    if not payload:
        return line.strip().encode()
    values = {name: _field(source, record, name, number) for name in payload}
    if len(payload) > 1:
        return _json(values)
    value = values[payload[0]]
    return value.encode() if isinstance(value, str) else _json(value)
