"""`OffsetTracker`: what of a claimed partition is resolved, and its next state."""

from __future__ import annotations

from collections import deque
from functools import partial

from ringward.events.core.key_queue import QueueKey
from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.notifications import Retried
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import Settlement

__all__ = ["OffsetTracker"]

# Of all their fields: one is made for each partition of each batch.
_state = partial(tuple.__new__, PartitionState)
_settlement = partial(tuple.__new__, Settlement)


class OffsetTracker:
    """What is resolved, marked, suspected and to be stored of one claimed partition."""

    __slots__ = (
        *(
            "attempts",
            "begun",
            "claimed",
            "dead",
            "state",
            "drained",
            "flying",
            "handled",
            "lease",
            "dead_letter_queues",
        ),
        *("member", "order", "parked", "partition", "position", "resolved", "retried", "span", "stored_handled"),
        *("stored_retried", "suspect_ranges", "suspects", "unsettled"),
    )

    def __init__(self, partition: int, lease: str, state: PartitionState) -> None:
        self.partition = partition
        self.lease = lease
        self.member = lease.rpartition("#")[0]
        self.state = state
        self.claimed = state  # what was resolved before
        self.position = state.cursor  # the log is read up to here
        self.order: deque[int] = deque()  # what is read and above the cursor, in order
        self.resolved: set[int] = set()  # of these, what is resolved
        self.attempts = dict(state.attempts)
        self.suspect_ranges = state.in_flight  # of what is not read again yet
        self.suspects: set[int] = set()  # until they are resolved, so those of a key come before all its others
        self.flying = 0  # how many rows are with handlers
        self.span: tuple[int, int] | None = None  # from the first to the last that its batch has
        self.begun: set[int] = set()  # or these, and those of slow batches and suspects with their handlers
        self.dead_letter_queues: dict[int, QueueKey] = {}  # dead letters that are queued or with a handler
        self.unsettled = False  # there is something to store
        self.dead: list[DeadLetter] = []  # to be settled, as the next two
        self.parked: list[DeadLetter] = []
        self.drained: list[int] = []
        # What counts once it is stored, and what is on its way to the store.
        self.handled = self.stored_handled = 0
        self.retried: list[Retried] = []
        self.stored_retried: list[Retried] = []

    def _in_suspect_range(self, seq: int) -> bool:
        return any(low <= seq <= high for low, high in self.suspect_ranges)

    def next_state(self, owner: str | None) -> PartitionState:
        """What is to be stored now; the owned partition takes it for stored."""
        order, resolved = self.order, self.resolved
        if len(resolved) == len(order):
            order.clear()
            resolved.clear()
            cursor = self.position
        else:
            while order[0] in resolved:
                resolved.discard(order.popleft())
            cursor = order[0] - 1
        before, span = self.state, self.span
        plain = not (self.begun or self.suspects or self.suspect_ranges)
        self.stored_handled += self.handled
        self.handled = 0
        if self.retried:
            self.stored_retried, self.retried = self.stored_retried + self.retried, []
        self.state = _state(
            (
                before.epoch,
                before.revision + 1,
                owner,
                max(before.cursor, cursor),
                self._ranges() if resolved or self.claimed.done else (),
                tuple(sorted(self.attempts.items())) if self.attempts else (),
                (() if span is None else (span,)) if plain else self._marks(),
                before.generation,
            )
        )
        return self.state

    def _marks(self) -> tuple[tuple[int, int], ...]:
        """What is with handlers or suspected, as ranges without gaps between them."""
        position = self.position
        self.suspect_ranges = tuple(
            (max(low, position + 1), high) for low, high in self.suspect_ranges if high > position
        )
        ranges = [*self.suspect_ranges, *((seq, seq) for seq in self.begun | self.suspects)]
        if self.span is not None:
            ranges.append(self.span)
        joined: list[tuple[int, int]] = []
        for low, high in sorted(ranges):
            if joined and low <= joined[-1][1] + 1:
                joined[-1] = (joined[-1][0], max(joined[-1][1], high))
            else:
                joined.append((low, high))
        return tuple(joined)

    def counted_as_stored(self) -> tuple[int, list[Retried]]:
        """The last state was stored: how many events it acknowledges, and what of it is tried again."""
        handled, self.stored_handled = self.stored_handled, 0
        retried, self.stored_retried = self.stored_retried, []
        return handled, retried

    def _ranges(self) -> tuple[tuple[int, int], ...]:
        """Runs of resolved seqs among those that are read."""
        ranges: list[tuple[int, int]] = []
        first = last = 0
        for seq in self.order:
            if seq in self.resolved:
                first, last = first or seq, seq
            elif first:
                ranges.append((first, last))
                first = 0
        if first:
            ranges.append((first, last))
        # What was done before this claim, and is not read again yet.
        later = ((max(low, self.position + 1), high) for low, high in self.claimed.done if high > self.position)
        return (*ranges, *later)

    @property
    def owes_dead_letters(self) -> bool:
        """Whether dead letters must be stored before anything else: a mark says of their events that they are resolved."""
        return bool(self.dead or self.parked or self.drained)

    def settlement(self) -> Settlement:
        """All that is to be stored now."""
        self.unsettled = False
        state = self.next_state(self.lease)
        if not (self.dead or self.parked or self.drained):
            return _settlement((self.partition, state, (), (), ()))
        dead, parked, drained = tuple(self.dead), tuple(self.parked), tuple(self.drained)
        self.dead, self.parked, self.drained = [], [], []
        return Settlement(self.partition, state, dead, parked, drained)
