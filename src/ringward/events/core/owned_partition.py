"""`OwnedPartition`: one partition that is claimed: who waits for what, and what is with handlers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter

from ringward.events.core.batch import Batch
from ringward.events.core.key_queue import ASKED, BACKOFF, BUSY, DEAD, FREE, QUEUED, KeyQueue, QueueKey
from ringward.events.core.offset_tracker import OffsetTracker
from ringward.events.core.options import Options
from ringward.events.core.outcomes import Hopeless
from ringward.events.core.stock import Stock
from ringward.events.model.dead_letter import ERROR_MOST, DeadLetter
from ringward.events.model.event import Row
from ringward.events.model.partition_state import PartitionState

__all__ = ["OwnedPartition"]

_seq = itemgetter(0)


class OwnedPartition(OffsetTracker):
    """One claimed partition of a group; every change of it is a method here."""

    __slots__ = (
        *("alone", "asking", "batch", "counted", "dead_seqs", "draining", "fresh", "held", "known", "queues"),
        *(
            "dead_letter_count",
            "mixed",
            "options",
            "queued_alone",
            "queued_read",
            "queued_run",
            "ready",
            "size",
            "stock",
        ),
        "writing",
    )

    def __init__(
        self,
        partition: int,
        lease: str,
        state: PartitionState,
        dead_letters: Iterable[DeadLetter],
        options: Options,
        stock: Stock,
    ) -> None:
        super().__init__(partition, lease, state)
        self.held = True  # until it is given back or lost
        self.options = options
        self.stock = stock
        self.size = 0  # payload bytes of the rows that can be taken
        self.known = 0  # the highest seq that is said to exist
        self.fresh = True  # whether there may be more than is said
        self.ready: deque[Row] = deque()
        self.mixed = False  # whether rows of these may be in another order than their seqs
        self.alone: deque[Row] = deque()  # suspects that can be taken
        self.queues: dict[QueueKey, KeyQueue] = {}
        self.asking: dict[QueueKey, None] = {}  # free queues whose rows are to be asked for
        self.counted: set[int] = set()  # deliveries whose attempt was counted before they began
        self.batch: Batch | None = None  # the one that is at all keys without a queue
        self.draining = False
        self.writing = False  # a state is on its way to the store
        self.queued_read = self.queued_run = self.queued_alone = False  # whether the group has it in a queue already
        self.dead_seqs: set[int] = set()
        self.dead_letter_count = 0
        for dead_letter in dead_letters:
            self._adopt(dead_letter)
        for key, queue in self.queues.items():
            self._free(key, queue)
            if queue.state == FREE:  # not only the first: one before it may have been redriven since
                self.suspects.update(seq for seq in queue.seqs if self._in_suspect_range(seq))

    def forget(self) -> None:
        """It is given back, or lost."""
        self.held = False
        self._count_dead_letters(-self.dead_letter_count)
        self._remove(self.size)

    def _count_dead_letters(self, change: int) -> None:
        self.dead_letter_count += change
        self.stock.dead_letters += change

    def _add(self, rows: Sequence[Row]) -> None:
        """Rows can be taken now."""
        self.size += self.stock.add(rows)

    def _remove(self, size: int) -> None:
        """Rows of this size are not in memory any more."""
        self.size -= size
        self.stock.bytes -= size

    def _adopt(self, dead_letter: DeadLetter) -> None:
        self._count_dead_letters(1)
        parks = self.options.on_dead == "park"
        if dead_letter.state == "dead":
            if not parks:
                return
            self.dead_seqs.add(dead_letter.seq)
        self.queues.setdefault(
            dead_letter.key if parks else (dead_letter.key,), KeyQueue(dead_letters=True)
        ).seqs.append(dead_letter.seq)

    # --- reading

    @property
    def wants_more(self) -> bool:
        """Whether rows should be read: there are some, and there is room."""
        return (
            (self.fresh or self.known > self.position)
            and not (self.draining or self.stock.full)
            and len(self.ready) < self.options.batch
            and len(self.order) < self.options.window
        )

    def fetched(self, rows: Sequence[Row], after: int, limit: int, known: int = 0) -> None:
        """Take in the rows that were read past `after`, when the highest seq was `known`."""
        if after != self.position:
            return  # another thread was faster
        if len(rows) < limit:
            self.fresh = False
            if self.known <= known:  # what was said to exist beyond was pruned
                self.known = rows[-1][0] if rows else after
        if not rows:
            return
        if not self.queues and not self.suspect_ranges and not self.claimed.done:
            self._add(rows)
            self.ready.extend(rows)
            self.order.extend(map(_seq, rows))
        else:
            for row in rows:
                self._sort_in(row)
            if self.order[0] in self.resolved:  # done before this claim, and the cursor may pass it
                self.unsettled = True
        self.position = rows[-1][0]  # at last: what is before it is in a queue

    def _sort_in(self, row: Row) -> None:
        seq, key = row[0], row[3]
        self.order.append(seq)
        queue = self.queues.get(key)
        if self.claimed.resolved(seq):
            self.resolved.add(seq)
        elif queue is not None and queue.dead_letters:
            self._park(queue, seq, key)
        elif self._in_suspect_range(seq):
            self.suspects.add(seq)
            self._wait(key, seq)
        elif queue is not None:
            queue.seqs.append(seq)
        else:
            self._add((row,))
            self.ready.append(row)

    def _wait(self, key: bytes, seq: int) -> None:
        queue = self.queues.get(key)
        if queue is None:
            queue = self.queues[key] = KeyQueue()
            self.asking[key] = None
        queue.seqs.append(seq)

    def _park(self, queue: KeyQueue, seq: int, key: bytes) -> None:
        """Resolve an event by putting it behind its key's dead one."""
        queue.insert(seq)
        self.unsettled = True
        self._count_dead_letters(1)
        self.parked.append(DeadLetter(seq, self.partition, key, "parked", "", self.attempts.pop(seq, 0)))
        self.resolved.add(seq)
        self.suspects.discard(seq)

    def _free(self, key: QueueKey, queue: KeyQueue) -> None:
        """Nothing is in the queue's way any more."""
        if not queue.seqs:
            self.queues.pop(key, None)
        elif queue.dead_letters and queue.seqs[0] in self.dead_seqs:
            queue.state = DEAD
        else:
            queue.state = FREE
            self.asking[key] = None

    def asks(self, most: int) -> tuple[list[int], list[int]]:
        """The seqs whose rows are needed now, so many: of the log, and of dead letters."""
        rows: list[int] = []
        dead_letters: list[int] = []
        while self.asking and len(rows) + len(self.ready) < self.options.batch and len(rows) + len(dead_letters) < most:
            key = next(iter(self.asking))
            del self.asking[key]
            queue = self.queues.get(key)
            if queue is None or queue.state != FREE or not queue.seqs:
                continue
            queue.state = ASKED
            if queue.dead_letters:
                dead_letters.append(queue.seqs[0])
            elif queue.seqs[0] in self.suspects:
                rows.append(queue.seqs[0])
            else:
                rows.extend(self._unsuspected(queue, most - len(rows) - len(dead_letters)))
        return rows, dead_letters

    def _unsuspected(self, queue: KeyQueue, most: int) -> list[int]:
        seqs: list[int] = []
        for seq in queue.seqs:
            if seq in self.suspects or len(seqs) == min(self.options.batch, most):
                break
            seqs.append(seq)
        return seqs

    def recalled(self, rows: Mapping[int, Row]) -> None:
        """Take in the rows that were asked for."""
        for key, queue in list(self.queues.items()):
            if queue.state != ASKED:
                continue
            if queue.seqs[0] not in rows:
                self._back_off(key, queue, 0.0)  # asked for again at the next tick
            elif queue.dead_letters or queue.seqs[0] in self.suspects:
                self._queue(key, queue, rows[queue.seqs[0]])
            else:
                again: list[Row] = []
                while queue.seqs and queue.seqs[0] in rows and queue.seqs[0] not in self.suspects:
                    again.append(rows[queue.seqs.popleft()])
                self._add(again)
                self.mixed |= bool(self.ready)
                self.ready.extend(again)
                self._free(key, queue)

    def _queue(self, key: QueueKey, queue: KeyQueue, row: Row) -> None:
        queue.state = QUEUED
        if queue.dead_letters:
            self.dead_letter_queues[row[0]] = key
        self._add((row,))
        self.mixed = True
        (self.alone if row[0] in self.suspects else self.ready).append(row)

    def _back_off(self, key: QueueKey, queue: KeyQueue, due: float) -> None:
        queue.state, queue.due = BACKOFF, due
        self.stock.wait(due, self.partition, key)

    def wake(self, key: QueueKey, now: float) -> None:
        """Let a queue go on if its wait is over."""
        queue = self.queues.get(key)
        if queue is not None and queue.state == BACKOFF and queue.due <= now:
            self._free(key, queue)

    # --- with handlers

    def take(self, limit: int, batch: Batch, a_key: int) -> list[tuple[Row, int]]:
        """Hand out ready rows, in order, of one key only so many; what is left of a key waits for the batch."""
        ready = self.ready
        if a_key < limit:
            rows = self._some_of_each_key(limit, a_key)
        elif len(ready) > limit:
            rows = [ready.popleft() for _ in range(limit)]
        else:
            rows = list(ready)
            ready.clear()
        self.batch = batch
        self.flying += len(rows)
        size = self.stock.size_of(rows)
        self.size -= size
        batch.size += size
        if self.queues or self.mixed or (a_key < limit and ready):  # others are in between that are not handed out
            self.begun.update(map(_seq, rows))
        else:
            self.span = (rows[0][0], rows[-1][0])
        self.mixed &= bool(ready)
        for row in rows if self.dead_letter_queues else ():
            if (key := self.dead_letter_queues.get(row[0])) is not None:
                self.queues[key].state = BUSY
                self.queues[key].busy += 1
        attempts = self.attempts
        return [(row, attempts.get(row[0], 0) + 1) for row in rows] if attempts else list(zip(rows, repeat(1)))

    def _some_of_each_key(self, limit: int, a_key: int) -> list[Row]:
        rows: list[Row] = []
        left: deque[Row] = deque()
        taken: Counter[bytes] = Counter()
        for row in self.ready:
            if len(rows) < limit and taken[row[3]] < a_key:
                taken[row[3]] += 1
                rows.append(row)
            else:
                taken[row[3]] = a_key  # none overtakes another
                left.append(row)
        self.ready = left
        return rows

    def take_alone(self) -> tuple[Row, int] | None:
        """Hand out one suspect, its attempt counted beforehand; or bury it when it had all its attempts."""
        row = self.alone.popleft()
        self._remove(self.stock.size_of((row,)))
        seq = row[0]
        key = self.dead_letter_queues.get(seq, row[3])
        queue = self.queues[key]
        if not queue.dead_letters:
            queue.seqs.popleft()
        count = self.attempts.get(seq, 0) + 1
        if count > self.options.retry.attempts and not self.stock.full:
            self._bury(
                row, "each time that it was delivered, the process died, or the handler hung or lost its transaction"
            )
            if not queue.dead_letters:
                self._free(key, queue)
            return None
        self.attempts[seq] = count
        self.counted.add(seq)
        queue.state = BUSY
        queue.busy += 1
        self.flying += 1
        self.begun.add(seq)
        return row, count

    def hangs(self, row: Row) -> None:
        """The handler of an event does not return: that counts, since whoever has the partition next delivers it again."""
        seq = row[0]
        if seq not in self.counted:
            self.counted.add(seq)
            self.attempts[seq] = self.attempts.get(seq, 0) + 1
            self.unsettled = True

    def itemise(self, rows: Iterable[Row]) -> None:
        """What is with handlers is no longer all that its batch had: these are."""
        if self.span is not None:
            self.span = None
            self.begun.update(map(_seq, rows))

    def done(self, rows: Sequence[Row]) -> None:
        """Resolve events that were handled."""
        self.handled += len(rows)
        if not (self.queues or self.attempts or self.begun):  # nothing but seqs to account for
            self.flying -= len(rows)
            self.resolved.update(map(_seq, rows))
            self.unsettled = True
            return
        for row in rows:
            self._landed(row)
            self._resolve(row[0])
            self._unblock(row)

    def _landed(self, row: Row) -> None:
        self.unsettled = True
        self.flying -= 1
        self.counted.discard(row[0])
        self.begun.discard(row[0])

    def _resolve(self, seq: int) -> None:
        self.attempts.pop(seq, None)
        self.suspects.discard(seq)
        if seq in self.dead_letter_queues:
            self.drained.append(seq)
            self._count_dead_letters(-1)
            self.queues[self.dead_letter_queues[seq]].seqs.popleft()
        else:
            self.resolved.add(seq)

    def _queue_of(self, row: Row) -> tuple[QueueKey, KeyQueue | None]:
        key = self.dead_letter_queues.get(row[0], row[3])
        return key, self.queues.get(key)

    def _unblock(self, row: Row) -> None:
        key, queue = self._queue_of(row)
        self.dead_letter_queues.pop(row[0], None)
        if queue is not None and queue.busy:
            queue.busy -= 1
            if not queue.busy and queue.state == BUSY:
                self._free(key, queue)

    def failed(self, row: Row, error: str, now: float, chance: float) -> None:
        """Let an event wait for its next attempt, or bury it; what follows of its key waits with it."""
        seq = row[0]
        counted = seq in self.counted
        self._landed(row)
        count = self.attempts[seq] = self.attempts.get(seq, 0) + (0 if counted else 1)
        over = count >= self.options.retry.attempts or isinstance(error, Hopeless)
        if over and not self.stock.full:
            self._bury(row, error)
            return
        key, queue = self._queue_of(row)
        if queue is None:
            queue = self.queues[key] = KeyQueue()
        queue.busy = max(0, queue.busy - 1)
        self._shut(key, queue, row, now + self.options.retry.delay_s(count, chance))

    def _shut(self, key: QueueKey, queue: KeyQueue, row: Row, due: float) -> None:
        """Put an event back at the head of its queue, which waits."""
        self._back_off(key, queue, due)
        if self.dead_letter_queues.pop(row[0], None) is None:
            queue.insert(row[0])
            self._sweep({row[3]})

    def _sweep(self, keys: Collection[bytes]) -> None:
        """Ready rows of these keys wait in their queues instead."""
        kept: deque[Row] = deque()
        for row in self.ready:
            if row[3] in keys and row[0] not in self.dead_letter_queues:
                self._remove(self.stock.size_of((row,)))
                queue = self.queues[row[3]]
                if queue.dead_letters:
                    self._park(queue, row[0], row[3])
                else:
                    queue.insert(row[0])
            else:
                kept.append(row)
        self.ready = kept

    def _bury(self, row: Row, error: str) -> None:
        """Make a dead letter of an event, and park its key."""
        seq, key = row[0], row[3]
        self.unsettled = True
        count = self.attempts.pop(seq, 0)
        self.suspects.discard(seq)
        self.dead.append(DeadLetter(seq, self.partition, key, "dead", error[:ERROR_MOST], count))
        again = seq in self.dead_letter_queues
        if not again:
            self._count_dead_letters(1)
            self.resolved.add(seq)
        if self.options.on_dead == "skip":
            if again:
                self.queues[self.dead_letter_queues[seq]].seqs.popleft()
            self._unblock(row)
            return
        self.dead_seqs.add(seq)
        self.dead_letter_queues.pop(seq, None)
        queue = self.queues.setdefault(key, KeyQueue(dead_letters=True))
        queue.busy = max(0, queue.busy - 1)
        self.asking.pop(key, None)
        queue.state = DEAD
        if not again:
            waiting, queue.seqs, queue.dead_letters = queue.seqs, deque([seq]), True
            for other in waiting:
                self._park(queue, other, key)
            self._sweep({key})

    def give_back(self, rows: Sequence[Row]) -> None:
        """Take back rows that were not handled: to the front, in order."""
        kept: list[Row] = []
        waiting: set[bytes] = set()
        for row in reversed(rows):
            seq, key = row[0], row[3]
            self._uncount(seq)
            self._landed(row)
            if seq in self.dead_letter_queues:
                self._unblock(row)
                continue
            queue = self.queues.get(key)
            if queue is None:
                kept.append(row)
            elif queue.dead_letters:
                self._park(queue, seq, key)
            else:
                waiting.add(key)
                queue.insert(seq)
                self._released(key, queue)
        self._put_first(kept)
        if waiting:
            self._sweep(waiting)

    def _put_first(self, rows: Sequence[Row]) -> None:
        self._add(rows)
        self.mixed |= bool(self.ready)
        self.ready.extendleft(rows)

    def _uncount(self, seq: int) -> None:
        """A delivery that was counted beforehand came to nothing."""
        if seq in self.counted:
            self.attempts[seq] -= 1
            if not self.attempts[seq]:
                del self.attempts[seq]

    def _released(self, key: QueueKey, queue: KeyQueue) -> None:
        if queue.state == BUSY and queue.busy:
            queue.busy -= 1
        if not queue.busy and queue.state in (BUSY, FREE):
            self._free(key, queue)

    def slow(self, open_rows: Sequence[Row], rest: Sequence[Row]) -> None:
        """A handler takes long: its key gets a queue, and all others go on."""
        self.batch, self.span = None, None
        self.begun.difference_update(map(_seq, rest))
        self.begun.update(map(_seq, open_rows))
        self.unsettled |= self.flying > len(rest) or not self.draining  # the marks are shorter now
        keys = {row[3] for row in open_rows if row[0] not in self.dead_letter_queues}
        for row in open_rows:
            if row[0] not in self.dead_letter_queues:  # those have theirs
                queue = self.queues.setdefault(row[3], KeyQueue())
                queue.state = BUSY
                queue.busy += 1
        self.flying -= len(rest)
        for row in rest:
            if row[0] in self.dead_letter_queues:
                queue = self.queues[self.dead_letter_queues[row[0]]]
                queue.state, queue.busy = QUEUED, queue.busy - 1
        self._put_first(rest[::-1])
        self._sweep(keys)

    def drain(self) -> None:
        """Take no more, and forget what nobody has begun: the next owner reads it again.

        Lanes forget too. Otherwise a key that is parked now would have gaps where rows were forgotten.
        """
        self.draining = True
        self.forget_ready()
        self.asking.clear()
        for key, queue in list(self.queues.items()):
            if not queue.dead_letters:
                queue.seqs.clear()
                if not queue.busy:
                    del self.queues[key]

    def forget_ready(self) -> None:
        """Let go of the rows that can be taken."""
        self._remove(self.size)
        self.ready.clear()
        self.alone.clear()

    @property
    def quiet(self) -> bool:
        """Whether nothing is unresolved that is known of, but for what is parked."""
        live = any(queue.state != DEAD for queue in self.queues.values())
        return not (self.order or self.ready or live or self.wants_more or self.unsettled or self.writing)
