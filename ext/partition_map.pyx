"""The partition map: partition = (hash * partitions) >> 64, then one array look-up.

The rows say which nodes hold a partition; liveness only filters them. Where a whole row is
down, the other live nodes follow by weighted rendezvous of (partition, name): the node with
the smallest -ln(u) / weight, u in (0, 1) from the hash of the pair.
Source: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (2005), section 3.
"""
import numpy as np

from libc.math cimport INFINITY
from .cpu cimport kernels
from .kernels cimport AHEAD_HASHES
from .mix cimport mul_high
from .table cimport BLOCK, NO_NODE
from .xxh3 cimport store64, xxh3_bytes

cimport numpy as cnp

cnp.import_array()

cdef enum:
    MOST_SLIM_IDS = 0x10000

cdef double LN_2 = 0.6931471805599453094
cdef double SQRT_HALF = 0.70710678118654752440
cdef double TWO_53 = 9007199254740992.0


cdef double natural_log(double x) noexcept nogil:
    """ln(x) for 0 < x < 1 from IEEE basic operations alone, so that every platform agrees to the last bit."""
    cdef int exponent = 0, k
    cdef double s, square, total = 0.0
    while x < SQRT_HALF:  # at most 54 halvings, each exact
        x *= 2.0
        exponent -= 1
    s = (x - 1.0) / (x + 1.0)
    square = s * s
    for k in range(21, 0, -2):  # ln(x) = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.172
        total = total * square + 1.0 / k
    return exponent * LN_2 + 2.0 * s * total


cdef bint before_in_order(const Score *a, const Score *b) noexcept nogil:
    return a.score < b.score or (a.score == b.score and a.rank < b.rank)


cdef void sift_down(Score *heap, Py_ssize_t root, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t child
    cdef Score moving = heap[root]
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and before_in_order(&heap[child + 1], &heap[child]):
            child += 1
        if not before_in_order(&heap[child], &moving):
            break
        heap[root] = heap[child]
        root = child
    heap[root] = moving


cdef class PartitionMap(Table):
    """Partitions with rows of nodes.

    Parameters
    ----------
    rows : ndarray of uint32, shape (partitions, width)
        Distinct node ids in rank order.
    alive : ndarray of uint8, shape (ids,)
        1 for the ids that may own keys.
    weights : ndarray of float64, shape (ids,)
        Positive where alive.
    name_hashes : ndarray of uint64, shape (ids,)
        XXH3-64 of each id's name.
    name_ranks : ndarray of uint32, shape (ids,)
        The place of each id's name in UTF-8 order.
    before : PartitionMap, optional
        A map with the same rows, whose owners are updated instead of found anew.
    """

    def __cinit__(self, rows, alive, weights, name_hashes, name_ranks, PartitionMap before=None):
        cdef const uint32_t[:, ::1] row_view = rows  # buffers of any other type or shape end here
        cdef const uint32_t[::1] rank_view = name_ranks
        cdef const uint64_t[::1] hash_view = name_hashes
        cdef const uint8_t[::1] alive_view = alive
        cdef const double[::1] weight_view = weights
        if not len(alive) == len(weights) == len(name_hashes) == len(name_ranks):
            raise ValueError(f"weights, name_hashes and name_ranks must be as many as ids, {len(alive)}")
        self.rows = rows
        self.alive = alive
        self.weights = weights
        self.name_hashes = name_hashes
        self.name_ranks = name_ranks
        self.width = cnp.PyArray_DIM(rows, 1)
        self.ids = len(alive)
        self.live = int(np.count_nonzero(alive))
        # Empty rows of nobody are all alike, and need no memory for each.
        self.partitions = <uint64_t>cnp.PyArray_DIM(rows, 0) if self.width or self.live else 1
        self.row = <const uint32_t *>cnp.PyArray_DATA(rows)
        self.live_node = <const uint8_t *>cnp.PyArray_DATA(alive)
        self.weight = <const double *>cnp.PyArray_DATA(weights)
        self.name_hash = <const uint64_t *>cnp.PyArray_DATA(name_hashes)
        self.name_rank = <const uint32_t *>cnp.PyArray_DATA(name_ranks)
        if before is not None and before.rows is rows and before.live and self.live and before.ids == self.ids:
            self.owners = before.owners.copy()
            self.owner = <uint32_t *>cnp.PyArray_DATA(self.owners)
            self.update_owners(before.owner, before.live_node)
        else:
            self.owners = np.empty(self.partitions, np.uint32)
            self.owner = <uint32_t *>cnp.PyArray_DATA(self.owners)
            self.compile_owners()
        if self.ids < MOST_SLIM_IDS and self.live:
            self.slim_array = self.owners.astype(np.uint16)
            self.slim_owner = <const uint16_t *>cnp.PyArray_DATA(self.slim_array)

    cdef bint score_node(self, uint64_t partition, uint32_t node, double limit, Score *out) noexcept nogil:
        """The node's rendezvous score for the partition; False when it may not own keys or is above the limit."""
        cdef unsigned char[16] pair
        cdef double u
        if not self.live_node[node]:
            return False
        store64(pair, partition)
        store64(pair + 8, self.name_hash[node])
        u = (<double>(xxh3_bytes(pair, 16, 0, NULL) >> 11) + 0.5) / TWO_53
        if 0.999 * (1.0 - u) > limit * self.weight[node]:  # -ln(u) >= 1 - u: most nodes need no logarithm
            return False
        out.score = -natural_log(u) / self.weight[node]
        out.rank = self.name_rank[node]
        out.node = node
        return True

    cdef uint32_t best_other(self, uint64_t partition, const uint8_t *taken) noexcept nogil:
        """The first node by rendezvous; `taken`, where it is given, marks those that do not count."""
        cdef Score best, one
        cdef uint32_t node
        best.node = NO_NODE
        best.score = INFINITY
        for node in range(<uint32_t>self.ids):
            if (taken == NULL or not taken[node]) and self.score_node(partition, node, best.score, &one):
                if best.node == NO_NODE or before_in_order(&one, &best):
                    best = one
        return best.node

    cdef uint32_t first_in_row(self, uint64_t partition) noexcept nogil:
        cdef Py_ssize_t rank
        cdef uint32_t node
        for rank in range(self.width):
            node = self.row[<Py_ssize_t>partition * self.width + rank]
            if self.live_node[node]:
                return node
        return NO_NODE

    cdef void compile_owners(self) noexcept nogil:
        cdef uint64_t partition
        for partition in range(self.partitions):
            self.owner[partition] = self.first_in_row(partition)
            if self.owner[partition] == NO_NODE and self.live:
                self.owner[partition] = self.best_other(partition, NULL)

    cdef void update_owners(self, const uint32_t *old, const uint8_t *old_alive) noexcept nogil:
        """As `compile_owners`, scoring only the nodes that came up while a fallback owner stands."""
        cdef uint64_t partition
        cdef uint32_t node, first
        cdef Score best, one
        cdef bint came_up = False
        for node in range(<uint32_t>self.ids):
            if self.live_node[node] and not old_alive[node]:
                came_up = True
        for partition in range(self.partitions):
            first = self.first_in_row(partition)
            if first != NO_NODE:
                self.owner[partition] = first
            elif self.in_row(partition, old[partition]) or not self.live_node[old[partition]]:
                self.owner[partition] = self.best_other(partition, NULL)
            elif came_up:  # the fallback owner of before lives on: only newcomers can beat it
                self.score_node(partition, old[partition], INFINITY, &best)
                for node in range(<uint32_t>self.ids):
                    if (not old_alive[node] and self.score_node(partition, node, best.score, &one)
                            and before_in_order(&one, &best)):
                        best = one
                self.owner[partition] = best.node

    cdef bint in_row(self, uint64_t partition, uint32_t node) noexcept nogil:
        cdef Py_ssize_t rank
        for rank in range(self.width):
            if self.row[<Py_ssize_t>partition * self.width + rank] == node:
                return True
        return False

    cdef uint32_t lookup(self, uint64_t h) noexcept nogil:
        return self.owner[mul_high(h, self.partitions)]

    cdef void lookup_narrow(self, const uint64_t *h, Py_ssize_t count, uint16_t *out) noexcept nogil:
        cdef Py_ssize_t ahead = AHEAD_HASHES if count > BLOCK else 0
        kernels.look_up_partitions(h, count, ahead, self.slim_owner, self.partitions, out)

    cdef void lookup_block(self, const uint64_t *h, Py_ssize_t count, uint32_t *out) noexcept nogil:
        cdef Py_ssize_t i, ahead = AHEAD_HASHES if count > BLOCK else 0
        if self.slim_owner != NULL:
            kernels.look_up_partitions_wide(h, count, ahead, self.slim_owner, self.partitions, out)
            return
        for i in range(count):
            out[i] = self.lookup(h[i])

    cdef Py_ssize_t scratch_size(self) noexcept nogil:
        return self.ids * <Py_ssize_t>(sizeof(Score) + 1)

    cdef Py_ssize_t walk(self, uint64_t h, Py_ssize_t count, uint32_t *out, uint8_t *scratch) noexcept nogil:
        cdef uint64_t partition = mul_high(h, self.partitions)
        cdef Score *heap = <Score *>scratch
        cdef uint8_t *taken = scratch + self.ids * <Py_ssize_t>sizeof(Score)
        cdef Py_ssize_t found = 0, size = 0, i
        cdef uint32_t node
        count = min(count, self.live)
        for i in range(self.width):
            node = self.row[<Py_ssize_t>partition * self.width + i]
            if found < count and self.live_node[node]:
                taken[node] = 1
                out[found] = node
                found += 1
        if found + 1 == count:
            out[found] = self.best_other(partition, taken)
        elif found < count:
            for node in range(<uint32_t>self.ids):
                if not taken[node] and self.score_node(partition, node, INFINITY, &heap[size]):
                    size += 1
            for i in range(size // 2 - 1, -1, -1):
                sift_down(heap, i, size)
        for i in range(min(found, self.width)):
            taken[out[i]] = 0
        if found + 1 == count:
            return count
        while found < count:
            out[found] = heap[0].node
            found += 1
            size -= 1
            heap[0] = heap[size]
            sift_down(heap, 0, size)
        return found

    def bounds(self):
        """The inclusive ends of all partitions: ndarray of uint64, shape (partitions,)."""
        # Partition p starts at ceil(p * 2^64 / n) = p * quotient + ceil(p * rest / n), modulo 2^64.
        quotient, rest = divmod(1 << 64, self.partitions)
        after = np.arange(1, self.partitions + 1, dtype=np.uint64)
        return after * np.uint64(quotient & 0xFFFFFFFFFFFFFFFF) + (after * np.uint64(rest) + np.uint64(self.partitions - 1)) // np.uint64(
            self.partitions) - np.uint64(1)

    def arcs(self):
        last = np.append(self.owners[1:] != self.owners[:len(self.owners) - 1], True)
        return self.bounds()[last], self.owners[last]
