import numpy as np
import numpy.typing as npt

def rebalance(
    old_rows: npt.NDArray[np.uint32],
    weights: npt.NDArray[np.float64],
    zones: npt.NDArray[np.uint32],
    replicas: int,
    seed: int = ...,
    ids: npt.NDArray[np.uint32] | None = None,
) -> npt.NDArray[np.uint32]: ...
