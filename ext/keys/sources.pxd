"""A column of keys as a source of hashes, a block at a time."""
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint64_t
from .hashing cimport HashSpec
from .kernels cimport Rows

cimport numpy as cnp


cpdef object plain_array(object given)


cdef inline object dtype_of(cnp.ndarray array):
    """What its memory holds, whatever the attribute of a subclass says."""
    return <object><PyObject *>cnp.PyArray_DESCR(array)


cdef class KeySource:
    cdef readonly Py_ssize_t size
    cdef readonly Py_ssize_t nulls  # how many keys are missing; `fill` writes any hash for them
    cdef readonly Py_ssize_t first_null
    cdef readonly bint fallible  # may meet a bad key after it has given good ones
    cdef bint needs_gil  # else `fill` is called from several threads at once, each with blocks of its own
    cdef const uint64_t *ready  # the hashes themselves, where they are there already
    cdef int prepare(self, const HashSpec *spec) except -1
    cdef void enter(self) noexcept nogil  # a thread begins to read blocks; after a short while it must
    cdef void leave(self) noexcept nogil  # leave, without having asked for the GIL in between
    # Fills a block. When it raises, it has left.
    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil
    cdef bint rows(self, const HashSpec *spec, Py_ssize_t start, Rows *rows) noexcept nogil
    cdef void mark_nulls(self, Py_ssize_t start, Py_ssize_t count, uint8_t *out) noexcept nogil


cdef class ArraySource(KeySource):
    cdef cnp.ndarray array
    cdef const char *base
    cdef Py_ssize_t stride
    cdef Py_ssize_t item_size
    cdef bint swapped
