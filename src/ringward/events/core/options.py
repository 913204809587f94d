"""What a group can be set to: `Options` and `Retry`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ringward.checks import checked_float, checked_int, checked_type
from ringward.errors import ArgumentError

__all__ = ["Options", "Retry"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often an event is tried, and how long its key waits in between.

    Before attempt n + 1 it waits min(wait_s_max, base_s × factor^(n - 1)), or, at random, down to half of that.

    Parameters
    ----------
    attempts : int
        Deliveries that count, the first included; then the event is dead.
    base_s, wait_s_max : float
    factor : float
    """

    attempts: int = 5
    base_s: float = 0.1
    wait_s_max: float = 30.0
    factor: float = 2.0

    def __post_init__(self) -> None:
        checked_int("attempts", self.attempts, 1, 1_000_000)
        for name in ("base_s", "wait_s_max"):
            checked_float(name, getattr(self, name), zero=True)
        if checked_float("factor", self.factor, zero=False) < 1:
            raise ArgumentError("factor", "at least 1", self.factor)

    def delay_s(self, attempts: int, chance: float) -> float:
        """How long to wait after so many attempts; `chance` is from [0, 1)."""
        whole = min(self.wait_s_max, self.base_s * self.factor ** min(attempts - 1, 64))
        return whole * (0.5 + chance / 2)


@dataclass(frozen=True, slots=True)
class Options:
    """What a group can be set to.

    Parameters
    ----------
    retry : Retry
    on_dead : "park" or "skip"
        Whether later events of a dead event's key wait behind it, or are handled without it.
    lease_s : float
        How long a member may be silent before it is taken over.
    heartbeat_s : float
        How often a member sends a heartbeat; at most a third of `lease_s`.
    handler_timeout_s : float
        When a handler runs longer, it counts as hung: its member sends no more heartbeats.
    slow_s : float
        When a handler runs longer, the rest of its batch is handled by others.
    batch : int
        Most events in one delivery. A batch grows until it takes about `slow_s`; the first has `batch_least` events.
    batch_least : int
        Smallest batch, however long handlers take. After a crash, the events of a batch are delivered alone.
    window : int
        Most unresolved events that a partition tracks in memory; for waiting ones only the seq is kept.
    prefetch_bytes : int
        Most payload bytes that a process reads ahead for the group, plus at most one event.
    dead_letters_max : int
        Most dead and parked events of a group; at the bound, partitions that need more stop.
    hung_handlers_max : int
        How many handlers that never return a process replaces by new threads.
    """

    retry: Retry = field(default_factory=Retry)
    on_dead: Literal["park", "skip"] = "park"
    lease_s: float = 5.0
    heartbeat_s: float = 1.0
    handler_timeout_s: float = 60.0
    slow_s: float = 0.02
    batch: int = 200
    batch_least: int = 1
    window: int = 10_000
    prefetch_bytes: int = 16 << 20
    dead_letters_max: int = 100_000
    hung_handlers_max: int = 16

    def __post_init__(self) -> None:
        checked_type("retry", self.retry, Retry)
        for name in ("lease_s", "heartbeat_s", "handler_timeout_s", "slow_s"):
            checked_float(name, getattr(self, name), zero=False)
        if self.lease_s < 3 * self.heartbeat_s:
            raise ArgumentError("lease_s", f"at least {3 * self.heartbeat_s}, three times heartbeat_s", self.lease_s)
        if self.on_dead not in ("park", "skip"):
            raise ArgumentError("on_dead", "'park' or 'skip'", self.on_dead)
        checked_int("batch", self.batch, 1, 10_000)
        checked_int("batch_least", self.batch_least, 1, self.batch)
        checked_int("prefetch_bytes", self.prefetch_bytes, 1, 2**62)
        checked_int("window", self.window, self.batch, 1_000_000)
        checked_int("dead_letters_max", self.dead_letters_max, 1, 100_000_000)
        checked_int("hung_handlers_max", self.hung_handlers_max, 0, 10_000)
