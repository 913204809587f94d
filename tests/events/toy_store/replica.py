"""`Replica`: what lines mean. Each is a command; whoever plays all of them in order has the same, and the same answers."""

from __future__ import annotations

from ringward.errors import ConflictError, DeduplicationExpiredError, UnknownGroupError
from ringward.events.model.event import ADDED, Receipt
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.settings import Settings, retention_from
from ringward.events.model.store import GroupState
from ringward.events.stores.encoding import entry_from, membership_from, settlement_from, state_from


def _identity(entry):
    """What makes an event the same event."""
    return (*entry[1:5], entry[5] and entry[5].partition(ADDED)[0])


class _Group:
    def __init__(self, name, start, partitions):
        self.state = GroupState(name, start, 0)
        self.states = {partition: PartitionState(cursor=start) for partition in range(partitions)}
        self.dead_letters = {}  # seq → dead letter, row
        self.membership = None
        self.heartbeats = {}
        self.deleted = False


class Replica:
    """The log and the groups, as a number of lines have made them."""

    def __init__(self, partitions):
        self.partitions = partitions
        self.rows = []  # of seqs first, first + 1 ...
        self.first = 1
        self.at = 0
        self.ids = {}  # producer, id → seq, partition, identity, stamp
        self.highest = {}
        self.all_groups = {}
        self.set = {}

    def do(self, command, *values):
        """Play a command; what it gives, or the error that it raises."""
        try:
            return getattr(self, f"do_{command}")(*values)
        except (ConflictError, DeduplicationExpiredError, UnknownGroupError) as error:
            return error

    @property
    def tail(self):
        return self.first + len(self.rows) - 1

    @property
    def settings(self):
        return Settings(**self.set)

    def group(self, name):
        """Find a group that is there."""
        group = self.all_groups.get(name)
        if group is None or group.deleted:
            raise UnknownGroupError(name)
        return group

    # --- the log

    def do_append(self, producer, at, entries):
        at, highest, new, receipts = max(self.at, at), self.highest.get(producer, -1), {}, []
        rows = []
        for entry in map(entry_from, entries):
            id = entry[3]
            known = None if id is None else new.get(id) or self.ids.get((producer, id))
            if known is not None:
                if known[2] != _identity(entry):
                    raise ConflictError(id, known[0])
                receipts.append(Receipt(known[0], known[1], duplicate=True))
                continue
            if type(id) is int:
                if id <= highest:
                    raise DeduplicationExpiredError(id, highest)
                highest = id
            seq = self.tail + 1 + len(rows)
            if id is not None:
                new[id] = (seq, entry[0], _identity(entry), at)
            rows.append((seq, *entry, at))
            receipts.append(Receipt(seq, entry[0], duplicate=False))
        self.rows += rows
        self.at, self.highest[producer] = at, highest
        self.ids.update({(producer, id): event for id, event in new.items()})
        return receipts

    def last_at(self, stamp):
        """The highest seq of a stamp, or of one before."""
        return max((row[0] for row in self.rows if row[7] <= stamp), default=self.first - 1)

    def lowest_unresolved(self, name):
        states = self.group(name).states
        return next((row[0] for row in self.rows if row[0] > states[row[1]].cursor), self.tail + 1)

    def do_configure(self, changes):
        for name, value in changes.items():
            self.set[name] = retention_from(value) if name == "retention" else value
        return self.settings

    def do_prune(self, limit, now):
        keep, through = self.settings.retention, self.first - 1
        if keep.age_s is not None:
            through = max(through, self.last_at(int((now - keep.age_s) * 1000)))
        if keep.count is not None:
            through = max(through, self.tail - keep.count)
        if keep.bytes is not None:
            over = sum(len(row[5]) for row in self.rows) - keep.bytes
            for row in self.rows:
                if over > 0:
                    through = max(through, row[0])
                over -= len(row[5])
        names = [name for name, group in self.all_groups.items() if not group.deleted]
        through = min([through, *(self.lowest_unresolved(name) - 1 for name in names)])
        count = max(0, min(through - self.first + 1, limit))
        del self.rows[:count]
        self.first += count
        before = int((now - self.settings.id_window_s) * 1000)
        self.ids = {key: event for key, event in self.ids.items() if event[0] >= self.first or event[3] > before}
        return count

    # --- groups; what concerns several partitions is a command for each

    def do_open_group(self, name, start):
        if name not in self.all_groups:
            self.all_groups[name] = _Group(name, start, self.partitions)
        group = self.all_groups[name]
        if group.deleted:
            group.state = GroupState(name, start, group.state.generation + 1)
            for partition in group.states:
                self._restart(group, partition, start)
            group.deleted = False
        return group.state

    def do_delete_group(self, name):
        group = self.group(name)
        group.deleted, group.membership = True, None
        group.dead_letters.clear()
        group.heartbeats.clear()

    def do_begin_reset(self, name, after):
        group = self.group(name)
        group.state = GroupState(name, after, group.state.generation + 1)
        return group.state

    def do_restart(self, name, partition, after):
        self._restart(self.group(name), partition, after)

    def _restart(self, group, partition, start):
        epoch, revision, *_, generation = group.states[partition]
        group.states[partition] = PartitionState(epoch + 1, revision + 1, cursor=start, generation=generation + 1)
        letters = group.dead_letters.items()
        group.dead_letters = {seq: kept for seq, kept in letters if kept[0].partition != partition or seq <= start}

    def do_signal(self, name):
        group = self.group(name)
        if group.membership is not None:
            group.membership = group.membership._replace(number=group.membership.number + 1)

    def do_fence(self, name, partition):
        self._fence(self.group(name), partition, None)

    def _fence(self, group, partition, owner):
        state = group.states[partition]
        group.states[partition] = state._replace(epoch=state.epoch + 1, revision=state.revision + 1, owner=owner)

    def do_claim(self, name, owner, epochs):
        group, claimed = self.group(name), {}
        for partition, epoch in epochs:
            if group.states[partition].epoch == epoch:
                self._fence(group, partition, owner)
                claimed[partition] = group.states[partition]
        return claimed

    def do_mark(self, name, marks):
        group = self.group(name)
        return {partition for partition, state in marks if not self._replace(group, partition, state_from(state))}

    def _replace(self, group, partition, state):
        stored = group.states[partition]
        if (state.epoch, state.revision - 1) != stored[:2] or state.cursor < stored.cursor:
            return False
        group.states[partition] = state
        return True

    def do_settle(self, name, settlements):
        group, stale = self.group(name), set()
        for partition, state, dead, parked, drained in map(settlement_from, settlements):
            if not self._replace(group, partition, state):
                stale.add(partition)
                continue
            for letter in dead + parked:
                _, row = group.dead_letters.get(letter.seq) or (None, self.rows[letter.seq - self.first])
                group.dead_letters[letter.seq] = (letter, row)
            for seq in drained:
                group.dead_letters.pop(seq, None)
        return stale

    def do_redrive(self, name, partition, seqs):
        """Of one partition: whoever breaks off between two can do the rest later."""
        group = self.group(name)
        chosen = [seq for seq in seqs if seq in group.dead_letters and group.dead_letters[seq][0].state == "dead"]
        for seq in chosen:
            letter, row = group.dead_letters[seq]
            group.dead_letters[seq] = (letter._replace(state="redrive", attempts=0), row)
        return self._changed(group, partition, len(chosen))

    def do_drop(self, name, partition, seqs):
        group = self.group(name)
        return self._changed(group, partition, sum(group.dead_letters.pop(seq, None) is not None for seq in seqs))

    def _changed(self, group, partition, count):
        if count:
            self._fence(group, partition, None)
        return count

    # --- members

    def do_change_membership(self, name, found):
        group, membership = self.group(name), membership_from(found)
        if membership.number != (group.membership.number if group.membership else 0) + 1:
            return False
        group.membership = membership
        counters = set(membership.counters())
        group.heartbeats = {counter: count for counter, count in group.heartbeats.items() if counter in counters}
        return True

    def do_heartbeat(self, name, heartbeats):
        self.group(name).heartbeats.update(heartbeats)
