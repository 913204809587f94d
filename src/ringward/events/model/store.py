"""`Store`: what the event processor needs of a place that keeps events, and no more than a distributed engine can do."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import Entry, Receipt, Row
from ringward.events.model.membership import Membership
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.settings import Retention, Settings
from ringward.events.model.stream import Stream
from ringward.events.model.transaction import Transaction

__all__ = [
    "READ_TIMEOUT_S",
    "Abilities",
    "Compacted",
    "Faults",
    "GroupState",
    "Retention",
    "Settings",
    "Settlement",
    "Store",
    "Totals",
    "Transaction",
    "WriteTransaction",
]

READ_TIMEOUT_S = 10.0  # how long a query may read

# Called with the name of a point of a write; what it raises, the write meets.
Faults: TypeAlias = Callable[[str], None]


class Abilities(NamedTuple):
    """What a store can do beyond the least.

    Attributes
    ----------
    transaction : bool
        Handlers can write in the transaction of their acknowledgement; `Store.write_transaction` exists.
    durable : bool
        It outlives the process. Attempts are only marked where that is so.
    exact_duplicates : bool
        A repeated id is found for as long as the window says; otherwise it may be taken for new.
    dense : bool
        Sequence numbers have no gaps.
    max_batch : int
        How many entries or settlements one call may hold.
    """

    transaction: bool
    durable: bool
    exact_duplicates: bool
    dense: bool
    max_batch: int


class GroupState(NamedTuple):
    """A group's own entry: where it began, and how often it was reset."""

    name: str
    start: int
    generation: int


class Settlement(NamedTuple):
    """What became of a batch's events in one partition; stored as one, or not at all.

    Attributes
    ----------
    partition : int
    state : PartitionState
        The new state. Its epoch and revision - 1 must be the stored ones.
    dead, parked : tuple of DeadLetter
        Entries to make. Copying their bodies comes first and is idempotent by (group, seq).
    drained : tuple of int
        Seqs of dead-letter entries that are resolved now.
    """

    partition: int
    state: PartitionState
    dead: tuple[DeadLetter, ...] = ()
    parked: tuple[DeadLetter, ...] = ()
    drained: tuple[int, ...] = ()


class Totals(NamedTuple):
    """What is in the log.

    Attributes
    ----------
    tail : int
        The highest seq, 0 in an empty stream.
    first : int
        The lowest seq that is not pruned; tail + 1 when all are.
    bytes : int
        Payload bytes from `first` on.
    """

    tail: int
    first: int
    bytes: int


class Compacted(NamedTuple):
    """How large a file was, with its write-ahead log, and is.

    Attributes
    ----------
    before, after : int
        Bytes.
    """

    before: int
    after: int


class WriteTransaction(Protocol):
    """The write transaction of one transactional batch; from `Store.write_transaction`."""

    @property
    def transaction(self) -> Transaction:
        """The handle for handlers."""
        ...

    @property
    def lost(self) -> bool:
        """Whether nothing can be done in it any more: it was committed, cancelled or taken away."""
        ...

    def begin(self, partition: int, epoch: int) -> None:
        """Open an event's savepoint; `StaleEpochError` when the epoch is not the stored one."""
        ...

    def end(self, *, keep: bool) -> None:
        """Close the event's savepoint, keeping or undoing what it wrote."""
        ...

    def over(self) -> bool:
        """Whether the write transaction has lasted long enough and should be committed now."""
        ...

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Store the settlements and commit all; `TransactionError` when nothing of it is stored."""
        ...

    def cancel(self) -> None:
        """Roll everything back."""
        ...


class Store(Protocol):
    """A durable transaction domain: the log, and each group's states, dead letters, members.

    Every call that writes is atomic for each of its items and returns when it is durable. Stores are used by
    many threads at once.
    """

    @property
    def abilities(self) -> Abilities:
        """What it can do beyond the least."""
        ...

    @property
    def stream(self) -> Stream:
        """The partitions and the hash of keys that are stored in it."""
        ...

    @property
    def process(self) -> str:
        """The name of this process in memberships."""
        ...

    def append(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """Append entries, all or none, and return when they are durable.

        An id that was published before gets the receipt of then. `Receipts` with the row of a single event spare
        whoever handles it in this process a `read`.

        Raises
        ------
        ConflictError, DeduplicationExpiredError
            For the first entry at fault; nothing is appended.
        StoreFailedError, StoreFullError, StoreClosedError
        """
        ...

    def totals(self) -> Totals:
        """Tail, first seq and size of the log."""
        ...

    def heads(self, after: int, limit: int) -> list[tuple[int, int]]:
        """(seq, partition) of the events past a seq, in order, at most `limit`."""
        ...

    def read(self, partition: int, after: int, limit: int, size: int | None = None) -> list[Row]:
        """A partition's rows past a seq, in order, at most `limit`; none after those whose payloads reach `size` bytes.

        There are fewer only when there are no more, or when `size` is reached.
        """
        ...

    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """The rows of these seqs that are still in the log, in order."""
        ...

    def bodies(self, group: str, seqs: Sequence[int]) -> list[Row]:
        """The rows of these seqs as a group's dead-letter entries hold them, in order."""
        ...

    def open_group(self, group: str, start: int) -> GroupState:
        """The group, created with its cursors at `start` if there is none of this name."""
        ...

    def groups(self) -> list[GroupState]:
        """All groups, by name."""
        ...

    def delete_group(self, group: str) -> None:
        """Forget a group; its epochs stay, so that nobody from before can ever write again."""
        ...

    def states(self, group: str) -> dict[int, PartitionState]:
        """The states there are, by partition; the others are as `open_group` left them, in epoch 0."""
        ...

    def claim(self, group: str, owner: str, epochs: Mapping[int, int]) -> dict[int, PartitionState]:
        """Raise the epochs of partitions that are still in the given ones, and return their states.

        Those that are missing from the result were claimed by somebody else meanwhile.
        """
        ...

    def mark(self, group: str, marks: Sequence[tuple[int, PartitionState]]) -> set[int]:
        """Store states that differ in `in_flight` and `attempts`; return the partitions that are stale.

        Survives a killed process, not necessarily a power cut.
        """
        ...

    def settle(self, group: str, settlements: Sequence[Settlement]) -> set[int]:
        """Store settlements, each on its own; return the partitions that are stale."""
        ...

    def write_transaction(self, group: str) -> WriteTransaction:
        """Take the write transaction for a batch of transactional handlers; `UnsupportedError` where there is none."""
        ...

    def dead_letters(self, group: str, partitions: Collection[int] | None = None) -> list[DeadLetter]:
        """Dead-letter entries, by seq."""
        ...

    def redrive(self, group: str, seqs: Sequence[int]) -> int:
        """Let dead entries be delivered again; raises the epochs of their partitions. How many there were."""
        ...

    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """Delete dead or parked entries for good; raises the epochs of their partitions. How many there were."""
        ...

    def reset(self, group: str, after: int) -> GroupState:
        """Put all cursors of a group at `after`, in a new generation; raises all epochs."""
        ...

    def seq_at(self, at_ms: int) -> int:
        """The highest seq of the events accepted before a time."""
        ...

    def volume_between(self, after: int, through: int) -> int:
        """Payload bytes of the events past one seq and up to another."""
        ...

    def membership(self, group: str) -> Membership | None:
        """Who the members are."""
        ...

    def change_membership(self, group: str, membership: Membership) -> bool:
        """Store a membership if its number is the stored one + 1."""
        ...

    def heartbeat(self, group: str, heartbeats: Mapping[str, int]) -> None:
        """Raise the counters of leases."""
        ...

    def heartbeats(self, group: str) -> dict[str, int]:
        """The counters of leases."""
        ...

    def alive(self, process: str) -> bool | None:
        """Whether a process still holds its lock; None when that cannot be told."""
        ...

    def lowest_unresolved(self, group: str) -> int:
        """The lowest seq that the group has not resolved; tail + 1 when there is none."""
        ...

    def unresolved(self, group: str) -> dict[int, int]:
        """How many events of each partition lie above its cursor and are not done; partitions with none are left out."""
        ...

    def settings(self) -> Settings:
        """What everybody who prunes obeys."""
        ...

    def configure(
        self, *, retention: Retention | None = None, id_window_s: float | None = None, initial: bool = False
    ) -> Settings:
        """Set what is given; what everybody obeys from now on.

        `initial` is for what a new store is made with: `ArgumentError` when something else is set already.
        """
        ...

    def prune(self, limit: int) -> int:
        """Delete resolved events beyond the retention, at most `limit`; how many. Ids stay known for their window."""
        ...

    def compact(self) -> Compacted:
        """Give space that is not used any more back."""
        ...

    def verify(self) -> list[str]:
        """Walk the log from the prune anchor and all states; what is wrong, in words."""
        ...

    def query(
        self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None, timeout_s: float
    ) -> list[tuple[Any, ...]]:
        """The rows of a statement that reads; `UnsupportedError` where there is no SQL."""
        ...

    def backup(self, to: str | os.PathLike[str], *, overwrite: bool) -> None:
        """Make a whole copy at another path; `UnsupportedError` where there is no file."""
        ...

    def close(self) -> None:
        """Let go of everything; further calls raise `StoreClosedError`."""
        ...
