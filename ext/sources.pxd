"""A column of keys as a source of hashes, a block at a time."""
from libc.stdint cimport uint64_t
from .hashing cimport HashSpec

cdef enum:
    BLOCK = 1024  # keys hashed, then looked up, at a time: 8 KiB of hashes stay in L1


cdef class KeySource:
    cdef readonly Py_ssize_t size
    cdef readonly bint fallible  # may meet a bad key after it has given good ones
    cdef bint needs_gil
    cdef const uint64_t *ready  # the hashes themselves, where they are there already
    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil


cpdef KeySource key_source(object keys)
