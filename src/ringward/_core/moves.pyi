import numpy as np
import numpy.typing as npt

from ringward._core.partition_map import PartitionMap
from ringward._core.point_table import PointTable

ARC: np.dtype[np.void]

def difference(
    ends_before: npt.NDArray[np.uint64],
    owners_before: npt.NDArray[np.uint32],
    ends_after: npt.NDArray[np.uint64],
    owners_after: npt.NDArray[np.uint32],
) -> npt.NDArray[np.void]: ...
def point_moves(
    before: PointTable, after: PointTable, points: npt.NDArray[np.uint64]
) -> npt.NDArray[np.void] | None: ...
def owner_moves(before: PointTable, after: PointTable) -> npt.NDArray[np.void] | None: ...
def partition_moves(before: PartitionMap, after: PartitionMap) -> npt.NDArray[np.void] | None: ...
