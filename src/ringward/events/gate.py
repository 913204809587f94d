"""`Gate`: lets a suspect run alone in its process."""

from __future__ import annotations

__all__ = ["Gate"]


class Gate:
    """Lets a suspect run alone in a process: shared by the groups of that process."""

    def __init__(self) -> None:
        self.running = 0
        self.alone = False
        self._waiting: set[object] = set()

    def enter(self, who: object, *, alone: bool) -> bool:
        """Pass if that is right now; a suspect that waits keeps others out."""
        if alone:
            self._waiting.add(who)
        if self.alone or (self.running if alone else self._waiting):
            return False
        self.running += 1
        self.alone = alone
        self.forgo(who)
        return True

    def forgo(self, who: object) -> None:
        """Nothing of this group waits to run alone."""
        self._waiting.discard(who)

    def leave(self, *, alone: bool) -> None:
        """Go."""
        self.running -= 1
        if alone:
            self.alone = False
