"""A loop that several threads share."""
from cpython.pythread cimport PyThread_type_lock
from libc.stdint cimport int64_t


cdef class Loop:
    cdef Py_ssize_t size
    cdef Py_ssize_t threads
    cdef Py_ssize_t chunk  # keys in each of them but the last, which may have fewer
    cdef int64_t next  # where the next chunk starts; atomic
    cdef Py_ssize_t helpers  # threads beside the calling one that have not left yet; guarded by the GIL
    cdef PyThread_type_lock all_left
    cdef bint deaf  # what it does can't be left undone: signals wait
    cdef bint stopped  # a signal's handler raised: nobody needs the rest
    cdef object error
    cdef Py_ssize_t error_start  # the chunk that `error` comes from
    cdef int listen(self, int64_t *last) except -1 nogil
    cdef int run(self, Py_ssize_t start, Py_ssize_t count) except -1 nogil
    cdef int plan(self, Py_ssize_t size, Py_ssize_t threads) except -1
    cdef int go(self) except -1
    cdef int share(self) except -1
    cdef void take_chunks(self) noexcept
    cdef int next_chunks(self, Py_ssize_t *start) except -1 nogil
    cdef void leave(self) noexcept


cdef Py_ssize_t checked_threads(threads, Py_ssize_t size, Py_ssize_t speed=*) except -1
