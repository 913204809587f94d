"""`Holding`: one partition that is claimed: who waits for what, and what is with handlers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import repeat
from operator import itemgetter

from ringward.events.account import Account
from ringward.events.document import ERROR_MOST, Document, Letter
from ringward.events.effects import Batch, Hopeless, Options
from ringward.events.event import Row
from ringward.events.lane import ASKED, BACKOFF, BUSY, DEAD, FREE, QUEUED, Lane, LaneKey
from ringward.events.stock import Stock

__all__ = ["Holding"]

_seq = itemgetter(0)


class Holding(Account):
    """One claimed partition of a group; every change of it is a method here."""

    __slots__ = (
        *("alone", "asking", "batch", "counted", "dead_seqs", "draining", "fresh", "held", "known", "lanes"),
        *("letter_count", "mixed", "options", "queued_alone", "queued_read", "queued_run", "ready", "size", "stock"),
        "writing",
    )

    def __init__(
        self,
        partition: int,
        lease: str,
        document: Document,
        letters: Iterable[Letter],
        options: Options,
        stock: Stock,
    ) -> None:
        super().__init__(partition, lease, document)
        self.held = True  # until it is given back or lost
        self.options = options
        self.stock = stock
        self.size = 0  # payload bytes of the rows that can be taken
        self.known = 0  # the highest seq that is said to exist
        self.fresh = True  # whether there may be more than is said
        self.ready: deque[Row] = deque()
        self.mixed = False  # whether rows of these may be in another order than their seqs
        self.alone: deque[Row] = deque()  # suspects that can be taken
        self.lanes: dict[LaneKey, Lane] = {}
        self.asking: dict[LaneKey, None] = {}  # free lanes whose rows are to be asked for
        self.counted: set[int] = set()  # deliveries whose attempt was counted before they began
        self.batch: Batch | None = None  # the one that is at all keys without a lane
        self.draining = False
        self.writing = False  # a document is on its way to the store
        self.queued_read = self.queued_run = self.queued_alone = False  # whether the group has it in a queue already
        self.dead_seqs: set[int] = set()
        self.letter_count = 0
        for letter in letters:
            self._adopt(letter)
        for key, lane in self.lanes.items():
            self._free(key, lane)
            if lane.state == FREE:  # not only the first: one before it may have been redriven since
                self.suspects.update(seq for seq in lane.seqs if self._in_suspect_range(seq))

    def forget(self) -> None:
        """It is given back, or lost."""
        self.held = False
        self._count_letters(-self.letter_count)
        self._remove(self.size)

    def _count_letters(self, change: int) -> None:
        self.letter_count += change
        self.stock.letters += change

    def _add(self, rows: Sequence[Row]) -> None:
        """Rows can be taken now."""
        self.size += self.stock.add(rows)

    def _remove(self, size: int) -> None:
        """Rows of this size are not in memory any more."""
        self.size -= size
        self.stock.bytes -= size

    def _adopt(self, letter: Letter) -> None:
        self._count_letters(1)
        parks = self.options.on_dead == "park"
        if letter.state == "dead":
            if not parks:
                return
            self.dead_seqs.add(letter.seq)
        self.lanes.setdefault(letter.key if parks else (letter.key,), Lane(letters=True)).seqs.append(letter.seq)

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
        if not self.lanes and not self.suspect_ranges and not self.claimed.done:
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
        lane = self.lanes.get(key)
        if self.claimed.resolved(seq):
            self.resolved.add(seq)
        elif lane is not None and lane.letters:
            self._park(lane, seq, key)
        elif self._in_suspect_range(seq):
            self.suspects.add(seq)
            self._wait(key, seq)
        elif lane is not None:
            lane.seqs.append(seq)
        else:
            self._add((row,))
            self.ready.append(row)

    def _wait(self, key: bytes, seq: int) -> None:
        lane = self.lanes.get(key)
        if lane is None:
            lane = self.lanes[key] = Lane()
            self.asking[key] = None
        lane.seqs.append(seq)

    def _park(self, lane: Lane, seq: int, key: bytes) -> None:
        """Resolve an event by putting it behind its key's dead one."""
        lane.insert(seq)
        self.unsettled = True
        self._count_letters(1)
        self.parked.append(Letter(seq, self.partition, key, "parked", "", self.attempts.pop(seq, 0)))
        self.resolved.add(seq)
        self.suspects.discard(seq)

    def _free(self, key: LaneKey, lane: Lane) -> None:
        """Nothing is in the lane's way any more."""
        if not lane.seqs:
            self.lanes.pop(key, None)
        elif lane.letters and lane.seqs[0] in self.dead_seqs:
            lane.state = DEAD
        else:
            lane.state = FREE
            self.asking[key] = None

    def asks(self, most: int) -> tuple[list[int], list[int]]:
        """The seqs whose rows are needed now, so many: of the log, and of letters."""
        rows: list[int] = []
        letters: list[int] = []
        while self.asking and len(rows) + len(self.ready) < self.options.batch and len(rows) + len(letters) < most:
            key = next(iter(self.asking))
            del self.asking[key]
            lane = self.lanes.get(key)
            if lane is None or lane.state != FREE or not lane.seqs:
                continue
            lane.state = ASKED
            if lane.letters:
                letters.append(lane.seqs[0])
            elif lane.seqs[0] in self.suspects:
                rows.append(lane.seqs[0])
            else:
                rows.extend(self._unsuspected(lane, most - len(rows) - len(letters)))
        return rows, letters

    def _unsuspected(self, lane: Lane, most: int) -> list[int]:
        seqs: list[int] = []
        for seq in lane.seqs:
            if seq in self.suspects or len(seqs) == min(self.options.batch, most):
                break
            seqs.append(seq)
        return seqs

    def recalled(self, rows: Mapping[int, Row]) -> None:
        """Take in the rows that were asked for."""
        for key, lane in list(self.lanes.items()):
            if lane.state != ASKED:
                continue
            if lane.seqs[0] not in rows:
                self._back_off(key, lane, 0.0)  # asked for again at the next tick
            elif lane.letters or lane.seqs[0] in self.suspects:
                self._queue(key, lane, rows[lane.seqs[0]])
            else:
                again: list[Row] = []
                while lane.seqs and lane.seqs[0] in rows and lane.seqs[0] not in self.suspects:
                    again.append(rows[lane.seqs.popleft()])
                self._add(again)
                self.mixed |= bool(self.ready)
                self.ready.extend(again)
                self._free(key, lane)

    def _queue(self, key: LaneKey, lane: Lane, row: Row) -> None:
        lane.state = QUEUED
        if lane.letters:
            self.letter_lanes[row[0]] = key
        self._add((row,))
        self.mixed = True
        (self.alone if row[0] in self.suspects else self.ready).append(row)

    def _back_off(self, key: LaneKey, lane: Lane, due: float) -> None:
        lane.state, lane.due = BACKOFF, due
        self.stock.wait(due, self.partition, key)

    def wake(self, key: LaneKey, now: float) -> None:
        """Let a lane go on if its wait is over."""
        lane = self.lanes.get(key)
        if lane is not None and lane.state == BACKOFF and lane.due <= now:
            self._free(key, lane)

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
        if self.lanes or self.mixed or (a_key < limit and ready):  # others are in between that are not handed out
            self.begun.update(map(_seq, rows))
        else:
            self.span = (rows[0][0], rows[-1][0])
        self.mixed &= bool(ready)
        for row in rows if self.letter_lanes else ():
            if (key := self.letter_lanes.get(row[0])) is not None:
                self.lanes[key].state = BUSY
                self.lanes[key].busy += 1
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
        key = self.letter_lanes.get(seq, row[3])
        lane = self.lanes[key]
        if not lane.letters:
            lane.seqs.popleft()
        count = self.attempts.get(seq, 0) + 1
        if count > self.options.retry.attempts and not self.stock.full:
            self._bury(
                row, "each time that it was delivered, the process died, or the handler hung or lost its transaction"
            )
            if not lane.letters:
                self._free(key, lane)
            return None
        self.attempts[seq] = count
        self.counted.add(seq)
        lane.state = BUSY
        lane.busy += 1
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
        if not (self.lanes or self.attempts or self.begun):  # nothing but seqs to account for
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
        if seq in self.letter_lanes:
            self.drained.append(seq)
            self._count_letters(-1)
            self.lanes[self.letter_lanes[seq]].seqs.popleft()
        else:
            self.resolved.add(seq)

    def _lane_of(self, row: Row) -> tuple[LaneKey, Lane | None]:
        key = self.letter_lanes.get(row[0], row[3])
        return key, self.lanes.get(key)

    def _unblock(self, row: Row) -> None:
        key, lane = self._lane_of(row)
        self.letter_lanes.pop(row[0], None)
        if lane is not None and lane.busy:
            lane.busy -= 1
            if not lane.busy and lane.state == BUSY:
                self._free(key, lane)

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
        key, lane = self._lane_of(row)
        if lane is None:
            lane = self.lanes[key] = Lane()
        lane.busy = max(0, lane.busy - 1)
        self._shut(key, lane, row, now + self.options.retry.delay_s(count, chance))

    def _shut(self, key: LaneKey, lane: Lane, row: Row, due: float) -> None:
        """Put an event back at the head of its lane, which waits."""
        self._back_off(key, lane, due)
        if self.letter_lanes.pop(row[0], None) is None:
            lane.insert(row[0])
            self._sweep({row[3]})

    def _sweep(self, keys: Collection[bytes]) -> None:
        """Ready rows of these keys wait in their lanes instead."""
        kept: deque[Row] = deque()
        for row in self.ready:
            if row[3] in keys and row[0] not in self.letter_lanes:
                self._remove(self.stock.size_of((row,)))
                lane = self.lanes[row[3]]
                if lane.letters:
                    self._park(lane, row[0], row[3])
                else:
                    lane.insert(row[0])
            else:
                kept.append(row)
        self.ready = kept

    def _bury(self, row: Row, error: str) -> None:
        """Make a dead letter of an event, and park its key."""
        seq, key = row[0], row[3]
        self.unsettled = True
        count = self.attempts.pop(seq, 0)
        self.suspects.discard(seq)
        self.dead.append(Letter(seq, self.partition, key, "dead", error[:ERROR_MOST], count))
        again = seq in self.letter_lanes
        if not again:
            self._count_letters(1)
            self.resolved.add(seq)
        if self.options.on_dead == "skip":
            if again:
                self.lanes[self.letter_lanes[seq]].seqs.popleft()
            self._unblock(row)
            return
        self.dead_seqs.add(seq)
        self.letter_lanes.pop(seq, None)
        lane = self.lanes.setdefault(key, Lane(letters=True))
        lane.busy = max(0, lane.busy - 1)
        self.asking.pop(key, None)
        lane.state = DEAD
        if not again:
            waiting, lane.seqs, lane.letters = lane.seqs, deque([seq]), True
            for other in waiting:
                self._park(lane, other, key)
            self._sweep({key})

    def give_back(self, rows: Sequence[Row]) -> None:
        """Take back rows that were not handled: to the front, in order."""
        kept: list[Row] = []
        waiting: set[bytes] = set()
        for row in reversed(rows):
            seq, key = row[0], row[3]
            self._uncount(seq)
            self._landed(row)
            if seq in self.letter_lanes:
                self._unblock(row)
                continue
            lane = self.lanes.get(key)
            if lane is None:
                kept.append(row)
            elif lane.letters:
                self._park(lane, seq, key)
            else:
                waiting.add(key)
                lane.insert(seq)
                self._released(key, lane)
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

    def _released(self, key: LaneKey, lane: Lane) -> None:
        if lane.state == BUSY and lane.busy:
            lane.busy -= 1
        if not lane.busy and lane.state in (BUSY, FREE):
            self._free(key, lane)

    def slow(self, open_rows: Sequence[Row], rest: Sequence[Row]) -> None:
        """A handler takes long: its key gets a lane, and all others go on."""
        self.batch, self.span = None, None
        self.begun.difference_update(map(_seq, rest))
        self.begun.update(map(_seq, open_rows))
        self.unsettled |= self.flying > len(rest) or not self.draining  # the marks are shorter now
        keys = {row[3] for row in open_rows if row[0] not in self.letter_lanes}
        for row in open_rows:
            if row[0] not in self.letter_lanes:  # those have theirs
                lane = self.lanes.setdefault(row[3], Lane())
                lane.state = BUSY
                lane.busy += 1
        self.flying -= len(rest)
        for row in rest:
            if row[0] in self.letter_lanes:
                lane = self.lanes[self.letter_lanes[row[0]]]
                lane.state, lane.busy = QUEUED, lane.busy - 1
        self._put_first(rest[::-1])
        self._sweep(keys)

    def drain(self) -> None:
        """Take no more, and forget what nobody has begun: the next owner reads it again.

        Lanes forget too. Otherwise a key that is parked now would have gaps where rows were forgotten.
        """
        self.draining = True
        self.forget_ready()
        self.asking.clear()
        for key, lane in list(self.lanes.items()):
            if not lane.letters:
                lane.seqs.clear()
                if not lane.busy:
                    del self.lanes[key]

    def forget_ready(self) -> None:
        """Let go of the rows that can be taken."""
        self._remove(self.size)
        self.ready.clear()
        self.alone.clear()

    @property
    def quiet(self) -> bool:
        """Whether nothing is unresolved that is known of, but for what is parked."""
        live = any(lane.state != DEAD for lane in self.lanes.values())
        return not (self.order or self.ready or live or self.wants_more or self.unsettled or self.writing)
