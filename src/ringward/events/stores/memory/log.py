"""The log of a `MemoryStore`: events, the ids of producers, settings, and what stamps mean."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any

from ringward._core import append_rows, event_digest, untracked
from ringward.errors import (
    ConflictError,
    DeduplicationExpiredError,
)
from ringward.events.model.event import (
    ADDED,
    AT,
    ENTRY_ID,
    ENTRY_PARTITION,
    PARTITION,
    PAYLOAD,
    SEQ,
    Entry,
    EventId,
    Receipt,
    Receipts,
    Row,
    body_of_entry,
    size_of,
)
from ringward.events.model.settings import Retention, Settings, settled
from ringward.events.model.store import (
    Totals,
)
from ringward.events.stores.memory.shared import Part, Shared, locked, telling
from ringward.events.stores.stamps import LogTime, WallClock

__all__ = ["MemoryLog"]


def _digest(kind: int, key: bytes, id: EventId | None, payload: bytes, headers: str | None) -> bytes:
    """That of `identity_of`."""
    return event_digest(kind, key, id, payload, headers and headers.partition(ADDED)[0])


class _PartitionLog:
    """The rows of a partition, and their seqs apart, to search in."""

    __slots__ = ("rows", "seqs")

    def __init__(self) -> None:
        self.seqs: list[int] = untracked([])
        self.rows: list[Row] = untracked([])

    def after(self, seq: int) -> int:
        """Where the first row past a seq is."""
        return bisect_right(self.seqs, seq)


class MemoryLog(Part):
    """Rows in the order of their seqs, and by partition."""

    def __init__(self, shared: Shared, partitions: int, id_window_s: float | None, clock: WallClock) -> None:
        super().__init__(shared)
        self._settings: dict[str, Any] = settled({}, None, id_window_s, initial=True)
        self._clock = clock
        self._log_time = LogTime()
        self._partition_logs = [_PartitionLog() for _ in range(partitions)]
        self._log: list[Row] = untracked([])  # of seqs first, first + 1 ...
        self._first = 1
        self._volume = [0]  # payload bytes
        self._at = 0
        self._highest: dict[str, int] = {}
        # Producer → id → seq, digest, time; in the order of seq, so that the oldest are the first to forget.
        self._ids: defaultdict[str, dict[EventId, tuple[int, bytes, int]]] = defaultdict(dict)

    @telling
    def append(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """As `Store.append`."""
        self._open()
        self._faults("append")
        ids = [id for entry in entries if (id := entry[ENTRY_ID]) is not None]
        if ids and not self._all_new(producer, ids):
            return self._append_slowly(producer, entries)
        return self._append_new(producer, entries)

    def _all_new(self, producer: str, ids: list[EventId]) -> bool:
        fresh = set(ids)
        if len(fresh) < len(ids) or not self._ids[producer].keys().isdisjoint(fresh):
            return False
        numbers = [id for id in ids if type(id) is int]
        return not numbers or (
            numbers[0] > self._highest.get(producer, -1) and all(a < b for a, b in pairwise(numbers))
        )

    def _append_new(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        at = self._at = max(self._at, self._log_time.stamp_at(int(self._clock() * 1000)))
        seq = self._first + len(self._log) - 1
        receipts = append_rows(
            *(entries, Receipt, _digest, seq, at, self._log, self._partition_logs),
            *(self._ids[producer], self._highest, producer, self._volume),
        )
        return Receipts(receipts, self._log[-1]) if len(entries) == 1 else receipts

    def _append_slowly(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """Find the entries whose ids are known, and append the others once none is at fault."""
        highest = self._highest.get(producer, -1)
        fresh: list[Entry] = []
        within: dict[EventId, tuple[int, bytes]] = {}
        places: list[Receipt | None] = []
        seq = self._first + len(self._log)
        for entry in entries:
            partition, id = entry[ENTRY_PARTITION], entry[ENTRY_ID]
            if id is not None:
                body = _digest(*body_of_entry(entry))
                known = within.get(id) or self._ids[producer].get(id)
                if known is not None:
                    before, same, *_ = known
                    if same != body:
                        raise ConflictError(id, before)
                    places.append(Receipt(before, partition, duplicate=True))
                    continue
                if type(id) is int:
                    if id <= highest:
                        raise DeduplicationExpiredError(id, highest)
                    highest = id
                within[id] = (seq + len(fresh), body)
            fresh.append(entry)
            places.append(None)
        made = iter(self._append_new(producer, fresh))
        return [place or next(made) for place in places]

    @locked
    def totals(self) -> Totals:
        """As `Store.totals`."""
        return Totals(self._first + len(self._log) - 1, self._first, self._volume[0])

    @locked
    def heads(self, after: int, limit: int) -> list[tuple[int, int]]:
        """As `Store.heads`."""
        begin = max(0, after + 1 - self._first)
        return [(row[SEQ], row[PARTITION]) for row in self._log[begin : begin + limit]]

    @locked
    def read(self, wanted: Sequence[tuple[int, int, int]], rows: int, size: int | None = None) -> list[list[Row]]:
        """As `Store.read`."""
        found: list[list[Row]] = []
        for partition, after, limit in wanted:
            log = self._partition_logs[partition]
            begin = bisect_right(log.seqs, after)
            part = log.rows[begin : begin + limit]
            if size is not None:
                if size_of(part) > size:
                    del part[bisect_left(list(accumulate(len(row[PAYLOAD]) for row in part)), size) + 1 :]
                size -= size_of(part)
            found.append(part)
            rows -= len(part)
            if rows <= 0 or (size is not None and size <= 0):
                break
        return found

    @locked
    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """As `Store.rows`."""
        first, count = self._first, len(self._log)
        return [self._log[seq - first] for seq in sorted(seqs) if 0 <= seq - first < count]

    @locked
    def seq_at(self, at_ms: int) -> int:
        """As `Store.seq_at`."""
        return self._last_at(self._log_time.stamp_at(at_ms - 1))

    def _last_at(self, stamp: int) -> int:
        """The highest seq of the events up to a stamp."""
        return self._first - 1 + bisect_right(self._log, stamp, key=lambda row: row[AT])

    @locked
    def volume_between(self, after: int, through: int) -> int:
        """As `Store.volume_between`."""
        if after < self._first and through >= self._first + len(self._log) - 1:
            return self._volume[0]
        begin = max(0, after + 1 - self._first)
        return sum(len(row[PAYLOAD]) for row in self._log[begin : max(0, through + 1 - self._first)])

    @property
    def tail(self) -> int:
        """The highest seq."""
        return self._first + len(self._log) - 1

    def row(self, seq: int) -> Row:
        """The row of a seq that is in the log."""
        return self._log[seq - self._first]

    def past(self, partition: int, seq: int) -> int | None:
        """The first seq of a partition past another, if there is one."""
        log = self._partition_logs[partition]
        at = log.after(seq)
        return log.seqs[at] if at < len(log.seqs) else None

    def count(self, partition: int, after: int, through: int) -> int:
        """How many rows of a partition there are past one seq and up to another."""
        log = self._partition_logs[partition]
        return log.after(through) - log.after(after)

    @locked
    def settings(self) -> Settings:
        """As `Store.settings`."""
        return Settings(**self._settings)

    @locked
    def configure(
        self, *, retention: Retention | None = None, id_window_s: float | None = None, initial: bool = False
    ) -> Settings:
        """As `Store.configure`."""
        self._settings.update(settled(self._settings, retention, id_window_s, initial=initial))
        return Settings(**self._settings)

    def clock_doubts(self) -> list[str]:
        """As `Store.clock_doubts`."""
        return self._clock.doubts()

    def clock_allowances(self) -> list[str]:
        """As `Store.clock_allowances`."""
        return self._log_time.ahead()

    @locked
    def prune(self, limit: int, resolved: Callable[[], int]) -> int:
        """Delete rows that all groups are past and need not be kept."""
        if self._log:
            self._log_time = self._log_time.repaired(self._log[0][7], self._at, int(self._clock() * 1000))
        settings = self.settings()
        through = min(self._beyond(settings.retention), resolved())
        count = max(0, min(through - self._first + 1, limit))
        gone = self._log[:count]
        del self._log[:count]
        self._first += count
        self._volume[0] -= sum(len(row[PAYLOAD]) for row in gone)
        for log in [self._partition_logs[partition] for partition in {row[1] for row in gone}]:
            at = log.after(self._first - 1)
            del log.seqs[:at], log.rows[:at]
        self._forget(limit, settings.id_window_s)
        return count

    def _beyond(self, keep: Retention) -> int:
        through, tail = self._first - 1, self._first + len(self._log) - 1
        if keep.age_s is not None:
            through = max(through, self._last_at(self._stamp_before(keep.age_s)))
        if keep.count is not None:
            through = max(through, tail - keep.count)
        if keep.bytes is not None:
            over = self._volume[0] - keep.bytes
            for row in self._log:
                if over <= 0:
                    break
                over -= len(row[5])
                through = max(through, row[0])
        return min(through, tail)

    def _stamp_before(self, age_s: float) -> int:
        """The highest stamp of events of an age."""
        return self._log_time.stamp_at(int(max(-1.0, self._clock() - age_s) * 1000))

    def _forget(self, limit: int, window_s: float) -> None:
        """Forget ids of pruned events that are older than the window."""
        before = self._stamp_before(window_s)
        for ids in self._ids.values():
            old: list[EventId] = []
            for id, (seq, _, at) in ids.items():
                if seq >= self._first or at > before or len(old) == limit:
                    break
                old.append(id)
            for id in old:
                del ids[id]

    def verify(self) -> list[str]:
        """Seqs without gaps."""
        return [f"seq {want}: found {row[0]}" for want, row in enumerate(self._log, self._first) if row[0] != want]
