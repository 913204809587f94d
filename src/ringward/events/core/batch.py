"""`Batch`: the events that one thread or task handles, and what became of them so far."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from operator import itemgetter

from ringward.events.model.event import KEY, PARTITION, ROW, SEQ, Row, rows_by_partition
from ringward.events.model.partition_state import PartitionState

__all__ = ["Batch"]

_key_of = itemgetter(PARTITION, KEY)  # keys of different partitions are different ones


class Batch:
    """A dispatch: events of one member's partitions, in the order in which one thread handles them.

    Attributes
    ----------
    member : str
    events : deque of (Row, int)
        Rows, and the attempt that this delivery is. Whoever handles one takes it off first: `left_to_run`.
    done : deque of Row
        Where handled ones go.
    failed : deque of (Row, str)
        Where go those whose handler raised, with the error.
    epochs : dict of int to int
        partition → epoch.
    marks : list of (int, PartitionState)
        To be stored with `Store.mark` before the first handler runs.
    open : dict of int to Row
        What is not settled, by seq.
    alone : bool
        Whether it is one suspect that nothing else runs beside.
    count, size : int
        How many events it had at first, and the bytes of payload that it still holds.
    began, ended : float or None
        When its first handler was called, and when the last was over, as far as whoever runs it says so.
    waited_s : float
        Of the time between: what was spent waiting for the store.
    waits : bool
        Whether a handler waits for the store at this moment.
    """

    # As they are at first: one batch is made for each event, where they are handled one at a time.
    gated = True  # whether it counts at the gate
    slow = hung = left_behind = waits = False
    left = -1  # how many events were left when it was last looked at, and since when
    count = size = 0
    began: float | None = None
    ended: float | None = None
    waited_s = 0.0
    _stopped: Collection[tuple[int, bytes]] = ()

    def __init__(self, member: str, *, alone: bool, now: float) -> None:
        self.member = member
        self.events: deque[tuple[Row, int]] = deque()
        self.done: deque[Row] = deque()
        self.failed: deque[tuple[Row, str]] = deque()
        self.epochs: dict[int, int] = {}
        self.marks: list[tuple[int, PartitionState]] = []
        self.open: dict[int, Row] = {}
        self.alone = alone
        self.since = now

    def add(self, events: Sequence[tuple[Row, int]]) -> None:
        """Have these handled, too."""
        self.events.extend(events)
        self.count += len(events)
        unsettled = self.open
        for row, _ in events:
            unsettled[row[SEQ]] = row

    def left_to_run(self) -> Iterator[tuple[Row, int]]:
        """Take off one event after the other, but for those behind a failed one of their key."""
        events = self.events
        while events:
            try:
                event = events.popleft()
            except IndexError:  # taken back between the two
                return
            if not self._stopped or _key_of(event[ROW]) not in self._stopped:
                yield event

    def close(self, rows: Iterable[Row]) -> dict[int, list[Row]]:
        """Take rows off what is open: those that were, by partition."""
        return rows_by_partition(rows, self.open)

    def forget(self, partition: int) -> None:
        """A partition is somebody else's: let nothing of it begin, and take no outcome of it."""
        rest = self._drained()
        self.open = {seq: row for seq, row in self.open.items() if row[PARTITION] != partition}
        self.events.extend((row, attempt) for row, attempt in rest if row[PARTITION] != partition)

    def take_back(self) -> defaultdict[int, list[Row]]:
        """Let nothing more begin; what had not, by partition."""
        rest: defaultdict[int, list[Row]] = defaultdict(list)
        for row, _ in self._drained():
            if self.open.pop(row[SEQ], None) is not None:
                rest[row[PARTITION]].append(row)
        return rest

    def _drained(self) -> list[tuple[Row, int]]:
        """Take all off, also while another thread takes from the left: each goes to one of the two."""
        rest: list[tuple[Row, int]] = []
        while True:
            try:
                rest.append(self.events.pop())
            except IndexError:
                rest.reverse()
                return rest

    def open_by_partition(self) -> defaultdict[int, list[Row]]:
        """What is not settled."""
        found: defaultdict[int, list[Row]] = defaultdict(list)
        for row in self.open.values():
            found[row[PARTITION]].append(row)
        return found

    def running(self) -> list[int]:
        """The seqs that a handler is with: taken off, and without an outcome."""
        over = {row[SEQ] for row, _ in [*self.events, *self.failed]}.union(row[SEQ] for row in list(self.done))
        return [seq for seq, row in list(self.open.items()) if seq not in over and _key_of(row) not in self._stopped]

    def stop_key(self, row: Row) -> None:
        """An event failed: what follows of its key has to wait."""
        self._stopped = {*self._stopped, _key_of(row)}

    def note(self, row: Row, error: str | None) -> None:
        """Say what became of an event."""
        if error is None:
            self.done.append(row)
        else:
            self.failed.append((row, error))
