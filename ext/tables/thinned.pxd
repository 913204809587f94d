"""Rings without those that are found first anyway."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef struct Level:
    Py_ssize_t skip  # how many of the ring's heaviest classes are left out
    Py_ssize_t size
    const uint64_t *hash
    const uint32_t *node


cdef struct Thin:  # what walks read, of rings numbered from 0
    const uint8_t *live_node
    const uint32_t *class_of  # node → class; NULL: each node is one
    const uint32_t *order  # the classes of all rings, each ring's by falling number of points
    const Py_ssize_t *first_class  # ring → where its classes begin there, and those of the last end
    const Py_ssize_t *first_level  # the same for levels
    const Level *levels


cdef class Thinned:
    cdef Thin thin
    cdef list held

    cdef int build(self, hashes, nodes, alive, classes, rings, Py_ssize_t most) except -1
    cdef tuple chosen(self, sizes, ends, Py_ssize_t most, bint whole)
    cdef int fill(self, hash_from, node_from, Py_ssize_t classes, rings, sizes, list skips) except -1
    cdef bint plain(self) except -1


cdef Py_ssize_t walk_thinned(const Thin *thin, Py_ssize_t ring, uint64_t h, Py_ssize_t goal, Py_ssize_t found,
                             uint32_t *out, uint8_t *taken, uint8_t *class_taken) noexcept nogil
