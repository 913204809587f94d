"""The seam: what every table answers. A table is immutable once a router has it."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from .kernels cimport Rows

cdef extern from *:
    """
    #define RW_NO_NODE 0xFFFFFFFFU
    """
    const uint32_t NO_NODE "RW_NO_NODE"

cdef enum:
    FETCHED = 64  # keys whose places in a large table, two or three cache lines each, are on their way together


cdef class Table:
    cdef readonly Py_ssize_t live  # how many nodes can be a candidate; 0: nobody can own a key
    cdef uint32_t lookup(self, uint64_t h) noexcept nogil
    cdef void lookup_block(self, const uint64_t *h, Py_ssize_t count, uint32_t *out) noexcept nogil
    cdef void lookup_narrow(self, const uint64_t *h, Py_ssize_t count, uint16_t *out) noexcept nogil
    cdef bint lookup_rows(self, const Rows *rows, Py_ssize_t count, uint64_t *h, uint16_t *out) noexcept nogil
    cdef int settle(self) except -1
    cdef void prepare(self, Py_ssize_t keys)
    cdef int prepare_walks(self, Py_ssize_t keys, Py_ssize_t wanted) except -1
    cdef void fetch(self, const uint64_t *h, Py_ssize_t count) noexcept nogil
    cdef Py_ssize_t scratch_size(self) noexcept nogil
    cdef Py_ssize_t walk(self, uint64_t h, Py_ssize_t count, uint32_t *out, uint8_t *scratch) noexcept nogil


cdef class ListTable(Table):
    cdef readonly object order
    cdef const uint32_t[::1] view
