"""`SuspectGate`: lets a suspect run alone in its process, and keeps out nobody for long."""

from __future__ import annotations

__all__ = ["ALONE_S", "SuspectGate"]

ALONE_S = 0.1  # how long a suspect keeps others out, at most; and how long it waits for them before they get a turn


class SuspectGate:
    """Lets a suspect run alone in a process: shared by the groups of that process.

    A suspect begins when nothing else runs, and never beside another suspect, so that the death of the process is charged
    to it and to no other. When it takes longer than `ALONE_S`, batches of other events are let in beside it. After
    suspects had the process to themselves the others have it for at least as long.
    """

    def __init__(self) -> None:
        self.running = 0  # batches that a suspect has to wait for
        self.suspect = False  # whether one is with its handler
        self._waiting: set[object] = set()
        self._closed_at: float | None = None  # since when others are kept out
        self._opens_at = 0.0  # when they no longer are; while closed
        self._others_until = 0.0  # until when they must not be kept out

    def enter(self, who: object, *, alone: bool, now: float) -> bool:
        """Pass if that is right now; a suspect that waits keeps others out, for a while."""
        if self._closed_at is not None:
            self._let_others(now)
        if not alone:
            if self._closed_at is not None:
                return False
            self.running += 1
            return True
        if self.suspect or now < self._others_until:
            return False
        if self._closed_at is None:
            self._closed_at, self._opens_at = now, now + ALONE_S
        self._waiting.add(who)
        if self.running:
            return False
        self.suspect = True
        self._opens_at = now + ALONE_S
        self.forgo(who)
        return True

    def _let_others(self, now: float) -> None:
        """Open for others when their time has come."""
        if self._closed_at is not None and (now >= self._opens_at or not (self.suspect or self._waiting)):
            opened = min(now, self._opens_at)  # also when nobody has come since
            self._others_until = opened + (opened - self._closed_at)
            self._closed_at = None

    def forgo(self, who: object) -> None:
        """Nothing of this group waits to run alone."""
        self._waiting.discard(who)

    def leave(self, who: object, *, alone: bool, more: bool = False) -> None:
        """Go; a group that has more suspects goes on with them in the time that suspects have."""
        if not alone:
            self.running -= 1
            return
        self.suspect = False
        if self._closed_at is not None:
            self._opens_at = min(self._opens_at, self._closed_at + ALONE_S)
            if more:
                self._waiting.add(who)

    def due(self, *, alone: bool) -> float | None:
        """When whoever is refused may pass, if nobody goes before; None when that is not a matter of time."""
        if self._closed_at is not None:
            return self._opens_at
        return self._others_until if alone and not self.suspect else None
