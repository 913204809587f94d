"""`Limits`: how many changes a minute, and how much of the key space."""

from __future__ import annotations

from collections import deque

from ringward.failover.policy import Policy

__all__ = ["Limits"]

_MINUTE_S = 60.0
_DEBT_MOST = 1.0  # the whole key space: what dead owners took beyond it delays nobody else
_ROUNDING = 1e-9


class Limits:
    """What was changed within the last minute, and what may be moved now.

    Dead owners are charged and never wait for budget. Whoever can wait, does.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._changes: deque[float] = deque(maxlen=policy.transitions_a_minute)
        self._budget = policy.moved_a_minute
        self._at_s = 0.0

    def at(self, now_s: float) -> None:
        """Let time pass."""
        most = self._policy.moved_a_minute
        self._budget = min(most, self._budget + (now_s - self._at_s) * most / _MINUTE_S)
        self._at_s = now_s
        while self._changes and now_s - self._changes[0] >= _MINUTE_S:
            self._changes.popleft()

    def may_change(self, *, dead: bool) -> bool:
        """Whether a further change fits into this minute; half of them are kept for dead owners."""
        most = self._policy.transitions_a_minute
        return len(self._changes) < (most if dead else most // 2)

    def may_move(self, share: float) -> bool:
        """Whether what can wait may move so much: within the budget, or by itself when nothing of it is used."""
        return self._budget + _ROUNDING >= min(share, self._policy.moved_a_minute)

    def wait_s(self, share: float) -> float:
        """How long until it may, if nothing else moves."""
        most = self._policy.moved_a_minute
        return max(0.0, (min(share, most) - self._budget) * _MINUTE_S / most)

    def changed(self, moved: float) -> None:
        """Account for a change."""
        self._changes.append(self._at_s)
        self._budget = max(-_DEBT_MOST, self._budget - moved)
