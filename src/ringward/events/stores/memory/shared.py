"""What the parts of a store in memory have in common: one lock, one counter of news, and whether it is closed."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from ringward._core import News
from ringward.errors import StoreClosedError
from ringward.events.model.store import Faults
from ringward.mutex import Mutex

__all__ = ["Part", "Shared", "locked", "telling"]

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Part")


class Shared:
    """What all parts of a store have.

    Parameters
    ----------
    faults : callable
        As `MemoryStore` has it.
    """

    def __init__(self, faults: Faults) -> None:
        self.lock = Mutex()
        self.news = News()
        self.faults = faults
        self.closed = False


class Part:
    """One part of a store."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._lock, self._news, self._faults = shared.lock, shared.news, shared.faults

    def _open(self) -> None:
        if self._shared.closed:
            raise StoreClosedError("the store is closed")


def locked(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """With the store's lock. An interrupt in a call is an interrupt in the block, which in other places it may not be: see `Mutex`."""

    @wraps(method)
    def run(self: S, /, *args: P.args, **named: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **named)

    return run


def telling(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """With the store's lock; then others are told that there is something new."""

    @wraps(method)
    def run(self: S, /, *args: P.args, **named: P.kwargs) -> T:
        with self._lock:
            result = method(self, *args, **named)
        self._news.tell()
        return result

    return run
