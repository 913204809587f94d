"""`Account`: what of a claimed partition is resolved, and its next document."""

from __future__ import annotations

from collections import deque
from functools import partial

from ringward.events.document import Document, Letter
from ringward.events.lane import LaneKey
from ringward.events.stores.protocol import Settlement

__all__ = ["Account"]

# Of all their fields: one is made for each partition of each batch.
_document = partial(tuple.__new__, Document)
_settlement = partial(tuple.__new__, Settlement)


class Account:
    """What is resolved, marked, suspected and to be stored of one claimed partition."""

    __slots__ = (
        *("attempts", "claimed", "dead", "document", "drained", "flying", "handed", "lease", "letter_lanes", "member"),
        *("order", "parked", "partition", "position", "resolved", "suspect_range", "suspects", "unsettled"),
    )

    def __init__(self, partition: int, lease: str, document: Document) -> None:
        self.partition = partition
        self.lease = lease
        self.member = lease.rpartition("#")[0]
        self.document = document
        self.claimed = document  # what was resolved before
        self.position = document.cursor  # the log is read up to here
        self.order: deque[int] = deque()  # what is read and above the cursor, in order
        self.resolved: set[int] = set()  # of these, what is resolved
        self.attempts = dict(document.attempts)
        self.suspect_range = document.marked
        self.suspects: set[int] = set()  # until they are resolved, so those of a key come before all its others
        self.flying = 0  # how many rows are with handlers
        self.handed = 0  # the highest seq that ever was
        self.letter_lanes: dict[int, LaneKey] = {}  # letters that are queued or with a handler
        self.unsettled = False  # there is something to store
        self.dead: list[Letter] = []  # to be settled, as the next two
        self.parked: list[Letter] = []
        self.drained: list[int] = []

    def _in_suspect_range(self, seq: int) -> bool:
        return self.suspect_range is not None and self.suspect_range[0] <= seq <= self.suspect_range[1]

    def next_document(self, owner: str | None) -> Document:
        """What is to be stored now; the holding takes it for stored."""
        order, resolved = self.order, self.resolved
        if len(resolved) == len(order):
            order.clear()
            resolved.clear()
            cursor = self.position
        else:
            while order[0] in resolved:
                resolved.discard(order.popleft())
            cursor = order[0] - 1
        before = self.document
        marked, low = None, order[0] if order else cursor + 1
        if self.flying or self.suspects or self.suspect_range is not None:
            low = min((low, *self.letter_lanes, *self.suspects))  # letters are below the cursor
            high = max(self.handed, max(self.suspects, default=0), (self.suspect_range or (0, 0))[1])
            marked = (low, high) if high >= low else None
        self.document = _document(
            (
                before.epoch,
                before.revision + 1,
                owner,
                max(before.cursor, cursor),
                self._ranges() if resolved or self.claimed.done else (),
                tuple(sorted(self.attempts.items())) if self.attempts else (),
                marked,
                before.generation,
            )
        )
        if self.suspect_range is not None and self.position >= self.suspect_range[1]:
            self.suspect_range = None
        return self.document

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
    def owes_letters(self) -> bool:
        """Whether letters must be stored before anything else: a mark says of their events that they are resolved."""
        return bool(self.dead or self.parked or self.drained)

    def settlement(self) -> Settlement:
        """All that is to be stored now."""
        self.unsettled = False
        document = self.next_document(self.lease)
        if not (self.dead or self.parked or self.drained):
            return _settlement((self.partition, document, (), (), ()))
        dead, parked, drained = tuple(self.dead), tuple(self.parked), tuple(self.drained)
        self.dead, self.parked, self.drained = [], [], []
        return Settlement(self.partition, document, dead, parked, drained)
