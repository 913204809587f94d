"""`OffsetTracker`: what of a claimed partition is read, resolved and with handlers, and its next state."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from functools import partial

from ringward.events.model.notifications import Retried
from ringward.events.model.partition_state import PartitionState

__all__ = ["OffsetTracker"]

# Of all its fields: one is made for each partition of each batch.
_state = partial(tuple.__new__, PartitionState)


class OffsetTracker:
    """The seqs of one claimed partition: which are read, resolved, suspected and with handlers.

    Its partition changes it, in the hot paths without a call for each event.

    Attributes
    ----------
    state : PartitionState
        What is stored, or on its way to the store.
    claimed : PartitionState
        What it was claimed with.
    position : int
        The log is read up to here.
    order : deque of int
        What is read and above the cursor, in order.
    resolved : set of int
        Of these, what is resolved.
    attempts : dict of int to int
        Deliveries that count, of those unresolved that had any.
    suspect_ranges : tuple of (int, int)
        Suspects that are not read again yet.
    suspects : set of int
        Those that are, until they are resolved: so those of a key come before all its others.
    flying : int
        How many are with handlers.
    span : (int, int) or None
        From the first to the last that the partition's batch has.
    begun : set of int
        Or these, and those of slow batches and suspects with their handlers.
    """

    __slots__ = (
        *("_handled_in_state", "_retried", "_retried_in_state", "attempts", "begun", "claimed", "flying", "handled"),
        *("order", "position", "resolved", "span", "state", "suspect_ranges", "suspects"),
    )

    def __init__(self, state: PartitionState) -> None:
        self.state = self.claimed = state
        self.position = state.cursor
        self.order: deque[int] = deque()
        self.resolved: set[int] = set()
        self.attempts = dict(state.attempts)
        self.suspect_ranges = state.in_flight
        self.suspects: set[int] = set()
        self.flying = 0
        self.span: tuple[int, int] | None = None
        self.begun: set[int] = set()
        # What counts once it is stored, and what of it is in the last state.
        self.handled = self._handled_in_state = 0
        self._retried: list[Retried] = []
        self._retried_in_state: list[Retried] = []

    @property
    def plain(self) -> bool:
        """Whether nothing was found when it was claimed that a read has to be compared with."""
        return not (self.suspect_ranges or self.claimed.done)

    def in_suspect_range(self, seq: int) -> bool:
        """Whether an event that is read for the first time is a suspect."""
        return any(low <= seq <= high for low, high in self.suspect_ranges)

    # --- with handlers

    def itemise(self, seqs: Iterable[int]) -> None:
        """What is with handlers is no longer all that its batch had: these are."""
        if self.span is not None:
            self.span = None
            self.begun.update(seqs)

    def narrow(self, begun: Iterable[int], given_back: Collection[int]) -> None:
        """Of what the batch had, some are with handlers, and others are given back."""
        self.span = None
        self.begun.difference_update(given_back)
        self.begun.update(begun)
        self.flying -= len(given_back)

    def begin_alone(self, seq: int) -> None:
        """A suspect is with a handler."""
        self.flying += 1
        self.begun.add(seq)

    def land(self, seq: int) -> None:
        """An event is not with a handler any more."""
        self.flying -= 1
        self.begun.discard(seq)

    def count_attempt(self, seq: int) -> int:
        """A delivery counts; how many did."""
        count = self.attempts[seq] = self.attempts.get(seq, 0) + 1
        return count

    def uncount_attempt(self, seq: int) -> None:
        """A delivery that was counted beforehand came to nothing."""
        self.attempts[seq] -= 1
        if not self.attempts[seq]:
            del self.attempts[seq]

    def settle(self, seq: int, *, resolved: bool) -> int:
        """An event is over, and resolved unless it was a dead letter before; how many deliveries counted."""
        self.suspects.discard(seq)
        if resolved:
            self.resolved.add(seq)
        return self.attempts.pop(seq, 0)

    def retry(self, notification: Retried) -> None:
        """An attempt failed, and is told when that is stored."""
        self._retried.append(notification)

    # --- what is stored

    def advance(self, owner: str | None) -> PartitionState:
        """Go on to the next state, which is to be stored and is taken for stored from now on."""
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
        self._handled_in_state += self.handled
        self.handled = 0
        if self._retried:
            self._retried_in_state, self._retried = self._retried_in_state + self._retried, []
        self.state = _state(
            (
                before.epoch,
                before.revision + 1,
                owner,
                max(before.cursor, cursor),
                self._ranges() if resolved or self.claimed.done else (),
                tuple(sorted(self.attempts.items())) if self.attempts else (),
                (() if span is None else (span,)) if plain else self._in_flight(),
                before.generation,
            )
        )
        return self.state

    def _in_flight(self) -> tuple[tuple[int, int], ...]:
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

    def stored(self) -> tuple[int, list[Retried]]:
        """The last state was stored: how many events it acknowledges, and what of it is tried again."""
        handled, self._handled_in_state = self._handled_in_state, 0
        retried, self._retried_in_state = self._retried_in_state, []
        return handled, retried
