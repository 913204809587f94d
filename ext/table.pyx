"""The base of all tables, and the simplest one: a list in failover order."""
import numpy as np

from libc.stdint cimport uint16_t
from libc.string cimport memcpy


cdef extern from *:
    """
    #if defined(__SSE2__) || defined(_M_X64)
    #include <emmintrin.h>
    #define RW_NARROW_SSE2 1
    #endif
    /* 32-bit ids → 16 bits. SSE2 only packs signed numbers: the low halves are sign-extended first. */
    static void rw_narrow(const uint32_t *ids, uint16_t *out, Py_ssize_t count) {
        Py_ssize_t i = 0;
    #if defined(RW_NARROW_SSE2)
        for (; i + 8 <= count; i += 8) {
            __m128i a = _mm_loadu_si128((const __m128i *)(ids + i));
            __m128i b = _mm_loadu_si128((const __m128i *)(ids + i + 4));
            a = _mm_srai_epi32(_mm_slli_epi32(a, 16), 16);
            b = _mm_srai_epi32(_mm_slli_epi32(b, 16), 16);
            _mm_storeu_si128((__m128i *)(out + i), _mm_packs_epi32(a, b));
        }
    #endif
        for (; i < count; i++) out[i] = (uint16_t)ids[i];
    }
    """
    void rw_narrow(const uint32_t *ids, uint16_t *out, Py_ssize_t count) noexcept nogil

cdef enum:
    NARROW_BLOCK = 1024


cdef class Table:
    """Hash → node id, and hash → candidates.

    Subclasses answer `lookup` and `walk`; the block forms have slow defaults here. `walk`
    writes at most `count` distinct node ids in failover order and returns how many; its
    `scratch` is `scratch_size` bytes, zeroed at first and handed on from walk to walk.
    """

    cdef uint32_t lookup(self, uint64_t h) noexcept nogil:
        return NO_NODE

    cdef void lookup_block(self, const uint64_t *h, Py_ssize_t count, uint32_t *out) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(count):
            out[i] = self.lookup(h[i])

    cdef void lookup_narrow(self, const uint64_t *h, Py_ssize_t count, uint16_t *out) noexcept nogil:
        """As `lookup_block`, for ids that are known to fit 16 bits."""
        cdef uint32_t[NARROW_BLOCK] ids
        cdef Py_ssize_t size
        while count > 0:
            size = min(<Py_ssize_t>NARROW_BLOCK, count)
            self.lookup_block(h, size, ids)
            rw_narrow(ids, out, size)
            h += size
            out += size
            count -= size

    cdef void prepare(self, Py_ssize_t keys):
        """Called under the GIL before `keys` bulk lookups: the place to build what only pays in bulk."""

    cdef Py_ssize_t scratch_size(self) noexcept nogil:
        return 0

    cdef Py_ssize_t walk(self, uint64_t h, Py_ssize_t count, uint32_t *out, uint8_t *scratch) noexcept nogil:
        return 0

    def arcs(self):
        """The owned ranges of the hash space: (ends, owners), both of shape (n,).

        Range i is [ends[i - 1] + 1, ends[i]], the first starts at 0 and the last ends at
        2^64 - 1. ends is uint64 and strictly rising, owners uint32 node ids (or NO_NODE);
        neighbours differ in owner.
        """
        raise NotImplementedError

    def bounds(self):
        """The inclusive ends of ranges within which all candidates are the same: uint64, rising."""
        raise NotImplementedError


cdef class ListTable(Table):
    """Every key belongs to the first node of a list.

    Parameters
    ----------
    order : ndarray of uint32, shape (n,)
        Distinct node ids in failover order; empty when nobody can own a key.
    """

    def __cinit__(self, order):
        self.order = order
        self.view = order
        self.live = self.view.shape[0]

    cdef uint32_t lookup(self, uint64_t h) noexcept nogil:
        return self.view[0] if self.live else NO_NODE

    cdef Py_ssize_t walk(self, uint64_t h, Py_ssize_t count, uint32_t *out, uint8_t *scratch) noexcept nogil:
        cdef Py_ssize_t found = min(count, self.live)
        if found:
            memcpy(out, &self.view[0], <size_t>found * sizeof(uint32_t))
        return found

    def bounds(self):
        """One range, the whole ring."""
        return np.array([0xFFFFFFFFFFFFFFFF], np.uint64)

    def arcs(self):
        owner = self.order[:1] if self.live else np.array([NO_NODE], np.uint32)
        return self.bounds(), owner
