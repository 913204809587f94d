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
from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import ADDED, Entry, EventId, Receipt, Receipts, Row, size_of
from ringward.events.model.membership import Membership
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.settings import Retention, Settings, settled
from ringward.events.model.store import (
    Abilities,
    Compacted,
    Faults,
    GroupState,
    Hint,
    Settlement,
    Totals,
    WriteTransaction,
)
from ringward.events.model.stream import Stream
from ringward.events.stores.stamps import LogTime, WallClock, boot_time
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


class _PartitionLog:
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
        self.states = {partition: PartitionState(cursor=start) for partition in range(partitions)}
        self.dead_letters: dict[int, tuple[DeadLetter, Row]] = {}
        self.membership: Membership | None = None
        self.heartbeats: dict[str, int] = {}
        self.deleted = False


class MemoryStore:
    """Events in memory: for tests, for streams that may be lost, and to measure everything but the disk.

    Parameters
    ----------
    stream : Stream, optional
    id_window_s : float, optional
        How long ids are remembered, at least; by default 7 days.
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

    abilities = Abilities(durable=False, presence="proof")
    session = 0
    hears_others = True
    failure: Exception | None = None
    committed_ms: int | None = None

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
        self._partition_logs = [_PartitionLog() for _ in range(self.stream.partitions)]
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
    def read(self, wanted: Sequence[tuple[int, int, int]], rows: int, size: int | None = None) -> list[list[Row]]:
        """As `Store.read`."""
        found: list[list[Row]] = []
        for partition, after, limit in wanted:
            log = self._partition_logs[partition]
            begin = bisect_right(log.seqs, after)
            part = log.rows[begin : begin + limit]
            if size is not None:
                if size_of(part) > size:
                    del part[bisect_left(list(accumulate(len(row[5]) for row in part)), size) + 1 :]
                size -= size_of(part)
            found.append(part)
            rows -= len(part)
            if rows <= 0 or (size is not None and size <= 0):
                break
        return found

    @_locked
    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """As `Store.rows`."""
        first, count = self._first, len(self._log)
        return [self._log[seq - first] for seq in sorted(seqs) if 0 <= seq - first < count]

    @_locked
    def bodies(self, group: str, seqs: Sequence[int]) -> list[Row]:
        """As `Store.bodies`."""
        dead_letters = self._group(group).dead_letters
        return [dead_letters[seq][1] for seq in sorted(seqs) if seq in dead_letters]

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
        for partition, state in group.states.items():
            group.states[partition] = PartitionState(
                state.epoch + 1, state.revision + 1, cursor=start, generation=state.generation + 1
            )
        group.dead_letters = {seq: dead_letter for seq, dead_letter in group.dead_letters.items() if seq <= start}
        self._signal(group)
        return group.state

    def _signal(self, group: _Group) -> None:
        if group.membership is not None:
            group.membership = group.membership._replace(number=group.membership.number + 1)

    @_locked
    def groups(self) -> list[GroupState]:
        """As `Store.groups`."""
        return [group.state for _, group in sorted(self._groups.items()) if not group.deleted]

    @_telling
    def delete_group(self, group: str) -> None:
        """As `Store.delete_group`."""
        held = self._group(group)
        for partition in held.states:
            self._fence(held, partition)
        held.deleted, held.membership = True, None
        held.dead_letters.clear()
        held.heartbeats.clear()

    def _fence(self, group: _Group, partition: int) -> None:
        state = group.states[partition]
        group.states[partition] = state._replace(epoch=state.epoch + 1, revision=state.revision + 1, owner=None)

    @_locked
    def states(self, group: str) -> dict[int, PartitionState]:
        """As `Store.states`."""
        return dict(self._group(group).states)

    @_telling
    def claim(self, group: str, owner: str, epochs: Mapping[int, int]) -> dict[int, PartitionState]:
        """As `Store.claim`."""
        held, claimed = self._group(group), {}
        for partition, epoch in epochs.items():
            if held.states[partition].epoch == epoch:
                self._fence(held, partition)
                claimed[partition] = held.states[partition]._replace(owner=owner)
        held.states.update(claimed)
        self._faults("claimed")
        return claimed

    @_locked
    def mark(self, group: str, marks: Sequence[tuple[int, PartitionState]]) -> set[int]:
        """As `Store.mark`."""
        held = self._group(group)
        return {partition for partition, state in marks if not self._replace(held, partition, state)}

    def _replace(self, group: _Group, partition: int, state: PartitionState) -> bool:
        stored = group.states[partition]
        fits = state.epoch == stored.epoch and state.revision == stored.revision + 1
        if not fits or state.cursor < stored.cursor:
            return False
        group.states[partition] = state
        return True

    @_telling
    def settle(self, group: str, settlements: Sequence[Settlement]) -> set[int]:
        """As `Store.settle`."""
        held, stale = self._group(group), set()
        self._faults("settle")
        for partition, state, dead, parked, drained in settlements:
            if not self._replace(held, partition, state):
                stale.add(partition)
                continue
            for dead_letter in dead + parked:
                body = held.dead_letters.get(dead_letter.seq) or (dead_letter, self._log[dead_letter.seq - self._first])
                held.dead_letters[dead_letter.seq] = (dead_letter, body[1])
            for seq in drained:
                held.dead_letters.pop(seq, None)
        return stale

    def write_transaction(self, group: str) -> WriteTransaction:
        """As `Store.write_transaction`: there is none."""
        raise UnsupportedError("a MemoryStore has no transactions: give the Processor a file's path")

    @_locked
    def dead_letters(self, group: str, partitions: Collection[int] | None = None) -> list[DeadLetter]:
        """As `Store.dead_letters`."""
        found = [dead_letter for _, (dead_letter, _) in sorted(self._group(group).dead_letters.items())]
        return (
            found
            if partitions is None
            else [dead_letter for dead_letter in found if dead_letter.partition in partitions]
        )

    @_telling
    def redrive(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.redrive`."""
        held = self._group(group)
        chosen = [seq for seq in set(seqs) if seq in held.dead_letters and held.dead_letters[seq][0].state == "dead"]
        for seq in chosen:
            dead_letter, row = held.dead_letters[seq]
            held.dead_letters[seq] = (dead_letter._replace(state="redrive", attempts=0), row)
        return self._changed(held, {held.dead_letters[seq][0].partition for seq in chosen}, len(chosen))

    @_telling
    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.drop`."""
        held = self._group(group)
        gone = [held.dead_letters.pop(seq)[0] for seq in set(seqs) if seq in held.dead_letters]
        return self._changed(held, {dead_letter.partition for dead_letter in gone}, len(gone))

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

    def membership(self, group: str) -> Membership | None:
        """As `Store.membership`."""
        return self._group(group).membership

    @_telling
    def change_membership(self, group: str, membership: Membership) -> bool:
        """As `Store.change_membership`."""
        held = self._group(group)
        if membership.number != (1 if held.membership is None else held.membership.number + 1):
            return False
        held.membership = membership
        counters = membership.counters()
        held.heartbeats = {owner: count for owner, count in held.heartbeats.items() if owner in counters}
        return True

    @_locked
    def heartbeat(self, group: str, heartbeats: Mapping[str, int]) -> None:
        """As `Store.heartbeat`."""
        self._group(group).heartbeats.update(heartbeats)

    @_locked
    def heartbeats(self, group: str) -> dict[str, int]:
        """As `Store.heartbeats`."""
        return dict(self._group(group).heartbeats)

    def hint(self, process: str) -> Hint:
        """As `Store.hint`: there is no other process."""
        return "here" if process == self.process else "gone"

    @_locked
    def lowest_unresolved(self, group: str) -> int:
        """As `Store.lowest_unresolved`."""
        lowest = self._first + len(self._log)
        for partition, state in self._group(group).states.items():
            log = self._partition_logs[partition]
            at = log.after(state.cursor)
            if at < len(log.seqs):
                lowest = min(lowest, log.seqs[at])
        return lowest

    @_locked
    def unresolved(self, group: str) -> dict[int, int]:
        """As `Store.unresolved`."""
        counts = {}
        for partition, state in self._group(group).states.items():
            log = self._partition_logs[partition]
            done = sum(log.after(high) - log.after(low - 1) for low, high in state.done)
            if left := len(log.seqs) - log.after(state.cursor) - done:
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
        """As `Store.clock_doubts`."""
        return self._clock.doubts()

    def clock_allowances(self) -> list[str]:
        """As `Store.clock_allowances`."""
        return self._log_time.ahead()

    @_locked
    def prune(self, limit: int) -> int:
        """As `Store.prune`."""
        if self._log:
            self._log_time = self._log_time.repaired(self._log[0][7], self._at, int(self._clock() * 1000))
        settings = self.settings()
        through = min(
            [self._beyond(settings.retention), *(self.lowest_unresolved(group.name) - 1 for group in self.groups())]
        )
        count = max(0, min(through - self._first + 1, limit))
        gone = self._log[:count]
        del self._log[:count]
        self._first += count
        self._volume[0] -= sum(len(row[5]) for row in gone)
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

    def compact(self) -> Compacted:
        """As `Store.compact`: there is nothing to give back."""
        return Compacted(0, 0)

    @_locked
    def verify(self) -> list[str]:
        """As `Store.verify`: seqs without gaps, and cursors below the tail."""
        tail = self._first + len(self._log) - 1
        wrong = [f"seq {want}: found {row[0]}" for want, row in enumerate(self._log, self._first) if row[0] != want]
        for group in self._groups.values():
            for partition, state in group.states.items():
                if state.cursor > tail:
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
