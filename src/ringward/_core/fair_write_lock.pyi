from collections.abc import Callable
from typing import Protocol

from typing_extensions import disjoint_base

class _FileLock(Protocol):
    @property
    def fd(self) -> int: ...

@disjoint_base
class FairWriteLock:
    looked_at: float
    def __init__(
        self, flock: Callable[[int, int], None], lock: int, unlock: int, first: _FileLock, second: _FileLock
    ) -> None: ...
    @property
    def failed(self) -> bool: ...
    def troubled(self, due: bool) -> bool: ...
    def enter(self) -> None: ...
    def leave(self) -> None: ...
