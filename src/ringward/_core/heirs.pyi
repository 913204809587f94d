from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

@disjoint_base
class Heirs:
    @property
    def largest(self) -> npt.NDArray[np.float64]: ...
    def __new__(cls, pairs: npt.NDArray[np.uint32], lengths: npt.NDArray[np.float64], ids: int) -> Self: ...
    def of(self, owner: int, names: tuple[str, ...]) -> dict[str, float]: ...

def summed_by(
    ids: npt.NDArray[np.uint32], lengths: npt.NDArray[np.float64] | None, size: int
) -> npt.NDArray[np.float64]: ...
