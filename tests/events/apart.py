"""A store and a lock that know of each other: nobody may ask the one who has the other."""

from __future__ import annotations

import threading


class Kept:
    """A lock that knows which threads have it."""

    def __init__(self):
        self._lock = threading.RLock()
        self.by = []

    def __enter__(self):
        self._lock.acquire()
        self.by.append(threading.get_ident())

    def __exit__(self, *_):
        self.by.pop()
        self._lock.release()


class Apart:
    """A store that is asked by nobody who keeps the others out meanwhile."""

    def __init__(self, store, lock):
        self._store, self._lock = store, lock
        self.asked = set()
        self.broken = set()  # where a thread swallows what is raised

    def __getattr__(self, name):
        found = getattr(self._store, name)
        if not callable(found):
            return found

        def ask(*given, **named):
            if threading.get_ident() in self._lock.by:
                self.broken.add(name)
                raise AssertionError(name)
            self.asked.add(name)
            return found(*given, **named)

        return ask
