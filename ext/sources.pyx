"""Columns of keys: lists, tuples and NumPy arrays of every kind, hashed in place.

`key_source` looks at the container once and picks a class; the class then fills
blocks of hashes. Sources over plain buffers never fail and run without the GIL.
"""
import numpy as np

from ringward.errors import KeyTypeError, KeyValueError

from cpython.list cimport PyList_GET_SIZE
from cpython.object cimport PyObject
from cpython.tuple cimport PyTuple_GET_SIZE
from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from .cpu cimport kernels
from .hashing cimport FAMILY_XXH3, hash_bytes, hash_key, hash_u64
from .mix cimport rw_prefetch, rw_swap16, rw_swap32, rw_swap64

cimport numpy as cnp

cnp.import_array()

cdef extern from "Python.h":
    PyObject **PySequence_Fast_ITEMS(PyObject *)

cdef enum:
    AHEAD_OBJECTS = 16  # objects whose header is fetched before it is read


cdef class KeySource:
    """`size` keys; subclasses fill blocks of their hashes."""

    cdef int prepare(self, const HashSpec *spec) except -1:
        """Called once under the GIL, before the blocks are filled."""
        return 0

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        return 0

    cdef void mark_nulls(self, Py_ssize_t start, Py_ssize_t count, uint8_t *out) noexcept nogil:
        """1 where a key is missing, else 0; only called where there are `nulls`."""


cdef class ArraySource(KeySource):
    """A one-dimensional NumPy array; holds it, and so its buffer, alive."""

    cdef cnp.ndarray array
    cdef const char *base
    cdef Py_ssize_t stride
    cdef Py_ssize_t item_size
    cdef bint swapped

    def __cinit__(self, cnp.ndarray array):
        self.array = array
        self.base = <const char *>cnp.PyArray_DATA(array)
        self.size = cnp.PyArray_DIM(array, 0)
        self.stride = cnp.PyArray_STRIDE(array, 0)
        self.item_size = cnp.PyArray_ITEMSIZE(array)
        self.swapped = not array.dtype.isnative


cdef class IntSource(ArraySource):
    """Integers of any width, byte order and stride, sign-extended to 64 bits."""

    cdef bint signed

    def __cinit__(self, cnp.ndarray array):
        self.signed = array.dtype.kind == "i"

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

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef const char *p = self.base + start * self.stride
        cdef Py_ssize_t i, size
        if spec.family == FAMILY_XXH3 and self.item_size <= 16:
            kernels.hash_padded(<const unsigned char *>p, self.stride, self.item_size, count, spec.seed, out)
            return 0
        for i in range(count):
            size = self.item_size
            while size and p[size - 1] == 0:
                size -= 1
            out[i] = hash_bytes(spec, <const unsigned char *>p, <size_t>size)
            p += self.stride
        return 0


cdef Py_ssize_t encode_utf8(const char *p, Py_ssize_t count, bint swapped, unsigned char *out) noexcept nogil:
    """UTF-32 → UTF-8; the bytes written, or -1 where a character is no Unicode scalar value."""
    cdef uint32_t c
    cdef Py_ssize_t i
    cdef unsigned char *start = out
    for i in range(count):
        memcpy(&c, p + 4 * i, 4)
        if swapped:
            c = rw_swap32(c)
        if c < 0x80:
            out[0] = <unsigned char>c
            out += 1
        elif c < 0x800:
            out[0] = 0xC0 | <unsigned char>(c >> 6)
            out[1] = 0x80 | <unsigned char>(c & 0x3F)
            out += 2
        elif c < 0x10000:
            if 0xD800 <= c < 0xE000:
                return -1
            out[0] = 0xE0 | <unsigned char>(c >> 12)
            out[1] = 0x80 | <unsigned char>((c >> 6) & 0x3F)
            out[2] = 0x80 | <unsigned char>(c & 0x3F)
            out += 3
        elif c < 0x110000:
            out[0] = 0xF0 | <unsigned char>(c >> 18)
            out[1] = 0x80 | <unsigned char>((c >> 12) & 0x3F)
            out[2] = 0x80 | <unsigned char>((c >> 6) & 0x3F)
            out[3] = 0x80 | <unsigned char>(c & 0x3F)
            out += 4
        else:
            return -1
    return out - start


cdef class TextSource(ArraySource):
    """Fixed-width text (`U`): UTF-32 with NUL padding, encoded to UTF-8 in a scratch buffer."""

    def __cinit__(self, cnp.ndarray array):
        self.fallible = True

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef const char *p = self.base + start * self.stride
        cdef unsigned char *scratch = <unsigned char *>malloc(<size_t>self.item_size + 1)
        cdef Py_ssize_t i, size
        cdef uint32_t c
        if scratch == NULL:
            with gil:
                raise MemoryError
        for i in range(count):
            size = self.item_size // 4
            while size:
                memcpy(&c, p + 4 * (size - 1), 4)
                if c:
                    break
                size -= 1
            size = encode_utf8(p, size, self.swapped, scratch)
            if size < 0:
                free(scratch)
                with gil:
                    raise KeyValueError(
                        f"keys[{start + i}] must be Unicode text without lone surrogates", position=start + i)
            out[i] = hash_bytes(spec, scratch, <size_t>size)
            p += self.stride
        free(scratch)
        return 0


cdef class ObjectSource(KeySource):
    """A list or tuple: the fast kinds read in place, a few objects fetched ahead."""

    cdef object keys
    cdef bint is_list

    def __cinit__(self, keys):
        self.keys = keys
        self.is_list = isinstance(keys, list)
        self.size = len(keys)
        self.fallible = True
        self.needs_gil = True

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        with gil:
            return self.fill_with_gil(spec, start, count, out)

    cdef int fill_with_gil(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1:
        # A key's own code (an int subclass, say) may change the list, so its length
        # and its items are read afresh for every key.
        cdef PyObject **items
        cdef Py_ssize_t i, length
        for i in range(start, start + count):
            length = PyList_GET_SIZE(self.keys) if self.is_list else PyTuple_GET_SIZE(self.keys)
            if i >= length:
                raise KeyTypeError(f"keys must not shrink while they are read (were {self.size}, are {length})")
            items = PySequence_Fast_ITEMS(<PyObject *>self.keys)
            if i + AHEAD_OBJECTS < length:  # text of 16 characters may end in the next cache line
                rw_prefetch(items[i + AHEAD_OBJECTS])
                rw_prefetch(<const char *>items[i + AHEAD_OBJECTS] + 63)
            hash_key(spec, items[i], i, out + i - start)
        return 0


cdef class ConvertedSource(KeySource):
    """An object array or another array of Python values, turned into lists a block at a time."""

    cdef object array

    def __cinit__(self, array):
        self.array = array
        self.size = len(array)
        self.fallible = True
        self.needs_gil = True

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        with gil:
            return self.fill_with_gil(spec, start, count, out)

    cdef int fill_with_gil(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1:
        cdef list block = self.array[start:start + count].tolist()
        cdef Py_ssize_t i
        for i in range(count):
            hash_key(spec, <PyObject *>block[i], start + i, out + i)
        return 0


cdef dict ARRAY_SOURCES = {"i": IntSource, "u": IntSource, "S": BytesSource, "U": TextSource,
                           "O": ConvertedSource, "T": ConvertedSource}


cpdef KeySource key_source(object keys):
    """The source for a container of keys; KeyTypeError when it is no such container."""
    if isinstance(keys, (list, tuple)):
        return ObjectSource(keys)
    if not isinstance(keys, np.ndarray):
        raise KeyTypeError(f"keys must be a list, a tuple or a NumPy array (was {type(keys).__name__})")
    if isinstance(keys, np.ma.MaskedArray):
        raise KeyTypeError("keys must have no mask: a masked array has keys that are not there")
    if keys.ndim != 1:
        raise KeyTypeError(f"keys must have 1 dimension (had {keys.ndim})")
    source = ARRAY_SOURCES.get(keys.dtype.kind)
    if source is None:
        raise KeyTypeError(f"keys must be integers, bytes, text or objects (dtype was {keys.dtype})")
    return source(keys)
