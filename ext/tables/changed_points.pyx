"""What a change makes of a ring: the points of before, those that came, and who is live now.

A change of a few nodes costs what those nodes have, not what the ring has. Single keys are looked
up in the points of before, passing over the nodes that have left or are down, and among the points
that came. That takes longer than in lines of one's own: once a column is to be routed, somebody
asks for the points, or single lookups have cost as much as compiling does, the table is settled:
all points are merged and compiled, incrementally, and it is like any other from then on.
"""
import numpy as np

from ringward._core.build import filter_points, merge_points

from cpython.ref cimport Py_DECREF, Py_INCREF
from .table cimport NO_NODE

cimport numpy as cnp

cnp.import_array()

cdef enum:
    LOOKUP_STEPS = 8  # what a lookup here costs above one in lines, in steps over points
    LEAST_EXTRA = 1024  # points that may come whatever the size of the ring
    SHRUNK = 4  # times fewer live nodes than before: the old points are not worth keeping

cdef object NO_HASHES = np.empty(0, np.uint64)
cdef object NO_NODES = np.empty(0, np.uint32)


cdef extern from "Python.h":
    int Py_AddPendingCall(int (*function)(void *) except -1, void *argument)


cdef void raise_later(error) noexcept:
    """Once Python code goes on in the main thread, where handlers of signals run."""
    Py_INCREF(error)
    if Py_AddPendingCall(raise_now, <void *>error) < 0:
        Py_DECREF(error)


cdef int raise_now(void *error) except -1 with gil:
    raised = <object>error
    Py_DECREF(raised)
    raise raised


cdef class ChangedPoints(PointTable):
    """A point table that is compiled when it pays; see `changed`."""

    def __cinit__(self, hashes, nodes, alive, *, Py_ssize_t members, groups=None, zones=None,
                  PointTable before=None, changed=None, bint added=False):
        self.base = before

    cdef int settle(self) except -1:
        if self.base is not None:
            full = self.compiled()
            if self.base is not None:  # no other thread was faster
                self.adopt(full)
        return 0

    cdef object compiled(self):
        """The point table of this ring, from scratch where nodes have both come and gone."""
        # Read at once: when the GIL is let go below, another thread may settle this table.
        cdef PointTable base = self.base
        extra_hashes, extra_nodes = self.extra_hashes, self.extra_nodes
        hashes, nodes, before, changed = base.hash_array, base.node_array, base, None
        gone = (self.known_weights > 0) & (self.weights[:len(self.known_weights)] == 0)
        if gone.any():
            hashes, nodes, changed = filter_points(hashes, nodes, gone.view(np.uint8))
        if self.extra:
            before, changed = base if changed is None else None, extra_hashes
            hashes, nodes = merge_points(hashes, nodes, extra_hashes, extra_nodes, self.name_ranks)
        return PointTable(hashes, nodes, self.alive, members=self.members, zones=self.zones, before=before,
                          changed=changed if before is not None else None, added=self.extra > 0)

    cdef void adopt(self, PointTable full) noexcept:
        # Under the GIL from start to end, and no reader without it comes before a table is settled.
        self.hash_array = full.hash_array
        self.node_array = full.node_array
        self.size = full.size
        self.hash = full.hash
        self.node = full.node
        self.owner_array = full.owner_array
        self.first_array = full.first_array
        self.first = full.first
        self.buckets = full.buckets
        self.line_array = full.line_array
        self.ring = full.ring
        self.owner = full.owner
        self.lines = full.lines
        self.base = None
        self.extra_hashes = self.extra_nodes = None

    cdef Py_ssize_t total(self) noexcept:
        return self.size if self.base is None else self.base.size + self.extra

    cdef bint live_before(self, uint64_t h, uint64_t *out, Py_ssize_t *steps) noexcept nogil:
        cdef Py_ssize_t i, k
        if self.base is None:
            return PointTable.live_before(self, h, out, steps)
        i, k = self.base.last_live(self.live_node, h, steps), self.extra_before(h) - 1
        while k >= 0 and not self.live_node[self.extra_node[k]]:
            k -= 1
            steps[0] += 1
        if i < 0 and k < 0:
            return False
        out[0] = self.base.hash[i] if i >= 0 else self.extra_hash[k]
        if k >= 0 and self.extra_hash[k] > out[0]:
            out[0] = self.extra_hash[k]
        return True

    cdef Py_ssize_t extra_before(self, uint64_t h) noexcept nogil:
        """How many of the points that came are below h."""
        cdef Py_ssize_t low = 0, high = self.extra, middle
        while low < high:
            middle = (low + high) // 2
            if self.extra_hash[middle] < h:
                low = middle + 1
            else:
                high = middle
        return low

    cdef Py_ssize_t first_extra(self, uint64_t h) noexcept nogil:
        """The index of the first live point that came at or after h, wrapping; -1 where there is none."""
        cdef Py_ssize_t low = self.extra_before(h), i
        for i in range(self.extra):
            if low == self.extra:
                low = 0
            if self.live_node[self.extra_node[low]]:
                self.steps += i
                return low
            low += 1
        return -1

    cdef uint32_t lookup_unsettled(self, uint64_t h) noexcept nogil:
        cdef Py_ssize_t start = self.base.first_point(h), i = start, k = self.first_extra(h), size = self.base.size
        cdef uint64_t distance = 0, extra_distance
        cdef uint32_t owner = NO_NODE
        while True:
            self.steps += 1
            if self.live_node[self.base.node[i]]:
                owner = self.base.node[i]
                distance = self.base.hash[i] - h
                break
            i = i + 1 if i + 1 < size else 0
            if i == start:
                break
        if k >= 0:
            extra_distance = self.extra_hash[k] - h
            if owner == NO_NODE or extra_distance < distance or (
                    extra_distance == distance and self.name_rank[self.extra_node[k]] < self.name_rank[owner]):
                owner = self.extra_node[k]
        self.steps += LOOKUP_STEPS
        if self.steps > size:
            with gil:
                try:
                    self.settle()
                except BaseException as error:
                    self.steps = 0  # goes on as it is
                    if not isinstance(error, MemoryError):  # of a signal's handler
                        raise_later(error)
        return owner


def start_of(PointTable table not None, weights):
    """What a change of a table starts from, for `changed`; another thread may settle the table at any time.

    Parameters
    ----------
    table : PointTable
    weights : ndarray of float64, shape (ids then,)
        What the table was made of: node id → weight, 0 for ids without points.

    Returns
    -------
    base : PointTable
        `table`, or the one that it was made from as long as it is not settled.
    known_weights : ndarray of float64
        What `base` was made of.
    hashes, nodes : ndarray of uint64 and uint32, shape (n,)
        The points that came since.
    """
    cdef ChangedPoints unsettled = table if isinstance(table, ChangedPoints) else None
    if unsettled is None or unsettled.base is None:
        return table, weights, NO_HASHES, NO_NODES
    return unsettled.base, unsettled.known_weights, unsettled.extra_hashes, unsettled.extra_nodes


def changed(tuple start not None, alive, weights, name_ranks, hashes, nodes, *, Py_ssize_t members, zones=None,
            list gone=[]):
    """The table of a ring after some nodes left, came, or changed their liveness; None where it has to be built anew.

    Parameters
    ----------
    start : tuple
        As `start_of` returned it.
    alive : ndarray of uint8, shape (ids,)
        1 for the ids that may own keys.
    weights : ndarray of float64, shape (ids,)
        As the known weights for the ids that have points there and have them still, 0 for those that left.
    name_ranks : ndarray of uint32, shape (ids,)
    hashes, nodes : ndarray of uint64 and uint32, shape (n,)
        The points, in order, of ids that came and have none there.
    members, zones
        As for `PointTable`.
    gone : list of int
        The ids that left.
    """
    cdef ChangedPoints result
    cdef PointTable base
    base, known_weights, extra_hashes, extra_nodes = start
    if len(extra_hashes):
        hashes, nodes = joined_extra(extra_hashes, extra_nodes, hashes, nodes, name_ranks, gone)
    if base.owner == NULL or base.groups is not None or len(hashes) > max(LEAST_EXTRA, base.size):
        return None
    result = ChangedPoints(NO_HASHES, NO_NODES, alive, members=members, zones=zones, before=base)
    if result.live == 0 or SHRUNK * result.live < base.live:
        return None
    result.known_weights = known_weights
    result.weights = weights
    result.name_ranks = name_ranks
    result.name_rank = <const uint32_t *>cnp.PyArray_DATA(name_ranks)
    result.extra_hashes = hashes
    result.extra_nodes = nodes
    result.extra_hash = <const uint64_t *>cnp.PyArray_DATA(hashes)
    result.extra_node = <const uint32_t *>cnp.PyArray_DATA(nodes)
    result.extra = len(hashes)
    return result


cdef tuple joined_extra(earlier_hashes, earlier_nodes, hashes, nodes, name_ranks, list gone):
    """The points that came earlier, without those that left, and with those that come now."""
    if gone:
        left = np.zeros(len(name_ranks), np.uint8)
        left[gone] = 1
        earlier_hashes, earlier_nodes, _ = filter_points(earlier_hashes, earlier_nodes, left)
    if not len(hashes):
        return earlier_hashes, earlier_nodes
    return merge_points(earlier_hashes, earlier_nodes, hashes, nodes, name_ranks)
