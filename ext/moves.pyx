"""What a change moved, found where it happened: without dividing the whole hash space twice.

Two rings differ only just before points of nodes that came, went or changed their liveness; two tables
of one shape only where their owners do.
"""
import numpy as np

from ringward._core.arcs import ARC

from libc.stdint cimport uint32_t, uint64_t
from .point_table cimport PointTable

cimport numpy as cnp

cnp.import_array()

cdef enum:
    FEW = 16  # points of a ring for each that is looked at: from there on, dividing it twice is faster
    TURN = 2048  # points that are looked at before other threads may have the GIL

cdef uint64_t LAST = 0xFFFFFFFFFFFFFFFF


cdef struct Arcs:
    uint64_t *rows  # start, end, source, target
    Py_ssize_t count


cdef inline void push(Arcs *arcs, uint64_t start, uint64_t end, uint32_t source, uint32_t target) noexcept nogil:
    """One more arc, after all others; a neighbour of the same move is joined to it."""
    cdef uint64_t *last = arcs.rows + 4 * (arcs.count - 1)
    if arcs.count and last[1] + 1 == start and last[2] == source and last[3] == target:
        last[1] = end
        return
    last += 4
    last[0] = start
    last[1] = end
    last[2] = source
    last[3] = target
    arcs.count += 1


cdef object finished(room, Py_ssize_t count):
    return room[:count].copy().view(ARC).reshape(count)


def point_moves(PointTable before not None, PointTable after not None, const uint64_t[::1] points):
    """The arcs between two rings that differ by the points of some nodes.

    Parameters
    ----------
    before, after : PointTable
        Without parts.
    points : ndarray of uint64, shape (n,)
        The hashes of all points of nodes that are live in one ring and not in the other, or have other points there;
        strictly rising. Further points do no harm.

    Returns
    -------
    ndarray of ARC, or None where these are so many that it takes longer than `difference`
    """
    cdef Arcs arcs
    cdef Py_ssize_t i, count = points.shape[0], steps = 0, most = max(before.total(), after.total())
    cdef uint64_t start = 0, place
    if before.groups is not None or after.groups is not None or not before.live or not after.live:
        return None  # of parts a node may own what lies before another one's points
    if count > TURN and FEW * count > most:
        return None
    room = np.empty((count + 1, 4), np.uint64)
    arcs.rows = <uint64_t *>cnp.PyArray_DATA(room)
    arcs.count = 0
    for i in range(count):
        place = points[i]
        steps += look(before, after, start, place, &arcs)
        if steps > most:
            return None  # nearly all nodes are down, or those with nearly all points
        start = place + 1
        if i % TURN == TURN - 1:
            with nogil:
                pass
    if not count or points[count - 1] != LAST:
        look(before, after, start, LAST, &arcs)
    return finished(room, arcs.count)


cdef Py_ssize_t look(PointTable before, PointTable after, uint64_t start, uint64_t end, Arcs *arcs) except -1:
    """What moves of the hashes up to `end` that belong to the same points as `end` itself."""
    cdef uint32_t source = before.lookup(end), target = after.lookup(end)
    cdef Py_ssize_t steps = 1
    cdef uint64_t last
    if source != target:
        if before.live_before(end, &last, &steps) and last >= start:
            start = last + 1
        if after.live_before(end, &last, &steps) and last >= start:
            start = last + 1
        push(arcs, start, end, source, target)
    return steps


def owner_moves(PointTable before not None, PointTable after not None):
    """The arcs between two tables of the same points, parts or not; None where they are not."""
    cdef Arcs arcs
    cdef Py_ssize_t i, differing = 0, size = before.size
    cdef const uint32_t *old = before.owner
    cdef const uint32_t *new = after.owner
    cdef const uint64_t *hash = before.hash
    if before.hash_array is not after.hash_array or old == NULL or new == NULL:
        return None
    with nogil:
        for i in range(size):
            differing += old[i] != new[i]
    room = np.empty((differing + 1, 4), np.uint64)
    arcs.rows = <uint64_t *>cnp.PyArray_DATA(room)
    arcs.count = 0
    with nogil:
        for i in range(size):
            if old[i] != new[i] and (i == 0 or hash[i - 1] < hash[i]):  # of colliding points the first one owns
                push(&arcs, hash[i - 1] + 1 if i else 0, hash[i], old[i], new[i])
        if old[0] != new[0] and hash[size - 1] != LAST:
            push(&arcs, hash[size - 1] + 1, LAST, old[0], new[0])
    return finished(room, arcs.count)


def partition_moves(const uint32_t[::1] before, const uint32_t[::1] after):
    """The arcs between two tables of equally many partitions: of the owners of each, shape (n,)."""
    cdef Arcs arcs
    cdef uint64_t n = <uint64_t>before.shape[0], p, quotient = LAST // n, rest
    cdef Py_ssize_t differing = 0, i
    rest = LAST - quotient * n + 1  # 2^64 = quotient * n + rest, which may be n
    with nogil:
        for i in range(before.shape[0]):
            differing += before[i] != after[i]
    room = np.empty((differing, 4), np.uint64)
    arcs.rows = <uint64_t *>cnp.PyArray_DATA(room)
    arcs.count = 0
    with nogil:
        for p in range(n):
            if before[p] != after[p]:  # p begins at ceil(p * 2^64 / n), the next one where it ends
                push(&arcs, p * quotient + (p * rest + n - 1) // n,
                     (p + 1) * quotient + ((p + 1) * rest + n - 1) // n - 1, before[p], after[p])
    return finished(room, arcs.count)
