from typing import Self

import numpy as np
import numpy.typing as npt
from typing_extensions import disjoint_base

from ringward._core.hashing import Hasher
from ringward._core.parallel import Loop
from ringward._core.sources import KeySource
from ringward._core.table import Table
from ringward.keys import Keys

@disjoint_base
class HashSource(KeySource):
    def __new__(cls, hashes: npt.NDArray[np.uint64]) -> Self: ...

@disjoint_base
class KeyLoop(Loop): ...

class HashLoop(KeyLoop): ...

@disjoint_base
class OwnersLoop(KeyLoop):
    def __new__(cls, table: Table, width: int) -> Self: ...

@disjoint_base
class CandidatesLoop(KeyLoop):
    def __new__(cls, table: Table, wanted: int) -> Self: ...

def checked_hashes(hashes: object, argument: str = "hashes") -> npt.NDArray[np.uint64]: ...
def hash_column(hasher: Hasher, keys: Keys, threads: int | None) -> npt.NDArray[np.uint64]: ...
def second_candidates(table: Table, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]: ...
