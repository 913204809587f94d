"""`Penalty`: how often a node failed lately, as route flap damping counts it (RFC 2439, section 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ringward.failover.policy import Policy

__all__ = ["Penalty"]

_FORGOTTEN = 0.01


@dataclass(frozen=True, slots=True)
class Penalty:
    """A figure of merit that rises by 1 with each outage and halves every `half_life_s`.

    Attributes
    ----------
    value : float
        At the time of the last outage.
    at_s : float
        That time.
    suppressed : bool
        Whether it rose to `suppress_at` and has not fallen to `reuse_at` since.
    """

    value: float = 0.0
    at_s: float = 0.0
    suppressed: bool = False

    def now(self, now_s: float, policy: Policy) -> float:
        """The penalty at a time."""
        return self.value * 2 ** (-max(0.0, now_s - self.at_s) / policy.half_life_s)

    def failed(self, now_s: float, policy: Policy) -> Penalty:
        """After a further outage. No penalty is so high that it takes longer than `suppressed_most_s` to fall to `reuse_at`."""
        halvings = min(policy.suppressed_most_s / policy.half_life_s, 1000.0)
        ceiling = max(policy.suppress_at, policy.reuse_at * 2**halvings)
        value = min(self.now(now_s, policy) + 1, ceiling)
        return Penalty(value, now_s, self.suppressed or value >= policy.suppress_at)

    def looked_at(self, now_s: float, policy: Policy) -> Penalty:
        """The same, no longer suppressed where it has fallen far enough."""
        if self.suppressed and self.left_s(now_s, policy) <= 0:
            return Penalty(self.value, self.at_s)
        return self

    def left_s(self, now_s: float, policy: Policy) -> float:
        """How long it stays suppressed if the node does not fail again."""
        if not self.suppressed:
            return 0.0
        fall_s = policy.half_life_s * math.log2(max(1.0, self.value / policy.reuse_at))
        return max(0.0, self.at_s + min(fall_s, policy.suppressed_most_s) - now_s)

    def forgotten(self, now_s: float, policy: Policy) -> bool:
        """Whether it has no effect any more, so that nothing has to be remembered."""
        return not self.suppressed and self.now(now_s, policy) < _FORGOTTEN
