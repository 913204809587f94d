"""The log of a `SqliteStore`: appending, reading, pruning, verifying."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import pairwise
from typing import Any, TypeVar

import apsw
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from ringward._core import log_rows
from ringward.errors import BackpressureError, ConflictError, DeduplicationExpiredError
from ringward.events.event import Entry, EventId, Receipt, Receipts, Row, key_from_bytes
from ringward.events.stores.protocol import Retention, Totals
from ringward.events.stores.writer import Writer
from ringward.events.stream import Stream, body_of, identity_of

__all__ = ["SqliteLog", "belongs", "chained", "digest"]

_TIME = struct.Struct("<q").pack
_HALF, _WHOLE = 1 << 63, 1 << 64
_APPEND = "INSERT INTO ringward_log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROW = "seq, partition, kind, key, id, payload, headers, at"
_VERIFY_ROWS = 10_000
_DROPPED_MOST = 100  # so often is something read again, at most, because another SQLite here dropped our locks
T = TypeVar("T")


class SqliteLog:
    """What is in the log's tables. Writing happens through the writer, reading on a connection beside it."""

    _writer: Writer
    _reader: apsw.Connection
    _reading: AbstractContextManager[Any]
    _clock: Callable[[], float]
    _id_window_s: float
    stream: Stream

    def _read(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._reading:
            return self._stable(lambda: self._reader.execute(sql, values).fetchall())

    def _stable(self, read: Callable[[], T]) -> T:
        """What something reads from the file, which is in its place, while nobody could change it."""
        watch = self._writer.watch
        self._look_after()
        for _ in range(_DROPPED_MOST):
            generation = watch.generation
            try:
                found, failed = read(), None
            except apsw.Error as error:
                failed = error
            if not watch.witnessed():
                watch.restore()
            elif watch.generation == generation:
                break
        else:
            raise BackpressureError(
                "store", "left alone by other SQLites of this process", f"dropped {_DROPPED_MOST} times"
            )
        if failed is not None:
            raise self._writer.failure(failed) from failed
        return found

    def _look_after(self) -> None:
        """From time to time, see whether the files are in place."""
        raise NotImplementedError

    def append(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """As `Store.append`."""
        # An id that is there already is a constraint that fails: then each id is looked up.
        return self._writer.run(
            lambda: self._append(producer, entries, all_new=True),
            lambda: self._append(producer, entries, all_new=False),
            joins=True,
        )

    def _append(self, producer: str, entries: Sequence[Entry], *, all_new: bool) -> list[Receipt]:
        number, highest = self._producer(producer)
        numbers = [entry[3] for entry in entries if type(entry[3]) is int]
        if numbers:
            all_new &= numbers[0] > highest and all(a < b for a, b in pairwise(numbers))
        receipts = self._append_new(number, entries) if all_new else self._append_slowly(number, highest, entries)
        if numbers and max(numbers) > highest:
            sql = "UPDATE ringward_producers SET highest = ? WHERE number = ?"
            self._writer.connection.execute(sql, (max(numbers), number))
        self._writer.faults("appended")
        return receipts

    def _producer(self, name: str) -> tuple[int, int]:
        execute = self._writer.connection.execute
        row: Any = execute("SELECT number, highest FROM ringward_producers WHERE name = ?", (name,)).fetchone()
        if row is None:
            row = execute(
                "INSERT INTO ringward_producers (name, highest) VALUES (?, -1) RETURNING number, highest", (name,)
            ).fetchone()
        return row[0], row[1]

    def _tail(self) -> tuple[int, int, int, int]:
        """seq, at, volume and chain that the next row goes on from."""
        execute = self._writer.connection.execute
        row = execute(
            "SELECT seq, at, volume, chain FROM ringward_log"  # not a pruned one whose id is remembered
            " WHERE seq > (SELECT seq FROM ringward_anchor) ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        tail: Any = row or execute("SELECT seq, at, volume, chain FROM ringward_anchor").fetchone()
        seq, at, volume, chain = tail
        return seq, at, volume, chain

    def _append_new(self, producer: int, entries: Sequence[Entry]) -> list[Receipt]:
        first, before, volume, chain = self._tail()
        at = max(before, int(self._clock() * 1000))
        chain = _timed(chain % _WHOLE, before, at)
        rows, receipts = log_rows(list(entries), Receipt, producer, first, at, volume, chain)
        self._writer.connection.executemany(_APPEND, rows)
        return Receipts(receipts, (first + 1, *entries[0], at)) if len(entries) == 1 else receipts

    def _append_slowly(self, producer: int, highest: int, entries: Sequence[Entry]) -> list[Receipt]:
        """Append the entries whose ids are new, and find those that are not."""
        fresh: list[Entry] = []
        places: list[Receipt | int] = []  # a receipt, or which of the fresh ones
        within: dict[EventId, tuple[int, bytes]] = {}
        next_seq = self._tail()[0] + 1
        for entry in entries:
            id, body = entry[3], identity_of(*entry[1:])
            known = None if id is None else within.get(id) or self._known(producer, id)
            if known is not None and id is not None:
                seq, same = known
                if same not in (body, xxh3_64_digest(body)):
                    raise ConflictError(id, seq)
                places.append(Receipt(seq, entry[0], duplicate=True))
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
        row: Any = self._writer.connection.execute(
            "SELECT seq, partition, kind, key, id, payload, headers FROM ringward_log WHERE producer = ? AND id = ?",
            (producer, id),
        ).fetchone()
        if row is None:
            return None
        return row[0], (row[5] if row[1] is None else identity_of(*row[2:]))

    def totals(self) -> Totals:
        """As `Store.totals`."""
        ((tail, volume, first, before),) = self._read(
            "SELECT coalesce((SELECT max(seq) FROM ringward_log WHERE seq > a.seq), a.seq),"
            " coalesce((SELECT volume FROM ringward_log WHERE seq > a.seq ORDER BY seq DESC LIMIT 1), a.volume),"
            " a.seq + 1, a.volume FROM ringward_anchor a"
        )
        return Totals(tail, first, volume - before)

    def heads(self, after: int, limit: int) -> list[tuple[int, int]]:
        """As `Store.heads`."""
        sql = "SELECT seq, partition FROM ringward_log WHERE seq > ? AND partition IS NOT NULL ORDER BY seq LIMIT ?"
        return self._read(sql, (after, limit))

    def read(self, partition: int, after: int, limit: int) -> list[Row]:
        """As `Store.read`."""
        sql = f"SELECT {_ROW} FROM ringward_log WHERE partition = ? AND seq > ? ORDER BY seq LIMIT ?"
        return self._read(sql, (partition, after, limit))

    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """As `Store.rows`."""
        sql = f"SELECT {_ROW} FROM ringward_log WHERE seq = ? AND partition IS NOT NULL"
        return [row for seq in sorted(seqs) for row in self._read(sql, (seq,))]

    def seq_at(self, at_ms: int) -> int:
        """As `Store.seq_at`."""
        return self._last("at", at_ms - 1)

    def volume_between(self, after: int, through: int) -> int:
        """As `Store.volume_between`."""
        return self._volume(through) - self._volume(after)

    def _volume(self, seq: int) -> int:
        """Payload bytes up to a seq."""
        sql = (
            "SELECT coalesce((SELECT volume FROM ringward_log WHERE seq <= ? AND seq > a.seq ORDER BY seq DESC LIMIT 1),"
            " a.volume) FROM ringward_anchor a"
        )
        volume: int = self._read(sql, (seq,))[0][0]
        return volume

    def _last(self, column: str, most: int) -> int:
        """The highest seq whose `at` or `volume`, which only rise, is at most so much; by halving."""
        totals = self.totals()
        low, high = totals.first - 1, totals.tail
        while low < high:
            middle = (low + high + 1) // 2
            rows = self._read(f"SELECT {column} FROM ringward_log WHERE seq = ?", (middle,))
            if rows and rows[0][0] <= most:
                low = middle
            else:
                high = middle - 1
        return low

    def _beyond(self, keep: Retention) -> int:
        """The highest seq that exceeds a limit of the retention."""
        totals = self.totals()
        through = totals.first - 1
        if keep.age_s is not None:
            through = max(through, self._last("at", int((self._clock() - keep.age_s) * 1000)))
        if keep.count is not None:
            through = max(through, totals.tail - keep.count)
        if keep.bytes is not None and totals.bytes > keep.bytes:
            through = max(through, self._last("volume", self._volume(totals.tail) - keep.bytes - 1) + 1)
        return min(through, totals.tail)

    def _prune(self, through: int, limit: int) -> int:
        """Delete rows up to a seq; of those whose ids are remembered, everything but the id."""
        execute = self._writer.connection.execute
        anchor: int = execute("SELECT seq FROM ringward_anchor").get
        last = min(through, anchor + limit)
        forget = int((self._clock() - self._id_window_s) * 1000)
        if last > anchor:
            execute(
                "REPLACE INTO ringward_anchor SELECT 0, seq, at, volume, chain FROM ringward_log WHERE seq = ?", (last,)
            )
            both = (anchor, last, forget)
            execute("DELETE FROM ringward_log WHERE seq > ? AND seq <= ? AND (id IS NULL OR at <= ?)", both)
            execute(
                "UPDATE ringward_log SET payload = ringward_digest(kind, key, id, payload, headers),"
                " partition = NULL, key = NULL, headers = NULL WHERE seq > ? AND seq <= ?",
                both[:2],
            )
        execute(
            "DELETE FROM ringward_log WHERE seq IN"
            " (SELECT seq FROM (SELECT seq, at FROM ringward_log WHERE seq <= ? ORDER BY seq LIMIT ?) WHERE at <= ?)",
            (last, limit, forget),
        )
        self._writer.faults("pruned")
        return max(0, last - anchor)

    def _verify_log(self) -> list[str]:
        """Walk the chain from the prune anchor."""
        ((seq, before, chain),) = self._read("SELECT seq, at, chain FROM ringward_anchor")
        wrong: list[str] = []
        while rows := self._read(
            f"SELECT {_ROW}, chain FROM ringward_log WHERE seq > ? ORDER BY seq LIMIT ?", (seq, _VERIFY_ROWS)
        ):
            for number, partition, *event, at, link in rows:
                if number != seq + 1:
                    wrong.append(f"seq {seq + 1} to {number - 1}: missing")
                if partition is None and event[1] is None:
                    wrong.append(f"seq {number}: the event was lost when the file was copied")
                elif chained(event, chain, before, at) != link:
                    wrong.append(f"seq {number}: the row is not the one that was appended here")
                elif not belongs(self.stream, partition, *event[:2]):
                    wrong.append(f"seq {number}: partition {partition} is not that of the key")
                seq, before, chain = number, at, link
        return wrong


def _timed(chain: int, before: int, at: int) -> int:
    """The chain with the time of the next row in it, where that is a new time."""
    return chain if at == before else xxh3_64_intdigest(_TIME(at), chain)


def chained(event: Sequence[Any], chain: Any, before: Any, at: Any) -> int | None:
    """The link of a row to the one before, as it is stored; None for values of other types than we store."""
    try:
        link = xxh3_64_intdigest(body_of(*event), _timed(chain % _WHOLE, before, at))
    except (TypeError, ValueError, AttributeError, struct.error):
        return None
    return link if link < _HALF else link - _WHOLE


def belongs(stream: Stream, partition: Any, kind: Any, key: Any) -> bool:
    """Whether a stored key is one, and of this partition."""
    try:
        return bool(partition == stream.partition_of(key_from_bytes(kind, key)))
    except (TypeError, ValueError, AttributeError):
        return False


def digest(kind: int, key: bytes, id: EventId | None, payload: bytes, headers: str | None) -> bytes:
    """What is kept of an event to tell whether a repeat is one."""
    return xxh3_64_digest(identity_of(kind, key, id, payload, headers))
