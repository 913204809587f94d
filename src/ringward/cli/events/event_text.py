"""Events as text: JSON lines and CSV."""

from __future__ import annotations

import base64
import binascii
import codecs
import json
from datetime import UTC, datetime
from typing import Any

from ringward.cli.output_file import delimited
from ringward.events import Event
from ringward.events.model.event import Delivery, Row
from ringward.texts import neutral

__all__ = ["CSV_COLUMNS", "PAYLOADS", "as_csv", "as_dict", "beginning", "event_of", "iso_time", "json_line", "plain"]

PAYLOADS = ("text", "json", "base64")
CSV_COLUMNS = ["seq", "at_ms", "key", "id", "attempt", "payload"]


def event_of(row: Row) -> Event:
    """A row of the log, as an event that is delivered to nobody."""
    return Event((row, 0, Delivery("", {})))


def json_line(event: Event, payload: str) -> bytes:
    """One line of JSON, in ASCII."""
    return json.dumps(as_dict(event, payload)).encode() + b"\n"


def as_dict(event: Event, payload: str) -> dict[str, Any]:
    """An event; what is bytes and no text has its name with _base64 behind it."""
    record: dict[str, Any] = {"seq": event.seq, "partition": event.partition, "at_ms": event.at_ms}
    if event.attempt:
        record |= {"attempt": event.attempt, "epoch": event.epoch}
    record |= _named("key", event.key) | _named("id", event.id)
    if event.headers:
        record["headers"] = event.headers
    return record | _payload(event.payload, payload)


def _named(name: str, value: str | bytes | int | None) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {f"{name}_base64": _base64(value)}
    return {name: value}


def _payload(data: bytes, form: str) -> dict[str, Any]:
    if form != "base64":
        try:
            text = data.decode()
            return {"payload": _value(text) if form == "json" else text}
        except (ValueError, RecursionError):  # no UTF-8, or no JSON that can be written again
            pass
    return {"payload_base64": _base64(data)}


def _value(text: str) -> Any:
    """What JSON text holds, if that is JSON again: Python also reads NaN, and numbers that become infinite."""
    value = json.loads(text)
    json.dumps(value, allow_nan=False)
    return value


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def as_csv(event: Event, payload: str, *, safe: bool = False) -> bytes:
    """One row of CSV: CSV_COLUMNS; `safe` for a terminal."""
    body = _base64(event.payload) if payload == "base64" else plain(event.payload)
    key, name = plain(event.key), "" if event.id is None else plain(event.id)
    cells = [str(event.seq), str(event.at_ms), key, name, str(event.attempt), body]
    return delimited([[neutral(cell) for cell in cells] if safe else cells], ",")


def plain(value: str | bytes | int) -> str:
    """As text; bytes that are none in hexadecimal digits."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return "\\x" + binascii.hexlify(value).decode()
    return str(value)


def iso_time(at_ms: int) -> str:
    """Milliseconds since 1970, as a time of the zone UTC; as they are, where no calendar reaches."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def beginning(payload: bytes, most: int) -> str:
    """The beginning of a payload, on one line; a character that is cut in two is left out."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(payload[: 4 * most], final=len(payload) <= 4 * most)
    except UnicodeDecodeError:
        text = plain(payload[:most])
    return neutral(text[:most])[:most]
