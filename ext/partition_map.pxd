"""Fixed partitions → owners and rows."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from .table cimport Table

cdef struct Score:
    double score
    uint32_t rank
    uint32_t node


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
    cdef uint32_t *owner
    cdef object slim_array
    cdef const uint16_t *slim_owner  # the same owners in half the memory, where ids fit

    cdef bint score_node(self, uint64_t partition, uint32_t node, double limit, Score *out) noexcept nogil
    cdef uint32_t best_other(self, uint64_t partition, const uint8_t *taken) noexcept nogil
    cdef uint32_t first_in_row(self, uint64_t partition) noexcept nogil
    cdef void compile_owners(self) noexcept nogil
    cdef void update_owners(self, const uint32_t *old, const uint8_t *old_alive) noexcept nogil
    cdef bint in_row(self, uint64_t partition, uint32_t node) noexcept nogil
