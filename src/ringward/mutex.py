"""`Mutex`: a lock that an interrupt never leaves locked."""

from __future__ import annotations

import sys
from _thread import RLock

__all__ = ["Mutex"]


class Mutex(RLock):  # type: ignore[misc] # final in the stubs alone
    """A lock for `with`, of which the same thread may take more than one.

    Where a signal's handler raises, as that of Ctrl-C does, the block is left unlocked, also when the signal comes between
    taking the lock and the first step of the block: CPython 3.14 looks for signals there. It looks for them neither before
    it calls an `__exit__` in C nor where an `__enter__` in Python returns, so one is inherited and the other is not.

    In a block, a loop whose body ends with an `if`, or a comprehension that has one, belongs into a function of its own: its
    way back to the beginning is no part of the block in CPython 3.12 to 3.14. `tests/test_mutex.py` finds such places.
    """

    __slots__ = ()

    if sys.version_info >= (3, 14):

        def __enter__(self) -> bool:  # type: ignore[override]
            """Wait for the lock."""
            try:
                return self.acquire()
            except BaseException:
                if self._is_owned():  # type: ignore[attr-defined] # `threading.Condition` uses it too
                    self.release()
                raise
