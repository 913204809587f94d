"""`MemoryStore`: events in this process's memory; gone when it ends."""

from __future__ import annotations

import os
import time
import uuid
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from itertools import accumulate, pairwise
from typing import Any, Concatenate, ParamSpec, TypeVar

from ringward._core import News, append_rows, event_digest, untracked
from ringward.checks import checked_callable, checked_type
from ringward.errors import (
    ConflictError,
    DeduplicationExpiredError,
    StoreClosedError,
    UnknownGroupError,
    UnsupportedError,
)
from ringward.events.document import Document, Letter, View
from ringward.events.event import ADDED, Entry, EventId, Receipt, Receipts, Row, size_of
from ringward.events.stores.protocol import Abilities, Faults, GroupState, Settlement, Totals, Turn
from ringward.events.stores.settings import Retention, Settings, settled
from ringward.events.stores.sizes import Compacted
from ringward.events.stores.stamps import LogTime, WallClock, boot_time
from ringward.events.stream import Stream
from ringward.mutex import Mutex

__all__ = ["MemoryStore"]


P = ParamSpec("P")
T = TypeVar("T")


def _locked(method: Callable[Concatenate[MemoryStore, P], T]) -> Callable[Concatenate[MemoryStore, P], T]:
    """With the store's lock. An interrupt in a call is an interrupt in the block, which in other places it may not be: see `Mutex`."""

    @wraps(method)
    def run(self: MemoryStore, /, *args: P.args, **named: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **named)

    return run


def _telling(method: Callable[Concatenate[MemoryStore, P], T]) -> Callable[Concatenate[MemoryStore, P], T]:
    """With the store's lock; then others are told that there is something new."""

    @wraps(method)
    def run(self: MemoryStore, /, *args: P.args, **named: P.kwargs) -> T:
        with self._lock:
            result = method(self, *args, **named)
        self.news.tell()
        return result

    return run


def _digest(kind: int, key: bytes, id: EventId | None, payload: bytes, headers: str | None) -> bytes:
    """That of `identity_of`."""
    return event_digest(kind, key, id, payload, headers and headers.partition(ADDED)[0])


class _Lane:
    """The rows of a partition, and their seqs apart, to search in."""

    __slots__ = ("rows", "seqs")

    def __init__(self) -> None:
        self.seqs: list[int] = untracked([])
        self.rows: list[Row] = untracked([])

    def after(self, seq: int) -> int:
        """Where the first row past a seq is."""
        return bisect_right(self.seqs, seq)


class _Group:
    def __init__(self, name: str, start: int, partitions: int) -> None:
        self.state = GroupState(name, start, 0)
        self.documents = {partition: Document(cursor=start) for partition in range(partitions)}
        self.letters: dict[int, tuple[Letter, Row]] = {}
        self.view: View | None = None
        self.beats: dict[str, int] = {}
        self.deleted = False


class MemoryStore:
    """Events in memory: for tests, for streams that may be lost, and to see what the rest costs.

    Parameters
    ----------
    stream : Stream, optional
    id_window_s : float, optional
        How long ids are remembered, at least; 7 days unless it says otherwise.
    clock, now : callable
        Seconds since 1970; monotonic seconds, by which a clock that jumps ahead is doubted.
    faults : callable
        Called with the name of each point of a write that a test may want to fail at.

    Examples
    --------
    >>> from ringward.events import MemoryStore, Stream
    >>> store = MemoryStore(Stream(partitions=16))
    >>> store.append("shop", [store.stream.entry("user:42", b"19.90", "order-1", None)])
    [Receipt(seq=1, partition=9, duplicate=False)]
    """

    abilities = Abilities(transaction=False, durable=False, exact_duplicates=True, dense=True, max_batch=1_000_000)

    def __init__(
        self,
        stream: Stream | None = None,
        *,
        id_window_s: float | None = None,
        clock: Callable[[], float] = time.time,
        now: Callable[[], float] = boot_time,
        faults: Faults = lambda _: None,
    ) -> None:
        self.stream = Stream() if stream is None else checked_type("stream", stream, Stream)
        self.process = uuid.uuid4().hex
        self._settings: dict[str, Any] = settled({}, None, id_window_s, initial=True)
        self._clock = WallClock(checked_callable("clock", clock), checked_callable("now", now))
        self._log_time = LogTime()
        self._faults = faults
        self.news = News()
        self._lock = Mutex()
        self._lanes = [_Lane() for _ in range(self.stream.partitions)]
        self._log: list[Row] = untracked([])  # of seqs first, first + 1 ...
        self._first = 1
        self._volume = [0]  # payload bytes
        self._at = 0
        self._highest: dict[str, int] = {}
        # Producer → id → seq, digest, time; in the order of seq, so that the oldest are the first to forget.
        self._ids: defaultdict[str, dict[EventId, tuple[int, bytes, int]]] = defaultdict(dict)
        self._groups: dict[str, _Group] = {}
        self._closed = False

    def _group(self, name: str) -> _Group:
        if self._closed:
            raise StoreClosedError("the store is closed")
        group = self._groups.get(name)
        if group is None or group.deleted:
            raise UnknownGroupError(name)
        return group

    @_telling
    def append(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """As `Store.append`."""
        if self._closed:
            raise StoreClosedError("the store is closed")
        self._faults("append")
        ids = [entry[3] for entry in entries if entry[3] is not None]
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
            *(entries, Receipt, _digest, seq, at, self._log, self._lanes),
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
            partition, id = entry[0], entry[3]
            if id is not None:
                body = _digest(*entry[1:])
                known = within.get(id) or self._ids[producer].get(id)
                if known is not None:
                    if known[1] != body:
                        raise ConflictError(id, known[0])
                    places.append(Receipt(known[0], partition, duplicate=True))
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

    @_locked
    def totals(self) -> Totals:
        """As `Store.totals`."""
        return Totals(self._first + len(self._log) - 1, self._first, self._volume[0])

    @_locked
    def heads(self, after: int, limit: int) -> list[tuple[int, int]]:
        """As `Store.heads`."""
        begin = max(0, after + 1 - self._first)
        return [(row[0], row[1]) for row in self._log[begin : begin + limit]]

    @_locked
    def read(self, partition: int, after: int, limit: int, size: int | None = None) -> list[Row]:
        """As `Store.read`."""
        lane = self._lanes[partition]
        begin = bisect_right(lane.seqs, after)
        rows = lane.rows[begin : begin + limit]
        if size is not None and size_of(rows) > size:
            reached = bisect_left(list(accumulate(len(row[5]) for row in rows)), size)
            return rows[: reached + 1]
        return rows

    @_locked
    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """As `Store.rows`."""
        first, count = self._first, len(self._log)
        return [self._log[seq - first] for seq in sorted(seqs) if 0 <= seq - first < count]

    @_locked
    def bodies(self, group: str, seqs: Sequence[int]) -> list[Row]:
        """As `Store.bodies`."""
        letters = self._group(group).letters
        return [letters[seq][1] for seq in sorted(seqs) if seq in letters]

    @_locked
    def seq_at(self, at_ms: int) -> int:
        """As `Store.seq_at`."""
        return self._last_at(self._log_time.stamp_at(at_ms - 1))

    def _last_at(self, stamp: int) -> int:
        """The highest seq of the events up to a stamp."""
        return self._first - 1 + bisect_right(self._log, stamp, key=lambda row: row[7])

    @_locked
    def volume_between(self, after: int, through: int) -> int:
        """As `Store.volume_between`."""
        if after < self._first and through >= self._first + len(self._log) - 1:
            return self._volume[0]
        begin = max(0, after + 1 - self._first)
        return sum(len(row[5]) for row in self._log[begin : max(0, through + 1 - self._first)])

    @_locked
    def open_group(self, group: str, start: int) -> GroupState:
        """As `Store.open_group`."""
        held = self._groups.get(group)
        if held is None:
            held = self._groups[group] = _Group(group, start, self.stream.partitions)
        elif held.deleted:
            held.deleted = False
            return self._restart(held, start)
        return held.state

    def _restart(self, group: _Group, start: int) -> GroupState:
        group.state = GroupState(group.state.name, start, group.state.generation + 1)
        for partition, document in group.documents.items():
            group.documents[partition] = Document(
                document.epoch + 1, document.revision + 1, cursor=start, generation=document.generation + 1
            )
        group.letters = {seq: letter for seq, letter in group.letters.items() if seq <= start}
        self._signal(group)
        return group.state

    def _signal(self, group: _Group) -> None:
        if group.view is not None:
            group.view = group.view._replace(number=group.view.number + 1)

    @_locked
    def groups(self) -> list[GroupState]:
        """As `Store.groups`."""
        return [group.state for _, group in sorted(self._groups.items()) if not group.deleted]

    @_telling
    def delete_group(self, group: str) -> None:
        """As `Store.delete_group`."""
        held = self._group(group)
        for partition in held.documents:
            self._fence(held, partition)
        held.deleted, held.view = True, None
        held.letters.clear()
        held.beats.clear()

    def _fence(self, group: _Group, partition: int) -> None:
        document = group.documents[partition]
        group.documents[partition] = document._replace(
            epoch=document.epoch + 1, revision=document.revision + 1, owner=None
        )

    @_locked
    def documents(self, group: str) -> dict[int, Document]:
        """As `Store.documents`."""
        return dict(self._group(group).documents)

    @_telling
    def claim(self, group: str, owner: str, epochs: Mapping[int, int]) -> dict[int, Document]:
        """As `Store.claim`."""
        held, claimed = self._group(group), {}
        for partition, epoch in epochs.items():
            if held.documents[partition].epoch == epoch:
                self._fence(held, partition)
                claimed[partition] = held.documents[partition]._replace(owner=owner)
        held.documents.update(claimed)
        self._faults("claimed")
        return claimed

    @_locked
    def mark(self, group: str, marks: Sequence[tuple[int, Document]]) -> set[int]:
        """As `Store.mark`."""
        held = self._group(group)
        return {partition for partition, document in marks if not self._replace(held, partition, document)}

    def _replace(self, group: _Group, partition: int, document: Document) -> bool:
        stored = group.documents[partition]
        fits = document.epoch == stored.epoch and document.revision == stored.revision + 1
        if not fits or document.cursor < stored.cursor:
            return False
        group.documents[partition] = document
        return True

    @_telling
    def settle(self, group: str, settlements: Sequence[Settlement]) -> set[int]:
        """As `Store.settle`."""
        held, stale = self._group(group), set()
        self._faults("settle")
        for partition, document, dead, parked, drained in settlements:
            if not self._replace(held, partition, document):
                stale.add(partition)
                continue
            for letter in dead + parked:
                body = held.letters.get(letter.seq) or (letter, self._log[letter.seq - self._first])
                held.letters[letter.seq] = (letter, body[1])
            for seq in drained:
                held.letters.pop(seq, None)
        return stale

    def turn(self, group: str) -> Turn:
        """As `Store.turn`: there is none."""
        raise UnsupportedError("a MemoryStore has no transactions: event.transaction needs a SqliteStore")

    @_locked
    def letters(self, group: str, partitions: Collection[int] | None = None) -> list[Letter]:
        """As `Store.letters`."""
        found = [letter for _, (letter, _) in sorted(self._group(group).letters.items())]
        return found if partitions is None else [letter for letter in found if letter.partition in partitions]

    @_telling
    def redrive(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.redrive`."""
        held = self._group(group)
        chosen = [seq for seq in set(seqs) if seq in held.letters and held.letters[seq][0].state == "dead"]
        for seq in chosen:
            letter, row = held.letters[seq]
            held.letters[seq] = (letter._replace(state="redrive", attempts=0), row)
        return self._changed(held, {held.letters[seq][0].partition for seq in chosen}, len(chosen))

    @_telling
    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.drop`."""
        held = self._group(group)
        gone = [held.letters.pop(seq)[0] for seq in set(seqs) if seq in held.letters]
        return self._changed(held, {letter.partition for letter in gone}, len(gone))

    def _changed(self, group: _Group, partitions: set[int], count: int) -> int:
        for partition in partitions:
            self._fence(group, partition)
        if partitions:
            self._signal(group)
        return count

    @_telling
    def reset(self, group: str, after: int) -> GroupState:
        """As `Store.reset`."""
        return self._restart(self._group(group), after)

    def view(self, group: str) -> View | None:
        """As `Store.view`."""
        return self._group(group).view

    @_telling
    def change_view(self, group: str, view: View) -> bool:
        """As `Store.change_view`."""
        held = self._group(group)
        if view.number != (1 if held.view is None else held.view.number + 1):
            return False
        held.view = view
        counters = view.counters()
        held.beats = {owner: count for owner, count in held.beats.items() if owner in counters}
        return True

    @_locked
    def beat(self, group: str, beats: Mapping[str, int]) -> None:
        """As `Store.beat`."""
        self._group(group).beats.update(beats)

    @_locked
    def beats(self, group: str) -> dict[str, int]:
        """As `Store.beats`."""
        return dict(self._group(group).beats)

    def alive(self, process: str) -> bool | None:
        """As `Store.alive`."""
        return process == self.process

    @_locked
    def lowest_unresolved(self, group: str) -> int:
        """As `Store.lowest_unresolved`."""
        lowest = self._first + len(self._log)
        for partition, document in self._group(group).documents.items():
            lane = self._lanes[partition]
            at = lane.after(document.cursor)
            if at < len(lane.seqs):
                lowest = min(lowest, lane.seqs[at])
        return lowest

    @_locked
    def unresolved(self, group: str) -> dict[int, int]:
        """As `Store.unresolved`."""
        counts = {}
        for partition, document in self._group(group).documents.items():
            lane = self._lanes[partition]
            done = sum(lane.after(high) - lane.after(low - 1) for low, high in document.done)
            if left := len(lane.seqs) - lane.after(document.cursor) - done:
                counts[partition] = left
        return counts

    @_locked
    def settings(self) -> Settings:
        """As `Store.settings`."""
        return Settings(**self._settings)

    @_locked
    def configure(
        self, *, retention: Retention | None = None, id_window_s: float | None = None, initial: bool = False
    ) -> Settings:
        """As `Store.configure`."""
        self._settings.update(settled(self._settings, retention, id_window_s, initial=initial))
        return Settings(**self._settings)

    def clock_doubts(self) -> list[str]:
        """As `SqliteStore.clock_doubts`."""
        return self._clock.doubts()

    @_locked
    def prune(self, limit: int) -> int:
        """As `Store.prune`."""
        if self._log:
            self._log_time = self._log_time.mended(self._log[0][7], self._at, int(self._clock() * 1000))
        settings = self.settings()
        through = min(
            [self._beyond(settings.retention), *(self.lowest_unresolved(group.name) - 1 for group in self.groups())]
        )
        count = max(0, min(through - self._first + 1, limit))
        gone = self._log[:count]
        del self._log[:count]
        self._first += count
        self._volume[0] -= sum(len(row[5]) for row in gone)
        for lane in [self._lanes[partition] for partition in {row[1] for row in gone}]:
            at = lane.after(self._first - 1)
            del lane.seqs[:at], lane.rows[:at]
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

    def compact(self) -> Compacted:
        """As `Store.compact`: there is nothing to give back."""
        return Compacted(0, 0)

    @_locked
    def verify(self) -> list[str]:
        """As `Store.verify`: seqs without gaps, and cursors below the tail."""
        tail = self._first + len(self._log) - 1
        wrong = [f"seq {want}: found {row[0]}" for want, row in enumerate(self._log, self._first) if row[0] != want]
        for group in self._groups.values():
            for partition, document in group.documents.items():
                if document.cursor > tail:
                    wrong.append(f"group {group.state.name!r}, partition {partition}: cursor above the tail, {tail}")
        return wrong

    def query(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None, timeout_s: float = 0.0
    ) -> list[tuple[Any, ...]]:
        """Not in memory."""
        raise UnsupportedError("a MemoryStore has no tables to query: give the Processor a file's path")

    def backup(self, to: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Not in memory."""
        raise UnsupportedError("a MemoryStore has no file to back up: give the Processor a file's path")

    def close(self) -> None:
        """As `Store.close`."""
        self._closed = True
