from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.table import Table

@disjoint_base
class PointTable(Table):
    def __new__(
        cls,
        hashes: npt.NDArray[np.uint64],
        nodes: npt.NDArray[np.uint32],
        alive: npt.NDArray[np.uint8],
        *,
        members: int,
        groups: npt.NDArray[np.uint32] | None = None,
        zones: npt.NDArray[np.uint32] | None = None,
        before: PointTable | None = None,
        changed: npt.NDArray[np.uint64] | None = None,
        added: bool = False,
    ) -> Self: ...
    @property
    def hashes(self) -> npt.NDArray[np.uint64]: ...
    @property
    def nodes(self) -> npt.NDArray[np.uint32]: ...
    @property
    def alive(self) -> npt.NDArray[np.uint8]: ...
    @property
    def groups(self) -> npt.NDArray[np.uint32] | None: ...
    @property
    def zones(self) -> npt.NDArray[np.uint32] | None: ...
    @property
    def members(self) -> int: ...
    def first_index(self, h: int) -> int: ...
