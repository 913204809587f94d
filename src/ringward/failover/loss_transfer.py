"""`LossTransfer`: what a change moved, where keys have no owner before it or after it."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ringward._core import NO_NODE, ArcIndex, MoveIndex, State, difference
from ringward.transfer import Transfer

__all__ = ["LossTransfer"]


class LossTransfer(Transfer):
    """A transfer between tables in which some ids stand for nobody, as they do in `ClusterRing`.

    Parameters
    ----------
    before, after : State
    nobody_before, nobody_after : collection of int
        The ids that stand for nobody in either state.
    """

    def __init__(
        self, before: State, after: State, nobody_before: Collection[int], nobody_after: Collection[int]
    ) -> None:
        super().__init__(before, after)
        self._nobody = nobody_before, nobody_after

    def _arcs(self) -> npt.NDArray[np.void]:
        (before, source), (after, target) = (
            _owned(state, nobody) for state, nobody in zip((self._before, self._after), self._nobody, strict=True)
        )
        return difference(before, source, after, target)

    @cached_property
    def _index(self) -> MoveIndex:  # by the arcs: tables know nothing of nobody
        return ArcIndex(self.arcs)


def _owned(state: State, nobody: Collection[int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    ends, owners = state.table.arcs()
    return ends, np.where(np.isin(owners, [*nobody]), np.uint32(NO_NODE), owners)
