"""The base of all tables, and the simplest one: a list in failover order."""
import numpy as np

from libc.stdint cimport uint16_t
from libc.string cimport memcpy


cdef class Table:
    """Hash → node id, and hash → candidates.

    Subclasses answer `lookup` and `walk`; the block forms have slow defaults here. `walk`
    writes at most `count` distinct node ids in failover order and returns how many; its
    `scratch` is `scratch_size` bytes, zeroed at first and handed on from walk to walk.
    """

    cdef uint32_t lookup(self, uint64_t h) noexcept nogil:
        return NO_NODE

    cdef void lookup_block(self, const uint64_t *h, Py_ssize_t count, uint32_t *out) noexcept nogil:
        """Where there are more than BLOCK hashes, they are a stream from memory and worth fetching ahead."""
        cdef Py_ssize_t i
        for i in range(count):
            out[i] = self.lookup(h[i])

    cdef void lookup_narrow(self, const uint64_t *h, Py_ssize_t count, uint16_t *out) noexcept nogil:
        """As `lookup_block`, for ids that are known to fit 16 bits."""
        cdef Py_ssize_t i
        for i in range(count):
            out[i] = <uint16_t>self.lookup(h[i])

    cdef bint lookup_rows(self, const Rows *rows, Py_ssize_t count, uint64_t *h, uint16_t *out) noexcept nogil:
        """As `lookup_narrow`, for at most MOST_AT_ONCE keys, hashed meanwhile into `h`; False: not here."""
        return False

    cdef int settle(self) except -1:
        """Called under the GIL before anything but `lookup`: the place to compile what was put off."""
        return 0

    cdef void prepare(self, Py_ssize_t keys):
        """Called under the GIL before `keys` bulk lookups: the place to build what only pays in bulk."""

    cdef int prepare_walks(self, Py_ssize_t keys, Py_ssize_t wanted) except -1:
        """Called under the GIL before walks for up to `wanted` candidates of so many keys."""
        return self.settle()

    cdef void fetch(self, const uint64_t *h, Py_ssize_t count) noexcept nogil:
        """Called before walks for at most FETCHED hashes: to have what they read first on its way from memory."""

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
