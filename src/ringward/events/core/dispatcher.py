"""`Dispatcher`: hands out what can be handled, in batches, and suspects alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ringward.events.core.batch import Batch
from ringward.events.core.options import Options
from ringward.events.core.owned_partition import OwnedPartition
from ringward.events.core.pace import Pace
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.core.work_queues import WorkQueues
from ringward.events.model.event import Row

__all__ = ["Dispatcher"]


class Dispatcher:
    """Takes rows off the owned partitions of a member, as many as the pace and the gate let.

    Parameters
    ----------
    name : str
        Of the group.
    options : Options
    queues : WorkQueues
    gate : SuspectGate
    busy : callable
        Whether a state of an owned partition is on its way to the store.
    durable : bool
        Whether marks are to be stored.
    concurrent : bool
        Whether the keys of a batch are handled at once.
    """

    def __init__(
        self,
        name: str,
        options: Options,
        queues: WorkQueues,
        gate: SuspectGate,
        busy: Callable[[OwnedPartition], bool],
        *,
        durable: bool,
        concurrent: bool,
    ) -> None:
        self.pace = Pace(options)
        self.concurrent = concurrent
        self._name = name
        self._options = options
        self._queues = queues
        self._gate = gate
        self._busy = busy
        self._durable = durable

    def dues(self) -> list[float | None]:
        """When those may go on who were refused at the gate, if that is a matter of time."""
        return [
            self._gate.due(alone=True) if self._queues.suspects_wait() else None,
            self._gate.due(alone=False) if self._queues.can_run_any() else None,
        ]

    def forgo(self) -> None:
        """Let others in at the gate, if no suspect waits."""
        if not self._queues.suspects_wait():
            self._gate.forgo(self._name)

    def take(self, member: str, now: float) -> Batch | None:
        """A batch for one thread; None when there is nothing, or a suspect runs alone."""
        if self._queues.to_run_alone and (alone := self._take_alone(member, now)) is not None:
            return alone
        queue = self._queues.to_run.get(member)
        if not queue or not self._gate.enter(self._name, alone=False, now=now):
            return None
        batch = Batch(member, alone=False, now=now)
        room, a_key = self._sizes()
        while queue and room > 0:
            owned, _ = queue.popitem(last=False)
            if owned.draining or not owned.held or not owned.ready:
                continue
            if owned.batch is not None or self._busy(owned) or (owned.unsettled and self._owes_dead_letters(owned)):
                continue  # it is queued again when that is over
            events = owned.take(room, batch, a_key)
            room -= len(events)
            self._hand(batch, owned, events)
        if batch.events:
            return batch
        self._gate.leave(self._name, alone=False)
        return None

    def _sizes(self) -> tuple[int, int]:
        """How many events a batch may have, and how many of one key."""
        if not self._durable:
            return self._options.batch, self._options.batch  # nothing of it would be suspected
        if self.concurrent:
            return self._options.batch, self.pace.events
        return self.pace.events, self.pace.events

    def _owes_dead_letters(self, owned: OwnedPartition) -> bool:
        if owned.owes_dead_letters:
            self._queues.unsettled[owned.partition] = owned
            return True
        return False

    def _take_alone(self, member: str, now: float) -> Batch | None:
        queue = self._queues.to_run_alone.get(member)
        while queue:
            owned = next(iter(queue))
            if not owned.held or not owned.alone:
                del queue[owned]
                continue
            if (
                self._busy(owned)
                or self._owes_dead_letters(owned)
                or not self._gate.enter(self._name, alone=True, now=now)
            ):
                return None
            del queue[owned]
            event = owned.take_alone()
            if event is not None:
                batch = Batch(member, alone=True, now=now)
                self._hand(batch, owned, [event])
                return batch
            self._gate.leave(self._name, alone=True)
            self._queues.put(owned)
        return None

    def _hand(self, batch: Batch, owned: OwnedPartition, events: Sequence[tuple[Row, int]]) -> None:
        batch.add(events)
        batch.epochs[owned.partition] = owned.epoch
        if self._durable:
            batch.marks.append((owned.partition, owned.mark()))

    def ungate(self, batch: Batch) -> None:
        """A batch does not hold back others any more: it is over, or takes too long."""
        if batch.gated:
            batch.gated = False
            self._gate.leave(self._name, alone=batch.alone, more=batch.alone and self._queues.suspects_wait())
