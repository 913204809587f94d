"""The groups of a `MemoryStore`: states, dead letters, memberships and heartbeats."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ringward.errors import (
    UnknownGroupError,
)
from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import Row
from ringward.events.model.membership import Membership
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import (
    GroupState,
    Settlement,
)
from ringward.events.stores.memory.log import MemoryLog
from ringward.events.stores.memory.shared import Part, Shared, locked, telling

__all__ = ["MemoryGroups"]


class _Group:
    def __init__(self, name: str, start: int, partitions: int) -> None:
        self.state = GroupState(name, start, 0)
        self.states = {partition: PartitionState(cursor=start) for partition in range(partitions)}
        self.dead_letters: dict[int, tuple[DeadLetter, Row]] = {}
        self.membership: Membership | None = None
        self.heartbeats: dict[str, int] = {}
        self.deleted = False


class MemoryGroups(Part):
    """What is known of groups."""

    def __init__(self, shared: Shared, log: MemoryLog, partitions: int) -> None:
        super().__init__(shared)
        self._log = log
        self._partitions = partitions
        self._groups: dict[str, _Group] = {}

    def _group(self, name: str) -> _Group:
        self._open()
        group = self._groups.get(name)
        if group is None or group.deleted:
            raise UnknownGroupError(name)
        return group

    @locked
    def open_group(self, group: str, start: int) -> GroupState:
        """As `Store.open_group`."""
        held = self._groups.get(group)
        if held is None:
            held = self._groups[group] = _Group(group, start, self._partitions)
        elif held.deleted:
            held.deleted = False
            return self._restart(held, start)
        return held.state

    def _restart(self, group: _Group, start: int) -> GroupState:
        group.state = GroupState(group.state.name, start, group.state.generation + 1)
        for partition, state in group.states.items():
            group.states[partition] = PartitionState(
                state.epoch + 1, state.revision + 1, cursor=start, generation=state.generation + 1
            )
        group.dead_letters = {seq: dead_letter for seq, dead_letter in group.dead_letters.items() if seq <= start}
        self._signal(group)
        return group.state

    def _signal(self, group: _Group) -> None:
        if group.membership is not None:
            group.membership = group.membership._replace(number=group.membership.number + 1)

    @locked
    def groups(self) -> list[GroupState]:
        """As `Store.groups`."""
        return [group.state for _, group in sorted(self._groups.items()) if not group.deleted]

    @telling
    def delete_group(self, group: str) -> None:
        """As `Store.delete_group`."""
        held = self._group(group)
        for partition in held.states:
            self._fence(held, partition)
        held.deleted, held.membership = True, None
        held.dead_letters.clear()
        held.heartbeats.clear()

    def _fence(self, group: _Group, partition: int) -> None:
        state = group.states[partition]
        group.states[partition] = state._replace(epoch=state.epoch + 1, revision=state.revision + 1, owner=None)

    @locked
    def states(self, group: str) -> dict[int, PartitionState]:
        """As `Store.states`."""
        return dict(self._group(group).states)

    @telling
    def claim(self, group: str, owner: str, epochs: Mapping[int, int]) -> dict[int, PartitionState]:
        """As `Store.claim`."""
        held, claimed = self._group(group), {}
        for partition, epoch in epochs.items():
            if held.states[partition].epoch == epoch:
                self._fence(held, partition)
                claimed[partition] = held.states[partition]._replace(owner=owner)
        held.states.update(claimed)
        self._faults("claimed")
        return claimed

    @locked
    def mark(self, group: str, marks: Sequence[tuple[int, PartitionState]]) -> set[int]:
        """As `Store.mark`."""
        held = self._group(group)
        return {partition for partition, state in marks if not self._replace(held, partition, state)}

    def _replace(self, group: _Group, partition: int, state: PartitionState) -> bool:
        stored = group.states[partition]
        fits = state.epoch == stored.epoch and state.revision == stored.revision + 1
        if not fits or state.cursor < stored.cursor:
            return False
        group.states[partition] = state
        return True

    @telling
    def settle(self, group: str, settlements: Sequence[Settlement]) -> set[int]:
        """As `Store.settle`."""
        held, stale = self._group(group), set()
        self._faults("settle")
        for partition, state, dead, parked, drained in settlements:
            if not self._replace(held, partition, state):
                stale.add(partition)
                continue
            for dead_letter in dead + parked:
                body = held.dead_letters.get(dead_letter.seq) or (dead_letter, self._log.row(dead_letter.seq))
                held.dead_letters[dead_letter.seq] = (dead_letter, body[1])
            for seq in drained:
                held.dead_letters.pop(seq, None)
        return stale

    @locked
    def bodies(self, group: str, seqs: Sequence[int]) -> list[Row]:
        """As `Store.bodies`."""
        dead_letters = self._group(group).dead_letters
        return [dead_letters[seq][1] for seq in sorted(seqs) if seq in dead_letters]

    @locked
    def dead_letters(self, group: str, partitions: Collection[int] | None = None) -> list[DeadLetter]:
        """As `Store.dead_letters`."""
        found = [dead_letter for _, (dead_letter, _) in sorted(self._group(group).dead_letters.items())]
        return (
            found
            if partitions is None
            else [dead_letter for dead_letter in found if dead_letter.partition in partitions]
        )

    @telling
    def redrive(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.redrive`."""
        held = self._group(group)
        chosen = [seq for seq in set(seqs) if seq in held.dead_letters and held.dead_letters[seq][0].state == "dead"]
        for seq in chosen:
            dead_letter, row = held.dead_letters[seq]
            held.dead_letters[seq] = (dead_letter._replace(state="redrive", attempts=0), row)
        return self._changed(held, {held.dead_letters[seq][0].partition for seq in chosen}, len(chosen))

    @telling
    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.drop`."""
        held = self._group(group)
        gone = [held.dead_letters.pop(seq)[0] for seq in set(seqs) if seq in held.dead_letters]
        return self._changed(held, {dead_letter.partition for dead_letter in gone}, len(gone))

    def _changed(self, group: _Group, partitions: set[int], count: int) -> int:
        for partition in partitions:
            self._fence(group, partition)
        if partitions:
            self._signal(group)
        return count

    @telling
    def reset(self, group: str, after: int) -> GroupState:
        """As `Store.reset`."""
        return self._restart(self._group(group), after)

    def membership(self, group: str) -> Membership | None:
        """As `Store.membership`."""
        return self._group(group).membership

    @telling
    def change_membership(self, group: str, membership: Membership) -> bool:
        """As `Store.change_membership`."""
        held = self._group(group)
        if membership.number != (1 if held.membership is None else held.membership.number + 1):
            return False
        held.membership = membership
        counters = membership.counters()
        held.heartbeats = {owner: count for owner, count in held.heartbeats.items() if owner in counters}
        return True

    @locked
    def heartbeat(self, group: str, heartbeats: Mapping[str, int]) -> None:
        """As `Store.heartbeat`."""
        self._group(group).heartbeats.update(heartbeats)

    @locked
    def heartbeats(self, group: str) -> dict[str, int]:
        """As `Store.heartbeats`."""
        return dict(self._group(group).heartbeats)

    @locked
    def lowest_unresolved(self, group: str) -> int:
        """As `Store.lowest_unresolved`."""
        waiting = [self._log.past(partition, state.cursor) for partition, state in self._group(group).states.items()]
        return min((seq for seq in waiting if seq is not None), default=self._log.tail + 1)

    @locked
    def unresolved(self, group: str) -> dict[int, int]:
        """As `Store.unresolved`."""
        counts = {}
        for partition, state in self._group(group).states.items():
            done = sum(self._log.count(partition, low - 1, high) for low, high in state.done)
            if left := self._log.count(partition, state.cursor, self._log.tail) - done:
                counts[partition] = left
        return counts

    def resolved(self) -> int:
        """The highest seq that all groups are past."""
        return min((self.lowest_unresolved(group.name) for group in self.groups()), default=2**62) - 1

    def verify(self) -> list[str]:
        """Cursors below the tail."""
        tail = self._log.tail
        return [
            f"group {group.state.name!r}, partition {partition}: cursor above the tail, {tail}"
            for group in self._groups.values()
            for partition, state in group.states.items()
            if state.cursor > tail
        ]
