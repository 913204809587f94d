"""Who would inherit from whom, summed up over all arcs."""
import numpy as np

from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport qsort

cimport numpy as cnp

cnp.import_array()

cdef struct Part:
    double share
    uint32_t heir


cdef int larger_first(const void *a, const void *b) noexcept nogil:
    cdef const Part *x = <const Part *>a
    cdef const Part *y = <const Part *>b
    if x.share != y.share:
        return 1 if x.share < y.share else -1
    return 1 if x.heir > y.heir else -1


def heirs(const uint32_t[:, ::1] pairs, const double[::1] lengths, Py_ssize_t ids):
    """What each owner's heirs would get.

    Parameters
    ----------
    pairs : ndarray of uint32, shape (arcs, 2)
        Owner and heir of each arc; arcs without either count for nobody.
    lengths : ndarray of float64, shape (arcs,)
    ids : int
        Owners and heirs are below it.

    Returns
    -------
    starts : ndarray of int64, shape (ids + 1,)
        Where each owner's heirs begin in the other two.
    heirs : ndarray of uint32, shape (k,)
        The largest part first; equal ones by id.
    parts : ndarray of float64, shape (k,)
        The sum of the lengths.
    """
    cdef Py_ssize_t arcs = min(pairs.shape[0], lengths.shape[0]), i, k, found, total = 0
    cdef int64_t[::1] starts = np.zeros(ids + 2, np.int64)
    cdef uint32_t[::1] by_owner = np.empty(arcs, np.uint32), out_heirs
    cdef double[::1] sums = np.full(ids, -1.0), out_parts  # -1: not met yet
    cdef uint32_t owner, heir
    room = np.empty(max(ids, 1) * sizeof(Part), np.uint8)
    cdef Part *parts = <Part *>cnp.PyArray_DATA(room)
    heir_array = np.empty(arcs, np.uint32)
    part_array = np.empty(arcs)
    start_array = np.zeros(ids + 1, np.int64)
    cdef int64_t[::1] out_starts = start_array
    out_heirs = heir_array
    out_parts = part_array
    with nogil:
        for i in range(arcs):  # arcs in the order of their owners, each owner's as they were
            if pairs[i, 0] < ids and pairs[i, 1] < ids:
                starts[pairs[i, 0] + 2] += 1
        for i in range(ids):
            starts[i + 2] += starts[i + 1]
        for i in range(arcs):
            if pairs[i, 0] < ids and pairs[i, 1] < ids:
                by_owner[starts[pairs[i, 0] + 1]] = <uint32_t>i
                starts[pairs[i, 0] + 1] += 1
        for owner in range(<uint32_t>ids):
            found = 0
            for k in range(starts[owner], starts[owner + 1]):
                heir = pairs[by_owner[k], 1]
                if sums[heir] < 0:
                    sums[heir] = 0
                    parts[found].heir = heir
                    found += 1
                sums[heir] += lengths[by_owner[k]]
            for k in range(found):
                parts[k].share = sums[parts[k].heir]
                sums[parts[k].heir] = -1
            qsort(parts, <size_t>found, sizeof(Part), larger_first)
            for k in range(found):
                out_heirs[total] = parts[k].heir
                out_parts[total] = parts[k].share
                total += 1
            out_starts[owner + 1] = total
    return start_array, heir_array[:total], part_array[:total]
