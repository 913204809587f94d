"""`Upkeep`: what is done for a store now and then: its rates are measured, and what may go is pruned."""

from __future__ import annotations

from ringward.events.engine.consumers import Consumers
from ringward.events.model.store import Store
from ringward.events.reports import Meter

__all__ = ["Upkeep"]

PRUNE_S = 5.0
RELAXED_PRUNE_S = 60.0  # where nothing was published or handled since
PRUNE_ROWS = 10_000


class Upkeep:
    """Measures how many events come and are handled, and prunes the store; the ticker calls it in each round."""

    def __init__(self, store: Store, consumers: Consumers) -> None:
        self._store = store
        self._consumers = consumers
        self._accepted = Meter()
        self._handled: dict[str, Meter] = {}
        self._prune_due = 0.0
        self._pruned_at: tuple[float, object] = (-RELAXED_PRUNE_S, None)  # when, and how far all was

    def __call__(self, now: float) -> None:
        """Do what is due."""
        if self._accepted.due(now):
            self._accepted.sample(now, self._store.totals().tail)
            for driver in self._consumers:
                group = driver.group
                self._handled.setdefault(group.name, Meter()).sample(now, group.handled_count)
        if now >= self._prune_due:
            self._prune_due = now + PRUNE_S
            far = (self._store.totals(), [driver.group.handled_count for driver in self._consumers])
            if far == self._pruned_at[1] and now - self._pruned_at[0] < RELAXED_PRUNE_S:
                return  # only time can have made more of it old
            self._pruned_at = (now, far)
            if self._store.prune(PRUNE_ROWS) == PRUNE_ROWS:
                self._prune_due = now  # there is more

    def prune(self) -> int:
        """Delete at once what the retention lets go; how many events."""
        total = 0
        while count := self._store.prune(PRUNE_ROWS):
            total += count
        return total

    def accepted_per_s(self, now: float, tail: int) -> float:
        """How many events come, from whatever process."""
        return self._accepted.per_s(now, tail)

    def handled_per_s(self, group: str, now: float, count: int) -> float:
        """How many events of a group are handled here."""
        meter = self._handled.get(group)
        return 0.0 if meter is None else meter.per_s(now, count)
