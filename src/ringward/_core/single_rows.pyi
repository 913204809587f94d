import numpy as np
import numpy.typing as npt

def rebalance_single(
    old_rows: npt.NDArray[np.uint32],
    weights: npt.NDArray[np.float64],
    ids: npt.NDArray[np.uint32],
    seed: int,
) -> npt.NDArray[np.uint32] | None: ...
