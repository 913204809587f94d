"""`Consumers`: the groups that a processor has a consumer for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from ringward.errors import ArgumentError, UnknownGroupError
from ringward.events.core.group import Group
from ringward.events.core.routing import RouterLike
from ringward.events.core.suspect_gate import SuspectGate
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.registration import Registration
from ringward.events.model.event import Row
from ringward.events.model.notifications import Notification
from ringward.events.model.store import Store
from ringward.mutex import Mutex

__all__ = ["Consumers"]


class Consumers:
    """A driver for each group that has a consumer here, with the lock and the gate that all of them share.

    Parameters
    ----------
    store : Store
    now, chance : callable
        Monotonic seconds; a random number from [0, 1).
    notify : callable
        Is told each notification of a group, without the lock.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        chance: Callable[[], float],
        notify: Callable[[Notification], None],
    ) -> None:
        self.lock = Mutex()
        self._store = store
        self._now = now
        self._chance = chance
        self._notify = notify
        self._gate = SuspectGate()
        self._drivers: dict[str, GroupDriver] = {}

    def __iter__(self) -> Iterator[GroupDriver]:
        return iter(tuple(self._drivers.values()))

    def of(self, group: str) -> GroupDriver:
        """The driver of a group; `UnknownGroupError` where it has no consumer here."""
        try:
            return self._drivers[group]
        except KeyError:
            raise UnknownGroupError(group) from None

    def find(self, group: str) -> GroupDriver | None:
        """The driver of a group, if it has a consumer here."""
        return self._drivers.get(group)

    def refuse(self, group: str) -> None:
        """Raise where a group has a consumer here."""
        if group in self._drivers:
            raise ArgumentError("group", "one without a consumer in this processor", group)

    def add(self, registration: Registration, after: int, *, concurrent: bool) -> GroupDriver:
        """Open a group, which begins `after` a seq if it is new; the members of this process are to join it."""
        group = Group(
            registration.group,
            self._store.process,
            self._store.stream.middles(),
            registration.options,
            router=registration.router,
            gate=self._gate,
            chance=self._chance,
            durable=self._store.abilities.durable,
            presence=self._store.abilities.presence,
            concurrent=concurrent,
        )
        self._store.open_group(group.name, after)
        driver = self._drivers[group.name] = GroupDriver(self._store, group, self.lock, self._notify)
        with self.lock:
            if registration.names is None:
                group.members.join_unnamed(registration.members)
            else:
                group.members.join(registration.names)
        return driver

    def reroute(self, group: str, router: RouterLike) -> None:
        """Let another router decide from now on which member of a group owns which partition."""
        driver = self.of(group)
        with self.lock:
            driver.group.members.reroute(router)

    def appended(self, heads: Sequence[tuple[int, int]], rows: Sequence[Row]) -> None:
        """(seq, partition) of events that were appended; and their rows, if they are at hand."""
        for driver in list(self._drivers.values()):
            driver.appended(heads, rows=rows)

    # --- coming and going

    def rejoin(self, *, again: bool) -> None:
        """Let all members join; `again`, when those who worked were ended by an error in the middle of something."""
        with self.lock:
            for driver in self._drivers.values():
                driver.group.members.stay()
        for driver in self if again else ():
            driver.restart()

    def leave(self) -> None:
        """Let all members go, once nothing of theirs is in flight."""
        with self.lock:
            for driver in self._drivers.values():
                driver.group.members.stay_away()
                for name in list(driver.group.members.local):
                    driver.group.leave(name)

    @property
    def gone(self) -> bool:
        """Whether no member of this process is in any membership."""
        with self.lock:
            return not self._present()

    def _present(self) -> bool:  # apart from the lock: see `Mutex`
        return any(driver.present for driver in self._drivers.values())

    def abandon(self) -> None:
        """Let others have what nobody works for any more; where that fails, the leases end by themselves."""
        for driver in self:
            with suppress(Exception):
                driver.abandon(self._now())

    def forked(self) -> None:
        """In a child process: whoever held the lock is not here."""
        self.lock = Mutex()

    # --- what is under way

    def is_idle(self) -> bool:
        """Whether every accepted event is done, dead or parked in all these groups."""
        with self.lock:
            if not self._quiet():
                return False
        with suppress(UnknownGroupError):  # which was deleted just now: the ticker is about to see it
            return all(driver.deleted or self._resolved(driver.group.name) for driver in self)
        return False

    def _quiet(self) -> bool:  # apart from the lock: see `Mutex`
        return all(driver.group.quiet for driver in self._drivers.values())

    def _resolved(self, group: str) -> bool:
        """Whether nothing of a group is unresolved, in whatever process, but for what is parked."""
        tail = self._store.totals().tail
        if self._store.lowest_unresolved(group) <= tail:
            return False
        blocked: set[tuple[int, bytes]] = set()
        for dead_letter in self._store.dead_letters(group):
            name = (dead_letter.partition, dead_letter.key)
            if dead_letter.state == "dead":
                blocked.add(name)
            elif dead_letter.state == "redrive" or name not in blocked:
                return name in blocked
        return True

    def running(self) -> list[tuple[str, int]]:
        """(group, seq) of each event that a handler of this process is with."""
        with self.lock:
            return [
                (name, seq)
                for name, driver in self._drivers.items()
                for batch in driver.group.batches
                for seq in batch.running()
            ]
