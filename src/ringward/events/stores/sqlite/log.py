"""The log of a `SqliteStore`: appending, reading, pruning, verifying."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from threading import get_ident
from typing import Any, TypeAlias, TypeVar

import apsw
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from ringward._core import log_rows, read_rows, rows_up_to
from ringward.errors import (
    ConflictError,
    DeduplicationExpiredError,
    RingwardError,
    StoreFailedError,
    StoreFormatError,
)
from ringward.events.logs import log
from ringward.events.model.event import (
    AT,
    ENTRY_ID,
    ENTRY_PARTITION,
    Entry,
    EventId,
    Receipt,
    Receipts,
    Row,
    body_of_entry,
    key_from_bytes,
    size_of,
)
from ringward.events.model.settings import Retention, Settings, retention_fields, settled
from ringward.events.model.store import Totals
from ringward.events.model.stream import Stream, body_of, identity_of
from ringward.events.stores.sqlite.compaction import shrink
from ringward.events.stores.sqlite.decoding import (
    SAID_MOST,
    heads_of,
    knots_of,
    number_of,
    refuse,
    rows_of,
    settings_of,
    tail_of,
    totals_of,
)
from ringward.events.stores.sqlite.file import OpenFile
from ringward.events.stores.sqlite.writer import DAMAGE, Writer
from ringward.events.stores.stamps import LogTime, WallClock
from ringward.texts import shown

__all__ = ["SqliteLog", "belongs", "chained", "digest"]

T = TypeVar("T")
Look: TypeAlias = Callable[..., list[Any]]
_TIME = struct.Struct("<q").pack
_HALF, _WHOLE = 1 << 63, 1 << 64
_KEPT = 4096  # rows of one call that are at hand for those who handle them here
_APPEND = "INSERT INTO ringward_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROW = "seq, partition, kind, key, id, payload, headers, at"
_PARTITION = f"SELECT {_ROW} FROM ringward_log WHERE partition = ? AND seq > ? ORDER BY seq LIMIT ?"
_SETTINGS = "SELECT name, value FROM ringward_settings"
_ANCHOR = "SELECT seq, at, volume, chain FROM ringward_anchor"
_END = 0  # among the names of producers: where the log ends, which no text can be
_TAIL = (  # not a pruned one whose id is remembered
    "SELECT seq, at, volume, chain FROM ringward_log"
    " WHERE seq > (SELECT seq FROM ringward_anchor) ORDER BY seq DESC LIMIT 1"
)
_TOTALS = (
    "SELECT coalesce((SELECT max(seq) FROM ringward_log WHERE seq > a.seq), a.seq),"
    " coalesce((SELECT volume FROM ringward_log WHERE seq > a.seq ORDER BY seq DESC LIMIT 1), a.volume),"
    " a.seq, a.volume FROM ringward_anchor a"
)
# What values of other types than we store raise when a digest is made of them.
_NOT_OURS = (TypeError, ValueError, AttributeError, OverflowError, struct.error)


class SqliteLog:
    """What is in the log's tables: events, producers and their ids, settings, and what stamps mean.

    Writing happens through the writer, reading on a connection beside it.
    """

    def __init__(self, file: OpenFile, clock: WallClock) -> None:
        self._file = file
        self._writer = file.writer
        self._read, self._read_all, self._look = file.read, file.read_all, file.look
        self._clock = clock
        self._log_time = LogTime()
        self._said: set[str] = set()  # of clocks
        self._highest = 0  # the highest seq that is known to be stored: the log never gets shorter than that

    def forked(self, writer: Writer) -> None:
        """In a child process: it cannot write."""
        self._writer = writer

    def append(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """As `Store.append`."""
        # Whether it joins the transaction of a handler is asked before: by the time it is over, that may have been undone.
        joins = self._writer.watch.writing_thread == get_ident()
        # An id that is there already is a constraint that fails: then each id is looked up.
        receipts = self._writer.run(
            partial(self._append, producer, entries, all_new=True),
            partial(self._append, producer, entries, all_new=False),
            joins=True,
        )
        if receipts and not joins:
            self._highest = max(self._highest, receipts[-1].seq)
        return receipts

    def _append(self, producer: str, entries: Sequence[Entry], *, all_new: bool) -> list[Receipt]:
        number, highest = self._writer.remembered.get(producer) or self._producer(producer)
        numbers = [entry[ENTRY_ID] for entry in entries if type(entry[ENTRY_ID]) is int]
        if numbers:
            all_new &= numbers[0] > highest and all(a < b for a, b in pairwise(numbers))
        receipts = self._append_new(number, entries) if all_new else self._append_slowly(number, highest, entries)
        if numbers and max(numbers) > highest:
            sql = "UPDATE ringward_producers SET highest = ? WHERE number = ?"
            self._writer.connection.execute(sql, (max(numbers), number))
            self._writer.remembered[producer] = number, max(numbers)
        self._writer.faults("appended")
        return receipts

    def _producer(self, name: str) -> tuple[int, int]:
        execute = self._writer.connection.execute
        row: Any = execute("SELECT number, highest FROM ringward_producers WHERE name = ?", (name,)).fetchone()
        if row is None:
            row = execute(
                "INSERT INTO ringward_producers (name, highest) VALUES (?, -1) RETURNING number, highest", (name,)
            ).fetchone()
        number, highest = row
        if type(number) is not int or type(highest) is not int:
            refuse("producers", f"name {name!r}", "highest", "an integer", highest)
        self._writer.remembered[name] = number, highest
        return number, highest

    def _tail(self) -> tuple[int, int, int, int]:
        """seq, at, volume and chain that the next row goes on from."""
        known: tuple[int, int, int, int] | None = self._writer.remembered.get(_END)
        if known is not None:
            return known
        execute = self._writer.connection.execute
        row: Any = execute(_TAIL).fetchone() or execute(_ANCHOR).fetchone()
        return tail_of(row)

    def _append_new(self, producer: int, entries: Sequence[Entry]) -> list[Receipt]:
        first, before, volume, chain = self._tail()
        if first < self._highest:
            raise self._writer.set_back(first, self._highest)
        at = max(before, self._log_time.stamp_at(int(self._clock() * 1000)))
        chain = _timed(chain % _WHOLE, before, at)
        rows, receipts = log_rows(entries, Receipt, producer, first, at, volume, chain)
        connection = self._writer.connection
        before_all = connection.total_changes()
        self._writer.executemany(_APPEND, rows)
        if connection.total_changes() - before_all != len(rows):
            # Another program has made a trigger on our table: nothing that it swallows may get a receipt.
            raise StoreFailedError(
                "something other than ringward changes what is stored: look for triggers in the file"
            )
        if rows:
            self._writer.remembered[_END] = rows[-1][0], at, *rows[-1][5:7]
        found = Receipts(receipts)
        if len(rows) <= _KEPT:
            found.rows = self.timely(read_rows(entries, first, at))
        return found

    def _append_slowly(self, producer: int, highest: int, entries: Sequence[Entry]) -> list[Receipt]:
        """Append the entries whose ids are new, and find those that are not."""
        fresh: list[Entry] = []
        places: list[Receipt | int] = []  # a receipt, or which of the fresh ones
        within: dict[EventId, tuple[int, bytes]] = {}
        next_seq = self._tail()[0] + 1
        for entry in entries:
            id, body = entry[ENTRY_ID], identity_of(*body_of_entry(entry))
            known = None if id is None else within.get(id) or self._known(producer, id)
            if known is not None and id is not None:
                seq, same = known
                if same not in (body, xxh3_64_digest(body)):
                    raise ConflictError(id, seq)
                places.append(Receipt(seq, entry[ENTRY_PARTITION], duplicate=True))
                continue
            if type(id) is int:
                if id <= highest:
                    raise DeduplicationExpiredError(id, highest)
                highest = id
            if id is not None:
                within[id] = (next_seq + len(fresh), body)
            places.append(len(fresh))
            fresh.append(entry)
        made = self._append_new(producer, fresh)
        return [made[place] if type(place) is int else place for place in places]  # type: ignore[misc]

    def _known(self, producer: int, id: EventId) -> tuple[int, bytes] | None:
        """The seq of an id, and the event's identity, or its digest when it is pruned."""
        rows = self._look(f"SELECT {_ROW} FROM ringward_log WHERE producer = ? AND id = ?", (producer, id))
        if not rows:
            return None
        ((seq, partition, kind, key, known, payload, headers, _),) = rows
        if partition is not None:
            rows_of(rows, 0)
        elif type(payload) is not bytes:
            refuse("log", f"seq {seq}", "payload", "the digest of a pruned event", payload)
        return seq, (payload if partition is None else identity_of(kind, key, known, payload, headers))

    def totals(self) -> Totals:
        """As `Store.totals`."""
        highest = self._highest
        found = self._read(_TOTALS, of=totals_of)
        if found.tail < highest:
            raise self._writer.set_back(found.tail, highest)
        self._highest = max(self._highest, found.tail)
        return found

    def heads(self, after: int, limit: int) -> list[tuple[int, int]]:
        """As `Store.heads`."""
        sql = "SELECT seq, partition FROM ringward_log WHERE seq > ? AND partition IS NOT NULL ORDER BY seq LIMIT ?"
        return self._read(sql, (after, limit), lambda rows: heads_of(rows, after))

    def read(self, wanted: Sequence[tuple[int, int, int]], rows: int, size: int | None = None) -> list[list[Row]]:
        """As `Store.read`."""
        return self._read_all(lambda execute: [*map(self.timely, _of_partitions(execute, wanted, rows, size))])

    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """As `Store.rows`."""
        sql = f"SELECT {_ROW} FROM ringward_log WHERE seq = ? AND partition IS NOT NULL"
        found = [row for seq in sorted(seqs) for row in self._read(sql, (seq,), lambda rows: rows_of(rows, 0))]
        return self.timely(found)

    def timely(self, rows: list[Row]) -> list[Row]:
        """Rows with the times at which they were accepted, where stamps run ahead of that."""
        if not self._log_time.knots:
            return rows
        return [(*row[:AT], self._log_time.time_of(row[AT])) for row in rows]

    def seq_at(self, at_ms: int) -> int:
        """As `Store.seq_at`."""
        return self._last(self._read, "at", self._log_time.stamp_at(at_ms - 1))

    def volume_between(self, after: int, through: int) -> int:
        """As `Store.volume_between`."""
        return self._volume(self._read, through) - self._volume(self._read, after)

    def _volume(self, look: Look, seq: int) -> int:
        """Payload bytes up to a seq."""
        sql = (
            "SELECT coalesce((SELECT volume FROM ringward_log WHERE seq <= ? AND seq > a.seq ORDER BY seq DESC LIMIT 1),"
            " a.volume) FROM ringward_anchor a"
        )
        ((volume,),) = look(sql, (seq,)) or [(None,)]
        return number_of(volume, "log", f"seq {seq} or before", "volume")

    def _last(self, look: Look, column: str, most: int) -> int:
        """The highest seq whose `at` or `volume`, which only rise, is at most so much; by halving."""
        totals = totals_of(look(_TOTALS))
        low, high = totals.first - 1, totals.tail
        while low < high:
            middle = (low + high + 1) // 2
            rows = look(f"SELECT {column} FROM ringward_log WHERE seq = ?", (middle,))
            if rows and number_of(rows[0][0], "log", f"seq {middle}", column) <= most:
                low = middle
            else:
                high = middle - 1
        return low

    # --- settings and times

    def settings(self) -> Settings:
        """As `Store.settings`."""
        return Settings(**self._read(_SETTINGS, of=settings_of))

    def configure(
        self, *, retention: Retention | None = None, id_window_s: float | None = None, initial: bool = False
    ) -> Settings:
        """As `Store.configure`."""

        def change() -> Settings:
            stored = settings_of(self._look(_SETTINGS))
            changes = settled(stored, retention, id_window_s, initial=initial)
            for name, value in changes.items():
                self._set(name, retention_fields(value) if isinstance(value, Retention) else value)
            self._writer.faults("configured")
            return Settings(**{**stored, **changes})

        stored = self._read(_SETTINGS, of=settings_of)
        if not settled(stored, retention, id_window_s, initial=initial):
            return Settings(**stored)
        return self._writer.run(change)

    def _set(self, name: str, value: Any) -> None:
        self._writer.connection.execute("REPLACE INTO ringward_settings VALUES (?, ?)", (name, json.dumps(value)))

    def _noticed(self, look: Look) -> LogTime:
        """What stamps mean, now that the clock says what it says."""
        known = knots_of(look(_SETTINGS))
        stamps = look("SELECT at FROM (SELECT at, seq FROM ringward_log ORDER BY seq LIMIT 1)")
        seq, last, _, _ = tail_of((look(_TAIL) or look(_ANCHOR) or [None])[0])
        first = stamps[0][0] if stamps and type(stamps[0][0]) is int else last
        return known.repaired(min(first, last), last, int(self._clock() * 1000)) if seq else known

    def clock_doubts(self) -> list[str]:
        """Why this process's clock is not believed, or contradicts the stamps of the log; in words."""
        if doubts := self._clock.doubts():
            return doubts
        new = self._noticed(self._read).told(knots_of(self._read(_SETTINGS)))
        return ["the clock contradicts the stamps of the log: one of the two is wrong"] if new else []

    def clock_allowances(self) -> list[str]:
        """What of wrong clocks the stamps have, and is allowed for; in words."""
        return self._log_time.ahead()

    def begin_time(self, *, keep: bool = True) -> None:
        """Notice stamps that are wrong when the file is opened; damage is met by whoever reads what is damaged."""

        def look(sql: str) -> list[Any]:
            return self._file.reader.execute(sql).fetchall()

        wrong = False
        with self._file.reading, suppress(apsw.Error, *DAMAGE):
            self._log_time = knots_of(look(_SETTINGS))
            wrong = self._noticed(look) != self._log_time
        if wrong and keep:
            self._writer.run(self._keep_time)

    def _keep_time(self) -> None:
        """Notice stamps that are wrong, and write down what they mean; in a transaction."""
        known, seen = knots_of(self._look(_SETTINGS)), self._noticed(self._look)
        if seen != known:
            self._set("clock", seen.knots)
        self._take_time(seen, known)

    def _take_time(self, seen: LogTime, known: LogTime) -> None:
        self._log_time = seen
        for text in [*seen.told(known), *self._clock.told()]:
            if text in self._said:
                continue
            self._said.add(text)
            log(logging.WARNING, f"{self._file.path}: {text}", event="clock")

    # --- pruning

    def _beyond(self, keep: Retention) -> int:
        """The highest seq that exceeds a limit of the retention."""
        totals = totals_of(self._look(_TOTALS))
        through = totals.first - 1
        if keep.age_s is not None:
            through = max(through, self._last(self._look, "at", self._stamp_before(keep.age_s)))
        if keep.count is not None:
            through = max(through, totals.tail - keep.count)
        if keep.bytes is not None and totals.bytes > keep.bytes:
            least = self._volume(self._look, totals.tail) - keep.bytes - 1
            through = max(through, self._last(self._look, "volume", least) + 1)
        return min(through, totals.tail)

    def _stamp_before(self, age_s: float) -> int:
        """The highest stamp of events of an age; below all of them when it is longer than there is time."""
        return self._log_time.stamp_at(int(max(-1.0, self._clock() - age_s) * 1000))

    def prune(self, limit: int, resolved: Callable[[], int]) -> int:
        """In a transaction, delete rows that all groups are past and need not be kept; ids that are remembered stay."""
        self._writer.remembered.clear()
        self._keep_time()
        settings = Settings(**settings_of(self._look(_SETTINGS)))
        through = min(self._beyond(settings.retention), resolved())
        execute = self._writer.connection.execute
        anchor = tail_of((self._look(_ANCHOR) or [None])[0])[0]
        last = min(through, anchor + limit)
        forget = self._stamp_before(settings.id_window_s)
        if last > anchor:
            execute(
                "REPLACE INTO ringward_anchor SELECT 0, seq, at, volume, chain FROM ringward_log WHERE seq = ?", (last,)
            )
            execute(
                "DELETE FROM ringward_log WHERE seq > ? AND seq <= ? AND (id IS NULL OR at <= ?)",
                (anchor, last, forget),
            )
            execute(
                "UPDATE ringward_log SET payload = ringward_digest(kind, key, id, payload, headers),"
                " partition = NULL, key = NULL, headers = NULL WHERE seq > ? AND seq <= ?",
                (anchor, last),
            )
        execute(
            "DELETE FROM ringward_log WHERE seq IN"
            " (SELECT seq FROM (SELECT seq, at FROM ringward_log WHERE seq <= ? ORDER BY seq LIMIT ?) WHERE at <= ?)",
            (last, limit, forget),
        )
        shrink(self._writer.connection)
        self._writer.faults("pruned")
        return max(0, last - anchor)


def _of_partitions(
    execute: Callable[..., apsw.Cursor], wanted: Sequence[tuple[int, int, int]], rows: int, size: int | None
) -> Iterator[list[Row]]:
    """What `SqliteLog.read` reads of one partition after the other."""
    for partition, after, limit in wanted:
        cursor = execute(_PARTITION, (partition, after, limit))
        found = rows_of(cursor.fetchall() if size is None else rows_up_to(cursor, size), after)
        cursor.close()  # a read that is not over would hold the write-ahead log
        yield found
        rows -= len(found)
        if size is not None:
            size -= size_of(found)
        if rows <= 0 or (size is not None and size <= 0):
            break


def _timed(chain: int, before: int, at: int) -> int:
    """The chain with the time of the next row in it, where that is a new time."""
    return chain if at == before else xxh3_64_intdigest(_TIME(at), chain)


def chained(event: Sequence[Any], chain: Any, before: Any, at: Any) -> int | None:
    """The link of a row to the one before, as it is stored; None for values of other types than we store."""
    try:
        link = xxh3_64_intdigest(body_of(*event), _timed(chain % _WHOLE, before, at))
    except _NOT_OURS:
        return None
    return link if link < _HALF else link - _WHOLE


def belongs(stream: Stream, partition: Any, kind: Any, key: Any) -> bool:
    """Whether a stored key is one, and of this partition."""
    try:
        return bool(partition == stream.partition_of(key_from_bytes(kind, key)))
    except (*_NOT_OURS, RingwardError):
        return False


def digest(kind: int, key: bytes, id: EventId | None, payload: bytes, headers: str | None) -> bytes:
    """What is kept of an event to tell whether a repeat is one."""
    try:
        return xxh3_64_digest(identity_of(kind, key, id, payload, headers))
    except _NOT_OURS:
        raise StoreFormatError(
            f"an event of key {shown(key, SAID_MOST)} and id {shown(id, SAID_MOST)} cannot have been stored here"
        ) from None
