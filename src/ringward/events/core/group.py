"""`Group`: the pure state machine of one group in one process."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from ringward.events.core.batch import Batch
from ringward.events.core.dispatcher import Dispatcher
from ringward.events.core.effects import Claim, Effect, Release
from ringward.events.core.fetcher import Fetcher
from ringward.events.core.members import Members
from ringward.events.core.options import Options
from ringward.events.core.owned_partition import OwnedPartition
from ringward.events.core.routing import RouterLike
from ringward.events.core.stock import Stock
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.core.work_queues import WorkQueues
from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import KEY, PARTITION, SEQ, Row
from ringward.events.model.membership import Membership, member_of
from ringward.events.model.notifications import Claimed, Died, Fenced, Notification, Released, Retried
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import Hint, Settlement

__all__ = ["Group"]

# Of all its fields: one is made for each partition of each batch.
_settlement = partial(tuple.__new__, Settlement)


class Group:
    """What one process knows of a group, and decides for it.

    Nothing here does I/O, reads a clock or starts a thread; `GroupDriver` does what it says. Every method is to be
    called by one thread at a time.

    Parameters
    ----------
    name : str
    process : str
        `Store.process`.
    middles : ndarray of uint64
        `Stream.middles()`.
    options : Options
    router : Router, callable or None
        As `Members` has it.
    gate : Gate
    chance : callable
        A random number from [0, 1), for the jitter.
    durable : bool
        Whether marks are to be stored.
    concurrent : bool
        Whether the keys of a batch are handled at once, as coroutines are.
    presence : "proof", "hint" or None
        As `Members` has it.
    """

    claims = 16  # partitions that are claimed at a time while others are held, whose events are not to wait for long

    def __init__(
        self,
        name: str,
        process: str,
        middles: npt.NDArray[np.uint64],
        options: Options,
        *,
        router: RouterLike | None = None,
        gate: SuspectGate | None = None,
        chance: Callable[[], float],
        durable: bool = True,
        concurrent: bool = False,
        presence: Literal["proof", "hint"] | None = "proof",
    ) -> None:
        self.name = name
        self.options = options
        self.owned: dict[int, OwnedPartition] = {}
        self.stock = Stock(options.prefetch_bytes if durable else None)
        self.queues = WorkQueues()
        self.fetcher = Fetcher(options, self.owned, self.stock, self.queues)
        self.members = Members(process, middles, router, options, presence)
        self.batches: dict[Batch, None] = {}  # in the order in which they were handed out
        self._write_transactions: set[Batch] = (
            set()
        )  # those that have the write transaction of the store, or wait for it
        self.retries = self.deaths = self.takeovers = self.fenced = self.handled_count = 0
        self.dispatcher = Dispatcher(
            name, options, self.queues, gate or SuspectGate(), self._busy, durable=durable, concurrent=concurrent
        )
        self._chance = chance
        self._notifications: list[Notification] = []
        self._lately_fenced: list[int] = []
        self._draining: dict[int, OwnedPartition] = {}
        self._missing: set[int] = set()  # partitions that are routed here and not held
        self._routed: frozenset[int] = frozenset()  # those of which the missing ones were last told apart

    # --- members and partitions

    def tick(
        self,
        now: float,
        membership: Membership | None,
        heartbeats: Mapping[str, int],
        hints: Mapping[str, Hint],
        session: object = None,
    ) -> list[Effect]:
        """What time has brought: leases that ended, waits that are over, handlers that are slow."""
        before = self.members.membership
        change = self.members.tick(now, membership, heartbeats, hints, self._owning_members(), session)
        if self.members.membership is not before:
            self._follow_membership()
        for batch in list(self.batches):
            self._watch(batch, now)
        full, self.stock.full = self.stock.full, self.stock.dead_letters >= self.options.dead_letters_max
        if full and not self.stock.full:
            self.queues.doubt()  # those who would read were not queued
        self.fetcher.wake(now)
        self.dispatcher.forgo()
        return [*self._releases(), *([change] if change is not None else [])]

    def _owning_members(self) -> set[str]:
        """Who holds partitions; asked for when somebody leaves."""
        if not any(local.leaving for local in self.members.local.values()):
            return set()
        return {owned.member for owned in self.owned.values()}

    @property
    def next_due(self) -> float | None:
        """When the next tick has something to do, but for members: a wait that ends, or a handler that is slow by then."""
        dues = [due for due in (self.stock.next_due, *self.dispatcher.dues()) if due is not None]
        for batch in self.batches:
            if not batch.slow:
                dues.append(batch.since + self.options.slow_s)
            elif not batch.hung:
                dues.append(batch.since + self.options.handler_timeout_s)
        return min(dues, default=None)

    def changed_membership(self, membership: Membership) -> None:
        """The proposed membership was stored."""
        self.members.shown(membership)
        self._follow_membership()

    def _follow_membership(self) -> None:
        for partition, owned in list(self.owned.items()):
            if not self.members.is_in(owned.member):
                self._fence(partition)
            elif self.members.owners[partition] != owned.member:
                self._drain(owned)

    def _drain(self, owned: OwnedPartition) -> None:
        """Take no more; give back what nobody has begun."""
        owned.drain()
        self._draining[owned.partition] = owned
        if owned.batch is not None:
            self._give_back_rest(owned.batch)

    def leave(self, name: str) -> None:
        """A member is to go in an orderly way."""
        self.members.leave(name)
        for owned in self.owned.values():
            if owned.member == name:
                self._drain(owned)

    def _releases(self) -> list[Effect]:
        owners: dict[int, PartitionState] = {}
        for partition, owned in self._draining.items():
            if not owned.offsets.flying and not owned.writing and not owned.owes_dead_letters:
                owners[partition] = owned.give_up()
        return [Release(owners)] if owners else []

    def released(self, partitions: Iterable[int], stale: Iterable[int] = ()) -> None:
        """Partitions were given back, but for those that had been taken over."""
        for partition in stale:
            self._fence(partition)
        gone = []
        for partition in partitions:
            owned = self._remove(partition)
            if owned is not None:
                self._count(owned)
                gone.append(partition)
        if gone:
            self._notifications.append(Released(self.name, tuple(gone)))

    @property
    def wanted(self) -> bool:
        """Whether partitions are routed to members of this process and not held."""
        wanted = self.members.wanted
        if wanted is not self._routed:
            self._routed, self._missing = wanted, set(wanted - self.owned.keys())
        return bool(self._missing)

    def _remove(self, partition: int) -> OwnedPartition | None:
        self._draining.pop(partition, None)
        if partition in self._routed:
            self._missing.add(partition)
        owned = self.owned.pop(partition, None)
        if owned is not None:
            owned.forget()
        return owned

    def surveyed(self, states: Mapping[int, PartitionState], most: int | None = None) -> list[Claim]:
        """What is stored of all partitions: what was fenced is given up; what can be claimed is to be, so many at a time."""
        for partition, owned in list(self.owned.items()):
            if partition in states and states[partition].epoch != owned.epoch:
                self._fence(partition)
        lost = {partition: state for partition, state in states.items() if partition not in self.owned}
        size = self.claims if self.owned else len(states)
        return self.members.claims(lost, size if most is None else min(size, most))

    def claimed(self, claim: Claim, states: Mapping[int, PartitionState], dead_letters: Sequence[DeadLetter]) -> None:
        """Partitions were claimed; `dead_letters` are those of at least these."""
        owner, name = claim.owner, member_of(claim.owner)
        if not self.members.is_in(name) or self.members.owner_of(name) != owner:
            return  # the lease was given up meanwhile, and with it what was claimed
        of: defaultdict[int, list[DeadLetter]] = defaultdict(list)
        for dead_letter in dead_letters:
            of[dead_letter.partition].append(dead_letter)
        for partition, state in states.items():
            owned = OwnedPartition(partition, owner, state, of[partition], self.options, self.stock)
            self.owned[partition] = owned
            self._missing.discard(partition)
            if self.members.owners[partition] != name or self.members.local[name].leaving:
                owned.drain()
                self._draining[partition] = owned
            self.queues.put(owned)
        if states:
            taken = tuple(partition for partition in states if partition in claim.orphans)
            self.takeovers += len(taken)
            self._notifications.append(Claimed(self.name, name, tuple(states), taken))

    def _fence(self, partition: int) -> None:
        """A partition turned out to be somebody else's."""
        if partition in self.owned:
            self.fenced += 1
            self._lately_fenced.append(partition)
        self.forget(partition)

    def forget(self, partition: int) -> None:
        """A partition is somebody else's now: forget it, and let nothing of it begin."""
        owned = self._remove(partition)
        self.queues.unsettled.pop(partition, None)
        if owned is None:
            return
        for batch in self.batches:
            if batch.epochs.get(partition) == owned.epoch:
                self._take_off(batch, partition)

    def _take_off(self, batch: Batch, partition: int) -> None:
        batch.forget(partition)
        if not batch.open:
            self._leave_behind(batch)

    def _leave_behind(self, batch: Batch) -> None:
        """Nobody waits for what a handler is at."""
        batch.left_behind = True
        self._let_go(batch)
        self.dispatcher.ungate(batch)
        local = self.members.local.get(batch.member)
        if local is not None and local.hung:
            local.hung = self._hung(batch.member)

    def _hung(self, member: str) -> bool:
        """Whether a member must not raise its lease: a handler of it hangs, or too many were left behind."""
        if self.left_behind > self.options.hung_handlers_max:
            return True
        return any(each.member == member and each.hung and not each.left_behind for each in self.batches)

    def _let_go(self, batch: Batch) -> None:
        """What a batch has in memory is not counted any more."""
        self.stock.bytes -= batch.size
        batch.size = 0

    # --- handing out

    def take(self, member: str, now: float) -> Batch | None:
        """A batch for one thread; None when there is nothing, or a suspect runs alone."""
        batch = self.dispatcher.take(member, now)
        if batch is not None:
            self.batches[batch] = None
        return batch

    def marks_stored(self, batch: Batch, stale: Iterable[int]) -> None:
        """The marks of a batch were stored, but for partitions that were taken over."""
        stale = set(stale)
        for partition, _ in batch.marks:
            if partition in stale:
                self._fence(partition)
            elif (owned := self._owned_of(batch, partition)) is not None:
                self._count(owned)
                self.queues.put(owned)

    def _owned_of(self, batch: Batch, partition: int) -> OwnedPartition | None:
        """The owned partition that a batch was taken from, if it is held under the same epoch still."""
        owned = self.owned.get(partition)
        return owned if owned is not None and owned.epoch == batch.epochs.get(partition) else None

    # --- taking back

    def handled(
        self, batch: Batch, done: Sequence[Row], failed: Sequence[tuple[Row, str]], now: float
    ) -> list[Settlement]:
        """Outcomes of a batch; what is to be stored of them."""
        return self._settlements(self._noted(batch, done, failed, now))

    def finish_and_take(
        self, batch: Batch, done: Sequence[Row], failed: Sequence[tuple[Row, str]], now: float, members: Iterable[str]
    ) -> tuple[list[Settlement], Batch | None]:
        """The last outcomes of a batch, and the one that its thread goes on with: the first that a member has.

        What is to be stored has the marks of the next batch in it, so that both are stored as one; when there are
        no settlements, the marks are to be stored alone.
        """
        partitions = self._noted(batch, done, failed, now)
        self.finished(batch)
        self.dispatcher.pace.after(batch, now)
        following = None
        for member in members:
            following = self.take(member, now)
            if following is not None:
                break
        if not partitions or following is None:
            return self._settlements(partitions), following
        for partition, _ in following.marks:  # they have all that is resolved, and no dead letters are owed
            self.owned[partition].settled_by_mark()
            self.queues.unsettled.pop(partition, None)
            partitions.discard(partition)
        marks = [_settlement((*mark, (), (), ())) for mark in following.marks]
        return self._settlements(partitions) + marks, following

    def _noted(self, batch: Batch, done: Sequence[Row], failed: Sequence[tuple[Row, str]], now: float) -> set[int]:
        """Take down the outcomes of a batch; the partitions that have something to store."""
        partitions = set()
        for partition, rows in batch.close(done).items():
            if (owned := self._owned_of(batch, partition)) is not None:
                partitions.add(partition)
                owned.done(rows)
        for row, error in failed:
            if batch.open.pop(row[SEQ], None) is not None:
                partitions.add(row[PARTITION])
                self._fail(batch, row, error, now)
        return partitions

    def _fail(self, batch: Batch, row: Row, error: str, now: float) -> None:
        owned = self._owned_of(batch, row[PARTITION])
        if owned is None:
            return
        # What follows of the key in this batch is left out by whoever runs it.
        rest = [
            other
            for seq, other in batch.open.items()
            if other[KEY] == row[KEY] and seq > row[SEQ] and other[PARTITION] == row[PARTITION]
        ]
        for other in rest:
            del batch.open[other[SEQ]]
        owned.give_back(rest)
        if owned.batch is batch:
            owned.itemise(other for other in batch.open.values() if other[PARTITION] == row[PARTITION])
        attempts = owned.failed(row, error, now, self._chance())
        if attempts is not None:
            owned.retry(Retried(self.name, row[PARTITION], row[SEQ], attempts, error))

    def _settlements(self, partitions: Iterable[int], *, in_write_transaction: bool = False) -> list[Settlement]:
        """States to store; those of partitions that are being written to follow when that is over."""
        settlements = []
        unsettled = self.queues.unsettled
        for partition in partitions:
            owned = self.owned.get(partition)
            if owned is None:
                continue
            if owned.writing or (self._write_transactions and not in_write_transaction and self._busy(owned)):
                unsettled[partition] = owned
                continue
            unsettled.pop(partition, None)
            settlements.append(owned.settle())
        return settlements

    def pending(self) -> list[Settlement]:
        """What is to be stored without a batch: parked events, and what had to wait for another write."""
        if not self.queues.unsettled:
            return []
        waiting = [p for p, owned in self.queues.unsettled.items() if not self._busy(owned)]
        for partition in waiting:
            del self.queues.unsettled[partition]
        return self._settlements(p for p in waiting if p in self.owned and self.owned[p].unsettled)

    def settled(self, settlements: Iterable[Settlement], stale: Iterable[int]) -> None:
        """Settlements were stored, but for partitions that were taken over."""
        stale = set(stale)
        for partition, state, dead, _, _ in settlements:
            owned = self.owned.get(partition)
            if owned is None or owned.epoch != state.epoch:
                continue
            if partition in stale:
                self._fence(partition)
            else:
                self._count(owned)
                self.queues.put(owned)
                self.deaths += len(dead)
                for dead_letter in dead:
                    self._notifications.append(
                        Died(self.name, partition, dead_letter.seq, dead_letter.attempts, dead_letter.error)
                    )

    def _count(self, owned: OwnedPartition) -> None:
        """The last state of an owned partition is in the store: what it says has happened."""
        handled, retried = owned.stored()
        self.handled_count += handled
        if retried:
            self.retries += len(retried)
            self._notifications += retried

    def lost(self, partitions: Iterable[int]) -> None:
        """It is unknown what is stored of these partitions: they are claimed anew, and what was marked is suspect."""
        for partition in partitions:
            self.forget(partition)

    def finished(self, batch: Batch) -> None:
        """Nobody runs a batch any more; what is open of it is given back."""
        self.batches.pop(batch, None)
        self._write_transactions.discard(batch)
        if batch.open:
            for partition, rows in batch.close(list(batch.open.values())).items():
                if (owned := self._owned_of(batch, partition)) is not None:
                    owned.give_back(rows)
        for partition in batch.epochs:
            left = self.owned.get(partition)
            if left is not None:
                left.batch_over(batch)
                if not left.writing:
                    self.queues.put(left)
        self.stock.bytes -= batch.size
        batch.size = 0
        self.dispatcher.ungate(batch)
        local = self.members.local.get(batch.member)
        if local is not None and local.hung:
            local.hung = self._hung(batch.member)

    # --- the write transaction

    def begin_write_transaction(self, batch: Batch) -> None:
        """A handler wants the write transaction. Whatever else there is to store of these partitions waits until it is over.

        Otherwise it would be on its way to the store, and get there after the write transaction, whose states follow it.
        """
        self._write_transactions.add(batch)

    def in_writing(self, batch: Batch) -> bool:
        """Whether a write of one of these partitions, begun before the write transaction, is under way still."""
        held = (self._owned_of(batch, partition) for partition in batch.epochs)
        return any(owned is not None and owned.writing for owned in held)

    def handled_in_transaction(
        self, batch: Batch, done: Sequence[Row], failed: Sequence[tuple[Row, str]], now: float
    ) -> list[Settlement]:
        """Outcomes of a batch that its write transaction, which ends with them, is to store."""
        self.end_write_transaction(batch)
        return self._settlements(self._noted(batch, done, failed, now), in_write_transaction=True)

    def end_write_transaction(self, batch: Batch) -> None:
        """The write transaction of a batch is over, or was lost."""
        self._write_transactions.discard(batch)
        for partition in batch.epochs:
            if (owned := self._owned_of(batch, partition)) is not None:
                self.queues.put(owned)

    def _busy(self, owned: OwnedPartition) -> bool:
        """Whether a state of it is on its way to the store, or is to be stored by a write transaction."""
        if owned.writing or not self._write_transactions:
            return owned.writing
        return any(self._owned_of(batch, owned.partition) is owned for batch in self._write_transactions)

    # --- slow handlers

    def _watch(self, batch: Batch, now: float) -> None:
        left = len(batch.events)
        if left != batch.left:
            batch.left, batch.since = left, now
            return
        lasted = now - batch.since
        if lasted >= self.options.slow_s and not batch.slow:
            batch.slow = True
            self.dispatcher.pace.slow(batch)
            self._give_back_rest(batch)
            batch.left = len(batch.events)
        if lasted >= self.options.handler_timeout_s and not batch.hung:
            self._hangs(batch)

    def _hangs(self, batch: Batch) -> None:
        """Its handlers are taken for hung: their deliveries count, and the member loses its lease."""
        batch.hung = True
        for row in batch.open.values():
            owned = self._owned_of(batch, row[PARTITION])
            if owned is not None:
                owned.hangs(row)
                self.queues.unsettled[owned.partition] = owned
        self.dispatcher.ungate(batch)
        local = self.members.local.get(batch.member)
        if local is not None and not batch.left_behind:
            local.hung = True

    def _give_back_rest(self, batch: Batch) -> None:
        """Let others have what a batch has not begun."""
        if batch.alone:
            return
        rest = batch.take_back()
        given = sum(map(self.stock.size_of, rest.values()))
        batch.size -= given
        self.stock.bytes -= given
        at = batch.open_by_partition()
        for partition in batch.epochs:
            owned = self._owned_of(batch, partition)
            if owned is not None and owned.batch is batch:
                owned.slow(at[partition], rest[partition])
                if owned.draining:
                    owned.forget_ready()
                self.queues.put(owned)
        if batch.slow:  # what is drained is with its handler still, and a suspect waits for that
            self.dispatcher.ungate(batch)

    # --- state

    def notifications(self) -> list[Notification]:
        """What happened since this was last asked for."""
        notifications, self._notifications = self._notifications, []
        if self._lately_fenced:
            notifications.append(Fenced(self.name, tuple(self._lately_fenced)))
            self._lately_fenced = []
        return notifications

    @property
    def left_behind(self) -> int:
        """How many handlers nobody waits for any more."""
        return sum(batch.left_behind for batch in self.batches)

    @property
    def quiet(self) -> bool:
        """Whether this process has nothing to do for the group, as far as it knows."""
        return all(batch.left_behind for batch in self.batches) and all(owned.quiet for owned in self.owned.values())
