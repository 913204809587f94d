"""`OwnedPartition`: one partition that is claimed: who waits for what, and what is with handlers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat

from ringward.events.core.batch import Batch
from ringward.events.core.key_queue import ASKED, BACKOFF, BUSY, DEAD, FREE, QUEUED, KeyQueue, QueueKey
from ringward.events.core.offset_tracker import OffsetTracker
from ringward.events.core.options import Options
from ringward.events.core.outcomes import Hopeless
from ringward.events.core.stock import Stock
from ringward.events.model.dead_letter import ERROR_MOST, DeadLetter
from ringward.events.model.event import KEY, SEQ, Row, seq_of
from ringward.events.model.membership import member_of
from ringward.events.model.notifications import Retried
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import Settlement

__all__ = ["OwnedPartition"]

# Of all its fields: one is made for each partition of each batch.
_settlement = partial(tuple.__new__, Settlement)


class OwnedPartition:
    """One claimed partition of a group; every change of it is a method here.

    Attributes
    ----------
    partition : int
    member, lease : str
        Who holds it in this process, and by which lease.
    epoch : int
        Of the claim.
    offsets : OffsetTracker
        What of it is read, resolved and with handlers.
    held : bool
        Until it is given back or lost.
    draining : bool
        Nothing more is taken: it is to be given back.
    writing : bool
        A state is on its way to the store.
    unsettled : bool
        There is something to store.
    known : int
        The highest seq that is said to exist.
    ready, alone : deque of Row
        Rows that can be taken, and suspects that can be taken alone.
    queues : dict of QueueKey to KeyQueue
        Keys with something in their way.
    asking : dict of QueueKey to None
        Free queues whose rows are to be asked for.
    batch : Batch or None
        The one that is at all keys without a queue.
    """

    __slots__ = (
        *("_counted", "_dead", "_dead_letter_count", "_dead_letter_queues", "_dead_seqs", "_drained", "_fresh"),
        *("_mixed", "_options", "_parked", "_size", "_stock", "alone", "asking", "batch", "draining", "epoch", "held"),
        *("known", "lease", "member", "offsets", "partition", "queues", "ready", "unsettled", "writing"),
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
        self.partition = partition
        self.lease = lease
        self.member = member_of(lease)
        self.epoch = state.epoch
        self.offsets = OffsetTracker(state)
        self.held = True
        self.draining = False
        self.writing = False
        self.unsettled = False
        self.known = 0
        self.ready: deque[Row] = deque()
        self.alone: deque[Row] = deque()
        self.queues: dict[QueueKey, KeyQueue] = {}
        self.asking: dict[QueueKey, None] = {}
        self.batch: Batch | None = None
        self._options = options
        self._stock = stock
        self._size = 0  # payload bytes of the rows that can be taken
        self._fresh = True  # whether there may be more than is said
        self._mixed = False  # whether the rows that are ready may be in another order than their seqs
        self._counted: set[int] = set()  # deliveries whose attempt was counted before they began
        self._dead: list[DeadLetter] = []  # to be stored, as the next two
        self._parked: list[DeadLetter] = []
        self._drained: list[int] = []
        self._dead_seqs: set[int] = set()
        self._dead_letter_count = 0
        self._dead_letter_queues: dict[int, QueueKey] = {}  # dead letters that are queued or with a handler
        for dead_letter in dead_letters:
            self._adopt(dead_letter)
        suspects, suspected = self.offsets.suspects, self.offsets.in_suspect_range
        for key, queue in self.queues.items():
            self._free(key, queue)
            if queue.state == FREE:  # not only the first: one before it may have been redriven since
                suspects.update(seq for seq in queue.seqs if suspected(seq))

    def forget(self) -> None:
        """It is given back, or lost."""
        self.held = False
        self._count_dead_letters(-self._dead_letter_count)
        self._remove(self._size)

    def _count_dead_letters(self, change: int) -> None:
        self._dead_letter_count += change
        self._stock.dead_letters += change

    def _add(self, rows: Sequence[Row]) -> None:
        """Rows can be taken now."""
        self._size += self._stock.add(rows)

    def _remove(self, size: int) -> None:
        """Rows of this size are not in memory any more."""
        self._size -= size
        self._stock.bytes -= size

    def _adopt(self, dead_letter: DeadLetter) -> None:
        self._count_dead_letters(1)
        parks = self._options.on_dead == "park"
        if dead_letter.state == "dead":
            if not parks:
                return
            self._dead_seqs.add(dead_letter.seq)
        self.queues.setdefault(
            dead_letter.key if parks else (dead_letter.key,), KeyQueue(dead_letters=True)
        ).seqs.append(dead_letter.seq)

    # --- reading

    @property
    def wants_more(self) -> bool:
        """Whether rows should be read: there are some, and there is room."""
        return (self.known > self.offsets.position or self._fresh) and self.has_room(self._options.batch)

    def has_room(self, ready: int) -> bool:
        """Whether more rows may be taken in, while fewer than so many are ready."""
        return (
            not (self.draining or self._stock.full)
            and len(self.ready) < ready
            and len(self.offsets.order) < self._options.window
        )

    @property
    def position(self) -> int:
        """The log is read up to here."""
        return self.offsets.position

    @property
    def caught_up(self) -> bool:
        """Whether all is read that is said to exist."""
        return not self._fresh and self.known <= self.offsets.position

    def expect(self, seq: int) -> bool:
        """An event of this seq is said to exist; whether that is news."""
        if seq <= self.known:
            return False
        self.known = seq
        return True

    def fetched(self, rows: Sequence[Row], after: int, limit: int, known: int = 0) -> None:
        """Take in the rows that were read past `after`, when the highest seq was `known`."""
        offsets = self.offsets
        if after != offsets.position:
            return  # another thread was faster
        if len(rows) < limit:
            self._fresh = False
            if self.known <= known:  # what was said to exist beyond was pruned
                self.known = rows[-1][SEQ] if rows else after
        if not rows:
            return
        if not self.queues and offsets.plain:
            self._add(rows)
            self.ready.extend(rows)
            offsets.order.extend(map(seq_of, rows))
        else:
            for row in rows:
                self._sort_in(row)
            if offsets.order[0] in offsets.resolved:  # done before this claim, and the cursor may pass it
                self.unsettled = True
        offsets.position = rows[-1][SEQ]  # at last: what is before it is in a queue

    def _sort_in(self, row: Row) -> None:
        seq, key, offsets = row[SEQ], row[KEY], self.offsets
        offsets.order.append(seq)
        queue = self.queues.get(key)
        if offsets.claimed.resolved(seq):
            offsets.resolved.add(seq)
        elif queue is not None and queue.dead_letters:
            self._park(queue, seq, key)
        elif offsets.in_suspect_range(seq):
            offsets.suspects.add(seq)
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
        attempts = self.offsets.settle(seq, resolved=True)
        self._parked.append(DeadLetter(seq, self.partition, key, "parked", "", attempts))

    def _free(self, key: QueueKey, queue: KeyQueue) -> None:
        """Nothing is in the queue's way any more."""
        if not queue.seqs:
            self.queues.pop(key, None)
        elif queue.dead_letters and queue.seqs[0] in self._dead_seqs:
            queue.state = DEAD
        else:
            queue.state = FREE
            self.asking[key] = None

    def asks(self, most: int) -> tuple[list[int], list[int]]:
        """The seqs whose rows are needed now, so many: of the log, and of dead letters."""
        rows: list[int] = []
        dead_letters: list[int] = []
        while (
            self.asking and len(rows) + len(self.ready) < self._options.batch and len(rows) + len(dead_letters) < most
        ):
            key = next(iter(self.asking))
            del self.asking[key]
            queue = self.queues.get(key)
            if queue is None or queue.state != FREE or not queue.seqs:
                continue
            queue.state = ASKED
            if queue.dead_letters:
                dead_letters.append(queue.seqs[0])
            elif queue.seqs[0] in self.offsets.suspects:
                rows.append(queue.seqs[0])
            else:
                rows.extend(self._unsuspected(queue, most - len(rows) - len(dead_letters)))
        return rows, dead_letters

    def _unsuspected(self, queue: KeyQueue, most: int) -> list[int]:
        seqs: list[int] = []
        for seq in queue.seqs:
            if seq in self.offsets.suspects or len(seqs) == min(self._options.batch, most):
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
            elif queue.dead_letters or queue.seqs[0] in self.offsets.suspects:
                self._queue(key, queue, rows[queue.seqs[0]])
            else:
                again: list[Row] = []
                while queue.seqs and queue.seqs[0] in rows and queue.seqs[0] not in self.offsets.suspects:
                    again.append(rows[queue.seqs.popleft()])
                self._add(again)
                self._mixed |= bool(self.ready)
                self.ready.extend(again)
                self._free(key, queue)

    def _queue(self, key: QueueKey, queue: KeyQueue, row: Row) -> None:
        queue.state = QUEUED
        if queue.dead_letters:
            self._dead_letter_queues[row[SEQ]] = key
        self._add((row,))
        self._mixed = True
        (self.alone if row[SEQ] in self.offsets.suspects else self.ready).append(row)

    def _back_off(self, key: QueueKey, queue: KeyQueue, due: float) -> None:
        queue.state, queue.due = BACKOFF, due
        self._stock.wait(due, self.partition, key)

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
        offsets = self.offsets
        offsets.flying += len(rows)
        size = self._stock.size_of(rows)
        self._size -= size
        batch.size += size
        if self.queues or self._mixed or (a_key < limit and ready):  # others are in between that are not handed out
            offsets.begun.update(map(seq_of, rows))
        else:
            offsets.span = (rows[0][SEQ], rows[-1][SEQ])
        self._mixed &= bool(ready)
        for row in rows if self._dead_letter_queues else ():
            if (key := self._dead_letter_queues.get(row[SEQ])) is not None:
                self.queues[key].state = BUSY
                self.queues[key].busy += 1
        attempts = offsets.attempts
        return [(row, attempts.get(row[SEQ], 0) + 1) for row in rows] if attempts else list(zip(rows, repeat(1)))

    def _some_of_each_key(self, limit: int, a_key: int) -> list[Row]:
        rows: list[Row] = []
        left: deque[Row] = deque()
        taken: Counter[bytes] = Counter()
        for row in self.ready:
            if len(rows) < limit and taken[row[KEY]] < a_key:
                taken[row[KEY]] += 1
                rows.append(row)
            else:
                taken[row[KEY]] = a_key  # none overtakes another
                left.append(row)
        self.ready = left
        return rows

    def take_alone(self) -> tuple[Row, int] | None:
        """Hand out one suspect, its attempt counted beforehand; or bury it when it had all its attempts."""
        row = self.alone.popleft()
        self._remove(self._stock.size_of((row,)))
        seq = row[SEQ]
        key = self._dead_letter_queues.get(seq, row[KEY])
        queue = self.queues[key]
        if not queue.dead_letters:
            queue.seqs.popleft()
        if self.offsets.attempts.get(seq, 0) >= self._options.retry.attempts and not self._stock.full:
            self._bury(
                row, "each time that it was delivered, the process died, or the handler hung or lost its transaction"
            )
            self._free(key, queue)  # what comes next of it, unless the key is parked
            return None
        self._counted.add(seq)
        queue.state = BUSY
        queue.busy += 1
        self.offsets.begin_alone(seq)
        return row, self.offsets.count_attempt(seq)

    def hangs(self, row: Row) -> None:
        """The handler of an event does not return: that counts, since whoever has the partition next delivers it again."""
        seq = row[SEQ]
        if seq not in self._counted:
            self._counted.add(seq)
            self.offsets.count_attempt(seq)
            self.unsettled = True

    def itemise(self, rows: Iterable[Row]) -> None:
        """What is with handlers is no longer all that its batch had: these are."""
        self.offsets.itemise(map(seq_of, rows))

    def retry(self, notification: Retried) -> None:
        """An attempt failed; that is told once it is stored."""
        self.offsets.retry(notification)

    def batch_over(self, batch: Batch) -> None:
        """Nobody runs a batch any more, which may be the one that is at this partition."""
        if self.batch is batch:
            self.batch = self.offsets.span = None

    def done(self, rows: Sequence[Row]) -> None:
        """Resolve events that were handled."""
        offsets = self.offsets
        offsets.handled += len(rows)
        self.unsettled = True
        if not (self.queues or offsets.attempts or offsets.begun):  # nothing but seqs to account for
            offsets.flying -= len(rows)
            offsets.resolved.update(map(seq_of, rows))
            return
        for row in rows:
            seq = row[SEQ]
            self._counted.discard(seq)
            offsets.land(seq)
            if seq in self._dead_letter_queues:
                offsets.settle(seq, resolved=False)
                self._drained.append(seq)
                self._count_dead_letters(-1)
                self.queues[self._dead_letter_queues[seq]].seqs.popleft()
            else:
                offsets.settle(seq, resolved=True)
            self._unblock(row)

    def _queue_of(self, row: Row) -> tuple[QueueKey, KeyQueue | None]:
        key = self._dead_letter_queues.get(row[SEQ], row[KEY])
        return key, self.queues.get(key)

    def _unblock(self, row: Row) -> None:
        key, queue = self._queue_of(row)
        self._dead_letter_queues.pop(row[SEQ], None)
        if queue is not None and queue.busy:
            queue.busy -= 1
            if not queue.busy and queue.state == BUSY:
                self._free(key, queue)

    def failed(self, row: Row, error: str, now: float, chance: float) -> int | None:
        """Let an event wait for its next attempt, or bury it; what follows of its key waits with it.

        How many attempts count by now; None when it is dead.
        """
        seq = row[SEQ]
        self.unsettled = True
        self.offsets.land(seq)
        if seq in self._counted:
            self._counted.discard(seq)
            count = self.offsets.attempts[seq]
        else:
            count = self.offsets.count_attempt(seq)
        over = count >= self._options.retry.attempts or isinstance(error, Hopeless)
        if over and not self._stock.full:
            self._bury(row, error)
            return None
        key, queue = self._queue_of(row)
        if queue is None:
            queue = self.queues[key] = KeyQueue()
        queue.busy = max(0, queue.busy - 1)
        self._shut(key, queue, row, now + self._options.retry.delay_s(count, chance))
        return count

    def _shut(self, key: QueueKey, queue: KeyQueue, row: Row, due: float) -> None:
        """Put an event back at the head of its queue, which waits."""
        self._back_off(key, queue, due)
        if self._dead_letter_queues.pop(row[SEQ], None) is None:
            queue.insert(row[SEQ])
            self._sweep({row[KEY]})

    def _sweep(self, keys: Collection[bytes]) -> None:
        """Ready rows of these keys wait in their queues instead."""
        kept: deque[Row] = deque()
        for row in self.ready:
            if row[KEY] in keys and row[SEQ] not in self._dead_letter_queues:
                self._remove(self._stock.size_of((row,)))
                queue = self.queues[row[KEY]]
                if queue.dead_letters:
                    self._park(queue, row[SEQ], row[KEY])
                else:
                    queue.insert(row[SEQ])
            else:
                kept.append(row)
        self.ready = kept

    def _bury(self, row: Row, error: str) -> None:
        """Make a dead letter of an event, and park its key."""
        seq, key = row[SEQ], row[KEY]
        self.unsettled = True
        again = seq in self._dead_letter_queues
        attempts = self.offsets.settle(seq, resolved=not again)
        self._dead.append(DeadLetter(seq, self.partition, key, "dead", error[:ERROR_MOST], attempts))
        if not again:
            self._count_dead_letters(1)
        if self._options.on_dead == "skip":
            if again:
                self.queues[self._dead_letter_queues[seq]].seqs.popleft()
            self._unblock(row)
            return
        self._dead_seqs.add(seq)
        self._dead_letter_queues.pop(seq, None)
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
        self.unsettled |= bool(rows)
        for row in reversed(rows):
            seq, key = row[SEQ], row[KEY]
            self.offsets.land(seq)
            if seq in self._counted:
                self._counted.discard(seq)
                self.offsets.uncount_attempt(seq)
            if seq in self._dead_letter_queues:
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
        self._mixed |= bool(self.ready)
        self.ready.extendleft(rows)

    def _released(self, key: QueueKey, queue: KeyQueue) -> None:
        if queue.state == BUSY and queue.busy:
            queue.busy -= 1
        if not queue.busy and queue.state in (BUSY, FREE):
            self._free(key, queue)

    def slow(self, open_rows: Sequence[Row], rest: Sequence[Row]) -> None:
        """A handler takes long: its key gets a queue, and all others go on."""
        self.batch = None
        self.offsets.narrow(map(seq_of, open_rows), list(map(seq_of, rest)))
        self.unsettled |= self.offsets.flying > 0 or not self.draining  # less is in flight now
        keys = {row[KEY] for row in open_rows if row[SEQ] not in self._dead_letter_queues}
        for row in open_rows:
            if row[SEQ] not in self._dead_letter_queues:  # those have theirs
                queue = self.queues.setdefault(row[KEY], KeyQueue())
                queue.state = BUSY
                queue.busy += 1
        for row in rest:
            if row[SEQ] in self._dead_letter_queues:
                queue = self.queues[self._dead_letter_queues[row[SEQ]]]
                queue.state, queue.busy = QUEUED, queue.busy - 1
        self._put_first(rest[::-1])
        self._sweep(keys)

    def drain(self) -> None:
        """Take no more, and forget what nobody has begun: the next owner reads it again.

        Queues of keys forget too. Otherwise a key that is parked now would have gaps where rows were forgotten.
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
        self._remove(self._size)
        self.ready.clear()
        self.alone.clear()

    # --- what is stored

    @property
    def owes_dead_letters(self) -> bool:
        """Whether dead letters must be stored before anything else: a mark says of their events that they are resolved."""
        return bool(self._dead or self._parked or self._drained)

    def mark(self) -> PartitionState:
        """What is with handlers is to be stored."""
        self.writing = True
        return self.offsets.advance(self.lease)

    def settle(self) -> Settlement:
        """All that there is to store is to be stored."""
        self.writing = True
        self.unsettled = False
        state = self.offsets.advance(self.lease)
        if not (self._dead or self._parked or self._drained):
            return _settlement((self.partition, state, (), (), ()))
        dead, parked, drained = tuple(self._dead), tuple(self._parked), tuple(self._drained)
        self._dead, self._parked, self._drained = [], [], []
        return Settlement(self.partition, state, dead, parked, drained)

    def settled_by_mark(self) -> None:
        """The mark that is to be stored is stored as a settlement is, and no dead letters are owed."""
        self.unsettled = False

    def give_up(self) -> PartitionState:
        """That nobody owns it is to be stored."""
        self.writing = True
        return self.offsets.advance(None)

    def stored(self) -> tuple[int, list[Retried]]:
        """The last state is in the store: how many events it acknowledges, and what of it is tried again."""
        self.writing = False
        return self.offsets.stored()

    @property
    def quiet(self) -> bool:
        """Whether nothing is unresolved that is known of, but for what is parked."""
        live = any(queue.state != DEAD for queue in self.queues.values())
        return not (self.offsets.order or self.ready or live or self.wants_more or self.unsettled or self.writing)
