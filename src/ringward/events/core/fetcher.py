"""`Fetcher`: what is to be read of the partitions that a process holds of a group, and what was."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from ringward.events.core.effects import Read, Waits
from ringward.events.core.options import Options
from ringward.events.core.owned_partition import OwnedPartition
from ringward.events.core.stock import Stock
from ringward.events.core.work_queues import WorkQueues
from ringward.events.model.event import SEQ, Row, rows_by_partition

__all__ = ["Fetcher"]

_READS = 8  # partitions that one look at the store reads, at most
_READ_LEAST = 50  # rows that a read asks for, however small the batches are


class Fetcher:
    """Says what to read from the store, and takes in what was read.

    Parameters
    ----------
    options : Options
    owned : dict of int to OwnedPartition
        Those that are held, as the group changes them.
    stock : Stock
    queues : WorkQueues
    """

    def __init__(self, options: Options, owned: Mapping[int, OwnedPartition], stock: Stock, queues: WorkQueues) -> None:
        self._owned = owned
        self._stock = stock
        self._queues = queues
        self._read_limit = min(max(options.batch, _READ_LEAST), options.window)

    def appended(self, heads: Iterable[tuple[int, int]]) -> None:
        """(seq, partition) of events that are in the log now."""
        held = self._owned
        highest = {partition: seq for seq, partition in sorted(heads)}  # those of repeated ids are in no order
        for partition, seq in highest.items():
            owned = held.get(partition)
            if owned is not None and owned.expect(seq):
                self._queues.put_to_read(owned)

    def accepted(self, rows: Sequence[Row]) -> None:
        """Events are in the log, and all before are known: where they are the next to be read, they need not be."""
        for partition, found in rows_by_partition(rows).items():
            owned = self._owned.get(partition)
            if owned is not None and found[-1][SEQ] > owned.position:
                self._accept(owned, found)

    def _accept(self, owned: OwnedPartition, rows: list[Row]) -> None:
        caught_up = owned.caught_up and owned.position < rows[0][SEQ] and self._stock.has_room
        owned.expect(rows[-1][SEQ])
        try:
            if caught_up and len(rows) <= self._read_limit and owned.has_room(self._read_limit):
                owned.fetched(rows, owned.position, len(rows) + 1)
            self._queues.put(owned)
        except BaseException:
            self._queues.doubt()
            raise

    def waits(self, member: str, room: int) -> Waits:
        """What a member needs from the store, of no more partitions than there is room for rows.

        When what was read ahead is as large as it may be, nothing more is read, unless there is nothing else to do.
        """
        reads: list[Read] = []
        rows: dict[int, list[int]] = {}
        dead_letters: dict[int, list[int]] = {}
        queue, size = self._queues.to_read[member], self._stock.room
        most = _READS
        if not self._stock.has_room:
            most = 0 if self._queues.can_run(member) else 1
        left = self._stock.rows_max
        for _ in range(min(len(queue), most, room)):
            if left <= 0:
                break
            owned, _ = queue.popitem(last=False)
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
            size = max(1, min(size, left * self._stock.largest) if rows or dead_letters else size)
        return Waits(reads, rows, dead_letters, size)

    def fetched(self, reads: Sequence[Read], found: Sequence[Sequence[Row]]) -> None:
        """What was read, as it was asked for; reads that were left out are asked for again."""
        try:
            for (partition, after, limit, known), rows in zip_longest(reads, found):
                owned = self._owned.get(partition)
                if owned is not None:
                    if rows is not None:
                        owned.fetched(rows, after, limit, known)
                    self._queues.put(owned)
        except BaseException:
            self._queues.doubt()
            raise

    def recalled(self, partition: int, rows: Iterable[Row]) -> None:
        """Rows that were asked for by seq were read; all of a partition at once."""
        owned = self._owned.get(partition)
        if owned is not None:
            try:
                owned.recalled({row[SEQ]: row for row in rows})
                self._queues.put(owned)
            except BaseException:
                self._queues.doubt()
                raise

    def wake(self, now: float) -> None:
        """Queue those that have a key whose wait is over; and all, when it is unknown who is in a queue."""
        if self._queues.take_doubt():
            for owned in self._owned.values():
                self._queues.put(owned)
        for partition, key in self._stock.due(now):
            if (waiting := self._owned.get(partition)) is not None:
                waiting.wake(key, now)
                self._queues.put(waiting)
