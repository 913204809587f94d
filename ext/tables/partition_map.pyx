"""The partition map: partition = (hash * partitions) >> 64, then one array look-up.

The rows say which nodes hold a partition; liveness only filters them. The other live nodes
follow as stand-ins: where there are many ids, first those that are drawn. Draw j of partition p
is x = splitmix64 of 2^7 p + j; its highest bits name an id, and the draw counts when that node is
live and x mod 2^32 is below 2^32 weight / heaviest. So the first one is live node i with a
probability in proportion to its weight, for the price of one draw by live node in so many ids.
Then, and where ids are few, those that are left by weighted rendezvous of (partition, name): the
smallest -ln(u) / weight first, u in (0, 1) from the hash of the pair.
Liveness changes neither draws nor scores, so a node that fails moves only what it had.
Sources: Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (2005), section 3;
Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (2014): splitmix64.
"""
import numpy as np

from libc.math cimport INFINITY, frexp, ldexp
from libc.stdint cimport int64_t
from .cpu cimport kernels
from .kernels cimport AHEAD_HASHES, BLOCK
from .mix cimport mul_high
from .pause cimport pause
from .table cimport NO_NODE
from .xxh3 cimport finish_9to16, flip_9to16_high, flip_9to16_low

cimport numpy as cnp

cnp.import_array()

cdef enum:
    MOST_SLIM_IDS = 0x10000
    FEW_IDS = 128  # up to this many, scoring all nodes is as fast as drawing some
    TURN = 1 << 12  # partitions between two looks at the clock
    DRAWS = 128  # at most, for all stand-ins of a partition: with one id in ten live, one in 10^6 needs scores

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


cdef inline uint64_t draw(uint64_t partition, uint32_t attempt) noexcept nogil:
    cdef uint64_t x = (partition * DRAWS + attempt + 1) * <uint64_t>0x9E3779B97F4A7C15
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


def draw_chances(const double[::1] weights, const uint8_t[::1] alive):
    """id → how many of 2^32 draws of it count, for a power of two of ids: ndarray of uint32.

    The heaviest member's weight is rounded up to a power of two, so that few changes of weights change the others'.
    """
    cdef Py_ssize_t i, size = weights.shape[0]
    cdef double heaviest = 0
    cdef int exponent
    if alive.shape[0] != size:
        raise ValueError(f"alive must be as many as weights, {size} (was {alive.shape[0]})")
    chances = np.zeros(1 << max(size - 1, 1).bit_length(), np.uint32)
    cdef uint32_t[::1] chance = chances
    for i in range(size):
        heaviest = max(heaviest, weights[i])
    if frexp(heaviest, &exponent) == 0.5:  # a power of two itself
        exponent -= 1
    for i in range(size):
        if alive[i]:
            chance[i] = <uint32_t>min(ldexp(weights[i], 32 - exponent), 4294967295.0)
    return chances


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
    zones : ndarray of uint32, shape (ids,), optional
        A number for each id's zone, from 0. Stand-ins for nodes of a row then come from the zones
        that have the fewest of its candidates. It orders replicas, not owners.
    whole : bool
        Whether it is known that all nodes in the rows are live.
    """

    def __cinit__(self, rows, alive, weights, name_hashes, name_ranks, PartitionMap before=None, zones=None, bint whole=False):
        cdef const uint32_t[:, ::1] row_view = rows  # buffers of any other type or shape end here
        cdef const uint32_t[::1] rank_view = name_ranks
        cdef const uint64_t[::1] hash_view = name_hashes
        cdef const uint8_t[::1] alive_view = alive
        cdef const double[::1] weight_view = weights
        cdef const uint32_t[::1] zone_view = zones
        cdef bint updated
        if not len(alive) == len(weights) == len(name_hashes) == len(name_ranks) == len(alive if zones is None else zones):
            raise ValueError(f"weights, name_hashes, name_ranks and zones must be as many as ids, {len(alive)}")
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
        self.zones = zones
        self.prepare_stand_ins()
        updated = (before is not None and before.rows is rows and before.weights is weights and before.live and self.live
                   and before.ids == self.ids)
        if self.width == 1 and (whole or self.all_live()):
            self.owners = rows.reshape(-1)  # the same memory
            self.owner = <uint32_t *>cnp.PyArray_DATA(self.owners)
        else:
            self.owners = np.empty(self.partitions, np.uint32)
            self.owner = <uint32_t *>cnp.PyArray_DATA(self.owners)
            with nogil:
                if updated:
                    self.update_owners(before.owner, before.live_node)
                else:
                    self.compile_owners()
        if self.ids < MOST_SLIM_IDS and self.live:
            self.slim_array = self.owners.astype(np.uint16)
            self.slim_owner = <const uint16_t *>cnp.PyArray_DATA(self.slim_array)

    cdef bint all_live(self) noexcept:
        """Whether the first node of every row is live, and so its owner."""
        cdef uint8_t live = 1
        cdef uint64_t partition
        cdef const uint8_t *live_node = self.live_node
        cdef const uint32_t *row = self.row
        with nogil:
            for partition in range(self.partitions):
                live &= live_node[row[partition]]
        return live

    cdef void prepare_stand_ins(self):
        """The arrays that stand-ins are found by."""
        cdef Py_ssize_t i
        cdef uint32_t zone
        cdef uint32_t *count
        self.live_array = np.flatnonzero(self.alive).astype(np.uint32)
        self.live_id = <const uint32_t *>cnp.PyArray_DATA(self.live_array)
        if self.ids > FEW_IDS and self.width:  # without rows all is up to the names, whatever their ids
            self.chance_array = draw_chances(self.weights, self.alive)
            self.chance = <const uint32_t *>cnp.PyArray_DATA(self.chance_array)
            self.draw_shift = 65 - int(len(self.chance_array)).bit_length()
        if self.zones is None or not self.live:
            return
        self.zone = <const uint32_t *>cnp.PyArray_DATA(self.zones)
        for i in range(self.ids):
            self.zone_count = max(self.zone_count, <Py_ssize_t>self.zone[i] + 1)
        in_zone = np.zeros(self.zone_count, np.uint32)
        count = <uint32_t *>cnp.PyArray_DATA(in_zone)
        for i in range(self.live):
            zone = self.zone[self.live_id[i]]
            count[zone] += 1
            self.live_zones += count[zone] == 1
        if self.live_zones < self.live:  # else no two nodes can be of one zone
            self.zone_live_array = in_zone
            self.zone_live = count

    cdef bint score_node(self, uint64_t partition, uint32_t node, double limit, Score *out) noexcept nogil:
        """The node's rendezvous score for the partition; False when it may not own keys or is above the limit."""
        cdef double u
        if not self.live_node[node]:
            return False
        # The XXH3-64 of both numbers' 16 bytes, little-endian.
        u = (<double>(finish_9to16(partition ^ flip_9to16_low(0), self.name_hash[node] ^ flip_9to16_high(0), 16) >> 11)
             + 0.5) / TWO_53
        if 0.999 * (1.0 - u) > limit * self.weight[node]:  # -ln(u) >= 1 - u: most nodes need no logarithm
            return False
        out.score = -natural_log(u) / self.weight[node]
        out.rank = self.name_rank[node]
        out.node = node
        return True

    cdef inline bint excluded(self, uint32_t node, const Taken *taken) noexcept nogil:
        return taken.node[node] or (taken.in_zone != NULL and taken.in_zone[self.zone[node]] > taken.most)

    cdef uint32_t drawn(self, uint64_t partition, const Taken *taken, uint32_t *attempt) noexcept nogil:
        """The next node that is drawn and still counts, from `attempt` on; NO_NODE when all draws are done."""
        cdef uint64_t x
        cdef uint32_t node
        while attempt[0] < DRAWS:
            x = draw(partition, attempt[0])
            attempt[0] += 1
            node = <uint32_t>(x >> self.draw_shift)
            if <uint32_t>x < self.chance[node] and not (taken != NULL and self.excluded(node, taken)):
                return node
        return NO_NODE

    cdef uint32_t best_other(self, uint64_t partition, const Taken *taken) noexcept nogil:
        """The first node by rendezvous; `taken`, where it is given, says which do not count."""
        cdef Score best, one
        cdef uint32_t node
        cdef Py_ssize_t i
        best.node = NO_NODE
        best.score = INFINITY
        for i in range(self.live):
            node = self.live_id[i]
            if (taken == NULL or not self.excluded(node, taken)) and self.score_node(partition, node, best.score, &one):
                if best.node == NO_NODE or before_in_order(&one, &best):
                    best = one
        return best.node

    cdef uint32_t next_other(self, uint64_t partition, const Taken *taken) noexcept nogil:
        """The first stand-in that still counts."""
        cdef uint32_t attempt = 0, node = NO_NODE
        if self.chance != NULL:
            node = self.drawn(partition, taken, &attempt)
        return node if node != NO_NODE else self.best_other(partition, taken)

    cdef uint32_t first_in_row(self, uint64_t partition) noexcept nogil:
        cdef Py_ssize_t rank
        cdef uint32_t node
        for rank in range(self.width):
            node = self.row[<Py_ssize_t>partition * self.width + rank]
            if self.live_node[node]:
                return node
        return NO_NODE

    cdef int compile_owners(self) except -1 nogil:
        cdef uint64_t partition
        cdef uint32_t node
        cdef const uint8_t *live_node = self.live_node  # names of their own stay in registers
        cdef const uint32_t *row = self.row
        cdef uint32_t *owner = self.owner
        cdef int64_t paused = 0
        for partition in range(self.partitions):
            if partition % TURN == 0:
                pause(&paused)
            node = row[<Py_ssize_t>partition * self.width] if self.width else NO_NODE
            if node == NO_NODE or not live_node[node]:
                node = self.first_in_row(partition)
                if node == NO_NODE and self.live:
                    node = self.next_other(partition, NULL)
            owner[partition] = node

    cdef int update_owners(self, const uint32_t *old, const uint8_t *old_alive) except -1 nogil:
        """As `compile_owners`, asking only the nodes that came up while a stand-in lives on."""
        cdef uint64_t partition
        cdef uint32_t node, first
        cdef Score best, one
        cdef bint came_up = False
        cdef int64_t paused = 0
        for node in range(<uint32_t>self.ids):
            if self.live_node[node] and not old_alive[node]:
                came_up = True
        for partition in range(self.partitions):
            if partition % TURN == 0:
                pause(&paused)
            first = self.first_in_row(partition)
            if first != NO_NODE:
                self.owner[partition] = first
            elif self.in_row(partition, old[partition]) or not self.live_node[old[partition]]:
                self.owner[partition] = self.next_other(partition, NULL)
            elif not came_up:
                self.owner[partition] = old[partition]
            elif self.chance != NULL:
                self.owner[partition] = self.next_other(partition, NULL)
            else:  # only newcomers can beat the stand-in of before
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
        return self.ids * <Py_ssize_t>(sizeof(Score) + 1) + (self.zone_count + 1) * <Py_ssize_t>sizeof(uint32_t)

    cdef Py_ssize_t walk(self, uint64_t h, Py_ssize_t count, uint32_t *out, uint8_t *scratch) noexcept nogil:
        cdef uint64_t partition = mul_high(h, self.partitions)
        cdef Score *heap = <Score *>scratch
        cdef Taken taken
        cdef Py_ssize_t found = 0, i
        cdef uint32_t node
        taken.in_zone = NULL
        taken.node = scratch + self.ids * <Py_ssize_t>sizeof(Score) + (self.zone_count + 1) * <Py_ssize_t>sizeof(uint32_t)
        count = min(count, self.live)
        for i in range(self.width):
            node = self.row[<Py_ssize_t>partition * self.width + i]
            if found < count and self.live_node[node]:
                taken.node[node] = 1
                out[found] = node
                found += 1
        if found < min(count, self.width) and self.zone_live != NULL:
            taken.in_zone = <uint32_t *>(scratch + self.ids * <Py_ssize_t>sizeof(Score))
            found = self.stand_in(partition, found, min(count, self.width), out, &taken)
            taken.in_zone = NULL
        if found < count:
            found = self.rest(partition, found, count, out, &taken, heap)
        for i in range(found):
            taken.node[out[i]] = 0
        return found

    cdef Py_ssize_t stand_in(self, uint64_t partition, Py_ssize_t found, Py_ssize_t wanted, uint32_t *out,
                             Taken *taken) noexcept nogil:
        """Complete a row of `wanted` live nodes, each from a zone that has the fewest of them; how many there are then."""
        cdef Py_ssize_t i, zones = 0
        cdef uint32_t zone
        for i in range(found):
            zone = self.zone[out[i]]
            zones += taken.in_zone[zone] == 0
            taken.in_zone[zone] += 1
        while found < wanted:
            taken.most = 0
            if zones == self.live_zones:
                taken.most = NO_NODE
                for i in range(found):
                    zone = self.zone[out[i]]
                    if taken.in_zone[zone] < self.zone_live[zone]:
                        taken.most = min(taken.most, taken.in_zone[zone])
            out[found] = self.next_other(partition, taken)
            zone = self.zone[out[found]]
            zones += taken.in_zone[zone] == 0
            taken.in_zone[zone] += 1
            taken.node[out[found]] = 1
            found += 1
        for i in range(found):
            taken.in_zone[self.zone[out[i]]] = 0
        return found

    cdef Py_ssize_t rest(self, uint64_t partition, Py_ssize_t found, Py_ssize_t count, uint32_t *out,
                         Taken *taken, Score *heap) noexcept nogil:
        """All other stand-ins, up to `count` candidates: those that are drawn, then by rendezvous."""
        cdef uint32_t attempt = 0, node
        cdef Py_ssize_t size = 0, i
        while found < count and self.chance != NULL:
            node = self.drawn(partition, taken, &attempt)
            if node == NO_NODE:
                break
            taken.node[node] = 1
            out[found] = node
            found += 1
        if found + 1 == count:
            out[found] = self.best_other(partition, taken)
            return count
        if found == count:
            return count
        for i in range(self.live):
            node = self.live_id[i]
            if not taken.node[node] and self.score_node(partition, node, INFINITY, &heap[size]):
                size += 1
        for i in range(size // 2 - 1, -1, -1):
            sift_down(heap, i, size)
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
