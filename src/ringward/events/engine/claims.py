"""`Claims`: finds the partitions that are to be claimed for a group, and claims them."""

from __future__ import annotations

import threading
from collections import deque

from ringward.events.core.effects import Claim
from ringward.events.core.group import Group
from ringward.events.model.store import Store
from ringward.mutex import Mutex

__all__ = ["Claims"]


class Claims:
    """What a survey of the store found to be claimed, some at a time, so that events between need not wait.

    Parameters
    ----------
    store : Store
    group : Group
    lock : Mutex
        Held while the group is asked, never while the store works.
    """

    def __init__(self, store: Store, group: Group, lock: Mutex) -> None:
        self._store = store
        self._group = group
        self._lock = lock
        self._most = store.abilities.max_batch
        self._asked = True  # whether there is to be a survey
        self.found: deque[Claim] = deque()  # what is left to do of the last survey
        self._working = threading.Lock()  # a survey or a claim is under way; nobody waits for it

    def __len__(self) -> int:
        return len(self.found)

    @property
    def due(self) -> bool:
        """Whether there is something to do."""
        return self._asked or bool(self.found)

    def ask(self) -> None:
        """There is to be a survey: something may have to be claimed, or claimed anew."""
        self._asked = True

    def survey(self) -> None:
        """Find what is to be claimed, and claim the first of it; the rest follows between batches.

        Where nothing is held yet there is nobody to wait for it, and all is claimed.
        """
        nothing_held = not self._group.owned
        if self._asked and self._working.acquire(blocking=False):
            try:
                self._asked = False
                states = self._store.states(self._group.name)
                membership = self._store.membership(self._group.name)
                with self._lock:
                    # Who owns has joined before. In an older membership it would look like one that is gone.
                    self._asked = membership != self._group.members.membership
                    self.found = deque([] if self._asked else self._group.surveyed(states, self._most))
            except BaseException:
                self._asked = True
                raise
            finally:
                self._working.release()
        while self.claim_next() and nothing_held:
            pass

    def claim_next(self) -> bool:
        """Claim some of what the last survey found; whether anything was claimed."""
        if not self.found or not self._working.acquire(blocking=False):
            return False
        try:
            if not self.found:
                return False
            claim = self.found.popleft()
            states = self._store.claim(self._group.name, claim.owner, claim.epochs)
            dead_letters = self._store.dead_letters(self._group.name, states)
            with self._lock:
                self._group.claimed(claim, states, dead_letters)
        except BaseException:
            self._asked = True
            raise
        finally:
            self._working.release()
        return True
