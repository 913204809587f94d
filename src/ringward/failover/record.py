"""`Record`: what is remembered of one node that gave trouble."""

from __future__ import annotations

from dataclasses import dataclass, field

from ringward.failover.damping import Penalty
from ringward.failover.policy import Policy
from ringward.health import Status

__all__ = ["Record"]


@dataclass(slots=True)
class Record:
    """What is remembered of one node that gave trouble.

    Attributes
    ----------
    dead_s, slow_s, well_s : float or None
        Since when the detector calls it silent or failing, slow, or well, without a break.
    reason : str
        The detector's last complaint.
    outage : bool
        Whether an outage is on. It lasts until the node was well for `hold_down_s`, however often it is reported.
    counted : bool
        Whether that outage is in the penalty.
    penalty : Penalty
    out_s : float or None
        Since when it is marked down by the policy.
    factor, stepped_s : float
        The share of its own weight that it has, and when that changed last.
    pardoned : bool
        An operator marked it up by hand: it is left alone until the detector has called it well.
    why : str
        Why it is out, or has the share that it has.
    told, waits : str
        The last kind of decision that told why nothing happens, and what it told; "" once something has happened.
    """

    dead_s: float | None = None
    slow_s: float | None = None
    well_s: float | None = None
    reason: str = ""
    outage: bool = False
    counted: bool = False
    penalty: Penalty = field(default_factory=Penalty)
    out_s: float | None = None
    factor: float = 1.0
    stepped_s: float = 0.0
    pardoned: bool = False
    why: str = ""
    told: str = ""
    waits: str = ""

    def see(self, status: Status, now_s: float, policy: Policy, *, lowers: bool) -> None:
        """Take in what the detector says now. `lowers`: whether the share of a slow node can be lowered."""
        if not status.suspected:
            self._is_well(now_s, policy)
        else:
            self.well_s = None
            self.reason = status.reason or "suspected by the detector"
            slow = status.trouble == "slow"
            if slow and self.slow_s is None:
                self.slow_s = now_s
            if not slow or (not lowers and self.slow_for(now_s) >= policy.slow_after_s):
                self._is_dead(now_s)
            else:
                self.dead_s = None
        if self.outage and not self.counted and self.out_s is not None:
            self.penalty = self.penalty.failed(now_s, policy)
            self.counted = True
        self.penalty = self.penalty.looked_at(now_s, policy)

    def _is_well(self, now_s: float, policy: Policy) -> None:
        if self.well_s is None:
            self.well_s = now_s
            self._news()
        self.dead_s = self.slow_s = None
        self.pardoned = False
        if self.outage and now_s - self.well_s >= policy.hold_down_s:
            self.outage = False

    def _is_dead(self, now_s: float) -> None:
        if self.dead_s is None:
            self.dead_s = now_s
            self._news()
        if not self.outage:
            self.outage, self.counted = True, False

    def _news(self) -> None:
        """What is told is told anew; that it flaps, once for as long as it is held down for that."""
        if not self.penalty.suppressed:
            self.told = ""

    def slow_for(self, now_s: float) -> float:
        """How long it has been slow without a break."""
        return 0.0 if self.slow_s is None else now_s - self.slow_s

    def well_for(self, now_s: float) -> float:
        """How long it has been well without a break."""
        return 0.0 if self.well_s is None else now_s - self.well_s

    def may_return(self, now_s: float, policy: Policy) -> bool:
        """Whether a node that is out has been out, and well, for long enough, and does not flap."""
        if self.out_s is None or self.well_s is None or self.penalty.suppressed:
            return False
        return min(self.well_for(now_s), now_s - self.out_s) >= policy.hold_down_s

    def let_go(self) -> None:
        """Nothing is done about the node any more; what is known of it stays."""
        self.out_s, self.factor, self.told = None, 1.0, ""

    def pardon(self) -> None:
        """An operator marked the node up: nothing is held against it."""
        self.let_go()
        self.penalty, self.outage, self.pardoned = Penalty(), False, True

    def is_idle(self, now_s: float, policy: Policy) -> bool:
        """Whether it says no more than a new one would."""
        quiet = self.dead_s is None and self.slow_s is None and not self.outage and not self.pardoned
        return quiet and self.out_s is None and self.factor == 1 and self.penalty.forgotten(now_s, policy)
