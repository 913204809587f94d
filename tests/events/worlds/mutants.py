"""Deliberate bugs: each replaces something real by something that is nearly right, for as long as a test wants it."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple
from unittest.mock import patch

from events.worlds.run import run
from mutation import Mutants

from ringward.events.core.batch import Batch
from ringward.events.core.dispatcher import Dispatcher
from ringward.events.core.fetcher import Fetcher
from ringward.events.core.group import Group
from ringward.events.core.key_queue import FREE
from ringward.events.core.members import Members
from ringward.events.core.offset_tracker import OffsetTracker
from ringward.events.core.owned_partition import OwnedPartition
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.engine.driver import GroupDriver
from ringward.events.model.partition_state import PartitionState
from ringward.events.stores.memory.groups import MemoryGroups, _Group
from ringward.events.stores.memory.log import MemoryLog

SEEDS_MOST = 300  # within so many a bug must be noticed
MUTANTS = Mutants()
mutant = MUTANTS.of


class Killed(NamedTuple):
    """How a bug was noticed."""

    seeds: int
    rule: str


def kill(name):
    """Run seeds until one notices the bug; None when none does."""
    with MUTANTS.switched_on(name) as bug:
        for seed in range(SEEDS_MOST):
            outcome = run(seed, **bug.plan)
            if outcome.error is not None:
                return Killed(seed + 1, getattr(outcome.error, "rule", type(outcome.error).__name__))
    return None


# --- the store: fences, the log


@mutant(MemoryGroups, "_replace")
def ack_without_the_epoch_check(right):
    """The store accepts acknowledgements of any epoch."""

    def replace(self, group, partition, state):
        stored = group.states[partition]
        return right(self, group, partition, state._replace(epoch=stored.epoch, revision=stored.revision + 1))

    return replace


@mutant(MemoryGroups, "claim")
def claim_without_raising_the_epoch(right):
    """A member that claims a partition keeps the former owner's epoch."""

    def claim(self, group, owner, epochs):
        with patch.object(MemoryGroups, "_fence", lambda *_: None):
            return right(self, group, owner, epochs)

    return claim


@mutant(MemoryGroups, "claim", hosts=3, eagerness=0.8, chaos=3.0, partitions=8)
def claim_without_comparing_the_epoch(right):
    """A claim wins even if another member has claimed meanwhile."""

    def claim(self, group, owner, epochs):
        stored = self.states(group)
        return right(self, group, owner, {partition: stored[partition].epoch for partition in epochs})

    return claim


@mutant(MemoryGroups, "open_group")
def epochs_begin_again_with_a_deleted_group(right):
    """A group that was deleted and opened again starts at epoch 0."""

    def open_group(self, group, start):
        if group in self._groups and self._groups[group].deleted:
            self._groups[group] = _Group(group, start, self._partitions)
        return right(self, group, start)

    return open_group


@mutant(MemoryGroups, "mark")
def mark_not_stored(right):
    """The store forgets what is in flight."""

    def mark(self, group, marks):
        return right(self, group, [(partition, state._replace(in_flight=())) for partition, state in marks])

    return mark


@mutant(MemoryGroups, "settle")
def letters_not_stored(right):
    """Parked events are resolved, but their entries in the dead-letter queue are lost."""

    def settle(self, group, settlements):
        return right(self, group, [settlement._replace(parked=()) for settlement in settlements])

    return settle


@mutant(MemoryGroups, "lowest_unresolved")
def prune_past_the_lowest_cursor(right):
    """Retention goes by the group that is furthest ahead."""

    def lowest(self, group):
        return max(state.cursor for state in self.states(group).values()) + 1

    return lowest


@mutant(MemoryLog, "_all_new")
def a_repeated_id_gets_a_new_seq(right):
    """Nobody checks whether an id was published before."""
    return lambda self, producer, ids: True


@mutant(MemoryLog, "_append_new")
def a_gap_in_the_seqs(right):
    """The last event of a batch gets a seq that is one too high."""

    def append(self, producer, entries):
        receipts = right(self, producer, entries)
        if len(entries) > 1:
            last, queue = receipts[-1], self._partition_logs[entries[-1][0]]
            receipts[-1] = last._replace(seq=last.seq + 1)
            self._log[-1] = queue.rows[-1] = (last.seq + 1, *queue.rows[-1][1:])
            queue.seqs[-1] += 1
        return receipts

    return append


@mutant(MemoryGroups, "redrive")
def redrive_without_raising_the_epoch(right):
    """A redrive does not raise the epoch, so the owner never looks at the dead letters again."""

    def redrive(self, group, seqs):
        with patch.object(MemoryGroups, "_changed", lambda self, group, partitions, count: count):
            return right(self, group, seqs)

    return redrive


# --- the state machine: dispatch, attempts, dead letters


@mutant(OffsetTracker, "advance")
def cursor_over_a_gap(right):
    """The cursor moves to the last event that was read, past unresolved ones."""

    def advance(self, owner):
        right(self, owner)
        self.state = self.state._replace(cursor=max(self.state.cursor, self.position))
        return self.state

    return advance


@mutant(OwnedPartition, "_sort_in")
def a_parked_key_is_ignored(right):
    """Events of a key with a dead event are delivered."""

    def sort_in(self, row):
        queue = self.queues.get(row[3])
        if queue is not None and queue.dead_letters and not self.offsets.claimed.resolved(row[0]):
            self.offsets.order.append(row[0])
            self.ready.append(row)
        else:
            right(self, row)

    return sort_in


@mutant(Dispatcher, "_owes_dead_letters")
def a_mark_before_its_letters(right):
    """A mark resolves parked events before their entries in the dead-letter queue are stored."""
    return lambda self, owned: False


@mutant(OwnedPartition, "failed")
def attempts_are_not_counted(right):
    """Each retry counts as the first."""

    def failed(self, row, error, now, chance):
        count = right(self, row, error, now, chance)
        if row[0] in self.offsets.attempts:
            self.offsets.attempts[row[0]] = 0
        return count

    return failed


@mutant(OwnedPartition, "failed")
def dead_before_the_last_attempt(right):
    """An event is dead one attempt too soon."""

    def failed(self, row, error, now, chance):
        self.offsets.count_attempt(row[0])
        return right(self, row, error, now, chance)

    return failed


@mutant(OffsetTracker, "in_suspect_range")
def suspects_are_not_suspected(right):
    """After a crash, suspects are delivered with other events, and nothing is charged."""
    return lambda self, seq: False


@mutant(SuspectGate, "enter", fates={"kills": 20, "slow": 20}, chaos=1.0)
def a_suspect_beside_others(right):
    """A suspect starts before it is alone in its process."""

    def enter(self, who, *, alone, now):
        self.running += not alone
        return True

    return enter


@mutant(SuspectGate, "enter", fates={"kills": 20, "slow": 40}, chaos=1.0)
def a_suspect_beside_another(right):
    """A suspect that takes long lets the next suspect start."""

    def enter(self, who, *, alone, now):
        self.suspect &= self._closed_at is not None
        return right(self, who, alone=alone, now=now)

    return enter


@mutant(SuspectGate, "_let_others", fates={"kills": 20, "slow": 20}, chaos=1.0)
def others_beside_a_suspect_at_once(right):
    """A suspect never has the process to itself."""

    def let_others(self, now):
        self._closed_at = None

    return let_others


@mutant(OffsetTracker, "advance", fates={"kills": 40}, trouble=0.03, chaos=0.3, partitions=1)
def marks_forget_suspects(right):
    """A suspect that is not in flight loses its mark, so a second crash clears it."""

    def advance(self, owner):
        right(self, owner)
        if not self.flying:
            self.state = self.state._replace(in_flight=())
        return self.state

    return advance


@mutant(OwnedPartition, "_adopt")
def letters_in_no_order(right):
    """The last dead letter of a key is redriven first."""

    def adopt(self, dead_letter):
        right(self, dead_letter)
        for queue in self.queues.values():
            queue.seqs = deque(sorted(queue.seqs, reverse=True))

    return adopt


@mutant(Batch, "stop_key")
def the_key_of_a_failed_event_goes_on(right):
    """Later events of a failed event's key in its batch are handled."""
    return lambda self, row: None


@mutant(OwnedPartition, "slow", fates={"slow": 30}, partitions=1)
def given_back_in_the_wrong_order(right):
    """The rest of a slow batch goes behind events that were read later."""

    def slow(self, open_rows, rest):
        right(self, open_rows, rest)
        self.ready.rotate(-len(rest))

    return slow


@mutant(OwnedPartition, "slow")
def a_slow_key_is_free(right):
    """The key of a slow handler is handed out again."""

    def slow(self, open_rows, rest):
        right(self, open_rows, rest)
        for row in open_rows:
            queue = self.queues.get(row[3])
            if queue is not None and not queue.dead_letters:
                queue.state, queue.busy = FREE, 0
                self._free(row[3], queue)

    return slow


@mutant(OwnedPartition, "take")
def marks_up_to_the_last_row(right):
    """Marks cover the rows from the first delivered to the last, not from the lowest seq to the highest."""

    def take(self, limit, batch, a_key):
        events = right(self, limit, batch, a_key)
        self.offsets.begun -= {row[0] for row, _ in events}
        self.offsets.span = (events[0][0][0], events[-1][0][0])
        return events

    return take


@mutant(Group, "_take_off")
def a_zombie_is_believed(right):
    """The result of a handler of an older claim counts for the present claim."""

    def take_off(self, batch, partition):
        self._owned_of = lambda batch, partition: self.owned.get(partition)

    return take_off


@mutant(Group, "_releases")
def released_while_in_flight(right):
    """Partitions are handed over without waiting for handlers."""

    def releases(self):
        for owned in self.owned.values():
            if owned.draining:
                owned.offsets.flying = 0
        return right(self)

    return releases


@mutant(Group, "surveyed")
def who_was_fenced_goes_on(right):
    """An owner does not give up partitions whose epoch has risen, so redriven events are not seen."""

    def surveyed(self, states):
        held = dict(self.owned)
        same = {p: d if p not in held else PartitionState(*d)._replace(epoch=held[p].epoch) for p, d in states.items()}
        return right(self, same)

    return surveyed


@mutant(Group, "finish_and_take")
def the_next_batch_is_not_marked(right):
    """The next batch is delivered, but its marks are left out of the commit."""

    def finish_and_take(self, batch, done, *more):
        settlements, following = right(self, batch, done, *more)
        if following is not None and settlements:
            left = {partition for partition, _ in following.marks} - {row[1] for row in done}
            for partition in left:
                offsets = self.owned[partition].offsets
                offsets.state = offsets.state._replace(revision=offsets.state.revision - 1)
            settlements = [each for each in settlements if each.partition not in left]
        return settlements, following

    return finish_and_take


@mutant(Group, "finish_and_take")
def the_next_batch_begins_before_letters_are_stored(right):
    """The next batch is marked while its partition still has dead letters to store."""

    def finish_and_take(self, batch, done, *more):
        with patch.object(Dispatcher, "_owes_dead_letters", lambda self, owned: False):
            return right(self, batch, done, *more)

    return finish_and_take


@mutant(GroupDriver, "lose", trouble=0.03)
def an_unknown_outcome_is_taken_for_known(right):
    """After a failed write, the state machine continues as if it knew what is stored."""
    return lambda self, partitions: None


@mutant(Fetcher, "fetched", trouble=0.05)
def what_was_not_read_is_forgotten(right):
    """When a read of the store is refused, the reads after it are not repeated."""

    def fetched(self, reads, found):
        right(self, reads[: len(found)], found)

    return fetched


# --- members


@mutant(Members, "_expired")
def leases_never_end(right):
    """Only a process whose lock is free counts as dead."""

    def dead(self, now, heartbeats, gone):
        right(self, now, heartbeats, gone)
        return [name for name, member in self.members.items() if member.up and member.process in gone]

    return dead


@mutant(Members, "_expired")
def leases_end_too_early(right):
    """A member counts as dead after a third of the lease time."""

    def dead(self, now, heartbeats, gone):
        with patch.object(self, "options", _Less(self.options)):
            return right(self, now, heartbeats, gone)

    return dead


class _Less:
    def __init__(self, options):
        self.lease_s = options.lease_s / 3
        self.heartbeat_s = options.heartbeat_s


@mutant(Members, "heartbeats")
def a_hang_hides_behind_its_beat(right):
    """A member whose handler hangs keeps sending heartbeats."""

    def heartbeats(self, now):
        for local in self.local.values():
            local.hung = False
        return right(self, now)

    return heartbeats
