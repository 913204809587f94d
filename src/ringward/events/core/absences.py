"""`Absences`: when it counts that a process is said to be gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ringward.events.model.store import Hint

__all__ = ["REPEAT_S", "Absences"]

REPEAT_S = 0.25  # between the first and the last of the looks that find a process gone, at least


class Absences:
    """Says which processes may be taken over from because they are gone. Pure, as `Members` is.

    A proof counts at once. A hint is less: where a server fails over, all signs of life are lost at the same time, and who is back
    first would take all others for dead. So a hint counts only when it is repeated, with no other in between, and when this process's
    own session has stood for as long as a lease: by then, who lives has long been back.

    Parameters
    ----------
    presence : "proof", "hint" or None
        As `Abilities.presence`.
    standing_s : float
        How long this process's own session must have stood.
    """

    def __init__(self, presence: Literal["proof", "hint"] | None, standing_s: float) -> None:
        self._presence = presence
        self._standing_s = standing_s
        self._session: object = None
        self._since = 0.0
        self._first: dict[str, float] = {}  # process → when it was first found gone, of all looks since

    def gone(self, now: float, hints: Mapping[str, Hint], session: object) -> set[str]:
        """The processes that are gone, as far as the hints permit to say so."""
        found = {process for process, hint in hints.items() if hint == "gone"}
        if self._presence != "hint":
            return found if self._presence == "proof" else set()
        if session is None or session != self._session:
            self._session, self._since, self._first = session, now, {}
        self._first = {process: self._first.get(process, now) for process in found}
        if session is None or now - self._since < self._standing_s:
            return set()
        return {process for process, first in self._first.items() if now - first >= REPEAT_S}
