"""`Intake`: the partitions that a process holds of a group, what is read of them, and where each waits for what is next."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from ringward.events.effects import Options, Read, Waits
from ringward.events.event import Row
from ringward.events.holding import Holding
from ringward.events.stock import Stock

__all__ = ["Intake"]

_READS = 8  # partitions that one look at the store reads, at most
_READ_LEAST = 50  # rows that a read asks for, however small the batches are


class Intake:
    """Holdings of one group, each in the queues of its member where there is something to do for it."""

    def __init__(self, options: Options, *, durable: bool) -> None:
        self.options = options
        self.holdings: dict[int, Holding] = {}
        self.stock = Stock(options.prefetch_bytes if durable else None)
        self._read_limit = min(max(options.batch, _READ_LEAST), options.window)
        self._reading: defaultdict[str, deque[Holding]] = defaultdict(deque)
        self._running: defaultdict[str, deque[Holding]] = defaultdict(deque)
        self._alone: defaultdict[str, deque[Holding]] = defaultdict(deque)
        self._unsure = False
        self._unsettled: dict[int, Holding] = {}  # with something to store that no batch will bring along

    def _forget(self, partition: int) -> Holding | None:
        holding = self.holdings.pop(partition, None)
        if holding is not None:
            holding.forget()
        return holding

    def appended(self, heads: Iterable[tuple[int, int]]) -> None:
        """(seq, partition) of events that are in the log now."""
        holdings = self.holdings
        for seq, partition in heads:
            holding = holdings.get(partition)
            if holding is not None and seq > holding.known:
                holding.known = seq
                if not holding.queued_read and holding.wants_more:
                    self._queue_to_read(holding)

    def accepted(self, row: Row) -> None:
        """An event is in the log, and all before are known: where it is the next to be read, it need not be."""
        holding = self.holdings.get(row[1])
        if holding is None or row[0] <= holding.position:
            return
        caught_up = not holding.fresh and holding.known <= holding.position and self.stock.has_room
        holding.known = max(holding.known, row[0])
        try:
            if caught_up and holding.wants_more:
                holding.fetched([row], holding.position, 2)
            self._queue(holding)
        except BaseException:  # it is unknown who is in a queue
            self._unsure = True
            raise

    def _queue(self, holding: Holding) -> None:
        """Put a holding where it is found when there is something to do."""
        if not holding.queued_read and (holding.asking or holding.wants_more):
            self._queue_to_read(holding)
        if holding.alone and not holding.queued_alone:
            holding.queued_alone = True
            self._alone[holding.member].append(holding)
        if holding.batch is not None:
            return
        if holding.ready and not holding.queued_run:
            holding.queued_run = True
            self._running[holding.member].append(holding)
        if holding.unsettled:
            self._unsettled[holding.partition] = holding

    def _queue_to_read(self, holding: Holding) -> None:
        holding.queued_read = True
        self._reading[holding.member].append(holding)

    def _wake(self, now: float) -> None:
        """Queue those that have a key whose wait is over; and all, when it is unknown who is in a queue."""
        if self._unsure:
            self._unsure = False
            for holding in self.holdings.values():
                self._queue(holding)
        for partition, key in self.stock.due(now):
            if (waiting := self.holdings.get(partition)) is not None:
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
        """How many holdings have something to do that can be begun now."""
        queues = (*self._reading.values(), *self._running.values(), *self._alone.values())
        return sum(map(len, queues)) + bool(self._unsettled)

    def waits(self, member: str, room: int) -> Waits:
        """What a member needs from the store, of no more partitions than there is room for rows.

        When what was read ahead is as large as it may be, nothing more is read, unless there is nothing else to do.
        """
        reads: list[Read] = []
        rows: dict[int, list[int]] = {}
        letters: dict[int, list[int]] = {}
        queue, size = self._reading[member], self.stock.room
        most = _READS
        if not self.stock.has_room:
            most = 0 if self.has_some(member) else 1
        left = self.stock.rows
        for _ in range(min(len(queue), most, room)):
            if left <= 0:
                break
            holding = queue.popleft()
            holding.queued_read = False
            if holding.draining or not holding.held:
                continue
            if holding.asking:
                asked, bodies = holding.asks(left)
                left -= len(asked) + len(bodies)
                rows.update({holding.partition: asked} if asked else {})
                letters.update({holding.partition: bodies} if bodies else {})
            if holding.wants_more and left > 0:  # otherwise it is queued again with what it asked for
                reads.append((holding.partition, holding.position, self._read_limit, holding.known))
        if size is not None:
            size = max(1, min(size, left * self.stock.largest) if rows or letters else size)
        return Waits(reads, rows, letters, size)

    def fetched(self, reads: Sequence[Read], found: Sequence[Sequence[Row]]) -> None:
        """What was read, as it was asked for; reads that were left out are asked for again."""
        try:
            for (partition, after, limit, known), rows in zip_longest(reads, found):
                holding = self.holdings.get(partition)
                if holding is not None:
                    if rows is not None:
                        holding.fetched(rows, after, limit, known)
                    self._queue(holding)
        except BaseException:  # it is unknown who is in a queue
            self._unsure = True
            raise

    def recalled(self, partition: int, rows: Iterable[Row]) -> None:
        """Rows that were asked for by seq were read; all of a partition at once."""
        holding = self.holdings.get(partition)
        if holding is not None:
            try:
                holding.recalled({row[0]: row for row in rows})
                self._queue(holding)
            except BaseException:  # it is unknown who is in a queue
                self._unsure = True
                raise
