"""What the state machine of a group takes, gives and can be set to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from ringward.checks import checked_float, checked_int, checked_type
from ringward.errors import ArgumentError
from ringward.events.document import Document, View
from ringward.events.event import Row

__all__ = [
    "Batch",
    "ChangeView",
    "Claim",
    "Effect",
    "GiveBack",
    "Hopeless",
    "Options",
    "Read",
    "Release",
    "Retry",
    "Waits",
]


class GiveBack(Exception):  # noqa: N818 - a wish, not an error
    """What a handler raises to give its event back, and the rest of its batch, as if they had not been delivered.

    They are delivered again at once: it is for handlers whose processor was asked to stop. The attempt is not counted.
    """

    def __init__(self, *args: object) -> None:  # as of `RingwardError`
        super().__init__(*args)


class Hopeless(str):
    """Why an attempt failed, where no other one can go better: the handler asks for what there is not."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an event is tried, and how long its key waits in between.

    Before attempt n + 1 it waits between half of and the whole of min(most_s, base_s × factor^(n - 1)), at random.

    Parameters
    ----------
    attempts : int
        Deliveries that count, the first included; then the event is dead.
    base_s, most_s : float
    factor : float
    """

    attempts: int = 5
    base_s: float = 0.1
    most_s: float = 30.0
    factor: float = 2.0

    def __post_init__(self) -> None:
        checked_int("attempts", self.attempts, 1, 1_000_000)
        for name in ("base_s", "most_s"):
            checked_float(name, getattr(self, name), zero=True)
        if checked_float("factor", self.factor, zero=False) < 1:
            raise ArgumentError("factor", "at least 1", self.factor)

    def delay_s(self, attempts: int, chance: float) -> float:
        """How long to wait after so many attempts; `chance` is from [0, 1)."""
        whole = min(self.most_s, self.base_s * self.factor ** min(attempts - 1, 64))
        return whole * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True)
class Options:
    """What a group can be set to.

    Parameters
    ----------
    retry : Retry
    on_dead : "park" or "skip"
        Whether later events of a dead event's key wait with it, or go on.
    lease_s : float
        How long a member may be silent before it is taken over.
    beat_s : float
        How often it raises its lease; at most a third of `lease_s`.
    handler_timeout_s : float
        When a handler runs longer, its member stops raising the lease.
    slow_s : float
        When a handler runs longer, the other events of its batch go to others.
    batch : int
        Events a delivery at most. A batch is as long as its handlers take about `slow_s` for; the first has
        `batch_least` events.
    batch_least : int
        Events that a batch may have however long handlers take. After a crash, what a batch had is delivered alone.
    window : int
        Unresolved events a partition holds at most in memory; of those that wait, the seq only.
    prefetch_bytes : int
        Payload bytes that a process reads ahead for the group, at most; one event more always can be.
    letters : int
        Dead and parked events a group keeps at most; then the partitions that need more stop.
    hung : int
        Handlers that never return, at most, for whose members new ones take over in this process.
    """

    retry: Retry = field(default_factory=Retry)
    on_dead: Literal["park", "skip"] = "park"
    lease_s: float = 5.0
    beat_s: float = 1.0
    handler_timeout_s: float = 60.0
    slow_s: float = 0.02
    batch: int = 200
    batch_least: int = 1
    window: int = 10_000
    prefetch_bytes: int = 16 << 20
    letters: int = 100_000
    hung: int = 16

    def __post_init__(self) -> None:
        checked_type("retry", self.retry, Retry)
        for name in ("lease_s", "beat_s", "handler_timeout_s", "slow_s"):
            checked_float(name, getattr(self, name), zero=False)
        if self.lease_s < 3 * self.beat_s:
            raise ArgumentError("lease_s", f"at least {3 * self.beat_s}, three times beat_s", self.lease_s)
        if self.on_dead not in ("park", "skip"):
            raise ArgumentError("on_dead", "'park' or 'skip'", self.on_dead)
        checked_int("batch", self.batch, 1, 10_000)
        checked_int("batch_least", self.batch_least, 1, self.batch)
        checked_int("prefetch_bytes", self.prefetch_bytes, 1, 2**62)
        checked_int("window", self.window, self.batch, 1_000_000)
        checked_int("letters", self.letters, 1, 100_000_000)
        checked_int("hung", self.hung, 0, 10_000)


class Claim(NamedTuple):
    """Claim partitions for a lease of this process: `Store.claim`, then `Group.claimed`.

    Attributes
    ----------
    owner : str
        The lease.
    epochs : dict of int to int
        partition → the epoch that it has.
    orphans : frozenset of int
        Partitions that nobody gave back.
    """

    owner: str
    epochs: dict[int, int]
    orphans: frozenset[int]


class Release(NamedTuple):
    """Give partitions back: `Store.settle` with these documents, then `Group.released`."""

    documents: dict[int, Document]


class ChangeView(NamedTuple):
    """Propose a view: `Store.change_view`; the next `tick` shows what came of it."""

    view: View


Effect = Claim | Release | ChangeView

Read: TypeAlias = tuple[int, int, int, int]


class Waits(NamedTuple):
    """What a member needs from the store before it can go on.

    Attributes
    ----------
    reads : list of (int, int, int, int)
        (partition, after, limit) for `Store.read`, and the highest seq that was known; then `Group.fetched`.
    rows, letters : dict of int to list of int
        partition → seqs for `Store.rows` and `Store.bodies`, then `Group.recalled`.
    size : int or None
        Payload bytes that the reads may reach, all together.
    """

    reads: list[Read]
    rows: dict[int, list[int]]
    letters: dict[int, list[int]]
    size: int | None


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
    marks : list of (int, Document)
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

    __slots__ = (
        *("_stopped", "abandoned", "alone", "began", "count", "done", "ended", "epochs", "events", "failed", "gated"),
        *("hung", "left", "marks", "member", "open", "since", "size", "slow", "waited_s", "waits"),
    )

    def __init__(self, member: str, *, alone: bool, now: float) -> None:
        self.member = member
        self.events: deque[tuple[Row, int]] = deque()
        self.done: deque[Row] = deque()
        self.failed: deque[tuple[Row, str]] = deque()
        self.epochs: dict[int, int] = {}
        self.marks: list[tuple[int, Document]] = []
        self.open: dict[int, Row] = {}
        self.alone = alone
        self.gated = True  # whether it counts at the gate
        self.slow = False
        self.hung = False
        self.abandoned = False
        self.left = -1  # how many events were left when it was last looked at, and since when
        self.since = now
        self.count = self.size = 0
        self.began: float | None = None
        self.ended: float | None = None
        self.waited_s = 0.0
        self.waits = False
        self._stopped: set[tuple[int, bytes]] = set()

    def left_to_run(self) -> Iterator[tuple[Row, int]]:
        """Take off one event after the other, but for those behind a failed one of their key."""
        events, stopped = self.events, self._stopped
        while events:
            try:
                event = events.popleft()
            except IndexError:  # taken back between the two
                return
            if not stopped or (event[0][1], event[0][3]) not in stopped:
                yield event

    def running(self) -> list[int]:
        """The seqs that a handler is with: taken off, and without an outcome."""
        over = {row[0] for row, _ in [*self.events, *self.failed]}.union(row[0] for row in list(self.done))
        return [
            seq for seq, row in list(self.open.items()) if seq not in over and (row[1], row[3]) not in self._stopped
        ]

    def stop_key(self, row: Row) -> None:
        """An event failed: what follows of its key has to wait."""
        self._stopped.add((row[1], row[3]))

    def note(self, row: Row, error: str | None) -> None:
        """Say what became of an event."""
        if error is None:
            self.done.append(row)
        else:
            self.failed.append((row, error))
