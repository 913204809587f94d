from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.parallel import Loop

ARC: np.dtype[np.void]

def difference(
    ends_before: npt.NDArray[np.uint64],
    owners_before: npt.NDArray[np.uint32],
    ends_after: npt.NDArray[np.uint64],
    owners_after: npt.NDArray[np.uint32],
) -> npt.NDArray[np.void]: ...

@disjoint_base
class ArcIndex:
    @property
    def largest(self) -> int: ...
    def __new__(cls, arcs: npt.NDArray[np.void]) -> Self: ...
    def moved(self, hashes: npt.NDArray[np.uint64], threads: int | None) -> npt.NDArray[np.int64]: ...
    def apply(
        self,
        ids: npt.NDArray[np.uint16] | npt.NDArray[np.uint32] | npt.NDArray[np.int64],
        hashes: npt.NDArray[np.uint64],
        threads: int | None,
    ) -> npt.NDArray[np.int64]: ...

@disjoint_base
class Search(Loop):
    def __new__(cls, index: ArcIndex) -> Self: ...
