"""`Fetcher`: the partitions that a process holds of a group, what is read of them, and where each waits for what is next."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from ringward.events.core.effects import Read, Waits
from ringward.events.core.options import Options
from ringward.events.core.owned_partition import OwnedPartition
from ringward.events.core.stock import Stock
from ringward.events.model.event import Row

__all__ = ["Fetcher"]

_READS = 8  # partitions that one look at the store reads, at most
_READ_LEAST = 50  # rows that a read asks for, however small the batches are


class Fetcher:
    """Holdings of one group, each in the queues of its member where there is something to do for it."""

    def __init__(self, options: Options, *, durable: bool) -> None:
        self.options = options
        self.owned: dict[int, OwnedPartition] = {}
        self.stock = Stock(options.prefetch_bytes if durable else None)
        self._read_limit = min(max(options.batch, _READ_LEAST), options.window)
        self._reading: defaultdict[str, deque[OwnedPartition]] = defaultdict(deque)
        self._running: defaultdict[str, deque[OwnedPartition]] = defaultdict(deque)
        self._alone: defaultdict[str, deque[OwnedPartition]] = defaultdict(deque)
        self._unsure = False
        self._unsettled: dict[int, OwnedPartition] = {}  # with something to store that no batch will bring along

    def _forget(self, partition: int) -> OwnedPartition | None:
        owned = self.owned.pop(partition, None)
        if owned is not None:
            owned.forget()
        return owned

    def appended(self, heads: Iterable[tuple[int, int]]) -> None:
        """(seq, partition) of events that are in the log now."""
        held = self.owned
        for seq, partition in heads:
            owned = held.get(partition)
            if owned is not None and seq > owned.known:
                owned.known = seq
                if not owned.queued_read and owned.wants_more:
                    self._queue_to_read(owned)

    def accepted(self, row: Row) -> None:
        """An event is in the log, and all before are known: where it is the next to be read, it need not be."""
        owned = self.owned.get(row[1])
        if owned is None or row[0] <= owned.position:
            return
        caught_up = not owned.fresh and owned.known <= owned.position and self.stock.has_room
        owned.known = max(owned.known, row[0])
        try:
            if caught_up and owned.wants_more:
                owned.fetched([row], owned.position, 2)
            self._queue(owned)
        except BaseException:  # it is unknown who is in a queue
            self._unsure = True
            raise

    def _queue(self, owned: OwnedPartition) -> None:
        """Put an owned partition where it is found when there is something to do."""
        if not owned.queued_read and (owned.asking or owned.wants_more):
            self._queue_to_read(owned)
        if owned.alone and not owned.queued_alone:
            owned.queued_alone = True
            self._alone[owned.member].append(owned)
        if owned.batch is not None:
            return
        if owned.ready and not owned.queued_run:
            owned.queued_run = True
            self._running[owned.member].append(owned)
        if owned.unsettled:
            self._unsettled[owned.partition] = owned

    def _queue_to_read(self, owned: OwnedPartition) -> None:
        owned.queued_read = True
        self._reading[owned.member].append(owned)

    def _wake(self, now: float) -> None:
        """Queue those that have a key whose wait is over; and all, when it is unknown who is in a queue."""
        if self._unsure:
            self._unsure = False
            for owned in self.owned.values():
                self._queue(owned)
        for partition, key in self.stock.due(now):
            if (waiting := self.owned.get(partition)) is not None:
                waiting.wake(key, now)
                self._queue(waiting)

    def busy(self) -> list[str]:
        """The members who have something in a queue; those who have nothing cost the next look nothing."""
        found: dict[str, None] = {}
        for queues in (self._alone, self._running, self._reading):
            for member, queue in list(queues.items()):
                if queue:
                    found[member] = None
                else:
                    del queues[member]
        return list(found)

    def has_some(self, member: str) -> bool:
        """Whether there are rows to hand out, or may be."""
        return bool(self._running[member] or self._alone[member])

    @property
    def queued(self) -> int:
        """How many owned partitions have something to do that can be begun now."""
        queues = (*self._reading.values(), *self._running.values(), *self._alone.values())
        return sum(map(len, queues)) + bool(self._unsettled)

    def waits(self, member: str, room: int) -> Waits:
        """What a member needs from the store, of no more partitions than there is room for rows.

        When what was read ahead is as large as it may be, nothing more is read, unless there is nothing else to do.
        """
        reads: list[Read] = []
        rows: dict[int, list[int]] = {}
        dead_letters: dict[int, list[int]] = {}
        queue, size = self._reading[member], self.stock.room
        most = _READS
        if not self.stock.has_room:
            most = 0 if self.has_some(member) else 1
        left = self.stock.rows
        for _ in range(min(len(queue), most, room)):
            if left <= 0:
                break
            owned = queue.popleft()
            owned.queued_read = False
            if owned.draining or not owned.held:
                continue
            if owned.asking:
                asked, bodies = owned.asks(left)
                left -= len(asked) + len(bodies)
                rows.update({owned.partition: asked} if asked else {})
                dead_letters.update({owned.partition: bodies} if bodies else {})
            if owned.wants_more and left > 0:  # otherwise it is queued again with what it asked for
                reads.append((owned.partition, owned.position, self._read_limit, owned.known))
        if size is not None:
            size = max(1, min(size, left * self.stock.largest) if rows or dead_letters else size)
        return Waits(reads, rows, dead_letters, size)

    def fetched(self, reads: Sequence[Read], found: Sequence[Sequence[Row]]) -> None:
        """What was read, as it was asked for; reads that were left out are asked for again."""
        try:
            for (partition, after, limit, known), rows in zip_longest(reads, found):
                owned = self.owned.get(partition)
                if owned is not None:
                    if rows is not None:
                        owned.fetched(rows, after, limit, known)
                    self._queue(owned)
        except BaseException:  # it is unknown who is in a queue
            self._unsure = True
            raise

    def recalled(self, partition: int, rows: Iterable[Row]) -> None:
        """Rows that were asked for by seq were read; all of a partition at once."""
        owned = self.owned.get(partition)
        if owned is not None:
            try:
                owned.recalled({row[0]: row for row in rows})
                self._queue(owned)
            except BaseException:  # it is unknown who is in a queue
                self._unsure = True
                raise
