import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.point_table import PointTable

@disjoint_base
class ChangedPoints(PointTable):
    @property
    def start(self) -> tuple[npt.NDArray[np.float64], int] | None: ...

def changed(
    before: PointTable,
    alive: npt.NDArray[np.uint8],
    known_weights: npt.NDArray[np.float64],
    weights: npt.NDArray[np.float64],
    name_ranks: npt.NDArray[np.uint32],
    hashes: npt.NDArray[np.uint64],
    nodes: npt.NDArray[np.uint32],
    *,
    members: int,
    zones: npt.NDArray[np.uint32] | None = None,
    gone: list[int] = ...,
) -> ChangedPoints | None: ...
