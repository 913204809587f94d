import numpy as np
import numpy.typing as npt

def node_points(
    names: list[bytes], ids: npt.NDArray[np.uint32], counts: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]: ...
def sort_points(
    hashes: npt.NDArray[np.uint64], nodes: npt.NDArray[np.uint32], ranks: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]: ...
def merge_points(
    hashes: npt.NDArray[np.uint64],
    nodes: npt.NDArray[np.uint32],
    new_hashes: npt.NDArray[np.uint64],
    new_nodes: npt.NDArray[np.uint32],
    ranks: npt.NDArray[np.uint32],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]: ...
def filter_points(
    hashes: npt.NDArray[np.uint64], nodes: npt.NDArray[np.uint32], gone: npt.NDArray[np.uint8]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32], npt.NDArray[np.uint64]]: ...
