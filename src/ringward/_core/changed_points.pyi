from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.point_table import PointTable

_Start: TypeAlias = tuple[PointTable, npt.NDArray[np.float64], npt.NDArray[np.uint64], npt.NDArray[np.uint32]]

@disjoint_base
class ChangedPoints(PointTable): ...

def start_of(table: PointTable, weights: npt.NDArray[np.float64]) -> _Start: ...
def changed(
    start: _Start,
    alive: npt.NDArray[np.uint8],
    weights: npt.NDArray[np.float64],
    name_ranks: npt.NDArray[np.uint32],
    hashes: npt.NDArray[np.uint64],
    nodes: npt.NDArray[np.uint32],
    *,
    members: int,
    zones: npt.NDArray[np.uint32] | None = None,
    gone: list[int] = ...,
) -> ChangedPoints | None: ...
