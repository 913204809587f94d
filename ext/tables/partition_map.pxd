"""Fixed partitions → owners and rows."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from .table cimport Table

cdef struct Score:
    double score
    uint32_t rank
    uint32_t node


cdef struct Taken:
    uint8_t *node  # 1 for those that do not count any more
    uint32_t *in_zone  # zone → how many of them it has
    uint32_t most  # a zone that has more of them does not count either


cdef class PartitionMap(Table):
    cdef readonly object rows
    cdef readonly object owners
    cdef readonly object alive
    cdef readonly object weights
    cdef readonly object name_hashes
    cdef readonly object name_ranks
    cdef uint64_t partitions
    cdef Py_ssize_t width
    cdef Py_ssize_t ids
    cdef const uint32_t *row
    cdef const uint8_t *live_node
    cdef const double *weight
    cdef const uint64_t *name_hash
    cdef const uint32_t *name_rank
    cdef readonly object zones
    cdef const uint32_t *zone
    cdef object live_array, chance_array, zone_live_array
    cdef const uint32_t *live_id  # the ids of the live nodes, `live` of them
    cdef const uint32_t *chance  # id → how many of 2^32 draws of it count; NULL where nobody is drawn
    cdef int draw_shift
    cdef const uint32_t *zone_live  # zone → its live nodes; NULL where each zone has at most one node
    cdef Py_ssize_t zone_count
    cdef Py_ssize_t live_zones
    cdef uint32_t *owner
    cdef object slim_array
    cdef const uint16_t *slim_owner  # the same owners in half the memory, where ids fit

    cdef bint score_node(self, uint64_t partition, uint32_t node, double limit, Score *out) noexcept nogil
    cdef void prepare_stand_ins(self)
    cdef bint all_live(self) noexcept
    cdef inline bint excluded(self, uint32_t node, const Taken *taken) noexcept nogil
    cdef uint32_t drawn(self, uint64_t partition, const Taken *taken, uint32_t *attempt) noexcept nogil
    cdef uint32_t best_other(self, uint64_t partition, const Taken *taken) noexcept nogil
    cdef uint32_t next_other(self, uint64_t partition, const Taken *taken) noexcept nogil
    cdef Py_ssize_t stand_in(self, uint64_t partition, Py_ssize_t found, Py_ssize_t wanted, uint32_t *out,
                             Taken *taken) noexcept nogil
    cdef Py_ssize_t rest(self, uint64_t partition, Py_ssize_t found, Py_ssize_t count, uint32_t *out,
                         Taken *taken, Score *heap) noexcept nogil
    cdef uint32_t first_in_row(self, uint64_t partition) noexcept nogil
    cdef int compile_owners(self) except -1 nogil
    cdef int update_owners(self, const uint32_t *old, const uint8_t *old_alive) except -1 nogil
    cdef bint in_row(self, uint64_t partition, uint32_t node) noexcept nogil
