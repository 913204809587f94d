from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import apsw
from typing_extensions import disjoint_base

from ringward._core.commit_queue import CommitQueue, Job
from ringward._core.fair_write_lock import FairWriteLock
from ringward._core.file_watch import FileWatch

NESTED: str
_T = TypeVar("_T")

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
    def executemany(self) -> Callable[[str, Sequence[Sequence[Any]]], object]: ...
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
