"""The groups of a `SqliteStore`: states, dead letters, memberships and heartbeats."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ringward.errors import UnknownGroupError
from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import Row
from ringward.events.model.membership import Membership
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import GroupState, Settlement
from ringward.events.stores.sqlite.decoding import (
    dead_letter_of,
    membership_of,
    number_of,
    ranges_of,
    rows_of,
    state_of,
    text_of,
)
from ringward.events.stores.sqlite.file import OpenFile
from ringward.events.stores.sqlite.locks import Presence
from ringward.events.stores.sqlite.log import SqliteLog
from ringward.events.stores.sqlite.writer import Writer

__all__ = ["SqliteGroups"]

_STATE = "epoch, revision, owner, cursor, done, attempts, low, high, generation"
_REPLACE = (
    "UPDATE ringward_documents SET revision = ?, owner = ?, cursor = ?, done = ?, attempts = ?, low = ?, high = ?"
    " WHERE grp = ? AND partition = ? AND epoch = ? AND revision = ? AND cursor <= ?"
)
_STORED = (
    "SELECT revision, owner, cursor, done, attempts, low, high FROM ringward_documents"
    " WHERE grp = ? AND partition = ? AND epoch = ?"
)
_CLAIM = (
    "UPDATE ringward_documents SET epoch = epoch + 1, revision = revision + 1, owner = ?"
    f" WHERE grp = ? AND partition = ? AND epoch = ? RETURNING {_STATE}"
)
# Raising an epoch without an owner: whoever held the partition is fenced, and anybody may claim it.
_FENCE = "UPDATE ringward_documents SET epoch = epoch + 1, revision = revision + 1, owner = NULL WHERE grp = ?"
_DEAD_LETTER = (
    "INSERT OR IGNORE INTO ringward_letters SELECT ?, seq, partition, key, ?, ?, ?, kind, at,"
    " ringward_digest(kind, key, id, payload, headers), id, headers, payload"
    " FROM ringward_log WHERE seq = ? AND partition IS NOT NULL"
)
_DEAD_AGAIN = "UPDATE ringward_letters SET state = ?, error = ?, attempts = ? WHERE grp = ? AND seq = ?"


def _values(number: int, partition: int, state: PartitionState) -> tuple[Any, ...]:
    epoch, revision, owner, cursor, done, attempts, in_flight, _ = state
    low: int | None = None
    high: int | str | None = None
    if in_flight:  # one range, nearly always
        low, high = in_flight[0] if len(in_flight) == 1 else (in_flight[0][0], json.dumps(in_flight))
    texts = (json.dumps(done) if done else None, json.dumps(attempts) if attempts else None)
    return revision, owner, cursor, *texts, low, high, number, partition, epoch, revision - 1, cursor


class SqliteGroups:
    """What is stored for groups: states, dead letters, memberships and heartbeats."""

    def __init__(self, file: OpenFile, log: SqliteLog, partitions: int, presence: Presence) -> None:
        self._writer = file.writer
        self._read, self._look, self._change = file.read, file.look, file.change
        self._timely = log.timely
        self._partitions = partitions
        self._presence = presence
        self._numbers: dict[str, int] = {}

    def forked(self, writer: Writer) -> None:
        """In a child process: it cannot write."""
        self._writer = writer

    def number(self, group: str) -> int:
        """The number of a group; numbers never change."""
        number = self._numbers.get(group)
        if number is None:
            rows: list[Any] = self._read("SELECT number FROM ringward_groups WHERE name = ? AND NOT deleted", (group,))
            if not rows:
                raise UnknownGroupError(group)
            ((found,),) = rows
            number = self._numbers[group] = int(found)
        return number

    def open_group(self, group: str, start: int) -> GroupState:
        """As `Store.open_group`."""
        return self._change(lambda: self._open_group(group, start))

    def _open_group(self, group: str, start: int) -> GroupState:
        execute = self._writer.connection.execute
        row = execute(
            "SELECT number, start, generation, deleted FROM ringward_groups WHERE name = ?", (group,)
        ).fetchone()
        if row is not None:
            number, began, generation, deleted = row
            if not deleted:
                return _state_of(group, began, generation)
            execute("UPDATE ringward_groups SET deleted = 0, start = ? WHERE number = ?", (start, number))
            return self._restarted(number, group, start)
        number = execute(
            "INSERT INTO ringward_groups (name, start, generation) VALUES (?, ?, 0) RETURNING number", (group, start)
        ).get
        self._writer.connection.executemany(
            "INSERT INTO ringward_documents VALUES (?, ?, 0, 0, NULL, ?, NULL, NULL, NULL, NULL, 0)",
            [(number, partition, start) for partition in range(self._partitions)],
        )
        return GroupState(group, start, 0)

    def _restarted(self, number: int, group: str, start: int) -> GroupState:
        execute = self._writer.connection.execute
        execute(_FENCE, (number,))
        execute(
            "UPDATE ringward_documents SET cursor = ?, done = NULL, attempts = NULL, low = NULL, high = NULL,"
            " generation = generation + 1 WHERE grp = ?",
            (start, number),
        )
        execute("DELETE FROM ringward_letters WHERE grp = ? AND seq > ?", (number, start))
        generation = execute(
            "UPDATE ringward_groups SET generation = generation + 1 WHERE number = ? RETURNING generation", (number,)
        ).get
        self._signal(number)
        return GroupState(group, start, generation)

    def _signal(self, number: int) -> None:
        """Let all processes look at the states again."""
        self._writer.connection.execute("UPDATE ringward_views SET number = number + 1 WHERE grp = ?", (number,))

    def reset(self, group: str, after: int) -> GroupState:
        """As `Store.reset`."""
        number = self.number(group)
        return self._change(lambda: self._restarted(number, group, after))

    def groups(self) -> list[GroupState]:
        """As `Store.groups`."""
        sql = "SELECT name, start, generation FROM ringward_groups WHERE NOT deleted ORDER BY name"
        return self._read(sql, of=lambda rows: [_state_of(*row) for row in rows])

    def delete_group(self, group: str) -> None:
        """As `Store.delete_group`."""
        number = self.number(group)
        self._change(lambda: self._delete_group(number))
        self._numbers.pop(group, None)

    def _delete_group(self, number: int) -> None:
        execute = self._writer.connection.execute
        execute(_FENCE, (number,))
        execute("UPDATE ringward_groups SET deleted = 1 WHERE number = ?", (number,))
        for table in ("letters", "views", "beats"):
            execute(f"DELETE FROM ringward_{table} WHERE grp = ?", (number,))

    def states(self, group: str) -> dict[int, PartitionState]:
        """As `Store.states`."""
        sql = f"SELECT partition, {_STATE} FROM ringward_documents WHERE grp = ?"
        partitions = self._partitions
        return self._read(
            sql,
            (self.number(group),),
            lambda rows: {
                number_of(partition, "documents", f"group {group!r}", "partition", partitions - 1): state_of(
                    row, repr(group), partition
                )
                for partition, *row in rows
            },
        )

    def claim(self, group: str, owner: str, epochs: Mapping[int, int]) -> dict[int, PartitionState]:
        """As `Store.claim`."""
        number = self.number(group)
        return self._change(lambda: self._claim(number, owner, epochs))

    def _claim(self, number: int, owner: str, epochs: Mapping[int, int]) -> dict[int, PartitionState]:
        claimed = {}
        for partition, epoch in epochs.items():
            row = self._writer.connection.execute(_CLAIM, (owner, number, partition, epoch)).fetchone()
            if row is not None:
                claimed[partition] = state_of(row, number, partition)
        self._writer.faults("claimed")
        return claimed

    def mark(self, group: str, marks: Sequence[tuple[int, PartitionState]]) -> set[int]:
        """As `Store.mark`."""
        number = self.number(group)
        return self._change(lambda: self._mark(number, marks), sync=False)

    def _mark(self, number: int, marks: Sequence[tuple[int, PartitionState]]) -> set[int]:
        stale = self._replace(number, marks)
        self._writer.faults("marked")
        return stale

    def _replace(self, number: int, states: Sequence[tuple[int, PartitionState]]) -> set[int]:
        """Replace states whose epoch and former revision are the stored ones; the partitions of which they are not.

        All in one call: only where one was left out is it worth while to see which.
        """
        connection = self._writer.connection
        before, values = connection.total_changes(), [_values(number, *each) for each in states]
        self._writer.executemany(_REPLACE, values)
        if connection.total_changes() - before == len(states):
            return set()
        stored = [self._look(_STORED, (number, partition, state.epoch)) for partition, state in states]
        return {each[0] for each, value, found in zip(states, values, stored, strict=True) if found != [value[:7]]}

    def settle(self, group: str, settlements: Sequence[Settlement]) -> set[int]:
        """As `Store.settle`."""
        number = self.number(group)
        return self._change(lambda: self.settle_within(number, settlements))

    def settle_within(self, number: int, settlements: Sequence[Settlement]) -> set[int]:
        """Store settlements of a group in a transaction; which are stale."""
        self._writer.faults("handled")
        stale = self._replace(number, [(partition, state) for partition, state, _, _, _ in settlements])
        for settlement in settlements:
            partition, _, dead, parked, drained = settlement
            if (dead or parked or drained) and partition not in stale:
                self._settle_dead_letters(number, settlement)
        self._writer.faults("settled")
        return stale

    def _settle_dead_letters(self, number: int, settlement: Settlement) -> None:
        connection = self._writer.connection
        for dead_letter in (*settlement.dead, *settlement.parked):
            kept = (dead_letter.state, dead_letter.error, dead_letter.attempts)
            connection.execute(_DEAD_AGAIN, (*kept, number, dead_letter.seq))
            if not connection.changes():
                connection.execute(_DEAD_LETTER, (number, *kept, dead_letter.seq))
        for seq in settlement.drained:
            connection.execute("DELETE FROM ringward_letters WHERE grp = ? AND seq = ?", (number, seq))
        self._writer.faults("buried")

    def dead_letters(self, group: str, partitions: Collection[int] | None = None) -> list[DeadLetter]:
        """As `Store.dead_letters`."""
        sql = "SELECT seq, partition, key, state, error, attempts FROM ringward_letters WHERE grp = ? ORDER BY seq"
        found = self._read(sql, (self.number(group),), lambda rows: [dead_letter_of(row, repr(group)) for row in rows])
        return (
            found
            if partitions is None
            else [dead_letter for dead_letter in found if dead_letter.partition in partitions]
        )

    def bodies(self, group: str, seqs: Sequence[int]) -> list[Row]:
        """As `Store.bodies`."""
        number = self.number(group)
        sql = (
            "SELECT seq, partition, kind, key, id, payload, headers, at FROM ringward_letters WHERE grp = ? AND seq = ?"
        )
        found = [
            row
            for seq in sorted(seqs)
            for row in self._read(sql, (number, seq), lambda rows: rows_of(rows, 0, "letters"))
        ]
        return self._timely(found)

    def redrive(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.redrive`."""
        number = self.number(group)
        sql = "UPDATE ringward_letters SET state = 'redrive', attempts = 0 WHERE grp = ? AND seq = ? AND state = 'dead'"
        return self._change(lambda: self._change_dead_letters(number, sql, seqs))

    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.drop`."""
        number = self.number(group)
        sql = "DELETE FROM ringward_letters WHERE grp = ? AND seq = ?"
        return self._change(lambda: self._change_dead_letters(number, sql, seqs))

    def _change_dead_letters(self, number: int, sql: str, seqs: Sequence[int]) -> int:
        execute = self._writer.connection.execute
        changed = [execute(sql + " RETURNING partition", (number, seq)).fetchall() for seq in set(seqs)]
        partitions: list[Any] = sorted({partition for rows in changed for (partition,) in rows})
        for partition in partitions:
            execute(_FENCE + " AND partition = ?", (number, partition))
        if partitions:
            self._signal(number)
        return sum(map(len, changed))

    def membership(self, group: str) -> Membership | None:
        """As `Store.membership`."""
        sql = "SELECT number, members, router FROM ringward_views WHERE grp = ?"
        number = self.number(group)
        return self._read(sql, (number,), lambda rows: membership_of(rows[0], repr(group)) if rows else None)

    def change_membership(self, group: str, membership: Membership) -> bool:
        """As `Store.change_membership`."""
        number = self.number(group)
        values = (number, membership.number, json.dumps(membership.members), membership.router)
        self._presence.known = True
        return self._change(lambda: self._change_membership(values, json.dumps(membership.counters())))

    def _change_membership(self, values: tuple[int, int, str, bytes], counters: str) -> bool:
        connection = self._writer.connection
        if values[1] == 1:
            connection.execute("INSERT OR IGNORE INTO ringward_views VALUES (?, ?, ?, ?)", values)
        else:
            group, number, members, router = values
            connection.execute(
                "UPDATE ringward_views SET number = ?, members = ?, router = ? WHERE grp = ? AND number = ?",
                (number, members, router, group, number - 1),
            )
        changed = connection.changes() == 1
        if changed:
            gone = "DELETE FROM ringward_beats WHERE grp = ? AND owner NOT IN (SELECT value FROM json_each(?))"
            connection.execute(gone, (values[0], counters))
        return changed

    def heartbeat(self, group: str, heartbeats: Mapping[str, int]) -> None:
        """As `Store.heartbeat`."""
        number = self.number(group)
        rows = [(number, owner, count) for owner, count in heartbeats.items()]
        sql = "REPLACE INTO ringward_beats VALUES (?, ?, ?)"
        self._change(lambda: self._writer.connection.executemany(sql, rows).fetchall(), sync=False)

    def heartbeats(self, group: str) -> dict[str, int]:
        """As `Store.heartbeats`."""
        sql = "SELECT owner, count FROM ringward_beats WHERE grp = ?"
        return self._read(
            sql,
            (self.number(group),),
            lambda rows: {
                text_of(owner, "beats", f"group {group!r}", "owner"): number_of(
                    count, "beats", f"group {group!r}, owner {owner!r}", "count"
                )
                for owner, count in rows
            },
        )

    def lowest_unresolved(self, group: str) -> int:
        """As `Store.lowest_unresolved`."""
        return self._read(_LOWEST, (self.number(group),), _lowest_of)

    def unresolved(self, group: str) -> dict[int, int]:
        """As `Store.unresolved`."""
        sql = (
            "SELECT partition, cursor, done, (SELECT count(*) FROM ringward_log l"
            " WHERE l.partition = d.partition AND l.seq > d.cursor) FROM ringward_documents d WHERE grp = ?"
        )
        counts = {}
        rows = self._read(
            sql,
            (self.number(group),),
            lambda rows: [
                (
                    partition,
                    number_of(cursor, "documents", f"group {group!r}, partition {partition}", "cursor"),
                    ranges_of(done, f"group {group!r}, partition {partition}", "done"),
                    count,
                )
                for partition, cursor, done, count in rows
            ],
        )
        for partition, cursor, done, count in rows:
            left = count - sum(self._between(partition, max(low, cursor + 1), high) for low, high in done)
            if left:
                counts[partition] = left
        return counts

    def _between(self, partition: int, low: int, high: int) -> int:
        sql = "SELECT count(*) FROM ringward_log WHERE partition = ? AND seq BETWEEN ? AND ?"
        return int(self._read(sql, (partition, low, high))[0][0])

    def resolved(self) -> int:
        """In a transaction, the highest seq that all groups are past."""
        numbers = [number for (number,) in self._look("SELECT number FROM ringward_groups WHERE NOT deleted")]
        return min((_lowest_of(self._look(_LOWEST, (number,))) for number in numbers), default=2**62) - 1


def _state_of(name: object, start: object, generation: object) -> GroupState:
    where = f"name {name!r}"
    return GroupState(
        text_of(name, "groups", where, "name"),
        number_of(start, "groups", where, "start"),
        number_of(generation, "groups", where, "generation"),
    )


def _lowest_of(rows: list[Any]) -> int:
    ((lowest,),) = rows
    return number_of(lowest, "anchor", "the only row", "seq")


# A state's cursor is as high as it can be, so the next event of the partition is unresolved.
_LOWEST = (
    "SELECT coalesce(min((SELECT min(seq) FROM ringward_log l WHERE l.partition = d.partition AND l.seq > d.cursor)),"
    " (SELECT coalesce((SELECT max(seq) FROM ringward_log WHERE seq > a.seq), a.seq) + 1 FROM ringward_anchor a))"
    " FROM ringward_documents d WHERE grp = ?"
)
