from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.parallel import Loop
from ringward._core.partition_map import PartitionMap
from ringward._core.table import Table

ARC: np.dtype[np.void]

def table_index(before: Table, after: Table) -> PartitionIndex | None: ...

@disjoint_base
class MoveIndex:
    @property
    def largest(self) -> int: ...
    def moved(self, hashes: npt.NDArray[np.uint64], threads: int | None) -> npt.NDArray[np.int64]: ...
    def apply(
        self,
        ids: npt.NDArray[np.uint16] | npt.NDArray[np.uint32] | npt.NDArray[np.int64],
        hashes: npt.NDArray[np.uint64],
        threads: int | None,
    ) -> npt.NDArray[np.int64]: ...

@disjoint_base
class ArcIndex(MoveIndex):
    def __new__(cls, arcs: npt.NDArray[np.void]) -> Self: ...

@disjoint_base
class PartitionIndex(MoveIndex):
    def __new__(cls, before: PartitionMap, after: PartitionMap) -> Self: ...

@disjoint_base
class Search(Loop):
    def __new__(cls, index: MoveIndex) -> Self: ...
