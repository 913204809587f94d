"""`ComposedStore`: a store that is made of a log and of groups, each of which alone changes its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import Entry, Receipt, Row
from ringward.events.model.membership import Membership
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.settings import Retention, Settings
from ringward.events.model.store import Groups, GroupState, Log, Memberships, Settlement, Totals

__all__ = ["ComposedStore", "GroupsPart", "LogPart"]


class LogPart(Log, Protocol):
    """A log, with what stands beside it: how much is in it, what everybody obeys, and the clock of its stamps."""

    def volume_between(self, after: int, through: int) -> int:
        """As `Operations.volume_between`."""
        ...

    def settings(self) -> Settings:
        """As `Operations.settings`."""
        ...

    def configure(
        self, *, retention: Retention | None = None, id_window_s: float | None = None, initial: bool = False
    ) -> Settings:
        """As `Operations.configure`."""
        ...

    def clock_doubts(self) -> list[str]:
        """As `Operations.clock_doubts`."""
        ...

    def clock_allowances(self) -> list[str]:
        """As `Operations.clock_allowances`."""
        ...


class GroupsPart(Groups, Memberships, Protocol):
    """Groups and their members, and how far they are."""

    def lowest_unresolved(self, group: str) -> int:
        """As `Operations.lowest_unresolved`."""
        ...

    def unresolved(self, group: str) -> dict[int, int]:
        """As `Operations.unresolved`."""
        ...


class ComposedStore:
    """Every call of a log and of groups goes to the part that has it. What else a `Store` has is for the class that is made of this.

    Parameters
    ----------
    log : LogPart
    groups : GroupsPart
    """

    def _compose(self, log: LogPart, groups: GroupsPart) -> None:
        """Be made of these."""
        self.__log, self.__groups = log, groups
        if type(self).append is ComposedStore.append:  # what publishes is to cost no frame more
            self.append = log.append  # type: ignore[method-assign]

    # --- the log

    def append(self, producer: str, entries: Sequence[Entry]) -> list[Receipt]:
        """As `Store.append`."""
        return self.__log.append(producer, entries)

    def totals(self) -> Totals:
        """As `Store.totals`."""
        return self.__log.totals()

    def heads(self, after: int, limit: int) -> list[tuple[int, int]]:
        """As `Store.heads`."""
        return self.__log.heads(after, limit)

    def read(self, wanted: Sequence[tuple[int, int, int]], rows: int, size: int | None = None) -> list[list[Row]]:
        """As `Store.read`."""
        return self.__log.read(wanted, rows, size)

    def rows(self, seqs: Sequence[int]) -> list[Row]:
        """As `Store.rows`."""
        return self.__log.rows(seqs)

    def seq_at(self, at_ms: int) -> int:
        """As `Store.seq_at`."""
        return self.__log.seq_at(at_ms)

    def volume_between(self, after: int, through: int) -> int:
        """As `Store.volume_between`."""
        return self.__log.volume_between(after, through)

    def settings(self) -> Settings:
        """As `Store.settings`."""
        return self.__log.settings()

    def configure(
        self, *, retention: Retention | None = None, id_window_s: float | None = None, initial: bool = False
    ) -> Settings:
        """As `Store.configure`."""
        return self.__log.configure(retention=retention, id_window_s=id_window_s, initial=initial)

    def clock_doubts(self) -> list[str]:
        """As `Store.clock_doubts`."""
        return self.__log.clock_doubts()

    def clock_allowances(self) -> list[str]:
        """As `Store.clock_allowances`."""
        return self.__log.clock_allowances()

    # --- groups

    def open_group(self, group: str, start: int) -> GroupState:
        """As `Store.open_group`."""
        return self.__groups.open_group(group, start)

    def groups(self) -> list[GroupState]:
        """As `Store.groups`."""
        return self.__groups.groups()

    def delete_group(self, group: str) -> None:
        """As `Store.delete_group`."""
        self.__groups.delete_group(group)

    def states(self, group: str) -> dict[int, PartitionState]:
        """As `Store.states`."""
        return self.__groups.states(group)

    def claim(self, group: str, owner: str, epochs: Mapping[int, int]) -> dict[int, PartitionState]:
        """As `Store.claim`."""
        return self.__groups.claim(group, owner, epochs)

    def mark(self, group: str, marks: Sequence[tuple[int, PartitionState]]) -> set[int]:
        """As `Store.mark`."""
        return self.__groups.mark(group, marks)

    def settle(self, group: str, settlements: Sequence[Settlement]) -> set[int]:
        """As `Store.settle`."""
        return self.__groups.settle(group, settlements)

    def dead_letters(self, group: str, partitions: Collection[int] | None = None) -> list[DeadLetter]:
        """As `Store.dead_letters`."""
        return self.__groups.dead_letters(group, partitions)

    def bodies(self, group: str, seqs: Sequence[int]) -> list[Row]:
        """As `Store.bodies`."""
        return self.__groups.bodies(group, seqs)

    def redrive(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.redrive`."""
        return self.__groups.redrive(group, seqs)

    def drop(self, group: str, seqs: Sequence[int]) -> int:
        """As `Store.drop`."""
        return self.__groups.drop(group, seqs)

    def reset(self, group: str, after: int) -> GroupState:
        """As `Store.reset`."""
        return self.__groups.reset(group, after)

    def lowest_unresolved(self, group: str) -> int:
        """As `Store.lowest_unresolved`."""
        return self.__groups.lowest_unresolved(group)

    def unresolved(self, group: str) -> dict[int, int]:
        """As `Store.unresolved`."""
        return self.__groups.unresolved(group)

    # --- members

    def membership(self, group: str) -> Membership | None:
        """As `Store.membership`."""
        return self.__groups.membership(group)

    def change_membership(self, group: str, membership: Membership) -> bool:
        """As `Store.change_membership`."""
        return self.__groups.change_membership(group, membership)

    def heartbeat(self, group: str, heartbeats: Mapping[str, int]) -> None:
        """As `Store.heartbeat`."""
        self.__groups.heartbeat(group, heartbeats)

    def heartbeats(self, group: str) -> dict[str, int]:
        """As `Store.heartbeats`."""
        return self.__groups.heartbeats(group)
