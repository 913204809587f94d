"""Columns of NumPy text: fixed-width `U`, and `StringDType` through NumPy's C API."""
from ringward.errors import KeyValueError

from cpython.pythread cimport (
    PyThread_acquire_lock, PyThread_allocate_lock, PyThread_free_lock, PyThread_release_lock, PyThread_type_lock,
    WAIT_LOCK)
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from .cpu cimport kernels
from .hashing cimport FAMILY_XXH3, HashSpec, hash_bytes, hash_spans
from .kernels cimport AHEAD_BYTES, Rows, Span
from .mix cimport rw_prefetch
from .sources cimport ArraySource, dtype_of
from .utf8 cimport encode_utf8, rw_narrow, rw_trimmed

cimport numpy as cnp

cnp.import_array()

cdef enum:
    PAD = 16  # before the scratch text NULs, so that its end can be sought 8 bytes at a time; room after it
    SCRATCH = 2048  # on the stack: enough for 504 characters
    SHORT = 16  # characters; as ASCII they fit a slot of as many bytes
    GROUP = 64  # short texts that are narrowed before they are hashed together


cdef class TextSource(ArraySource):
    """Fixed-width text (`U`): UTF-32 with NUL padding, encoded to UTF-8 in a scratch buffer."""

    def __cinit__(self, cnp.ndarray array):
        self.fallible = True

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef unsigned char[SCRATCH] small
        cdef size_t needed = <size_t>self.item_size + 2 * PAD
        cdef unsigned char *scratch = &small[0]
        cdef Py_ssize_t done
        if needed > SCRATCH:
            scratch = <unsigned char *>malloc(needed)
            if scratch == NULL:
                with gil:
                    raise MemoryError
        memset(scratch, 0, PAD)
        if spec.family == FAMILY_XXH3 and self.item_size <= 4 * SHORT:
            done = self.fill_short(spec, start, count, out, scratch + PAD)
        else:
            done = self.fill_through(spec, start, count, out, scratch + PAD)
        if needed > SCRATCH:
            free(scratch)
        if done < count:
            with gil:
                raise KeyValueError(
                    f"keys[{start + done}] must be Unicode text without lone surrogates", position=start + done)
        return 0

    cdef Py_ssize_t fill_through(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out,
                                 unsigned char *scratch) noexcept nogil:
        """How many keys were hashed before one that has no UTF-8."""
        cdef const unsigned char *p = <const unsigned char *>self.base + start * self.stride
        cdef size_t characters = <size_t>self.item_size // 4
        cdef Py_ssize_t i, size
        for i in range(count):
            if rw_narrow(p, characters, self.swapped, scratch):
                size = <Py_ssize_t>rw_trimmed(scratch, characters)
            else:
                size = encode_utf8(p, characters, self.swapped, scratch)
                if size < 0:
                    return i
            out[i] = hash_bytes(spec, scratch, <size_t>size)
            p += self.stride
        return count

    cdef Py_ssize_t fill_short(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out,
                               unsigned char *scratch) noexcept nogil:
        """The same for short text, where the kernel of padded bytes does what is ASCII."""
        cdef unsigned char[GROUP * SHORT] slots
        cdef Py_ssize_t[GROUP] others
        cdef const unsigned char *p = <const unsigned char *>self.base + start * self.stride
        cdef size_t characters = <size_t>self.item_size // 4
        cdef Py_ssize_t done = 0, part, others_count, i
        cdef Rows rows = Rows(&slots[0], SHORT, SHORT, spec.seed)
        memset(slots, 0, GROUP * SHORT)
        while done < count:
            part = min(<Py_ssize_t>GROUP, count - done)
            others_count = 0
            for i in range(part):
                others[others_count] = i
                others_count += not rw_narrow(p + i * self.stride, characters, self.swapped, slots + SHORT * i)
            kernels.hash_padded(&rows, part, out + done)
            for i in range(others_count):
                if not self.fill_through(spec, start + done + others[i], 1, out + done + others[i], scratch):
                    return done + others[i]
            done += part
            p += part * self.stride
        return count


# NumPy's own declarations of these leave `nogil` out.
cdef extern from "numpy/arrayobject.h" nogil:
    ctypedef struct npy_string_allocator:
        pass
    ctypedef struct npy_packed_static_string:
        pass
    ctypedef struct npy_static_string:
        size_t size
        const char *buf
    ctypedef struct PyArray_StringDTypeObject:
        pass
    npy_string_allocator *NpyString_acquire_allocator(const PyArray_StringDTypeObject *)
    void NpyString_release_allocator(npy_string_allocator *)
    int NpyString_load(npy_string_allocator *, const npy_packed_static_string *, npy_static_string *)


cdef inline int load(npy_string_allocator *allocator, const char *packed, npy_static_string *text) noexcept nogil:
    """1 where the string is missing, -1 where it cannot be read."""
    return NpyString_load(allocator, <const npy_packed_static_string *>packed, text)


cdef class StringSource(ArraySource):
    """`StringDType`: UTF-8 in place; missing values (the dtype's `na_object`) are nulls.

    Strings may only be read while their dtype's allocator is locked, and one thread must not lock it twice. The
    first thread that fills a block locks it and the last one unlocks it, so that blocks are filled side by side.
    None of them takes the GIL in between: whoever waits for the allocator may hold it. Strings of an array mostly lie
    in the order of its items, so what is some way ahead of one is what will be read.
    """

    cdef cnp.dtype dtype  # kept: the array may be given another one
    cdef bint has_missing
    cdef PyThread_type_lock gate
    cdef npy_string_allocator *allocator
    cdef Py_ssize_t readers

    def __cinit__(self, cnp.ndarray array):
        self.dtype = dtype_of(array)
        self.fallible = True
        self.has_missing = hasattr(self.dtype, "na_object")
        self.gate = PyThread_allocate_lock()
        if self.gate == NULL:
            raise MemoryError
        if self.has_missing:
            with nogil:
                self.count_nulls()

    def __dealloc__(self):
        if self.gate != NULL:
            PyThread_free_lock(self.gate)

    cdef void enter(self) noexcept nogil:
        PyThread_acquire_lock(self.gate, WAIT_LOCK)
        if self.readers == 0:
            self.allocator = NpyString_acquire_allocator(<const PyArray_StringDTypeObject *><void *>self.dtype)
        self.readers += 1
        PyThread_release_lock(self.gate)

    cdef void leave(self) noexcept nogil:
        PyThread_acquire_lock(self.gate, WAIT_LOCK)
        self.readers -= 1
        if self.readers == 0:
            NpyString_release_allocator(self.allocator)
        PyThread_release_lock(self.gate)

    cdef void count_nulls(self) noexcept nogil:
        cdef npy_static_string text
        cdef Py_ssize_t i
        self.enter()
        for i in range(self.size):
            if load(self.allocator, self.base + i * self.stride, &text) == 1:
                if self.nulls == 0:
                    self.first_null = i
                self.nulls += 1
        self.leave()

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef Span[GROUP] spans
        cdef npy_string_allocator *allocator = self.allocator
        cdef npy_static_string *text = <npy_static_string *>&spans[0]
        cdef const char *packed = self.base + start * self.stride
        cdef Py_ssize_t stride = self.stride, done = 0, part, i
        cdef int status
        while done < count:
            part = min(<Py_ssize_t>GROUP, count - done)
            i = status = 0
            # Four at a time: besides the calls, branches are what a short string costs.
            while i + 4 <= part:
                status |= (load(allocator, packed, text + i) | load(allocator, packed + stride, text + i + 1)
                           | load(allocator, packed + 2 * stride, text + i + 2)
                           | load(allocator, packed + 3 * stride, text + i + 3))
                rw_prefetch(packed + AHEAD_BYTES)
                rw_prefetch(spans[i].p + AHEAD_BYTES)
                rw_prefetch(spans[i].p + AHEAD_BYTES + 64)
                packed += 4 * stride
                i += 4
            while i < part:
                status |= load(allocator, packed, text + i)
                packed += stride
                i += 1
            if status < 0:
                self.refuse(start + done)
            hash_spans(spec, spans, part, out + done)
            done += part
        return 0

    cdef int refuse(self, Py_ssize_t index) except -1 nogil:
        """The first key from an index on that cannot be read is an error."""
        cdef npy_static_string text
        while load(self.allocator, self.base + index * self.stride, &text) >= 0:
            index += 1
        self.leave()
        with gil:
            raise KeyValueError(f"keys[{index}] must be a string that NumPy can read", position=index)

    cdef void mark_nulls(self, Py_ssize_t start, Py_ssize_t count, uint8_t *out) noexcept nogil:
        cdef npy_static_string text
        cdef Py_ssize_t i
        for i in range(count):
            out[i] = load(self.allocator, self.base + (start + i) * self.stride, &text) == 1
