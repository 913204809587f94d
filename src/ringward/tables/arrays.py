"""Arrays from elsewhere: what must hold before compiled code sees them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ringward.errors import SnapshotError

__all__ = ["demand", "expect", "per_id", "within"]


def demand(fulfilled: bool, what: str) -> None:
    """Refuse a snapshot that does not hold what it must."""
    if not fulfilled:
        raise SnapshotError(f"the snapshot must hold {what}")


def expect(arrays: Mapping[str, npt.NDArray[Any]], name: str, dtype: type, dimensions: int = 1) -> npt.NDArray[Any]:
    """The array of a name, of this type and so many dimensions."""
    array = arrays[name]
    demand(array.dtype == dtype and array.ndim == dimensions, f"{name} as {dimensions}-dimensional {dtype.__name__}")
    return array


def within(array: npt.NDArray[Any], ids: int) -> npt.NDArray[Any]:
    """An array of node ids, all below `ids`."""
    demand(not array.size or int(array.max()) < ids, f"node ids below {ids}")
    return array


def per_id(arrays: Mapping[str, npt.NDArray[Any]], name: str, ids: int) -> npt.NDArray[Any]:
    """The array of a name with one small number for each id."""
    array = within(expect(arrays, name, np.uint32), max(ids, 1))
    demand(len(array) == ids, f"{name} of {ids} ids")
    return array
