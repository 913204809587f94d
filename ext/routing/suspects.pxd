"""Which keys may have moved: a byte of cells for the top bits of a hash says so of nearly all; and lists of what did."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from .kernels cimport AHEAD_HASHES, MOST_AT_ONCE
from .lanes cimport rw_lowest_bit
from .mix cimport rw_prefetch

cdef enum:
    COARSE_BITS = 14  # 16 KiB of cells stay in the first cache beside the stream of hashes
    FINE_BITS = 18
    EIGHTS = 128  # of MOST_AT_ONCE hashes
    FEW = 4  # up to so many sources, scanning the ids beats testing the hashes


cdef struct Moves:  # a growing list of what changes in a chunk, so that nothing is written before all is known
    int64_t *indices  # in the chunk
    uint32_t *targets
    Py_ssize_t count
    Py_ssize_t room
    Py_ssize_t before  # how many there are in the chunks before this one


cdef inline bint reserve(Moves *moves, Py_ssize_t more) noexcept nogil:
    """Room for so many more; False: no memory."""
    cdef Py_ssize_t room
    cdef void *bigger
    if moves.count + more <= moves.room:
        return True
    room = 2 * (moves.count + more) + MOST_AT_ONCE
    bigger = realloc(moves.indices, <size_t>room * sizeof(int64_t))
    if bigger == NULL:
        return False
    moves.indices = <int64_t *>bigger
    bigger = realloc(moves.targets, <size_t>room * sizeof(uint32_t))
    if bigger == NULL:
        return False
    moves.targets = <uint32_t *>bigger
    moves.room = room
    return True


cdef struct Few:  # nodes, as long as they are few
    uint64_t[FEW] ids
    int count  # one more than FEW where there are more


cdef struct Found:  # of some keys that may have moved, those that did
    Py_ssize_t[MOST_AT_ONCE] places
    uint32_t[MOST_AT_ONCE] sources
    uint32_t[MOST_AT_ONCE] targets


cdef inline void note(Few *few, uint64_t node) noexcept nogil:
    cdef int k = 0
    while k < min(few.count, <int>FEW) and few.ids[k] != node:
        k += 1
    if k < FEW:
        few.ids[k] = node
    few.count = max(few.count, k + 1)


cdef inline size_t eight(const uint8_t *cells, const uint64_t *h, int shift) noexcept nogil:
    """Which of eight hashes lie in a marked cell, as bits from the lowest up."""
    cdef size_t bits = cells[h[7] >> shift]  # doubled and added to in one instruction
    bits = 2 * bits + cells[h[6] >> shift]
    bits = 2 * bits + cells[h[5] >> shift]
    bits = 2 * bits + cells[h[4] >> shift]
    bits = 2 * bits + cells[h[3] >> shift]
    bits = 2 * bits + cells[h[2] >> shift]
    bits = 2 * bits + cells[h[1] >> shift]
    return 2 * bits + cells[h[0] >> shift]


cdef inline Py_ssize_t suspects(const uint8_t *cells, const uint64_t *hashes, Py_ssize_t count, bint fine,
                                Py_ssize_t *out) noexcept nogil:
    """The places of up to MOST_AT_ONCE hashes that lie in a marked cell."""
    # Most do not, but which ones cannot be foretold: no branch for a key, and for eights with some a predictable one.
    cdef uint16_t[EIGHTS] starts
    cdef uint8_t[EIGHTS] marks
    cdef Py_ssize_t i, found = 0, eights = 0
    cdef size_t bits
    for i in range(0, count & ~<Py_ssize_t>7, 8):
        rw_prefetch(hashes + i + AHEAD_HASHES)
        if fine:  # constants: shifting by them is faster
            bits = eight(cells, hashes + i, 64 - FINE_BITS)
        else:
            bits = eight(cells, hashes + i, 64 - COARSE_BITS)
        starts[eights] = <uint16_t>i
        marks[eights] = <uint8_t>bits
        eights += bits != 0
    for i in range(eights):
        bits = marks[i]
        while bits:
            out[found] = starts[i] + rw_lowest_bit(<uint32_t>bits)
            found += 1
            bits &= bits - 1
    for i in range(count & ~<Py_ssize_t>7, count):
        out[found] = i
        found += cells[hashes[i] >> (64 - FINE_BITS if fine else 64 - COARSE_BITS)]
    return found
