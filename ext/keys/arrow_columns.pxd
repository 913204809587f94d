"""A column in one of Arrow's layouts, and how integers are loaded from its buffers."""
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from .arrow cimport OwnedArray
from .arrow_abi cimport ArrowArray
from .sources cimport KeySource

cdef enum:
    IN_DICTIONARY = -1  # the position of values that are not keys themselves

ctypedef fused integer_t:
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t


cdef inline int64_t load(const integer_t *p, Py_ssize_t index) noexcept nogil:
    """`p[index]`: the ABI recommends that buffers are aligned, and no more."""
    cdef integer_t value
    memcpy(&value, p + index, sizeof(value))
    return <int64_t>value


cdef class Layout:
    cdef object column
    cdef int64_t buffers
    cdef Py_ssize_t width
    cdef int number
    cdef Layout values
    cdef object seen
    cdef ArrowColumn open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position)


cdef class ArrowColumn(KeySource):
    cdef OwnedArray owner
    cdef const ArrowArray *array
    cdef int64_t offset
    cdef Py_ssize_t position
    cdef const uint8_t *validity
    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1
    cdef int take(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Py_ssize_t width) except -1
    cdef int find_buffer(self, int index, Py_ssize_t width, const char **data) except -1
    cdef int refuse_array(self, str has) except -1
    cdef int refuse(self, Py_ssize_t index, str must) except -1 nogil
    cdef bint is_present(self, Py_ssize_t index) noexcept nogil
