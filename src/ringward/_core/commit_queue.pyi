from collections.abc import Callable
from typing import Any

from typing_extensions import disjoint_base

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
