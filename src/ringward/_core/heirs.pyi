import numpy as np
import numpy.typing as npt

def heirs(
    pairs: npt.NDArray[np.uint32], lengths: npt.NDArray[np.float64], ids: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.float64]]: ...
