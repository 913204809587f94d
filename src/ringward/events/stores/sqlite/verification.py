"""Whether a file is as it was stored: what is wrong, in words. It ends on any file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from ringward.errors import StoreFormatError
from ringward.events.model.stream import Stream
from ringward.events.stores.sqlite import schema
from ringward.events.stores.sqlite.decoding import (
    dead_letter_of,
    knots_of,
    membership_of,
    number_of,
    settings_of,
    state_of,
    tail_of,
)
from ringward.events.stores.sqlite.fingerprint import check, served
from ringward.events.stores.sqlite.log import belongs, chained, digest

__all__ = ["LINES_MOST", "Verification"]

LINES_MOST = 1000
_ROWS = 10_000
_EVENT = "seq, partition, kind, key, id, payload, headers, at, chain, volume"
_STATE = "epoch, revision, owner, cursor, done, attempts, low, high, generation"
_DEAD_LETTERS = "SELECT name, seq, partition, key, state, error, attempts, kind, l.id, payload, headers, digest"
_READING = (apsw.Error, StoreFormatError, UnicodeDecodeError)  # what reading a damaged file raises


class _EnoughError(Exception):
    """There are lines enough."""


class Verification:
    """Walks through a file, on a connection that sees one state of it.

    Parameters
    ----------
    connection : apsw.Connection
    stream : Stream
    """

    def __init__(self, connection: apsw.Connection, stream: Stream) -> None:
        self._connection = connection
        self._stream = stream
        self._wrong: list[str] = []
        self._tail = 0

    def run(self) -> list[str]:
        """What is wrong; empty when nothing is."""
        parts = (
            self._tables,
            self._settings,
            self._log,
            self._dead_letters,
            self._states,
            self._memberships,
            self._structures,
        )
        with self._connection, served(self._connection):
            for part in parts:
                try:
                    part()
                except _EnoughError:
                    self._wrong.append("and more: the check has ended here")
                    break
                except _READING as error:
                    self._wrong.append(f"what follows cannot be read: {error}")
        return self._wrong

    def _look(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def _say(self, text: str) -> None:
        if len(self._wrong) >= LINES_MOST:
            raise _EnoughError
        self._wrong.append(text)

    def _try(self, check: Callable[[], object]) -> bool:
        """Whether values can be decoded; what is wrong of them is said."""
        try:
            check()
        except StoreFormatError as error:
            self._say(str(error))
            return False
        return True

    def _tables(self) -> None:
        self._try(lambda: check(self._connection, schema.STEPS))

    def _settings(self) -> None:
        rows = self._look("SELECT name, value FROM ringward_settings")
        self._try(lambda: settings_of(rows))
        self._try(lambda: knots_of(rows))

    def _log(self) -> None:
        """Walk the chain from the prune anchor."""
        (anchor,) = self._look("SELECT seq, at, volume, chain FROM ringward_anchor") or [None]
        seq, before, volume, chain = tail_of(anchor)
        while rows := self._rows_past(seq):
            for number, partition, kind, key, id, payload, headers, at, link, sum_of in rows:
                event = (kind, key, id, payload, headers)
                if number <= seq:  # SQLite gives them in the order of their places
                    self._say(f"seq {number}: the row stands behind seq {seq}; what follows is not checked")
                    return
                if number != seq + 1:
                    self._say(f"seq {seq + 1} to {number - 1}: missing")
                if isinstance(partition, Exception):
                    self._say(f"seq {number}: cannot be read: {partition}")
                elif partition is None and key is None:
                    self._say(f"seq {number}: the event was lost when the file was copied")
                elif chained(event, chain, before, at) != link:
                    self._say(f"seq {number}: the row is not the one that was appended here")
                elif not belongs(self._stream, partition, kind, key):
                    self._say(f"seq {number}: partition {partition} is not that of the key")
                elif type(sum_of) is not int or sum_of < volume + len(payload):
                    self._say(f"seq {number}: volume must be at least {volume + len(payload)} (was {sum_of!r:.40})")
                seq, before, chain, volume = number, at, link, sum_of if type(sum_of) is int else volume
        self._tail = seq

    def _rows_past(self, seq: int) -> list[Any]:
        """Some rows past a seq; of one that can't be read, the error stands for its partition."""
        try:
            return self._look(f"SELECT {_EVENT} FROM ringward_log WHERE seq > ? ORDER BY seq LIMIT ?", (seq, _ROWS))
        except _READING:
            pass
        rows: list[Any] = []
        numbers = self._look("SELECT seq FROM ringward_log WHERE seq > ? ORDER BY seq LIMIT ?", (seq, LINES_MOST))
        for (number,) in numbers:
            try:
                rows += self._look(f"SELECT {_EVENT} FROM ringward_log WHERE seq = ?", (number,))
            except _READING as error:
                rows.append((number, error, *[None] * 8))
        return rows

    def _dead_letters(self) -> None:
        for group, seq, partition, key, *more, kind, id, payload, headers, stored in self._look(
            _DEAD_LETTERS + " FROM ringward_letters l JOIN ringward_groups ON grp = number ORDER BY grp, seq"
        ):
            dead_letter = (seq, partition, key, *more)
            if self._try(lambda dead_letter=dead_letter, group=group: dead_letter_of(dead_letter, repr(group))):  # type: ignore[misc]
                try:
                    same = digest(kind, key, id, payload, headers) == stored
                except StoreFormatError:
                    same = False
                if not same:
                    self._say(
                        f"dead letter {seq} of group {group!r}, partition {partition}: "
                        "the event is not the one that was appended"
                    )

    def _states(self) -> None:
        partitions = self._stream.partitions
        for group, name, start, generation in self._look("SELECT number, name, start, generation FROM ringward_groups"):
            where = f"name {name!r}"
            self._try(lambda value=start, where=where: number_of(value, "groups", where, "start"))  # type: ignore[misc]
            self._try(lambda value=generation, where=where: number_of(value, "groups", where, "generation"))  # type: ignore[misc]
            rows = self._look(f"SELECT partition, {_STATE} FROM ringward_documents WHERE grp = ?", (group,))
            for partition, *row in rows:
                if self._try(lambda row=row, name=name, partition=partition: state_of(row, repr(name), partition)):  # type: ignore[misc]
                    state = state_of(row, repr(name), partition)
                    if state.cursor > self._tail:
                        self._say(
                            f"group {name!r}, partition {partition}: cursor {state.cursor} is above the tail,"
                            f" {self._tail}"
                        )
            stored = [partition for partition, *_ in rows]
            for partition in sorted({*range(partitions)}.difference(stored)):
                self._say(f"group {name!r}, partition {partition}: its state is missing")
            for partition in sorted(repr(each) for each in stored if each not in range(partitions)):
                self._say(f"group {name!r}, partition {partition}: there is no such partition")

    def _memberships(self) -> None:
        for group, *row in self._look("SELECT grp, number, members, router FROM ringward_views"):
            self._try(lambda row=row, group=group: membership_of(row, group, whole=True))  # type: ignore[misc]

    def _structures(self) -> None:
        for row in self._look("PRAGMA integrity_check"):
            for text in str(row[0]).splitlines():
                if text != "ok":
                    self._say(text)
