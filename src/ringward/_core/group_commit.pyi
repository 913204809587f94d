from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

import apsw
from typing_extensions import disjoint_base

from ringward._core.file_watch import FileWatch

NESTED: str
_T = TypeVar("_T")

class _FileLock(Protocol):
    @property
    def fd(self) -> int: ...

@disjoint_base
class Job:
    result: Any
    error: BaseException | None
    @property
    def thread(self) -> int: ...
    @property
    def sync(self) -> bool: ...
    @property
    def alone(self) -> bool: ...
    @property
    def leads(self) -> bool: ...
    @property
    def done(self) -> bool: ...
    def __init__(
        self,
        operation: Callable[[], Any] | None,
        otherwise: Callable[[], Any] | None = None,
        *,
        sync: bool = True,
        alone: bool = False,
        thread: int | None = None,
    ) -> None: ...

@disjoint_base
class CommitQueue:
    served_at: float
    commit_s: float
    vain: int
    resigned: int
    @property
    def waiting(self) -> int: ...
    def join(self, job: Job) -> bool: ...
    def collect(self, leader: Job) -> list[Job]: ...
    def put_back(self, jobs: list[Job]) -> None: ...
    def served(self, jobs: list[Job], leader: Job, took_s: float) -> None: ...
    def pass_on(self, leader: Job) -> None: ...

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

@disjoint_base
class GroupCommit:
    database: Any
    faults: Callable[[str], None]
    closed: Exception | None
    news: Any
    look: Callable[[], None] | None
    @property
    def connection(self) -> apsw.Connection: ...
    @property
    def write_lock(self) -> Any: ...
    @property
    def watch(self) -> Any: ...
    @property
    def queue(self) -> CommitQueue: ...
    @property
    def committed_at(self) -> float: ...
    @property
    def remembered(self) -> dict[Any, Any]: ...
    def __init__(
        self,
        connection: apsw.Connection,
        write_lock: FairWriteLock,
        preallocation: Any,
        faults: Callable[[str], None],
        watch: FileWatch | None = None,
    ) -> None: ...
    def run(
        self,
        operation: Callable[[], _T],
        otherwise: Callable[[], _T] | None = None,
        *,
        sync: bool = True,
        joins: bool = False,
    ) -> _T: ...
    def take(self, lock: AbstractContextManager[object]) -> None: ...
    def commit_taken(self) -> None: ...
    def cancel_taken(self) -> None: ...
    def lost(self) -> None: ...
    def admitted(self) -> Job: ...
    def close(self, error: Exception) -> None: ...
