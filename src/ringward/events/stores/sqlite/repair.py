"""What a file must hold to be a store again: events as they were appended, every seq, a state for each partition."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import apsw

from ringward.errors import StoreFormatError
from ringward.events.model.event import headers_from, key_from_bytes
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.stream import Stream
from ringward.events.stores.sqlite.decoding import (
    dead_letter_of,
    knots_of,
    membership_of,
    settings_of,
    state_of,
    tail_of,
)
from ringward.events.stores.sqlite.log import belongs, chained, digest

__all__ = ["Repair"]

_EVENTS = (
    "SELECT seq, partition, kind, key, id, payload, headers, at, chain, volume FROM ringward_log"
    " WHERE seq > ? ORDER BY seq"
)
_STATE = "epoch, revision, owner, cursor, done, attempts, low, high, generation"
_LOST = "REPLACE INTO ringward_log VALUES (?, NULL, 0, 0, ?, ?, ?, NULL, NULL, NULL, NULL)"
_ROW_LEAST = 16  # bytes that a row takes at least
_NEW_EPOCH = 1 << 20  # more than can have been claimed since a state that is lost was written


class Repair:
    """Takes what is not as it was stored out of a file that can be read, and puts in what has to be there.

    `highest` is a seq that was given out, as far as is known elsewhere.

    An event that is lost leaves its seq behind, without partition, key and payload, so that no other gets it.
    """

    def __init__(self, connection: apsw.Connection, stream: Stream, highest: int) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._stream = stream
        self._highest = highest
        self._anchored = True
        self._most = 0  # no seq can be higher
        self._lost: list[str] = []

    def run(self) -> list[str]:
        """Do it all in one transaction; what is lost, in words."""
        with self._connection:
            self._repair_settings()
            self._repair_anchor()
            self._repair_producers()
            self._repair_groups()
            self._repair_log()
            if self._lost:
                self._execute("UPDATE ringward_documents SET epoch = epoch + 1, revision = revision + 1, owner = NULL")
        return self._lost

    # --- the log

    def _repair_settings(self) -> None:
        for name, value in self._rows("SELECT name, value FROM ringward_settings"):
            try:
                settings_of([(name, value)])
                knots_of([(name, value)])
            except StoreFormatError as error:
                self._execute("DELETE FROM ringward_settings WHERE name = ?", (name,))
                self._lost.append(f"the settings are lost: {error}")

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        return self._execute(sql, values).fetchall()

    def _repair_anchor(self) -> None:
        # Rows are numbered densely, so the file would have to be larger for higher ones.
        room = self._execute("PRAGMA page_count").get * self._execute("PRAGMA page_size").get // _ROW_LEAST
        try:
            anchor, *_ = self._rows("SELECT seq, at, volume, chain FROM ringward_anchor") or [None]
            seq, *_ = tail_of(anchor)
        except StoreFormatError:
            self._anchored = False
            sql = "SELECT coalesce(min(seq), 1) FROM ringward_log WHERE partition IS NOT NULL AND seq > 0"
            first = self._execute(sql).get
            self._execute("DELETE FROM ringward_anchor")
            self._execute("INSERT INTO ringward_anchor VALUES (0, ?, 0, 0, 0)", (first - 1,))
            self._lost.append(f"the prune anchor is lost: the log is taken to begin with seq {first}")
            seq = first - 1
        self._most = seq + room
        self._execute("DELETE FROM ringward_log WHERE seq <= 0 OR seq > ?", (self._most,))
        if self._connection.changes():
            self._lost.append(f"{self._connection.changes()} rows have no seq that was given out, and are left out")

    def _repair_producers(self) -> None:
        for number, name, highest in self._rows("SELECT number, name, highest FROM ringward_producers"):
            if type(highest) is not int or type(name) is not str:
                self._execute("DELETE FROM ringward_producers WHERE number = ?", (number,))
        sql = (
            "SELECT producer, max(CASE typeof(id) WHEN 'integer' THEN id ELSE -1 END) FROM ringward_log"
            " WHERE id IS NOT NULL AND producer NOT IN (SELECT number FROM ringward_producers) GROUP BY producer"
        )
        for number, highest in self._execute(sql).fetchall():
            self._execute("INSERT INTO ringward_producers VALUES (?, ?, ?)", (number, f"lost-{number}", highest))
            self._lost.append(f"producer {number}: its name is lost, so its repeats count as new events")

    def _repair_log(self) -> None:
        anchor: Any = self._execute("SELECT seq, at, volume, chain FROM ringward_anchor").fetchone()
        walk = _Walk(self._stream, *anchor, known=self._anchored)
        seq, *_ = anchor
        for row in self._execute(_EVENTS, (seq,)):
            walk.step(*row)
        walk.fill(self._tail() + 1)
        self._connection.executemany("UPDATE ringward_log SET chain = ? WHERE seq = ?", walk.links)
        self._connection.executemany(_LOST, walk.lost.values())
        self._lost += [f"seq {low} to {high}: the events are lost" for low, high in _runs(walk.lost)]

    def _tail(self) -> int:
        """The highest seq that anything speaks of."""
        dead_letters: int = self._execute("SELECT coalesce(max(seq), 0) FROM ringward_letters").get
        highest = max(dead_letters, min(self._highest, self._most))
        for row in self._rows(f"SELECT {_STATE} FROM ringward_documents"):
            highest = max(highest, _highest_of(state_of(row, "", "")))
        return highest

    # --- the groups

    def _repair_groups(self) -> None:
        for table in ("documents", "letters", "views", "beats"):
            orphans = f"FROM ringward_{table} WHERE grp NOT IN (SELECT number FROM ringward_groups)"
            for (number,) in self._execute(f"SELECT DISTINCT grp {orphans}").fetchall():
                self._lost.append(f"group {number}: its name is lost, and so are its {table}")
            self._execute(f"DELETE {orphans}")
        self._execute(
            "DELETE FROM ringward_beats WHERE typeof(count) != 'integer' OR typeof(owner) != 'text' OR count < 0"
        )
        for group, *membership in self._rows("SELECT grp, number, members, router FROM ringward_views"):
            if not _is_right(lambda membership=membership: membership_of(membership, "", whole=True)):  # type: ignore[misc]
                self._execute("DELETE FROM ringward_views WHERE grp = ?", (group,))
        for number, *state in self._rows("SELECT number, name, start, generation FROM ringward_groups"):
            name, start, generation = self._repaired_group(number, *state)
            self._repair_dead_letters(number, name)
            self._repair_states(number, name, start, generation)

    def _repaired_group(self, number: int, name: Any, start: Any, generation: Any) -> tuple[str, int, int]:
        """A group's own entry, with what can be known of it."""
        named = name if type(name) is str else f"lost-{number}"
        begun = start if type(start) is int and 0 <= start <= self._most else 0
        times = generation if type(generation) is int and 0 <= generation < _NEW_EPOCH else _NEW_EPOCH
        if (named, begun, times) != (name, start, generation):
            self._execute(
                "UPDATE ringward_groups SET name = ?, start = ?, generation = ? WHERE number = ?",
                (named, begun, times, number),
            )
            self._lost.append(
                f"group {named!r}: its entry is lost; partitions without a position begin after seq {begun}"
            )
        return named, begun, times

    def _repair_dead_letters(self, number: int, name: str) -> None:
        sql = (
            "SELECT seq, partition, key, state, error, attempts, kind, id, payload, headers, digest"
            " FROM ringward_letters WHERE grp = ?"
        )
        for seq, partition, key, *more, kind, id, payload, headers, right in self._rows(sql, (number,)):
            dead_letter = (seq, partition, key, *more)

            def check(dead_letter: Any = dead_letter, key: Any = key, event: Any = (kind, id, payload, headers)) -> Any:
                kind, id, payload, headers = event
                dead_letter_of(dead_letter, "")
                headers_from(headers)
                key_from_bytes(kind, key)
                return digest(kind, key, id, payload, headers)

            if not _is_right(check, right) or seq > self._most:
                self._execute("DELETE FROM ringward_letters WHERE grp = ? AND seq = ?", (number, seq))
                self._lost.append(f"group {name!r}: dead letter {seq} is lost")

    def _repair_states(self, number: int, name: str, start: int, generation: int) -> None:
        wrong = set(range(self._stream.partitions))
        sql = f"SELECT partition, {_STATE} FROM ringward_documents WHERE grp = ?"
        for partition, *row in self._execute(sql, (number,)).fetchall():
            if self._is_state(row):
                wrong.discard(partition)
        if not wrong:
            return
        first: int = self._execute("SELECT seq FROM ringward_anchor").get
        cursor = max(start, first)
        for partition in sorted(wrong):
            dead_letters = "SELECT seq FROM ringward_letters WHERE grp = ? AND partition = ? ORDER BY seq"
            done = json.dumps([(seq, seq) for (seq,) in self._execute(dead_letters, (number, partition))])
            epoch = self._execute("SELECT coalesce(max(epoch), 0) FROM ringward_documents").get + _NEW_EPOCH
            self._execute(
                "REPLACE INTO ringward_documents VALUES (?, ?, ?, 0, NULL, ?, ?, NULL, NULL, NULL, ?)",
                (number, partition, epoch, cursor, done, generation),
            )
            self._lost.append(
                f"group {name!r}, partition {partition}: its position is lost; it continues after seq {cursor}"
            )

    def _is_state(self, row: list[Any]) -> bool:
        try:
            return _highest_of(state_of(row, "", "")) <= self._most
        except StoreFormatError:
            return False


def _is_right(check: Callable[[], object], right: object = None) -> bool:
    """Whether a value can be decoded, and is the right one where that is known."""
    try:
        found = check()
    except StoreFormatError:
        return False
    return right is None or found == right


def _highest_of(state: PartitionState) -> int:
    """The highest seq that a state speaks of."""
    return max((state.cursor, *(high for _, high in (*state.done, *state.in_flight))))


class _Walk:
    """Goes through the log's rows in order: which are lost, and which links have to be made anew.

    A link tells whether its row is as it was appended, if that of the row before is known. After a row that
    cannot be read nothing tells; then the next one is taken if its key is of its partition.
    """

    def __init__(self, stream: Stream, seq: int, at: int, volume: int, chain: int, *, known: bool) -> None:
        self.lost: dict[int, tuple[int, int, int, int]] = {}
        self.links: list[tuple[int | None, int]] = []
        self._stream = stream
        self._seq, self._volume = seq, volume
        self._was: tuple[Any, int] | None = (
            (chain, at) if known else None
        )  # the link and the time that the next row's link goes on from
        self._now: tuple[Any, int] = (chain, at)  # the same in the mended file
        self._doubt: int | None = None  # the link that the row before should have, which has another

    def fill(self, to: int) -> None:
        """Seqs up to this one are not there."""
        while self._seq + 1 < to:
            self._lose(self._seq + 1, *self._now)
            self._was = self._doubt = None

    def _lose(self, seq: int, link: int, at: int) -> None:
        self.lost[seq] = (seq, at, self._volume, link)
        self._seq, self._now = seq, (link, at)

    def step(self, seq: int, partition: Any, kind: Any, key: Any, *rest: Any) -> None:
        """Take the next row."""
        id, payload, headers, at, link, volume = rest
        self.fill(seq)
        event = (kind, key, id, payload, headers)
        if partition is None and key is None and payload is None and type(at) is type(link) is int:
            self._seq, self._was, self._now, self._doubt = seq, (link, at), (link, at), None  # lost before
            return
        computed = chained(event, *self._was, at) if self._was is not None else link
        fits = chained(event, 0, 0, at) is not None and belongs(self._stream, partition, kind, key)
        if fits and computed != link and self._doubt is not None:
            computed = self._reinstate(event, at, link)
        if not fits or computed != link or type(volume) is not int:
            kept = (link, at) if type(at) is type(link) is int else self._now
            self._doubt = computed if fits and self._was == self._now else None
            self._lose(seq, *kept)
            self._was = kept
            return
        renewed = link if self._was == self._now else chained(event, *self._now, at)
        if renewed != link:
            self.links.append((renewed, seq))
        self._seq, self._volume, self._doubt = seq, max(volume, self._volume), None
        self._was, self._now = (link, at), (renewed, at)

    def _reinstate(self, event: Any, at: int, link: int) -> int | None:
        """If this row's link goes on from what the one before should have, only that was wrong of it."""
        doubt, (_, before) = self._doubt, self._now
        computed = chained(event, doubt, before, at)
        if computed == link:
            del self.lost[self._seq]
            self.links.append((doubt, self._seq))
            self._was = self._now = (doubt, before)
        return computed


def _runs(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Neighbours together, as their lowest and highest."""
    low = high = 0
    for seq in sorted(seqs):
        if seq != high + 1 and high:
            yield low, high
            low = seq
        low, high = low or seq, seq
    if high:
        yield low, high
