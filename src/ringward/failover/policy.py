"""`Policy`: the numbers by which `Adaptive` decides."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from ringward.checks import checked_float, checked_int
from ringward.errors import ArgumentError

__all__ = ["Policy"]

_SHARES = {"out_most", "zone_share", "slow_step", "slow_least"}
_ENDLESS = {"panic_s"}  # may be infinite
_ZERO = {"hold_down_s", "panic_s", "slow_after_s", "zone_window_s"}


@dataclass(frozen=True, slots=True)
class Policy:
    """How `Adaptive` answers trouble. `docs/adaptive.md` has the figure behind each default.

    Parameters
    ----------
    hold_down_s : float
        A node comes back at the earliest so long after it was marked down, and after so long without a complaint.
        A shorter lull is part of the same outage.
    suppress_at, reuse_at, half_life_s, suppressed_most_s : float
        Flapping, after RFC 2439: each outage adds 1 to a node's penalty, which halves every `half_life_s`. At
        `suppress_at` the node is held down until the penalty has fallen to `reuse_at`, and no longer than
        `suppressed_most_s` after its last outage.
    transitions_a_minute : int
        The largest number of changes in any 60 seconds. Returns and changes of weight may use half of them.
    out_most : float
        The share of the members that may be out at once. When more are suspected, detector or network is likelier
        wrong than they are: nobody is marked down until the suspicion has lasted for `panic_s`. One node may
        always be out; nobody is marked down while everybody is suspected.
    panic_s : float
        May be infinite: then `out_most` is never exceeded.
    zone_share, zone_window_s : float
        When more than this share of a zone's nodes fell within the window, the whole zone is marked down in one change.
    slow_after_s, slow_every_s, slow_step, slow_least : float
        A node that was slow for `slow_after_s` gets its weight multiplied by `slow_step`, once more every `slow_every_s`,
        down to the share `slow_least` of its own; it is returned by the same steps.
    moved_a_minute : float
        The budget of movement, as a share of the key space. Keys of dead nodes move at once and are charged to it;
        returns wait for it, then changes of weight. A single change above the budget waits until none of it is used.

    Raises
    ------
    ArgumentError, ArgumentTypeError

    Examples
    --------
    >>> from ringward.failover import Policy
    >>> Policy(hold_down_s=60).hold_down_s
    60
    >>> Policy(out_most=1.5)
    Traceback (most recent call last):
        ...
    ringward.errors.ArgumentError: out_most must be above 0 and at most 1 (was 1.5)
    """

    hold_down_s: float = 30.0
    suppress_at: float = 2.0
    reuse_at: float = 0.75
    half_life_s: float = 6 * 3600.0
    suppressed_most_s: float = 24 * 3600.0
    transitions_a_minute: int = 30
    out_most: float = 0.5
    panic_s: float = 60.0
    zone_share: float = 0.5
    zone_window_s: float = 60.0
    slow_after_s: float = 10.0
    slow_every_s: float = 30.0
    slow_step: float = 0.5
    slow_least: float = 0.125
    moved_a_minute: float = 0.5

    def __post_init__(self) -> None:
        checked_int("transitions_a_minute", self.transitions_a_minute, 2, 1_000_000)
        for name in [field.name for field in fields(self) if field.name != "transitions_a_minute"]:
            value = getattr(self, name)
            if not (name in _ENDLESS and value == math.inf):
                checked_float(name, value, zero=name in _ZERO)
            if name in _SHARES and value > 1:
                raise ArgumentError(name, "above 0 and at most 1", value)
        if self.slow_step == 1:
            raise ArgumentError("slow_step", "below 1", self.slow_step)
        if self.reuse_at >= self.suppress_at:
            raise ArgumentError("reuse_at", f"below suppress_at = {self.suppress_at}", self.reuse_at)
