"""A ring that differs from another one by a few nodes."""
from libc.stdint cimport uint32_t, uint64_t
from .point_table cimport PointTable


cdef class ChangedPoints(PointTable):
    cdef PointTable base  # None: settled, a point table like any other
    cdef object known_weights, weights, name_ranks
    cdef object extra_hashes, extra_nodes
    cdef const uint64_t *extra_hash
    cdef const uint32_t *extra_node
    cdef const uint32_t *name_rank
    cdef Py_ssize_t extra
    cdef Py_ssize_t steps  # that lookups have taken so far

    cdef Py_ssize_t first_extra(self, uint64_t h) noexcept nogil
    cdef Py_ssize_t extra_before(self, uint64_t h) noexcept nogil
    cdef object compiled(self)
    cdef void adopt(self, PointTable full) noexcept
