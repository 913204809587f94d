"""Points on a ring, compiled for lookup."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from .kernels cimport Line, Ring
from .table cimport Table
from .thinned cimport Thin


cdef class PointTable(Table):
    cdef object hash_array
    cdef object node_array
    cdef readonly object alive
    cdef readonly object groups
    cdef readonly object zones
    cdef Py_ssize_t size
    cdef const uint64_t *hash
    cdef const uint32_t *node
    cdef const uint8_t *live_node
    cdef const uint32_t *group
    cdef const uint32_t *zone
    cdef Py_ssize_t ids
    cdef readonly Py_ssize_t members
    cdef Py_ssize_t parts
    cdef Py_ssize_t live_zones
    cdef object group_live_array
    cdef const uint32_t *group_live  # live nodes of each group
    cdef object owner_array
    cdef uint32_t *owner  # point → first live node a key there belongs to
    cdef object first_array
    cdef uint32_t *first  # bucket → its first point
    cdef uint64_t buckets
    cdef object line_array
    cdef Line *lines
    cdef object direct_array
    cdef Ring ring  # lines and direct table, as the kernels read them
    cdef Py_ssize_t bulk_keys
    cdef Py_ssize_t walked  # points that walks have passed so far, about
    cdef Py_ssize_t thinned_for  # how many candidates the levels below are made for
    cdef list thinned  # keeps whatever a walk in another thread may still read
    cdef const Thin *by_node  # the ring's levels by node, by zone, and of each part's ring; NULL: not worth it
    cdef const Thin *by_zone
    cdef const Thin *by_part

    cdef int thin(self, Py_ssize_t wanted) except -1
    cdef Py_ssize_t total(self) noexcept
    cdef bint live_before(self, uint64_t h, uint64_t *out, Py_ssize_t *steps) noexcept nogil
    cdef Py_ssize_t last_live(self, const uint8_t *live_node, uint64_t h, Py_ssize_t *steps) noexcept nogil
    cdef int count_live(self) except -1
    cdef int compile(self, PointTable before, changed, bint added) except -1
    cdef int count_buckets(self, PointTable before, changed, bint added) except -1
    cdef int compile_lines(self, PointTable before, changed) except -1
    cdef uint32_t lookup_unsettled(self, uint64_t h) noexcept nogil
    cdef Py_ssize_t first_point(self, uint64_t h) noexcept nogil
    cdef uint32_t exact(self, uint64_t h) noexcept nogil
    cdef void lookup_exact(self, const uint64_t *h, Py_ssize_t count, uint32_t *out) noexcept nogil
    cdef void write_line(self, uint64_t bucket) noexcept nogil
    cdef void effective_owners(self, uint32_t *next_live) noexcept nogil
    cdef void build_direct(self, uint16_t *direct, int shift) noexcept nogil
    cdef uint32_t find_in_line(self, uint64_t h) noexcept nogil
