from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.hashing import Hasher
from ringward._core.table import Table
from ringward.keys import Key, Keys

@disjoint_base
class State:
    def __init__(
        self,
        names: npt.NDArray[np.object_],
        table: Table,
        hasher: Hasher,
        epoch: int,
        cluster: Any,
        own: Any,
        before: State | None = None,
    ) -> None: ...
    @property
    def names(self) -> npt.NDArray[np.object_]: ...
    @property
    def name_tuple(self) -> tuple[str, ...]: ...
    @property
    def table(self) -> Table: ...
    @property
    def hasher(self) -> Hasher: ...
    @property
    def epoch(self) -> int: ...
    @property
    def cluster(self) -> Any: ...
    @property
    def own(self) -> Any: ...

@disjoint_base
class Reader:
    def __init__(self, state: State) -> None: ...
    @property
    def _state(self) -> State: ...
    def _swap(self, state: State) -> None: ...
    def __getitem__(self, key: Key) -> str: ...
    def route(self, key: Key, /) -> str: ...
    def candidates(self, key: Key, /, count: int | None = None) -> list[str]: ...
    def assign(
        self,
        keys: Keys,
        *,
        count: int | None = None,
        out: npt.NDArray[Any] | None = None,
        threads: int | None = None,
        nulls: Literal["raise", "skip"] = "raise",
    ) -> npt.NDArray[Any]: ...
    def assign_hashes(
        self,
        hashes: npt.NDArray[np.uint64],
        *,
        count: int | None = None,
        out: npt.NDArray[Any] | None = None,
        threads: int | None = None,
    ) -> npt.NDArray[Any]: ...

COUNT_MOST: int

def adopt_methods(cls: type) -> None: ...
