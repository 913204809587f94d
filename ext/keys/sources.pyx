"""Columns of keys as sources of hashes; here those over NumPy integers and fixed-width bytes.

A source fills blocks of hashes. Sources over plain buffers run without the GIL. `key_source`
in columns.pyx looks at a container once and picks the class.
"""
import numpy as np

from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy
from .cpu cimport kernels
from .hashing cimport FAMILY_XXH3, hash_bytes, hash_u64
from .mix cimport rw_swap16, rw_swap32, rw_swap64

cimport numpy as cnp

cnp.import_array()

cdef enum:
    MOST_PADDED = 16  # bytes of a row


cdef object VIEW = np.ndarray.view


cpdef object plain_array(object given):
    """An array over the same memory whose attributes are those of NumPy: a subclass's may be untrue. None: it is none."""
    return VIEW(given, np.ndarray) if isinstance(given, cnp.ndarray) else None


cdef class KeySource:
    """`size` keys; subclasses fill blocks of their hashes."""

    cdef int prepare(self, const HashSpec *spec) except -1:
        """Called once under the GIL, before the blocks are filled."""
        return 0

    cdef void enter(self) noexcept nogil:
        """Called by each thread before it reads blocks; for sources that must be locked meanwhile."""

    cdef void leave(self) noexcept nogil:
        """Called after it has read them; soon, since others may hold the GIL and wait for the lock."""

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        return 0

    cdef bint rows(self, const HashSpec *spec, Py_ssize_t start, Rows *rows) noexcept nogil:
        """Whether the keys from `start` on are rows, which kernels hash and look up at once; which ones."""
        return False

    cdef void mark_nulls(self, Py_ssize_t start, Py_ssize_t count, uint8_t *out) noexcept nogil:
        """1 where a key is missing, else 0; only called where there are `nulls`."""


cdef class ArraySource(KeySource):
    """A one-dimensional NumPy array; holds it, and so its buffer, alive."""

    def __cinit__(self, cnp.ndarray array):
        if cnp.PyArray_NDIM(array) != 1:
            raise ValueError(f"array must have 1 dimension (had {cnp.PyArray_NDIM(array)})")
        self.array = array
        self.base = <const char *>cnp.PyArray_DATA(array)
        self.size = cnp.PyArray_DIM(array, 0)
        self.stride = cnp.PyArray_STRIDE(array, 0)
        self.item_size = cnp.PyArray_ITEMSIZE(array)
        self.swapped = not dtype_of(array).isnative


cdef class IntSource(ArraySource):
    """Integers of any width, byte order and stride, sign-extended to 64 bits."""

    cdef bint signed

    def __cinit__(self, cnp.ndarray array):
        self.signed = dtype_of(array).kind == "i"

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef const char *p = self.base + start * self.stride
        cdef const uint64_t *keys
        cdef Py_ssize_t i
        if self.item_size == 8 and self.stride == 8 and not self.swapped and (<size_t>p & 7) == 0:
            keys = <const uint64_t *>p
        else:
            self.widen(p, count, out)
            keys = out
        if spec.family == FAMILY_XXH3:
            kernels.hash_integers(keys, count, spec.flip, out)
        else:
            for i in range(count):
                out[i] = hash_u64(spec, keys[i])
        return 0

    cdef void widen(self, const char *p, Py_ssize_t count, uint64_t *out) noexcept nogil:
        cdef Py_ssize_t i
        cdef uint8_t x1
        cdef uint16_t x2
        cdef uint32_t x4
        cdef uint64_t x8
        for i in range(count):
            if self.item_size == 8:
                memcpy(&x8, p, 8)
                out[i] = rw_swap64(x8) if self.swapped else x8
            elif self.item_size == 4:
                memcpy(&x4, p, 4)
                x4 = rw_swap32(x4) if self.swapped else x4
                out[i] = <uint64_t><int32_t>x4 if self.signed else x4
            elif self.item_size == 2:
                memcpy(&x2, p, 2)
                x2 = rw_swap16(x2) if self.swapped else x2
                out[i] = <uint64_t><int16_t>x2 if self.signed else x2
            else:
                memcpy(&x1, p, 1)
                out[i] = <uint64_t><int8_t>x1 if self.signed else x1
            p += self.stride


cdef class BytesSource(ArraySource):
    """Fixed-width bytes (`S`): as NumPy has it, trailing NULs are padding and not part of the key."""

    cdef bint rows(self, const HashSpec *spec, Py_ssize_t start, Rows *rows) noexcept nogil:
        rows.p = <const unsigned char *>self.base + start * self.stride
        rows.stride = self.stride
        rows.width = self.item_size
        rows.seed = spec.seed
        return spec.family == FAMILY_XXH3 and self.item_size <= MOST_PADDED

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef Rows rows
        cdef const unsigned char *p
        cdef Py_ssize_t i, size
        if self.rows(spec, start, &rows):
            kernels.hash_padded(&rows, count, out)
            return 0
        p = rows.p
        for i in range(count):
            size = self.item_size
            while size and p[size - 1] == 0:
                size -= 1
            out[i] = hash_bytes(spec, p, <size_t>size)
            p += self.stride
        return 0
