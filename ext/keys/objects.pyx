"""Columns of Python objects, read in place: lists, tuples and object arrays.

A key's own code (an int subclass, say) may change the container, so its length and its items are
read afresh for every key, and plain text that was found before is hashed before such code runs.
Objects lie scattered in memory: those ahead are fetched meanwhile.
"""
from ringward.errors import KeyTypeError

from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy
from .hashing cimport (
    HashSpec, PyUnicode_CheckExact, PyUnicode_GET_LENGTH, PyUnicode_IS_COMPACT_ASCII, ascii_data, hash_key, hash_spans)
from .kernels cimport Span
from .mix cimport rw_prefetch
from .sources cimport KeySource

cimport numpy as cnp

cnp.import_array()

cdef extern from *:
    """
    #if defined(_MSC_VER)
    #define RW_THREAD_LOCAL __declspec(thread)
    #else
    #define RW_THREAD_LOCAL __thread
    #endif
    static RW_THREAD_LOCAL int rw_nested = 0;
    """
    int nested "rw_nested"  # how many columns of objects this thread is reading, one within a key of the other
    PyObject **PySequence_Fast_ITEMS(PyObject *)

cdef enum:
    AHEAD_OBJECTS = 512  # a block: they come in while the hashes of one are looked up
    GROUP = 64  # texts that are found before they are hashed together
    MOST_NESTED = 16  # what is on the stack for each would end threads of small stacks above

cdef struct Run:  # of ASCII texts, whose hashes go one after the other to where `out` points
    Span[GROUP] spans
    Py_ssize_t count
    uint64_t *out


cdef inline void hash_run(const HashSpec *spec, Run *run) noexcept:
    hash_spans(spec, run.spans, run.count, run.out)
    run.out += run.count
    run.count = 0


cdef inline int take(const HashSpec *spec, Run *run, PyObject *key, Py_ssize_t index) except -1:
    """The next key: kept for the run's end where it is ASCII text, else hashed now."""
    if PyUnicode_CheckExact(key) and PyUnicode_IS_COMPACT_ASCII(key):
        run.spans[run.count].p = ascii_data(key)
        run.spans[run.count].size = <size_t>PyUnicode_GET_LENGTH(key)
        run.count += 1
        if run.count == GROUP:
            hash_run(spec, run)
        return 0
    hash_run(spec, run)
    hash_key(spec, key, index, run.out)
    run.out += 1
    return 0


cdef inline void fetch(PyObject *key) noexcept nogil:
    rw_prefetch(key)
    rw_prefetch(<const char *>key + 63)  # text of 16 characters may end in the next cache line


cdef class ObjectSource(KeySource):
    """`size` objects somewhere; subclasses know where."""

    def __cinit__(self, keys):
        self.fallible = True
        self.needs_gil = True

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        global nested
        with gil:
            if nested == MOST_NESTED:
                raise RecursionError(f"keys whose own code reads keys may do so {MOST_NESTED} calls deep")
            nested += 1
            try:
                return self.fill_with_gil(spec, start, count, out)
            finally:
                nested -= 1

    cdef int fill_with_gil(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1:
        return 0

    cdef int refuse_length(self, Py_ssize_t length) except -1:
        raise KeyTypeError(f"keys must not shrink while they are read (were {self.size}, are {length})")


cdef class SequenceSource(ObjectSource):
    """A list or tuple."""

    cdef object keys
    cdef bint is_list

    def __cinit__(self, keys):
        self.keys = keys
        self.is_list = isinstance(keys, list)
        self.size = self.length()

    cdef inline Py_ssize_t length(self) noexcept:
        return PyList_GET_SIZE(self.keys) if self.is_list else PyTuple_GET_SIZE(self.keys)

    cdef int fill_with_gil(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1:
        cdef PyObject **items
        cdef Py_ssize_t i, length
        cdef Run run
        run.count = 0
        run.out = out
        for i in range(start, start + count):
            length = self.length()
            if i >= length:
                self.refuse_length(length)
            items = PySequence_Fast_ITEMS(<PyObject *>self.keys)
            if i + AHEAD_OBJECTS < length:
                fetch(items[i + AHEAD_OBJECTS])
            take(spec, &run, items[i], i)
        hash_run(spec, &run)
        return 0


cdef class ObjectArraySource(ObjectSource):
    """A one-dimensional object array of any stride."""

    cdef cnp.ndarray array

    def __cinit__(self, cnp.ndarray array):
        self.array = array
        self.size = self.length()

    cdef inline Py_ssize_t length(self) noexcept:
        return cnp.PyArray_DIM(self.array, 0) if cnp.PyArray_NDIM(self.array) else 0

    cdef int fill_with_gil(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1:
        cdef Py_ssize_t i, length
        cdef Run run
        run.count = 0
        run.out = out
        for i in range(start, start + count):
            length = self.length()
            if i >= length:
                self.refuse_length(length)
            if i + AHEAD_OBJECTS < length:
                fetch(self.item(i + AHEAD_OBJECTS))
            take(spec, &run, self.item(i), i)
        hash_run(spec, &run)
        return 0

    cdef inline PyObject *item(self, Py_ssize_t index) noexcept:
        cdef const char *p = <const char *>cnp.PyArray_DATA(self.array)
        cdef PyObject *key
        memcpy(&key, p + index * cnp.PyArray_STRIDE(self.array, 0), sizeof(key))
        return key if key != NULL else <PyObject *>None  # NumPy may leave NULL where it means None
