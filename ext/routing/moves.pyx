"""What a change moved, found where it happened: without dividing the whole hash space twice.

Two rings differ only just before points of nodes that came, went or changed their liveness; two tables
of one shape only where their owners do.
"""
import numpy as np

from ringward._core.arcs import ARC

from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcmp, memcpy
from .pause cimport let_others_in, rw_clock_ms
from .partition_map cimport PartitionMap
from .point_table cimport PointTable

cimport numpy as cnp

cnp.import_array()

cdef enum:
    FEW = 16  # points of a ring for each that is looked at: from there on, dividing it twice is faster
    TURN = 2048  # points that are looked at before other threads may have the GIL
    BLOCK = 128  # partitions that are compared at once

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


def difference(const uint64_t[::1] ends_before, const uint32_t[::1] owners_before,
               const uint64_t[::1] ends_after, const uint32_t[::1] owners_after):
    """Where two divisions of the hash space name different owners.

    Parameters
    ----------
    ends_before, ends_after : ndarray of uint64, shape (n,), (m,)
        Rising inclusive ends of ranges, the last one 2^64 - 1.
    owners_before, owners_after : ndarray of uint32, shape (n,), (m,)

    Returns
    -------
    ndarray of ARC, shape (k,)
        Sorted ranges with both ends inclusive, neighbours of the same move joined.
    """
    cdef Py_ssize_t i = 0, j = 0, found = 0
    cdef uint64_t start = 0, end
    cdef uint64_t[:, ::1] out
    room = np.empty((len(ends_before) + len(ends_after), 4), np.uint64)
    out = room
    with nogil:
        while True:
            end = min(ends_before[i], ends_after[j])
            if owners_before[i] != owners_after[j]:
                if (found and start and out[found - 1, 1] == start - 1
                        and out[found - 1, 2] == owners_before[i] and out[found - 1, 3] == owners_after[j]):
                    out[found - 1, 1] = end
                else:
                    out[found, 0] = start
                    out[found, 1] = end
                    out[found, 2] = owners_before[i]
                    out[found, 3] = owners_after[j]
                    found += 1
            if end == <uint64_t>0xFFFFFFFFFFFFFFFF:
                break
            if ends_before[i] == end:
                i += 1
            if ends_after[j] == end:
                j += 1
            start = end + 1
    return room[:found].copy().view(ARC).reshape(found)


def point_moves(PointTable before not None, PointTable after not None, const uint64_t[::1] points):
    """The arcs between two rings that differ by the points of some nodes.

    Parameters
    ----------
    before, after : PointTable
        Both with parts, or both without.
    points : ndarray of uint64, shape (n,)
        The hashes of all points of nodes that are live in one ring and not in the other, or have other points there;
        rising. With parts, also those of all nodes that are down in either. Further points do no harm.

    Returns
    -------
    ndarray of ARC, or None where these are so many that it takes longer than `difference`
    """
    cdef Arcs arcs
    cdef Py_ssize_t i, count = points.shape[0], steps = 0, most = max(before.total(), after.total())
    cdef uint64_t start = 0, place
    cdef int64_t since = rw_clock_ms()
    if (before.groups is None) != (after.groups is None) or not before.live or not after.live:
        return None
    if count > TURN and FEW * count > most:
        return None
    room = np.empty((count + 1, 4), np.uint64)
    arcs.rows = <uint64_t *>cnp.PyArray_DATA(room)
    arcs.count = 0
    for i in range(count):
        place = points[i]
        if place < start:
            continue  # once more the same, or the very last hash
        steps += look(before, after, start, place, &arcs)
        if steps > most:
            return None  # nearly all nodes are down, or those with nearly all points
        start = place + 1
        if start == 0:
            break
        if i % TURN == TURN - 1:
            let_others_in(&since)
    if not count or points[count - 1] != LAST:
        look(before, after, start, LAST, &arcs)
    return finished(room, arcs.count)


cdef Py_ssize_t look(PointTable before, PointTable after, uint64_t start, uint64_t end, Arcs *arcs) except -1:
    """What moves of the hashes up to `end` that belong to the same points as `end` itself."""
    cdef uint32_t source = before.lookup(end), target = after.lookup(end)
    cdef Py_ssize_t steps = 1
    cdef uint64_t last
    if source != target and before.groups is not None:
        if last_point(before, end, &last) and last >= start:
            start = last + 1
        if last_point(after, end, &last) and last >= start:
            start = last + 1
        push(arcs, start, end, source, target)
    elif source != target:
        if before.live_before(end, &last, &steps) and last >= start:
            start = last + 1
        if after.live_before(end, &last, &steps) and last >= start:
            start = last + 1
        push(arcs, start, end, source, target)
    return steps


cdef bint last_point(PointTable table, uint64_t h, uint64_t *out):
    """The hash of the last point below h, live or not, which ends what another part may have; not wrapping."""
    cdef Py_ssize_t i = table.first_point(h)
    if i == 0 and table.hash[0] < h:
        i = table.size
    if i:
        out[0] = table.hash[i - 1]
    return i > 0


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


def partition_moves(PartitionMap before not None, PartitionMap after not None):
    """The arcs between two tables of equally many partitions; None where they are not."""
    cdef Arcs arcs
    cdef Py_ssize_t room
    if len(before.owners) != len(after.owners):
        return None
    arcs.rows = NULL
    arcs.count = 0
    try:
        with nogil:
            room = compare(before, after, &arcs)
        if room < 0:
            raise MemoryError
        found = np.empty((arcs.count, 4), np.uint64)
        if arcs.count:
            memcpy(cnp.PyArray_DATA(found), arcs.rows, <size_t>arcs.count * 4 * sizeof(uint64_t))
        return found.view(ARC).reshape(arcs.count)
    finally:
        free(arcs.rows)


cdef Py_ssize_t compare(PartitionMap before, PartitionMap after, Arcs *arcs) noexcept nogil:
    """Blocks of owners as bytes, and one by one where those differ; how much room there is for arcs, or -1."""
    cdef uint64_t n = before.partitions, p, start = 0, end, quotient = LAST // n, rest = LAST - quotient * n + 1
    cdef bint slim = before.slim_owner != NULL and after.slim_owner != NULL
    cdef const char *old = <const char *>before.slim_owner if slim else <const char *>before.owner
    cdef const char *new = <const char *>after.slim_owner if slim else <const char *>after.owner
    cdef size_t width = sizeof(before.slim_owner[0]) if slim else sizeof(before.owner[0])
    cdef Py_ssize_t room = 0
    cdef void *bigger
    while start < n:  # 2^64 = quotient * n + rest, which may be n
        end = min(n, start + BLOCK)
        if memcmp(old + start * width, new + start * width, (end - start) * width):
            if room - arcs.count < BLOCK:
                room = 2 * room + 4 * BLOCK
                bigger = realloc(arcs.rows, <size_t>room * 4 * sizeof(uint64_t))
                if bigger == NULL:
                    return -1
                arcs.rows = <uint64_t *>bigger
            for p in range(start, end):
                if before.owner[p] != after.owner[p]:  # p begins at ceil(p * 2^64 / n), the next one where it ends
                    push(arcs, p * quotient + (p * rest + n - 1) // n,
                         (p + 1) * quotient + ((p + 1) * rest + n - 1) // n - 1, before.owner[p], after.owner[p])
        start = end
    return room
