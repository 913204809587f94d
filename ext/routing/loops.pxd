"""Loops over columns of keys: hashes, owners and candidates."""
from libc.stdint cimport uint64_t
from .hashing cimport HashSpec
from .sources cimport KeySource
from .table cimport Table

cimport numpy as cnp


cdef class HashSource(KeySource):
    cdef const uint64_t[::1] hashes


cpdef object checked_hashes(object hashes, str argument=*)
cdef int refuse_nulls(KeySource source) except -1
cdef bint is_small(Py_ssize_t keys) noexcept
cdef int owners_into(Table table, const HashSpec *spec, KeySource source, cnp.ndarray out, Py_ssize_t threads,
                     bint whole) except -1
cdef int candidates_into(Table table, const HashSpec *spec, KeySource source, Py_ssize_t wanted, cnp.ndarray out,
                         Py_ssize_t threads) except -1
