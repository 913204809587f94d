"""`GroupDriver`: takes a `Group` through a `Store`. No threads, no clock: whoever has those calls it."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from ringward.errors import TransactionError, UnknownGroupError
from ringward.events.core.batch import Batch
from ringward.events.core.effects import ChangeMembership, Read, Release
from ringward.events.core.group import Group
from ringward.events.engine.claims import Claims
from ringward.events.engine.limits import cut, cut_dict
from ringward.events.engine.tail import Tail
from ringward.events.logs import log
from ringward.events.model.event import PARTITION, Row, size_of
from ringward.events.model.membership import Membership
from ringward.events.model.notifications import Notification
from ringward.events.model.store import Settlement, Store, WriteTransaction
from ringward.mutex import Mutex

__all__ = ["GroupDriver"]

T = TypeVar("T")

_MEMBERSHIP_CHANGES = 4  # in one tick: joining, and what follows from it


class GroupDriver:
    """The glue between the state machine of a group and a store.

    Parameters
    ----------
    store : Store
    group : Group
    lock : Mutex, optional
        Held while the group is asked, never while the store works. Groups that share a gate share it.
    notify : callable, optional
        Is told each notification of the group at the end of a tick, without the lock.

    Notes
    -----
    `tick` is to be called by one thread at a time; the others by any.
    """

    def __init__(
        self,
        store: Store,
        group: Group,
        lock: Mutex | None = None,
        notify: Callable[[Notification], None] | None = None,
    ) -> None:
        self.store = store
        self.group = group
        self.lock = lock or Mutex()
        self._most = store.abilities.max_batch
        self._notify = notify
        self.tail = Tail(store, group, self.lock)
        self.appended = self.tail.appended  # called for each event that is published
        self._next_first = 0
        self.deleted = False  # whether the store has no such group any more
        self.claims = Claims(store, group, self.lock)
        self._write_transactions: dict[
            Batch, WriteTransaction
        ] = {}  # those that handlers have, or have lost while they run on

    # --- time

    def tick(self, now: float) -> None:
        """Look at the store and at the time, and do what follows; nothing while the group is deleted."""
        if self.deleted and not self._exists():
            return
        try:
            self._tick(now)
        except UnknownGroupError as error:
            if not self.misses(error):
                raise

    def _tick(self, now: float) -> None:
        group, store, name = self.group, self.store, self.group.name
        self._end_lost_write_transactions()
        for batch in list(group.batches):
            if batch.done or batch.failed:
                self.report(batch, now)
        with self.lock:
            heartbeats = group.members.heartbeats(now)
        for part in cut_dict(heartbeats, self._most):
            store.heartbeat(name, part)
            with self.lock:
                group.members.heartbeats_stored(now, part)
        for _ in range(_MEMBERSHIP_CHANGES):
            membership = store.membership(name)
            if membership is None and group.members.membership is not None and not self._exists():
                return
            if not self._tick_group(now, membership):
                break
        self.claims.survey()
        self.tail.catch_up()
        self.settle_pending()
        self.notify()

    def due(self, now: float) -> float:
        """When `tick` has something to do next, unless something is stored or a batch begins or ends before."""
        with self.lock:
            if self.deleted:
                return math.inf
            if self.claims.due or self._write_transactions:
                return now
            group = self.group
            due = group.members.due(now)
            for batch in group.batches:
                if batch.left_behind:
                    continue
                if not batch.slow or batch.done or batch.failed:
                    return now
                timeout = batch.since + group.options.handler_timeout_s
                due = due if timeout <= now else min(due, timeout)  # what was late is seen
            retry = group.next_due
            return due if retry is None else min(due, retry)

    @property
    def queued(self) -> int:
        """For how many workers there may be something to do, at most."""
        with self.lock:
            return len(self.group.queues) + len(self.claims) + self.tail.news

    @property
    def present(self) -> bool:
        """Whether members of this process are in the membership; of a group that was deleted none is."""
        return self.group.members.present and not self.deleted

    def misses(self, error: BaseException) -> bool:
        """Whether an error says that the group is not there: then it is looked for, and nothing is done until it is."""
        if not isinstance(error, UnknownGroupError) or error.group != self.group.name:
            return False
        self._exists()
        return True

    def _exists(self) -> bool:
        """Whether the store has the group. What is held of one that was deleted is forgotten."""
        name = self.group.name
        deleted = all(state.name != name for state in self.store.groups())
        with self.lock:
            changed, self.deleted = deleted != self.deleted, deleted
        if changed:
            self.lose(list(self.group.owned))
            what = "was deleted: its consumer has nothing to do" if deleted else "is open again: its consumer continues"
            log(logging.WARNING, f"group {name} {what}", event="group_deleted" if deleted else "group_back", group=name)
        return not deleted

    def restart(self) -> None:
        """Whoever worked for this group has stopped in the middle of it: what it held is claimed anew."""
        self.lose(list(self.group.owned))
        with self.lock:
            for local in self.group.members.local.values():
                local.hung = False

    def abandon(self, now: float) -> None:
        """Let others have at once what nobody works for any more; as if this process had died, but for the wait."""
        group, store = self.group, self.store
        with self.lock:
            group.lost(list(group.owned))
            for name in group.members.local:
                group.leave(name)
        for _ in range(_MEMBERSHIP_CHANGES):
            membership = store.membership(group.name)
            with self.lock:
                effects = group.tick(now, membership, {}, {})
            changes = [effect for effect in effects if isinstance(effect, ChangeMembership)]
            if not changes or store.change_membership(group.name, changes[0].membership):
                return

    def notify(self) -> None:
        """Tell what happened to the group since the last time."""
        with self.lock:
            notifications = self.group.notifications()
        if self._notify is not None:
            for notification in notifications:
                self._notify(notification)

    def _tick_group(self, now: float, membership: Membership | None) -> bool:
        """One tick of the group; whether the membership changed by it."""
        heartbeats = self.store.heartbeats(self.group.name)
        others = (
            self.group.members.strangers(member for _, member in membership.members) if membership is not None else ()
        )
        hints = {process: self.store.hint(process) for process in others}
        session = self.store.session
        changed = False
        with self.lock:
            before = self.group.members.membership
            effects = self.group.tick(now, membership, heartbeats, hints, session)
            if self.group.members.membership is not before or self.group.wanted:
                self.claims.ask()
        for effect in effects:
            if isinstance(effect, Release):
                self._release(effect)
            elif isinstance(effect, ChangeMembership) and self.store.change_membership(
                self.group.name, effect.membership
            ):
                changed = True
                with self.lock:
                    self.group.changed_membership(effect.membership)
                self.claims.ask()
        return changed

    def _release(self, effect: Release) -> None:
        settlements = [Settlement(partition, state) for partition, state in effect.states.items()]
        try:
            stale = self._write(self.store.settle, settlements)
        except BaseException:
            self.lose(effect.states)
            raise
        with self.lock:
            self.group.released(effect.states, stale)

    # --- work

    def next(self, now: float) -> Batch | None:
        """A batch to run, its marks stored; None when there is nothing for now."""
        while True:
            for name in self._members():
                self._fill(name)
                with self.lock:
                    batch = self.group.take(name, now)
                if batch is not None:
                    self._mark(batch)
                    return batch
            if not self.settle_pending() and not self.claims.claim_next():
                return None

    def _members(self) -> list[str]:
        """The members of this process for whom there may be something to do, each time beginning with another."""
        with self.lock:
            self.tail.hear()
            names = self._in_need()
        if len(names) > 1:
            self._next_first += 1
            at = self._next_first % len(names)
            names = names[at:] + names[:at]
        return names

    def _in_need(self) -> list[str]:
        members = self.group.members
        names = self.group.queues.busy() if len(members.local) > 1 else members.local  # of one alone it is not asked
        return [name for name in names if members.is_in(name)]

    def _fill(self, member: str) -> None:
        """Read what the member waits for, until there is a batch; before, go on with a takeover."""
        if self.claims.found:
            self.claims.claim_next()
        room, to_read = self.group.options.batch, self.group.queues.to_read
        while room > 0 and to_read.get(member):
            with self.lock:
                self.tail.hear()
                reads, rows, dead_letters, size = self.group.fetcher.waits(member, room)
            try:
                if rows or dead_letters:
                    self._recall(rows, dead_letters)
            except BaseException:
                with self.lock:  # what was not read is asked for again
                    self.group.fetcher.fetched(reads, [])
                raise
            if not reads:
                return
            room = self._read(reads, room, size)

    def _read(self, reads: list[Read], room: int, size: int | None) -> int:
        """Read until there are so many rows, or bytes of them; how many more rows there is room for."""
        found: list[list[Row]] = []
        try:
            found = self.store.read([read[:3] for read in reads], room, size)
            room -= sum(map(len, found))
            if size is not None and sum(map(size_of, found)) >= size:  # there may be more than it gave
                last = len(found) - 1
                partition, after, _, known = reads[last]
                reads[last] = (partition, after, len(found[last]), known)
                room = 0
        finally:  # what was not read is asked for again
            with self.lock:
                self.group.fetcher.fetched(reads, found)
        return room

    def _recall(self, rows: dict[int, list[int]], dead_letters: dict[int, list[int]]) -> None:
        recalled: dict[int, list[Row]] = {partition: [] for partition in {**rows, **dead_letters}}
        try:
            for partition, found in recalled.items():
                if partition in rows:
                    found.extend(self.store.rows(rows[partition]))
                if partition in dead_letters:
                    found.extend(self.store.bodies(self.group.name, dead_letters[partition]))
        finally:  # what was not read, of any of them, is asked for again at the next tick
            with self.lock:
                for partition, found in recalled.items():
                    self.group.fetcher.recalled(partition, found)

    def _mark(self, batch: Batch) -> None:
        if batch.marks:
            try:
                stale = self._write(self.store.mark, batch.marks)
            except BaseException:
                self.lose(batch.epochs)
                with self.lock:
                    self.group.finished(batch)
                raise
            with self.lock:
                self.group.marks_stored(batch, stale)

    def report(self, batch: Batch, now: float) -> None:
        """Store the outcomes that a batch has so far."""
        with self.lock:  # the ticker reports while the worker may finish
            done, failed = _drained(batch.done), _drained(batch.failed)
            settlements = self.group.handled(batch, done, failed, now)
        self._settle(settlements)

    def finish(self, batch: Batch, now: float, *, more: bool = False) -> Batch | None:
        """Store the outcomes of a batch that nobody runs any more, and give back the rest.

        Whoever asks for `more` gets the next batch to run, if there is one: its marks are stored in the same commit.
        """
        members = self._filled(batch, now) if more else []
        with self.lock:  # the ticker reports while the worker may finish
            self._write_transactions.pop(batch, None)
            done, failed = _drained(batch.done), _drained(batch.failed) if batch.failed else ()
            settlements, following = self.group.finish_and_take(batch, done, failed, now, members)
        try:
            if settlements:
                self._settle(settlements)
            elif following is not None:
                self._mark(following)
            self.settle_pending()
        except BaseException:
            if following is not None:
                with self.lock:
                    self.group.finished(following)
            raise
        return following

    def _filled(self, batch: Batch, now: float) -> list[str]:
        """Read what the next batch needs while this one is not finished; the members that may have it."""
        members = self._members()
        if batch.member not in members:
            members.append(batch.member)  # what waits for this very batch is in no queue yet
        try:
            for at, name in enumerate(members):
                self._fill(name)
                if self.group.queues.can_run(name):
                    return members[at:]
        except BaseException:
            self.finish(batch, now)
            raise
        return members

    def write_transaction(self, batch: Batch) -> WriteTransaction:
        """The write transaction, for the handlers of a batch; `commit` ends it, or `finish`."""
        with self.lock:
            self.group.begin_write_transaction(batch)
        try:
            while True:
                write_transaction = self.store.write_transaction(self.group.name)
                with self.lock:
                    if not self.group.in_writing(batch):
                        self._write_transactions[batch] = write_transaction
                        return write_transaction
                write_transaction.cancel()  # that write goes first
        except BaseException:
            with self.lock:
                self.group.end_write_transaction(batch)
            raise

    def _end_lost_write_transactions(self) -> None:
        """Let what waits for write transactions go on that were taken from handlers, which may be at it for long yet."""
        for batch in [
            batch for batch, write_transaction in list(self._write_transactions.items()) if write_transaction.lost
        ]:
            with self.lock:
                self._write_transactions.pop(batch, None)
                self.group.end_write_transaction(batch)

    def commit(
        self,
        batch: Batch,
        write_transaction: WriteTransaction,
        done: Sequence[Row],
        failed: Sequence[tuple[Row, str]],
        now: float,
    ) -> None:
        """Commit a turn together with the acknowledgement of its events.

        When that fails nothing of it is there; the events are delivered again, each alone.
        """
        with self.lock:
            self._write_transactions.pop(batch, None)
            settlements = self.group.handled_in_transaction(batch, done, failed, now)
        partitions = {row[PARTITION] for row in done} | {row[PARTITION] for row, _ in failed}
        try:
            if partitions != {settlement.partition for settlement in settlements}:
                raise TransactionError("a partition was taken over")
            write_transaction.settle(settlements)
        except BaseException:
            write_transaction.cancel()
            self.lose(partitions)
            raise
        with self.lock:
            self.group.settled(settlements, ())

    def lose(self, partitions: Iterable[int]) -> None:
        """What was under way in these partitions is undone, or unknown: claim them anew."""
        self.claims.ask()
        with self.lock:
            self.group.lost(partitions)

    def settle_pending(self) -> bool:
        """Store what has to be stored without a batch; whether there was anything."""
        found = False
        while self.group.queues.unsettled:
            with self.lock:
                settlements = self.group.pending()
            if not settlements:
                break
            self._settle(settlements)
            found = True
        return found

    def _settle(self, settlements: Sequence[Settlement]) -> None:
        if not settlements:
            return
        try:
            stale = self._write(self.store.settle, settlements)
        except BaseException:
            self.lose(settlement.partition for settlement in settlements)
            raise
        with self.lock:
            self.group.settled(settlements, stale)

    def _write(self, write: Callable[[str, Sequence[T]], set[int]], items: Sequence[T]) -> set[int]:
        """Store what is stored item by item, no more at a time than the store takes; the partitions that are stale."""
        if self._most is None:
            return write(self.group.name, items)
        return {partition for part in cut(items, self._most) for partition in write(self.group.name, part)}


def _drained(queue: deque[T]) -> list[T]:
    """Take all off, also while another thread adds."""
    return [queue.popleft() for _ in range(len(queue))]
