"""`Reporter`: what a processor tells of itself: its figures, and how it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from ringward.events.engine.consumers import Consumers
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.troubles import Troubles
from ringward.events.engine.upkeep import Upkeep
from ringward.events.health import GroupHealth, Health, health_of, stored_of
from ringward.events.model.store import Store
from ringward.events.reports import GroupStats, Stats

__all__ = ["Reporter", "health_within"]


class Reporter:
    """Tells what a store holds, together with what this process knows of its groups.

    Parameters
    ----------
    store : Store
    consumers : Consumers
    upkeep : Upkeep
    troubles : Troubles
    now : callable
        Monotonic seconds.
    """

    def __init__(
        self, store: Store, consumers: Consumers, upkeep: Upkeep, troubles: Troubles, now: Callable[[], float]
    ) -> None:
        self._store = store
        self._consumers = consumers
        self._upkeep = upkeep
        self._troubles = troubles
        self._now = now

    def stats(self) -> Stats:
        """What the store holds, and how far all its groups are."""
        totals, groups = self._store.totals(), self._store.groups()
        rate = self._upkeep.accepted_per_s(self._now(), totals.tail)
        return Stats(*totals, {state.name: self._group_stats(state.name, totals.tail) for state in groups}, rate)

    def _group_stats(self, name: str, tail: int) -> GroupStats:
        driver, lag = self._consumers.find(name), self._store.unresolved(name)
        dead, parked, lowest, since, up = stored_of(self._store, name, tail)
        stored = (lag, dead, parked, lowest, since, tuple(up.values()))
        if driver is None:
            return GroupStats(*stored)
        with self._consumers.lock:
            group = driver.group
            counts = (
                group.handled_count,
                group.retries,
                group.deaths,
                group.takeovers,
                group.fenced,
                group.left_behind,
            )
            rate = self._upkeep.handled_per_s(name, self._now(), group.handled_count)
            return GroupStats(*stored, len(group.owned), *counts, rate)

    def health(self, *, closed: bool, running: bool, failure: BaseException | None) -> Health:
        """How the processor and its groups are, and why; it never raises, and works when all is over, too."""
        groups = {driver.group.name: partial(self._group_health, driver) for driver in self._consumers}
        return health_within(
            self._store, closed=closed, running=running, failure=failure, troubles=self._troubles, groups=groups
        )

    def _group_health(self, driver: GroupDriver) -> tuple[int, tuple[str, ...], bool]:
        """How many handlers hang, which members are damped, and whether the group was deleted."""
        with self._consumers.lock:
            return driver.group.left_behind, driver.group.members.damped(self._now()), driver.deleted


def health_within(
    store: Store,
    *,
    closed: bool,
    running: bool,
    failure: BaseException | None,
    troubles: Troubles,
    groups: Mapping[str, Callable[[], tuple[int, tuple[str, ...], bool]]],
) -> Health:
    """A store's health, with what a process knows of itself and of its groups.

    Parameters
    ----------
    store : Store
    closed, running : bool
    failure : BaseException or None
        What ended the processor.
    troubles : Troubles
    groups : dict of str to callable
        Those with a consumer; each tells how many handlers hang, who is damped, and whether the group was deleted.
    """
    health = Health().with_reason("stopped", "the processor is closed") if closed else health_of(store, troubles.said)
    if troubles.last is not None:
        health = replace(health, error=troubles.said(troubles.last[0]), error_ms=troubles.last[1])
    health = replace(health, committed_ms=store.committed_ms)
    if failure is not None:
        health = health.with_reason("failed", f"the processor has stopped: {troubles.said(failure)}", health.error_ms)
    elif groups and not (running or closed):
        health = health.with_reason("stopped", "the processor has consumers and does not run")
    for who, trouble in troubles.now().items():
        text = f"{who} tries again and again, {trouble.times} times so far: {troubles.said(trouble.error)}"
        health = health.with_reason("degraded", text, trouble.since_ms)
    for name in groups if not closed else ():
        hung, damped, deleted = groups[name]()
        group = replace(health.groups.get(name, GroupHealth()), hung=hung, damped=damped)
        health = replace(health, groups={**health.groups, name: group})
        if deleted:
            health = health.with_reason("degraded", f"group {name} was deleted: its consumer has nothing to do")
        if hung:
            health = health.with_reason("degraded", f"group {name}: {hung} handlers hang")
        if damped:
            health = health.with_reason("degraded", f"group {name}: {', '.join(damped)} died often and wait to join")
    return health
