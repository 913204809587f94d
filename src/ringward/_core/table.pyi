from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

@disjoint_base
class Table:
    @property
    def live(self) -> int: ...
    def arcs(self) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]: ...
    def bounds(self) -> npt.NDArray[np.uint64]: ...

@disjoint_base
class ListTable(Table):
    def __new__(cls, order: npt.NDArray[np.uint32]) -> Self: ...
    @property
    def order(self) -> npt.NDArray[np.uint32]: ...
