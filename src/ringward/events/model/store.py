"""`Store`: what the event processor needs of a place that keeps events, and no more than a distributed engine can do.

It is the sum of small protocols, each with a contract of its own: `Log`, `Groups`, `Memberships`, `Presence`, `Feed`,
`Transactions`, `Operations`. How to write a store: docs/write-a-store.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

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
    "Feed",
    "GroupState",
    "Groups",
    "Hint",
    "Log",
    "Memberships",
    "News",
    "Operations",
    "Presence",
    "Retention",
    "Settings",
    "Settlement",
    "Store",
    "Totals",
    "Transaction",
    "Transactions",
    "WriteTransaction",
    "lacking",
]

READ_TIMEOUT_S = 10.0  # how long a query may read

# Whether a process lives: it shows itself, it has shown itself and does not any more, or there is nothing to tell by.
Hint: TypeAlias = Literal["here", "gone", "unknown"]

# Called with the name of a point of a write; what it raises, the write meets.
Faults: TypeAlias = Callable[[str], None]


class Abilities(NamedTuple):
    """What a store can do, and how much; `Processor.store.abilities` tells.

    Attributes
    ----------
    durable : bool
        It outlives the process. Attempts are only marked where that is so.
    transaction_scope : "store", "partition" or None
        What a transactional handler keeps others from writing to: all of it, or its own partitions. None: handlers cannot
        write in the transaction of their acknowledgement, and `Transactions.write_transaction` raises `UnsupportedError`.
    presence : "proof", "hint" or None
        What it is worth when `Presence.hint` says that a process is gone. A proof permits a claim at once; a hint does
        when it is repeated and this process's own session has stood for a while. None: only leases tell.
    atomic_admin : bool
        Calls that change a whole group (`redrive`, `drop`, `reset`, `delete_group`) do so at once or not at all. Elsewhere one
        that raises may have done a part, and is called again to do the rest.
    max_batch : int or None
        How many entries, settlements, marks, claims or heartbeats one call may hold; None: as many as there are. Whoever
        calls cuts what can be cut. Entries can't: they are appended all or none.
    max_payload : int or None
        How many bytes a payload may have, if that is less than `Stream` allows. `publish` refuses more before anything is sent.
    id_window_most_s : float or None
        How long ids are remembered at most, whatever `configure` is told; None: as long as it is told.
    """

    durable: bool
    transaction_scope: Literal["store", "partition"] | None = None
    presence: Literal["proof", "hint"] | None = None
    atomic_admin: bool = True
    max_batch: int | None = None
    max_payload: int | None = None
    id_window_most_s: float | None = None


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


class News(Protocol):
    """A number that changes when something is new, and a sleep that ends then; `ringward._core.News` is one."""

    @property
    def count(self) -> int:
        """Another number each time that something is new."""
        ...

    def wait(self, seen: int, timeout_s: float) -> int:
        """Sleep until `count` is another than `seen`, or for so long; what it is now. It may end early."""
        ...

    def rouse(self) -> None:
        """End the sleep of this process."""
        ...


class WriteTransaction(Protocol):
    """The write transaction of one transactional batch; from `Transactions.write_transaction`."""

    @property
    def transaction(self) -> Transaction:
        """The handle for handlers."""
        ...

    @property
    def lost(self) -> bool:
        """Whether nothing can be done in it any more: it was committed, cancelled or taken away."""
        ...

    def begin(self, partition: int, epoch: int) -> None:
        """Open an event's savepoint; `StaleEpochError` when the epoch is not the stored one.

        Nobody else can raise the epoch of the partition from then until the transaction ends.
        """
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


class Log(Protocol):
    """Where events are: appended once, read by partition, never changed.

    Seqs rise by one from 1, over all partitions. Stamps are the store's and never fall; no deadline is stored.
    """

    def append(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """Append entries, all or none, and return when they are durable.

        A call that is repeated, after an error or none, never stores an event with an id twice: an id that was published
        before gets the receipt of then. `Receipts` with the rows, of events that are all new, spare
        whoever handles them in this process a `read`.

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

    def read(self, wanted: Sequence[tuple[int, int, int]], rows: int, size: int | None = None) -> list[list[Row]]:
        """The rows of partitions past a seq, each in order: one list for each (partition, after, limit), as they are asked for.

        `limit` is how many rows there are of one at most. What follows the list with which `rows` are reached, or payloads
        of `size` bytes, is left out; and no row follows the one with which `size` is reached. Otherwise there are fewer
        rows than `limit` only when there are no more.
        """
        ...

    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """The rows of these seqs that are still in the log, in order."""
        ...

    def seq_at(self, at_ms: int) -> int:
        """The highest seq of the events accepted before a time."""
        ...


class Groups(Protocol):
    """What is stored of groups: a state for each partition, and dead letters.

    Each item of a call is compared and set by itself: the epoch and the revision decide, and nothing of a stale one is stored.
    An outcome that is unknown, as when the reply was lost, is found out by reading again before the call returns, or the
    call raises; then whoever called takes all its items for unknown. `redrive`, `drop`, `reset` and `delete_group` may be
    repeated, also after they were broken off between two partitions: what is done stays done.
    """

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

    def dead_letters(self, group: str, partitions: Collection[int] | None = None) -> list[DeadLetter]:
        """Dead-letter entries, by seq."""
        ...

    def bodies(self, group: str, seqs: Sequence[int]) -> list[Row]:
        """The rows of these seqs as a group's dead-letter entries hold them, in order."""
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


class Memberships(Protocol):
    """Who the members of groups are, by a number that rises, and the counters of their leases."""

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


class Presence(Protocol):
    """Which processes show that they live.

    The store says what it sees; what follows from it is decided in `core/members.py`, by `Abilities.presence`.
    """

    @property
    def process(self) -> str:
        """The name of this process in memberships."""
        ...

    def hint(self, process: str) -> Hint:
        """Whether a process shows itself; returns at once. It permits a claim, and never a write.

        "gone" is only said of a process that has shown itself before, never of one that nothing is known of.
        """
        ...

    @property
    def session(self) -> object:
        """Another value whenever this process's own sign of life was lost and is there anew; None while it is not."""
        ...


class Feed(Protocol):
    """What tells that something is new. It is only a hint: to lose one costs time and nothing else."""

    @property
    def news(self) -> News:
        """What changes when something was stored that others may want to look at."""
        ...

    @property
    def hears_others(self) -> bool:
        """Whether that is so also for what other processes store; where not, the store is looked at again and again."""
        ...


class Transactions(Protocol):
    """Handlers that write in the transaction of their acknowledgement; `Abilities.transaction_scope` says whether there are any."""

    def write_transaction(self, group: str) -> WriteTransaction:
        """Take the write transaction for a batch of transactional handlers; `UnsupportedError` where there is none."""
        ...


class Operations(Protocol):
    """What whoever runs it needs: how far groups are, upkeep, checks, copies, settings, and how it is."""

    def lowest_unresolved(self, group: str) -> int:
        """The lowest seq that the group has not resolved; tail + 1 when there is none."""
        ...

    def unresolved(self, group: str) -> dict[int, int]:
        """How many events of each partition lie above its cursor and are not done; partitions with none are left out."""
        ...

    def volume_between(self, after: int, through: int) -> int:
        """Payload bytes of the events past one seq and up to another."""
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

    @property
    def failure(self) -> Exception | None:
        """Why nothing can be written any more until it is opened anew, if that is so and it is not closed."""
        ...

    @property
    def committed_ms(self) -> int | None:
        """When this process last stored something, in milliseconds since 1970; None where that is not known."""
        ...

    def clock_doubts(self) -> list[str]:
        """Why the clock that stamps events is not believed just now; in words."""
        ...

    def clock_allowances(self) -> list[str]:
        """What of wrong clocks the stamps have, and is allowed for; in words."""
        ...


class Store(Log, Groups, Memberships, Presence, Feed, Transactions, Operations, Protocol):
    """A durable place for events and for what is known of them.

    Every call that writes is atomic for each of its items and returns when it is durable. Stores are used by many threads
    at once. Durations are measured by each process on its own monotonic clock, and none is stored.

    What a store can do beyond the least, and how much, is said by its `abilities`.
    """

    @property
    def abilities(self) -> Abilities:
        """What it can do beyond the least."""
        ...

    @property
    def stream(self) -> Stream:
        """The partitions and the hash of keys that are stored in it."""
        ...

    def close(self) -> None:
        """Let go of everything; further calls raise `StoreClosedError`."""
        ...


def lacking(store: object) -> list[str]:
    """What an object has not that a `Store` must have, by name; all of it for what is no store at all."""
    return [name for name in _MEMBERS if not hasattr(store, name)]


_MEMBERS = sorted(
    {name for part in Store.__mro__ for name in vars(part) if not name.startswith("_")} - set(vars(Protocol))
)
