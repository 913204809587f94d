"""Stored values, as what they mean: the one place that each kind is decoded in.

What cannot have been stored here raises `StoreFormatError`, which names table, row and column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NoReturn, TypeVar

from ringward._core import first_faulty
from ringward.checks import checked_float
from ringward.errors import RingwardError, StoreFormatError
from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import Row
from ringward.events.model.membership import Membership
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.settings import Settings, retention_from
from ringward.events.model.store import Totals
from ringward.events.stores.encoding import LETTER_STATES, NUMBER_MOST, json_from, members_from, pairs_from, rising
from ringward.events.stores.stamps import KNOTS_MOST, Knot, LogTime
from ringward.snapshot import is_intact
from ringward.texts import shown

__all__ = [
    "AT_MOST",
    "SAID_MOST",
    "dead_letter_of",
    "heads_of",
    "json_of",
    "knots_of",
    "membership_of",
    "number_of",
    "ranges_of",
    "refuse",
    "rows_of",
    "settings_of",
    "state_of",
    "tail_of",
    "text_of",
    "totals_of",
]

T = TypeVar("T")

AT_MOST = 253_402_300_799_999  # the last millisecond of the year 9999
SAID_MOST = 40  # characters of a value in a message


def refuse(table: str, row: str, column: str, want: str, value: object) -> NoReturn:
    """Raise the error for a value that cannot have been stored."""
    was = shown(value, SAID_MOST)
    raise StoreFormatError(f"table ringward_{table}, {row}, column {column}: must be {want} (was {was})")


def number_of(value: object, table: str, row: str, column: str, most: int = NUMBER_MOST) -> int:
    """A count, a seq, an epoch ...: an int from 0."""
    if type(value) is not int or not 0 <= value <= most:
        refuse(table, row, column, f"an integer from 0 to {most}", value)
    return value


def text_of(value: object, table: str, row: str, column: str) -> str:
    """A text."""
    if type(value) is not str:
        refuse(table, row, column, "a text", value)
    return value


def json_of(value: object, table: str, row: str, column: str) -> Any:
    """What a JSON text holds."""
    return _decoded(json_from, value, table, row, column)


def _decoded(decode: Callable[[Any], T], found: Any, table: str, row: str, column: str, value: object = None) -> T:
    """What something means that other stores keep alike; `value` is what stands in the column, if that is not what was found."""
    try:
        return decode(found)
    except ValueError as error:
        refuse(table, row, column, str(error), found if value is None else value)


def ranges_of(value: object, row: str, column: str) -> tuple[tuple[int, int], ...]:
    """The pairs of seqs, or of a seq and a count, that a state holds as JSON."""
    if value is None:
        return ()
    found = json_of(value, "documents", row, column)
    return _decoded(pairs_from, found, "documents", row, column, value)


def state_of(row: Sequence[Any], group: object, partition: object) -> PartitionState:
    """A state from its row."""
    epoch, revision, owner, cursor, done, attempts, low, high, generation = row
    spans: tuple[tuple[int, int], ...] = ()
    if type(high) is str:  # several ranges
        where = f"group {group}, partition {partition}"
        spans = _rising(ranges_of(high, where, "high"), where, "high")
        low, high = spans[0][0] if spans else low, 0
    elif low is not None:
        spans = ((low, high),)
    numbers = (epoch, revision, cursor, generation, 0 if low is None else low, 0 if high is None else high)
    ints = set(map(type, numbers)) == {int} and min(numbers) >= 0 and max(numbers) <= NUMBER_MOST
    if not ints or (low is None) != (high is None):
        where = f"group {group}, partition {partition}"
        for column, number in zip(("epoch", "revision", "cursor", "generation", "low", "high"), numbers, strict=True):
            number_of(number, "documents", where, column)
        refuse("documents", where, "low", "given together with high", low)
    if owner is not None and type(owner) is not str:
        refuse("documents", f"group {group}, partition {partition}", "owner", "a text or NULL", owner)
    if done is not None or attempts is not None:
        where = f"group {group}, partition {partition}"
        done, attempts = ranges_of(done, where, "done"), ranges_of(attempts, where, "attempts")
        _rising(done, where, "done")
    return PartitionState(epoch, revision, owner, cursor, done or (), attempts or (), spans, generation)


def _rising(ranges: tuple[tuple[int, int], ...], where: str, column: str) -> tuple[tuple[int, int], ...]:
    return _decoded(rising, ranges, "documents", where, column)


def membership_of(row: Sequence[Any], group: object, *, whole: bool = False) -> Membership:
    """A membership from its row; whether its router is a snapshot is looked at for a check of the whole file."""
    number, members, router = row
    where = f"group {group}"
    number_of(number, "views", where, "number")
    if type(router) is not bytes:
        refuse("views", where, "router", "bytes", router)
    if whole and router and not is_intact(router):
        refuse("views", where, "router", "a router's snapshot", router)
    found = json_of(members, "views", where, "members")
    made = _decoded(members_from, found, "views", where, "members", members)
    return Membership(number, made, router)


def dead_letter_of(row: Sequence[Any], group: object) -> DeadLetter:
    """A dead letter from its row."""
    seq, partition, key, state, error, attempts = row
    where = f"group {group}, seq {seq}"
    number_of(seq, "letters", where, "seq")
    number_of(partition, "letters", where, "partition")
    number_of(attempts, "letters", where, "attempts")
    if type(key) is not bytes:
        refuse("letters", where, "key", "bytes", key)
    if state not in LETTER_STATES:
        refuse("letters", where, "state", "dead, parked or redrive", state)
    return DeadLetter(seq, partition, key, state, text_of(error, "letters", where, "error"), attempts)


def heads_of(rows: list[Any], after: int) -> list[tuple[int, int]]:
    """(seq, partition) of rows that must rise from a seq."""
    if (at := first_faulty(rows, after)) >= 0:
        refuse("log", f"seq {rows[at][0]}", "seq, partition", f"integers, of seqs that rise from {after}", rows[at])
    return rows


def rows_of(rows: list[Any], after: int, table: str = "log") -> list[Row]:
    """Rows of events, which must rise from a seq."""
    if (at := first_faulty(rows, after)) >= 0:
        names = ("seq", "partition", "kind", "key", "id", "payload", "headers", "at")
        seq, _, kind, key, id, payload, headers, stamp = row = rows[at]
        right = {
            "seq": type(seq) is int and seq > after,
            "kind": type(kind) is int and 0 <= kind <= 3,
            "key": type(key) is bytes,
            "id": id is None or type(id) in (str, bytes, int),
            "payload": type(payload) is bytes,
            "headers": headers is None or type(headers) is str,
            "at": type(stamp) is int and 0 <= stamp <= AT_MOST,
        }
        column = next((name for name in names if not right.get(name, True)), "partition")
        refuse(table, f"seq {seq}", column, "what is stored of an event", row[names.index(column)])
    return rows


def tail_of(row: Sequence[Any] | None) -> tuple[int, int, int, int]:
    """seq, at, volume and chain of the last row, or of the anchor."""
    if row is None:
        refuse("anchor", "the only row", "seq", "there", None)
    seq, at, volume, chain = row
    numbers = type(seq) is type(at) is type(volume) is type(chain) is int
    if numbers and 0 <= seq <= NUMBER_MOST and 0 <= at <= AT_MOST and 0 <= volume <= NUMBER_MOST:
        return seq, at, volume, chain
    where = f"seq {seq}, the last row or the anchor"
    number_of(seq, "log", where, "seq")
    number_of(at, "log", where, "at", AT_MOST)
    number_of(volume, "log", where, "volume")
    refuse("log", where, "chain", "an integer", chain)


def totals_of(rows: Sequence[Sequence[Any]]) -> Totals:
    """Tail, first seq and size of the log, from the tail, its volume, and the anchor's."""
    if not rows:
        refuse("anchor", "the only row", "seq", "there", None)
    names = ("seq", "volume", "seq", "volume")
    tail, volume, seq, before = (
        number_of(value, "log", "the last row or the anchor", name) for value, name in zip(rows[0], names, strict=True)
    )
    return Totals(tail, seq + 1, volume - before)


def settings_of(rows: Sequence[Any]) -> dict[str, Any]:
    """What somebody has set, by name."""
    made: dict[str, Any] = {}
    for name, text in rows:
        where = f"name {name!r}"
        if name not in Settings._fields:
            continue
        value = json_of(text, "settings", where, "value")
        try:
            made[name] = retention_from(value) if name == "retention" else checked_float(name, value, zero=True)
        except (RingwardError, TypeError):
            refuse("settings", where, "value", f"a {name}", text)
    return made


def knots_of(rows: Sequence[Any]) -> LogTime:
    """What is known of stamps that were wrong."""
    for name, text in rows:
        if name == "clock":
            found = json_of(text, "settings", "name 'clock'", "value")
            try:
                knots = tuple(Knot(time_ms, stamp) for time_ms, stamp in found)
                rising = all(a.time_ms < b.time_ms and a.stamp < b.stamp for a, b in pairwise(knots))
            except (TypeError, ValueError):
                rising, knots = False, ()
            right = all(type(n) is int and 0 <= n <= AT_MOST for knot in knots for n in knot)
            if not rising or not right or len(knots) > KNOTS_MOST:
                refuse("settings", "name 'clock'", "value", "pairs of times that rise", text)
            return LogTime(knots)
    return LogTime()
