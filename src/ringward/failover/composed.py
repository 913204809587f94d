"""Routers of clusters, composed into the points of one ring: who owns what, whichever cluster serves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ringward._core import State

__all__ = ["Segments", "composed", "segments"]


class Segments(NamedTuple):
    """Ranges of the hash space, each with one home and one cluster that serves it.

    Attributes
    ----------
    ends : ndarray of uint64, shape (n,)
        Inclusive, rising; the last is 2^64 - 1.
    home, serving : ndarray of int64, shape (n,)
        Numbers of clusters.
    """

    ends: npt.NDArray[np.uint64]
    home: npt.NDArray[np.int64]
    serving: npt.NDArray[np.int64]

    def at(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """The segment of each hash."""
        return np.searchsorted(self.ends, hashes)


def segments(home: State, number_of: npt.NDArray[np.int64], given: Sequence[float], to: Sequence[int]) -> Segments:
    """The home arcs, of which the first share is served by another cluster where keys are handed over.

    A share that grows takes further keys, and gives none back.

    Parameters
    ----------
    home : State
        Of a router over the clusters.
    number_of : ndarray of int64, shape (ids,)
        id of the home router → number of the cluster.
    given, to : sequence
        Of each cluster: the share of its keys that is handed over, and the number of the cluster that has them.
    """
    ends, owners = home.table.arcs()
    numbers = number_of[owners]
    starts = np.concatenate([np.zeros(1, np.uint64), ends[:-1] + np.uint64(1)])
    share = np.asarray(given)[numbers]
    lengths = (ends - starts).astype(np.float64)
    # A double near 2^64 may round up to it: the last hash of the given part stays inside the arc.
    cut = np.minimum(starts + (lengths * share * (1 - 2**-50)).astype(np.uint64), ends)
    whole, some = share >= 1, (share > 0) & (share < 1) & (cut < ends)
    serving = np.where(whole, np.asarray(to)[numbers], numbers)
    all_ends = np.concatenate([ends, cut[some]])
    order = np.argsort(all_ends, kind="stable")
    return Segments(
        all_ends[order],
        np.concatenate([numbers, numbers[some]])[order],
        np.concatenate([serving, np.asarray(to)[numbers[some]]])[order],
    )


def composed(
    parts: Segments, states: Sequence[State], ids: Sequence[npt.NDArray[np.uint32]]
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint32]]:
    """The arcs of all clusters within the segments that each serves: their ends, rising, and who owns them.

    Parameters
    ----------
    parts : Segments
    states : sequence of State
        Of each cluster's router.
    ids : sequence of ndarray of uint32, shape (ids + 1,)
        Of each cluster: its own node id → id of the whole; the last entry is for NO_NODE.
    """
    ends, owners = [], []
    for number, state in enumerate(states):
        mine = parts.serving == number
        if not mine.any():
            continue
        arc_ends, arc_owners = state.table.arcs()
        inside = mine[parts.at(arc_ends)]
        closing = parts.ends[mine]
        found = np.concatenate([arc_owners[inside], arc_owners[np.searchsorted(arc_ends, closing)]])
        ends.append(np.concatenate([arc_ends[inside], closing]))
        owners.append(ids[number][np.minimum(found, len(ids[number]) - 1)])
    all_ends, first = np.unique(np.concatenate(ends), return_index=True)
    all_owners = np.concatenate(owners)[first]
    last = np.append(all_owners[1:] != all_owners[:-1], True)  # of neighbours of one owner, the last end stands for all
    return all_ends[last], all_owners[last]
