"""Who would inherit from whom, summed up over all arcs."""
import numpy as np

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport qsort
from libc.string cimport memcpy
from .pause cimport pause

cimport numpy as cnp

cnp.import_array()

cdef enum:
    TURN = 1 << 16  # arcs between two looks at signals

cdef struct Part:
    double share
    uint32_t heir


cdef int larger_first(const void *a, const void *b) noexcept nogil:
    cdef const Part *x = <const Part *>a
    cdef const Part *y = <const Part *>b
    if x.share != y.share:
        return 1 if x.share < y.share else -1
    return 1 if x.heir > y.heir else -1


cdef class Heirs:
    """What each owner's heirs would get.

    Parameters
    ----------
    pairs : ndarray of uint32, shape (arcs, 2)
        Owner and heir of each arc; arcs without either count for nobody.
    lengths : ndarray of float64, shape (arcs,)
    ids : int
        Owners and heirs are below it.

    Attributes
    ----------
    largest : ndarray of float64, shape (ids,)
        What the first of each owner's heirs would get; 0 where there is none.
    """

    cdef readonly object largest
    cdef object room
    cdef Part *parts  # of the first owner, of the second ...
    cdef int64_t[::1] starts, ends

    def __cinit__(self, const uint32_t[:, ::1] pairs not None, const double[::1] lengths not None, Py_ssize_t ids):
        cdef Py_ssize_t arcs = min(pairs.shape[0], lengths.shape[0])
        self.largest = np.zeros(ids)
        self.room = np.empty(max(arcs, 1) * sizeof(Part), np.uint8)
        self.parts = <Part *>cnp.PyArray_DATA(self.room)
        self.starts = np.zeros(ids + 1, np.int64)
        self.ends = np.zeros(ids + 1, np.int64)
        with nogil:
            self.by_owner(pairs, lengths, arcs, ids)
        self.summed(ids)

    cdef int by_owner(self, const uint32_t[:, ::1] pairs, const double[::1] lengths, Py_ssize_t arcs,
                      Py_ssize_t ids) except -1 nogil:
        """The arcs in the order of their owners, each owner's as they were."""
        cdef Py_ssize_t i
        cdef int64_t last = 0
        cdef Part *part
        cdef uint32_t owner, heir
        for i in range(arcs):
            if pairs[i, 0] < ids and pairs[i, 1] < ids:
                self.ends[pairs[i, 0] + 1] += 1
        for i in range(ids):
            self.ends[i + 1] += self.ends[i]
            self.starts[i + 1] = self.ends[i + 1]
        for i in range(arcs):
            if i % TURN == 0:
                pause(&last)
            owner, heir = pairs[i, 0], pairs[i, 1]
            if owner < ids and heir < ids:
                part = self.parts + self.ends[owner]
                part.heir = heir
                part.share = lengths[i]
                self.ends[owner] += 1
        return 0

    cdef int summed(self, Py_ssize_t ids) except -1:
        """One part for each heir, in place."""
        cdef double[::1] sums = np.full(ids, -1.0), largest = self.largest  # -1: not met yet
        cdef Part *parts = self.parts
        cdef Py_ssize_t owner, k, start
        cdef int64_t last = 0, end
        with nogil:
            for owner in range(ids):
                if owner % 256 == 0:
                    pause(&last)
                start = end = self.starts[owner]
                for k in range(start, self.ends[owner]):
                    if sums[parts[k].heir] < 0:
                        sums[parts[k].heir] = 0
                        parts[end].heir = parts[k].heir
                        end += 1
                    sums[parts[k].heir] += parts[k].share
                for k in range(start, end):
                    parts[k].share = sums[parts[k].heir]
                    largest[owner] = max(largest[owner], parts[k].share)
                    sums[parts[k].heir] = -1
                self.ends[owner] = end
        return 0

    def of(self, Py_ssize_t owner, tuple names not None):
        """Name → length of all heirs of an owner: the largest first, equal ones by id."""
        cdef Py_ssize_t count, k
        cdef Part *mine
        cdef dict result = {}
        if not 0 <= owner < self.starts.shape[0] - 1:
            raise IndexError(f"owner must be an id below {self.starts.shape[0] - 1} (was {owner})")
        count = self.ends[owner] - self.starts[owner]
        mine = <Part *>PyMem_Malloc(<size_t>(count + 1) * sizeof(Part))
        if mine == NULL:
            raise MemoryError
        try:
            with nogil:
                memcpy(mine, self.parts + self.starts[owner], <size_t>count * sizeof(Part))
                qsort(mine, <size_t>count, sizeof(Part), larger_first)
            for k in range(count):
                result[names[mine[k].heir]] = mine[k].share
        finally:
            PyMem_Free(mine)
        return result


def summed_by(const uint32_t[::1] ids not None, lengths, Py_ssize_t size):
    """The sum of the lengths of each id below `size`, or how often it is there: ndarray of float64, shape (size,).

    As `np.bincount`, which would hold the GIL. Other ids count for nobody.
    """
    cdef Py_ssize_t i
    cdef const double[::1] length = lengths
    cdef bint counted = lengths is None
    cdef double[::1] sums
    result = np.zeros(size)
    sums = result
    if not counted and length.shape[0] != ids.shape[0]:
        raise ValueError(f"lengths must be as many as ids, {ids.shape[0]} (were {length.shape[0]})")
    with nogil:
        for i in range(ids.shape[0]):
            if ids[i] < size:
                sums[ids[i]] += 1.0 if counted else length[i]
    return result
