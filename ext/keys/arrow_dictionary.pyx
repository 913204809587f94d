"""Dictionary-encoded columns: indices into values, each of which is hashed once."""
import numpy as np

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from .arrow cimport OwnedArray
from .arrow_abi cimport ArrowArray
from .arrow_columns cimport IN_DICTIONARY, ArrowColumn, Layout, integer_t, load
from .hashing cimport HashSpec
from .kernels cimport BLOCK
from .pause cimport pause

cimport numpy as cnp

cnp.import_array()


cdef class DictionaryValues:
    """The distinct values of a dictionary: each is hashed once, whatever number of chunks share it."""

    cdef ArrowColumn column
    cdef cnp.ndarray hashes
    cdef const uint64_t *hash
    cdef cnp.ndarray missing
    cdef const uint8_t *is_missing  # or NULL

    def __cinit__(self, ArrowColumn column):
        self.column = column
        if column.nulls:
            self.missing = np.empty(column.size, np.uint8)
            self.is_missing = <const uint8_t *>cnp.PyArray_DATA(self.missing)
            column.mark_nulls(0, column.size, <uint8_t *>self.is_missing)

    cdef bint is_of(self, const ArrowArray *array) noexcept:
        cdef const ArrowArray *own = self.column.array
        cdef int64_t i
        if array.length != own.length or array.offset != own.offset or array.n_buffers != own.n_buffers:
            return False
        if array.buffers == NULL or array.n_children != own.n_children or array.null_count != own.null_count:
            return False
        for i in range(own.n_buffers):
            if array.buffers[i] != own.buffers[i]:
                return False
        return True

    cdef int prepare(self, const HashSpec *spec) except -1:
        cdef Py_ssize_t start = 0, count, size = self.column.size
        cdef uint64_t *p
        cdef int64_t last = 0
        if self.hashes is None:
            hashes = np.empty(size, np.uint64)
            p = <uint64_t *>cnp.PyArray_DATA(hashes)
            with nogil:
                while start < size:
                    count = min(<Py_ssize_t>BLOCK, size - start)
                    pause(&last)
                    self.column.fill(spec, start, count, p + start)
                    start += count
            self.hash = p
            self.hashes = hashes
        return 0


cdef class DictionaryColumn(ArrowColumn):
    """Indices of any integer type into a dictionary; missing where the index is, or the value it names."""

    cdef DictionaryValues values
    cdef const char *indices
    cdef int number

    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1:
        ArrowColumn.open(self, owner, array, position, layout)
        self.number = layout.number
        self.find_buffer(1, layout.width, &self.indices)
        if array.dictionary == NULL:
            self.refuse_array("no dictionary")
        self.values = layout.seen
        if self.values is None or not self.values.is_of(array.dictionary):
            self.values = layout.seen = DictionaryValues(layout.values.open(owner, array.dictionary, IN_DICTIONARY))
        if self.values.is_missing != NULL:
            self.recount_nulls()
        return 0

    cdef int recount_nulls(self) except -1:
        missing = np.empty(self.size, np.uint8)
        self.mark_nulls(0, self.size, <uint8_t *>cnp.PyArray_DATA(missing))
        self.nulls = np.count_nonzero(missing)
        self.first_null = missing.argmax() if self.nulls else 0
        return 0

    cdef int prepare(self, const HashSpec *spec) except -1:
        return self.values.prepare(spec)

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef Py_ssize_t i
        cdef uint64_t index, size = self.values.column.size
        self.read_indices(start, count, out)
        for i in range(count):
            index = out[i]
            if index < size:
                out[i] = self.values.hash[index]
            elif self.is_present(start + i):
                self.refuse(start + i, "an index into its dictionary")
            else:
                out[i] = 0  # the index of a null is undefined
        return 0

    cdef void mark_nulls(self, Py_ssize_t start, Py_ssize_t count, uint8_t *out) noexcept nogil:
        cdef uint64_t[BLOCK] indices
        cdef Py_ssize_t i, done, part
        ArrowColumn.mark_nulls(self, start, count, out)
        if self.values.is_missing == NULL:
            return
        done = 0
        while done < count:
            part = min(<Py_ssize_t>BLOCK, count - done)
            self.read_indices(start + done, part, indices)
            for i in range(part):
                if indices[i] < <uint64_t>self.values.column.size:
                    out[done + i] |= self.values.is_missing[indices[i]]
            done += part

    cdef void read_indices(self, Py_ssize_t start, Py_ssize_t count, uint64_t *out) noexcept nogil:
        if self.number == cnp.NPY_INT8:
            widen(<const int8_t *>self.indices + start, count, out)
        elif self.number == cnp.NPY_INT16:
            widen(<const int16_t *>self.indices + start, count, out)
        elif self.number == cnp.NPY_INT32:
            widen(<const int32_t *>self.indices + start, count, out)
        elif self.number == cnp.NPY_UINT8:
            widen(<const uint8_t *>self.indices + start, count, out)
        elif self.number == cnp.NPY_UINT16:
            widen(<const uint16_t *>self.indices + start, count, out)
        elif self.number == cnp.NPY_UINT32:
            widen(<const uint32_t *>self.indices + start, count, out)
        else:
            widen(<const int64_t *>self.indices + start, count, out)


cdef inline void widen(const integer_t *p, Py_ssize_t count, uint64_t *out) noexcept nogil:
    """Negative numbers become larger than any dictionary."""
    cdef Py_ssize_t i
    for i in range(count):
        out[i] = <uint64_t>load(p, i)
