"""`WorkQueues`: where the owned partitions wait that have something to do."""

from __future__ import annotations

from collections import OrderedDict, defaultdict

from ringward.events.core.owned_partition import OwnedPartition

__all__ = ["WorkQueues"]


_FEW = 8  # members: to look at the queues of so many costs less than to make them anew


def _drop_empty(queues: dict[str, OrderedDict[OwnedPartition, None]]) -> None:
    for member in [member for member, queue in queues.items() if not queue]:
        del queues[member]


class WorkQueues:
    """Queues of the owned partitions of a group, for each member; nobody has to go through all of them.

    Attributes
    ----------
    to_read, to_run, to_run_alone : dict of str to OrderedDict of OwnedPartition to None
        By member: those to read from the store for, those with rows to hand out, those with suspects. Each once, in
        the order in which they came.
    unsettled : dict of int to OwnedPartition
        Those with something to store that no batch will bring along.
    """

    __slots__ = ("_unsure", "to_read", "to_run", "to_run_alone", "unsettled")

    def __init__(self) -> None:
        self.to_read: defaultdict[str, OrderedDict[OwnedPartition, None]] = defaultdict(OrderedDict)
        self.to_run: defaultdict[str, OrderedDict[OwnedPartition, None]] = defaultdict(OrderedDict)
        self.to_run_alone: defaultdict[str, OrderedDict[OwnedPartition, None]] = defaultdict(OrderedDict)
        self.unsettled: dict[int, OwnedPartition] = {}
        self._unsure = False

    def put(self, owned: OwnedPartition) -> None:
        """Put an owned partition where it is found when there is something to do."""
        to_read = self.to_read[owned.member]
        if owned not in to_read and (owned.asking or owned.wants_more):
            to_read[owned] = None
        if owned.alone:
            self.to_run_alone[owned.member][owned] = None
        if owned.batch is not None:
            return
        if owned.ready:
            self.to_run[owned.member][owned] = None
        if owned.unsettled:
            self.unsettled[owned.partition] = owned

    def put_to_read(self, owned: OwnedPartition) -> None:
        """Put an owned partition where it is found when there is something to read for it."""
        to_read = self.to_read[owned.member]
        if owned not in to_read and owned.wants_more:
            to_read[owned] = None

    def doubt(self) -> None:
        """It is unknown who is in a queue: an error came in between, or nobody was queued."""
        self._unsure = True

    def take_doubt(self) -> bool:
        """Whether all are to be put again, as it was unknown who is in a queue."""
        unsure, self._unsure = self._unsure, False
        return unsure

    def busy(self) -> list[str]:
        """The members who have something in a queue; where there are many, those who have nothing cost the next look nothing."""
        found: dict[str, None] = {}
        for queues in (self.to_run_alone, self.to_run, self.to_read):
            if len(queues) > _FEW:
                _drop_empty(queues)
            for member, queue in queues.items():
                if queue:
                    found[member] = None
        return list(found)

    def can_run(self, member: str) -> bool:
        """Whether there are rows to hand out, or may be."""
        return bool(self.to_run.get(member) or self.to_run_alone.get(member))

    def can_run_any(self) -> bool:
        """Whether there may be rows to hand out to any member, other than suspects."""
        return any(self.to_run.values())

    def suspects_wait(self) -> bool:
        """Whether any suspect can be taken."""
        return any(owned.held and owned.alone for queue in self.to_run_alone.values() for owned in queue)

    def __len__(self) -> int:
        queues = (*self.to_read.values(), *self.to_run.values(), *self.to_run_alone.values())
        return sum(map(len, queues)) + bool(self.unsettled)
