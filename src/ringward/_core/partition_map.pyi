from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.table import Table

def draw_chances(weights: npt.NDArray[np.float64], alive: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]: ...

@disjoint_base
class PartitionMap(Table):
    def __new__(
        cls,
        rows: npt.NDArray[np.uint32],
        alive: npt.NDArray[np.uint8],
        weights: npt.NDArray[np.float64],
        name_hashes: npt.NDArray[np.uint64],
        name_ranks: npt.NDArray[np.uint32],
        before: PartitionMap | None = None,
        zones: npt.NDArray[np.uint32] | None = None,
        whole: bool = False,
    ) -> Self: ...
    @property
    def rows(self) -> npt.NDArray[np.uint32]: ...
    @property
    def owners(self) -> npt.NDArray[np.uint32]: ...
    @property
    def alive(self) -> npt.NDArray[np.uint8]: ...
    @property
    def weights(self) -> npt.NDArray[np.float64]: ...
    @property
    def name_hashes(self) -> npt.NDArray[np.uint64]: ...
    @property
    def name_ranks(self) -> npt.NDArray[np.uint32]: ...
    @property
    def zones(self) -> npt.NDArray[np.uint32] | None: ...
