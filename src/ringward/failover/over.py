"""`Over`: what routers over routers share: they follow the ones inside."""

from __future__ import annotations

from abc import abstractmethod

from ringward.router import Router

__all__ = ["Over"]


class Over(Router):
    """A router over routers: it adds itself as a follower of each, and is told when one of them has changed.

    Whoever changes it holds its lock, and calls `_follow` after letting go of it.
    """

    __slots__ = ("_by_hand",)

    _by_hand: bool  # whether the router inside is changed by this one, which then follows by itself

    @abstractmethod
    def _is_stale(self) -> bool:
        """Whether a router inside has changed since this one was compiled."""

    @abstractmethod
    def _renew(self) -> None:
        """Compile this one anew, under its lock."""

    def _follow(self) -> None:
        """A router inside may have changed.

        Who cannot have the lock leaves it to who has it, and looks here again once it is free: two of these over one
        router would otherwise wait for each other.
        """
        while self._is_stale() and not self._by_hand:
            if not self._lock.acquire(blocking=False):
                return
            try:
                self._renew()
            finally:
                self._lock.release()
