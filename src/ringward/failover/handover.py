"""`Handover`: when a cluster hands keys over; `Standing`: what is known of one cluster."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

from ringward.checks import checked_float, checked_int, checked_type
from ringward.errors import ArgumentError
from ringward.texts import percent

__all__ = ["Handover", "Standing"]

_STEPS = 8  # in which a part of the keys is handed over: few changes while a cluster loses node after node
_OUTCOMES_MOST = 1000
_ROUNDING = 1e-9
_SOON = 10  # times return_after_s: who hands over sooner after a return is given longer before the next
_DOUBLINGS_MOST = 5


@dataclass(frozen=True, slots=True)
class Handover:
    """When a cluster hands its keys over, and when they return.

    Parameters
    ----------
    capacity_least : float
        The share of a cluster's weight that has to be live. Below it, keys are handed over.
    part : bool
        Hand over as much of the keys as capacity is missing, in eighths; otherwise all of them.
    return_at, return_after_s : float
        Keys return once this share of the weight has been live for so long, without a break and without a failed request;
        for twice as long each time that they left again soon after a return, up to 32 times.
    failure_share, outcomes_least, window_s
        A cluster fails by its requests when this share of those of the last `window_s` failed. Where these are fewer than
        `outcomes_least`, the latest `outcomes_least` count, however long ago they were: at low traffic too, a cluster that
        answers nothing is left after so many requests.

    Raises
    ------
    ArgumentError, ArgumentTypeError
    """

    capacity_least: float = 0.5
    part: bool = True
    return_at: float = 0.8
    return_after_s: float = 120.0
    failure_share: float = 0.5
    outcomes_least: int = 5
    window_s: float = 10.0

    def __post_init__(self) -> None:
        checked_type("part", self.part, bool)
        checked_int("outcomes_least", self.outcomes_least, 1, _OUTCOMES_MOST)
        checked_float("return_after_s", self.return_after_s, zero=True)
        checked_float("window_s", self.window_s, zero=False)
        for name in ("capacity_least", "return_at", "failure_share"):
            if checked_float(name, getattr(self, name), zero=False) > 1:
                raise ArgumentError(name, "above 0 and at most 1", getattr(self, name))
        if self.return_at < self.capacity_least:
            raise ArgumentError("return_at", f"at least capacity_least = {self.capacity_least:g}", self.return_at)


@dataclass(slots=True)
class Standing:
    """What is known of one cluster.

    Attributes
    ----------
    capacity : float
        The share of its weight that is live.
    given : float
        The share of its keys that it has handed over.
    to : str
        To which cluster; "" to none.
    by_hand : bool
        Whether an operator promoted that cluster: nothing returns then before `give_back`.
    sound_s : float or None
        Since when it could have its keys back, without a break.
    reason, told : str
        Why it handed over; what was told last of what does not happen.
    term : int
        The epoch of the last change of who serves its keys.
    returned_s, turns : float, int
        When it got its keys back last, and how often it handed them over soon after that, and so has to wait for longer.
    """

    capacity: float = 1.0
    given: float = 0.0
    to: str = ""
    by_hand: bool = False
    sound_s: float | None = None
    reason: str = ""
    told: str = ""
    term: int = 0
    returned_s: float = -math.inf
    turns: int = 0
    _outcomes: deque[tuple[float, bool]] = field(default_factory=lambda: deque(maxlen=_OUTCOMES_MOST))

    def copy(self) -> Standing:
        """An independent one."""
        return replace(self, _outcomes=self._outcomes.copy())

    def outcome(self, now_s: float, *, failed: bool) -> None:
        """A request was answered, or failed."""
        self._outcomes.append((now_s, failed))
        if failed:
            self.sound_s = None

    def failures(self, now_s: float, policy: Handover) -> tuple[int, int]:
        """How many requests failed, and of how many: those of the window, or the latest where there are too few."""
        outcomes = [*self._outcomes]  # at once: requests end meanwhile
        recent = [failed for time, failed in outcomes if abs(now_s - time) < policy.window_s]  # clocks may go back
        if len(recent) < policy.outcomes_least:
            recent = [failed for _, failed in outcomes[-policy.outcomes_least :]]
        return sum(recent), len(recent)

    def wanted(self, now_s: float, policy: Handover) -> tuple[float, str]:
        """The share of its keys that it should hand over at least, and why."""
        if self.capacity <= 0:
            return 1.0, "no node of it is live"
        failed, requests = self.failures(now_s, policy)
        if requests >= policy.outcomes_least and failed >= policy.failure_share * requests:
            return 1.0, f"{failed} of its latest {requests} requests failed"
        if self.capacity + _ROUNDING >= policy.capacity_least:
            return 0.0, ""
        missing = math.ceil(_STEPS * (1 - self.capacity / policy.capacity_least) - _ROUNDING) / _STEPS
        reason = (
            f"{percent(self.capacity)} of its weight is live, below {percent(policy.capacity_least)} (capacity_least)"
        )
        return (missing if policy.part else 1.0), reason

    def may_return(self, now_s: float, policy: Handover) -> bool:
        """Whether its keys may come back; notes since when."""
        sound = self.capacity + _ROUNDING >= policy.return_at
        if not sound:
            self.sound_s = None
        elif self.sound_s is None or self.sound_s > now_s:  # a clock that went back begins anew
            self.sound_s = now_s
        return self.sound_s is not None and now_s - self.sound_s >= self._wait_s(policy)

    def _wait_s(self, policy: Handover) -> float:
        """How long it has to be sound: twice as long with each turn."""
        return policy.return_after_s * 2.0 ** min(max(self.turns - 1, 0), _DOUBLINGS_MOST)

    def returns_in(self, now_s: float, policy: Handover) -> str:
        """When it may have its keys back, as text."""
        if self.by_hand:
            return "it returns when give_back is called"
        if self.sound_s is None:
            return f"it returns once {percent(policy.return_at)} of its weight is live for {self._wait_s(policy):g} s"
        return f"it returns in {max(0.0, self._wait_s(policy) - (now_s - self.sound_s)):.0f} s if it stays sound"

    def handed_over(self, now_s: float, policy: Handover, *, fresh: bool, by_hand: bool) -> None:
        """Another cluster serves keys of it; `fresh`: it had all of them before."""
        if fresh:
            soon = now_s - self.returned_s < _SOON * policy.return_after_s
            self.turns = self.turns + 1 if soon else 1
        self.by_hand, self.sound_s, self.told = by_hand, None, ""

    def returned(self, now_s: float) -> None:
        """It has its keys again: what failed before counts no more."""
        self.returned_s = now_s
        self.given, self.to, self.by_hand, self.reason, self.told = 0.0, "", False, "", ""
        self._outcomes.clear()
