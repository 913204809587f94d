from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Ints: TypeAlias = npt.NDArray[np.int64]
_Floats: TypeAlias = npt.NDArray[np.float64]

def numbered(zones: npt.NDArray[np.uint32]) -> tuple[_Ints, int]: ...
def numbered_zones(marks: npt.NDArray[np.uint32], size: int) -> npt.NDArray[np.uint32]: ...
def quotas(
    share: _Floats,
    owners: _Floats,
    count: _Ints,
    zone: _Ints,
    zones: int,
    partitions: int,
    width: int,
    zone_low: _Ints,
    zone_high: _Ints,
) -> _Ints: ...
def shares(weight: _Floats, zone: _Ints, zones: int, width: int, low: _Ints, high: _Ints) -> _Floats: ...
def snapped(values: _Floats) -> _Ints: ...
def zone_bounds(size: _Ints, width: int) -> tuple[_Ints, _Ints]: ...
