"""Indexes of what moved, of arcs or of partitions, and the columns of owners that follow from them."""
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from .cpu cimport kernels
from .kernels cimport MOST_AT_ONCE
from .mix cimport mul_high, rw_prefetch
from .parallel cimport Loop, checked_threads
from .partition_map cimport PartitionMap
from .pause cimport pause
from .suspects cimport COARSE_BITS, FEW, FINE_BITS, Few, Found, Moves, note, reserve, suspects
from .table cimport NO_NODE, Table

cimport numpy as cnp

cnp.import_array()

ctypedef fused id_type:
    uint16_t
    uint32_t
    int64_t

cdef enum:
    COARSE_MOST = 1 << 9  # arcs or partitions: more would mark too many coarse cells
    COMPARED = 64  # partitions that are compared at once
    TURN = 1 << 16  # and before signals are served, if it is time
    PASSES = 2  # looking for so many nodes in owners takes no longer than comparing owners
    MOST_HITS = 128  # found at a time: their hashes are then on their way from memory
    AHEAD_HITS = 32  # ids on their way while others are written
    TEST_SPEED = 2  # of testing hashes, and of scanning ids, beside assigning keys: see `checked_threads`
    SCAN_SPEED = 32
    FEW_MOVES = 1 << 16  # up to this many, one thread writes them
    PIECE = 1 << 22  # keys that are tested before signals are

ARC = np.dtype([("start", np.uint64), ("end", np.uint64), ("source", np.uint64), ("target", np.uint64)])


cdef class MoveIndex:
    """What moved, arranged so that a column of hashes or owners finds its moved keys in one pass.

    Attributes
    ----------
    largest : int
        No id of a node that keys leave or go to is larger.
    """

    cdef readonly uint64_t largest
    cdef bint filled  # False: nothing moved, and there may be no cells
    cdef bint few_sources  # all nodes that keys leave are in `sources`
    cdef Few sources
    cdef object cell_array
    cdef uint8_t *cells  # hash's top bits → whether a hash of this cell may have moved: 1 or 0
    cdef bint fine  # so many that FINE_BITS of them are needed, not COARSE_BITS

    cdef Py_ssize_t resolve(self, const uint64_t *hashes, Py_ssize_t count, Found *found) noexcept nogil:
        """Of the hashes at `count` places found, keep those that moved, with source and target; how many they are."""
        return 0

    cdef int settle(self, bint by_ids) except -1:
        """Called under the GIL before a search, which needs cells unless ids are given and sources few."""
        return 0

    def moved(self, const uint64_t[::1] hashes, threads):
        """Ascending int64 indices of the hashes that moved."""
        cdef Py_ssize_t size = hashes.shape[0], shared = checked_threads(threads, size, TEST_SPEED)
        self.settle(False)
        return Search(self).found(&hashes[0] if size else NULL, size, shared)

    def apply(self, id_type[::1] ids, const uint64_t[::1] hashes, threads):
        """Write the new owners of the moved keys into `ids`; the indices written, ascending.

        A key moves when its hash moved and its id is the one that it moved from.
        """
        cdef Py_ssize_t size = hashes.shape[0], shared
        cdef Search search = Search(self)
        if ids.shape[0] != size:
            raise ValueError(f"ids must be as many as hashes, {size} (were {ids.shape[0]})")
        self.settle(True)
        shared = checked_threads(threads, size, SCAN_SPEED if self.few_sources else TEST_SPEED)
        search.ids = <char *>&ids[0] if size else NULL
        search.width = sizeof(id_type)
        return search.found(&hashes[0] if size else NULL, size, shared)

    cdef Py_ssize_t tested(self, const uint64_t *hashes, Py_ssize_t count, Found *found) noexcept nogil:
        """Find which of up to MOST_AT_ONCE hashes moved."""
        return self.resolve(hashes, suspects(self.cells, hashes, count, self.fine, found.places), found)

    cdef bint search(self, const uint64_t *hashes, Py_ssize_t size, Moves *moves) noexcept nogil:
        cdef Found found
        cdef Py_ssize_t start = 0, count, i
        while start < size:
            count = self.tested(hashes + start, min(size - start, <Py_ssize_t>MOST_AT_ONCE), &found)
            if not reserve(moves, count):
                return False
            for i in range(count):
                moves.indices[moves.count + i] = start + found.places[i]
            moves.count += count
            start += MOST_AT_ONCE
        return True

    cdef bint search_ids(self, id_type *ids, const uint64_t *hashes, Py_ssize_t size, Moves *moves) noexcept nogil:
        cdef int s
        if not self.few_sources:
            return self.test(ids, hashes, size, moves)
        for s in range(self.sources.count):
            if not self.scan(ids, hashes, size, self.sources.ids[s], moves):
                return False
        return True

    cdef bint test(self, id_type *ids, const uint64_t *hashes, Py_ssize_t size, Moves *moves) noexcept nogil:
        cdef Found found
        cdef Py_ssize_t start = 0, count
        while start < size:
            count = self.tested(hashes + start, min(size - start, <Py_ssize_t>MOST_AT_ONCE), &found)
            if not take(ids + start, start, count, &found, moves):
                return False
            start += MOST_AT_ONCE
        return True

    cdef bint scan(self, id_type *ids, const uint64_t *hashes, Py_ssize_t size, uint64_t source,
                   Moves *moves) noexcept nogil:
        """The keys of one source that move."""
        # Only a hit's hash is asked for, and looked at after the next hits are found, when memory has delivered it.
        cdef Found[2] found
        cdef Py_ssize_t[2] hits
        cdef Py_ssize_t at = 0, i
        cdef int now = 0
        cdef id_type wanted = as_id(ids, source)
        hits[0] = 0
        while at < size or hits[now]:
            now ^= 1
            at = find(ids, at, size, wanted, found[now].places, &hits[now])
            for i in range(hits[now]):
                rw_prefetch(hashes + found[now].places[i])
            if not take(ids, 0, self.resolve(hashes, hits[now ^ 1], &found[now ^ 1]), &found[now ^ 1], moves):
                return False
        return True


cdef class ArcIndex(MoveIndex):
    """The index of arcs.

    Parameters
    ----------
    arcs : ndarray of ARC, shape (k,)
        Sorted by start, none over another.
    """

    cdef const uint64_t[:, ::1] arcs
    cdef object first_array
    cdef uint32_t *first  # hash's top bits → the first arc that may hold it
    cdef int shift
    cdef Py_ssize_t size

    def __cinit__(self, arcs):
        cdef int bits = 8
        self.size = len(arcs)
        self.filled = self.size > 0
        self.arcs = np.ascontiguousarray(arcs).view(np.uint64).reshape(self.size, 4)
        while bits < 24 and (<Py_ssize_t>1 << bits) < 2 * self.size:
            bits += 1
        self.shift = 64 - bits
        self.first_array = np.empty(1 << bits, np.uint32)
        self.first = <uint32_t *>cnp.PyArray_DATA(self.first_array)
        self.fine = self.size > COARSE_MOST
        self.cell_array = np.zeros(1 << (FINE_BITS if self.fine else COARSE_BITS), np.uint8)
        self.cells = <uint8_t *>cnp.PyArray_DATA(self.cell_array)
        with nogil:
            self.arrange(<uint64_t>1 << bits)

    cdef void arrange(self, uint64_t ranges) noexcept nogil:
        cdef Py_ssize_t i
        cdef uint64_t r = 0, end
        cdef int k, cell_shift = 64 - (FINE_BITS if self.fine else COARSE_BITS)
        for i in range(self.size):
            end = self.arcs[i, 1]
            mark(self.cells, self.arcs[i, 0] >> cell_shift, end >> cell_shift)
            note(&self.sources, self.arcs[i, 2])
            for k in range(2, 4):
                if self.arcs[i, k] != NO_NODE:
                    self.largest = max(self.largest, self.arcs[i, k])
            while r <= end >> self.shift:
                self.first[r] = <uint32_t>i
                r += 1
        while r < ranges:
            self.first[r] = <uint32_t>self.size
            r += 1
        self.few_sources = self.sources.count <= FEW

    cdef Py_ssize_t resolve(self, const uint64_t *hashes, Py_ssize_t count, Found *found) noexcept nogil:
        cdef Py_ssize_t i, arc, kept = 0
        cdef uint64_t h
        for i in range(count):
            h = hashes[found.places[i]]
            arc = self.first[h >> self.shift]
            while arc < self.size and self.arcs[arc, 1] < h:
                arc += 1
            if arc < self.size and self.arcs[arc, 0] <= h:
                found.places[kept] = found.places[i]
                found.sources[kept] = <uint32_t>self.arcs[arc, 2]
                found.targets[kept] = <uint32_t>self.arcs[arc, 3]
                kept += 1
        return kept


def table_index(Table before not None, Table after not None):
    """The index of what differs between two tables, found without arcs; None where it takes arcs."""
    if before is after or not (isinstance(before, PartitionMap) and isinstance(after, PartitionMap)):
        return None
    return PartitionIndex(before, after) if comparable(before, after) else None


cdef bint comparable(PartitionMap before, PartitionMap after) noexcept:
    return before.partitions == after.partitions and before.slim_owner != NULL and after.slim_owner != NULL


cdef class PartitionIndex(MoveIndex):
    """The index of two tables of partitions, which asks both for the owner of a hash that may have moved.

    Parameters
    ----------
    before, after : PartitionMap
        Of equally many partitions, with slim owners.
    """

    cdef PartitionMap before, after
    cdef Few fallen, risen
    cdef bint marked  # all that differs is what these had before, or have now

    def __cinit__(self, PartitionMap before not None, PartitionMap after not None):
        if not comparable(before, after):
            raise ValueError("before and after must be of equally many partitions, with slim owners")
        self.before = before
        self.after = after
        self.filled = True
        self.largest = max(before.ids, after.ids) - 1
        if before.rows is after.rows and before.weights is after.weights and before.name_hashes is after.name_hashes:
            self.compare_liveness()

    cdef void compare_liveness(self) noexcept:
        """Whoever goes down loses all it had, whoever comes up gains all it has then, and nobody else does either."""
        cdef Py_ssize_t node
        cdef const uint8_t *old = self.before.live_node
        cdef const uint8_t *new = self.after.live_node
        for node in range(self.before.ids):
            if old[node] != new[node]:
                note(&self.risen if new[node] else &self.fallen, node)
        self.marked = self.risen.count + self.fallen.count <= PASSES
        if self.risen.count == 0 and self.fallen.count <= FEW:
            self.sources = self.fallen
            self.few_sources = True

    cdef Py_ssize_t resolve(self, const uint64_t *hashes, Py_ssize_t count, Found *found) noexcept nogil:
        cdef const uint32_t *old = self.before.owner
        cdef const uint32_t *new = self.after.owner
        cdef uint64_t n = self.before.partitions, partition
        cdef Py_ssize_t i, kept = 0
        for i in range(count):  # without a branch
            partition = mul_high(hashes[found.places[i]], n)
            found.places[kept] = found.places[i]
            found.sources[kept] = old[partition]
            found.targets[kept] = new[partition]
            kept += old[partition] != new[partition]
        return kept

    cdef int settle(self, bint by_ids) except -1:
        cdef Few sources
        cdef Py_ssize_t changed
        cdef bint fine = False
        if self.cells != NULL or (by_ids and self.few_sources):
            return 0
        cell_array = np.zeros(1 << COARSE_BITS, np.uint8)
        changed = self.mark_cells(cell_array, COARSE_BITS, &sources)
        if changed > COARSE_MOST:
            fine = True
            cell_array = np.zeros(1 << FINE_BITS, np.uint8)
            self.mark_cells(cell_array, FINE_BITS, &sources)
        if self.cells == NULL:  # no other thread has come first
            if not self.few_sources:  # else others may be reading them
                self.sources = sources
                self.few_sources = sources.count <= FEW
            self.fine = fine
            self.cell_array = cell_array
            self.cells = <uint8_t *>cnp.PyArray_DATA(cell_array)
        return 0

    cdef Py_ssize_t mark_cells(self, cell_array, int bits, Few *sources) except -1:
        """Mark the cells of all partitions whose owners differ, and note the owners before; how many they are."""
        cdef uint8_t *cells = <uint8_t *>cnp.PyArray_DATA(cell_array)
        cdef Py_ssize_t changed = 0
        cdef int k
        sources.count = 0
        with nogil:
            if not self.marked:
                return self.compare(cells, bits, sources)
            for k in range(self.fallen.count):
                changed += self.look_for(self.fallen.ids[k], self.before.slim_owner, cells, bits, sources)
            for k in range(self.risen.count):
                changed += self.look_for(self.risen.ids[k], self.after.slim_owner, cells, bits, sources)
        return changed

    cdef Py_ssize_t compare(self, uint8_t *cells, int bits, Few *sources) except -1 nogil:
        cdef const uint16_t *old = self.before.slim_owner
        cdef const uint16_t *new = self.after.slim_owner
        cdef Py_ssize_t n = <Py_ssize_t>self.before.partitions, p, start = 0, end, changed = 0
        cdef int64_t paused = 0
        cdef uint16_t differ
        while start < n:
            if start % TURN == 0:
                pause(&paused)
            end = min(n, start + COMPARED)
            differ = 0
            for p in range(start, end):
                differ |= old[p] ^ new[p]
            if differ:
                for p in range(start, end):
                    if old[p] != new[p]:
                        changed += self.mark_partition(p, cells, bits, sources)
            start = end
        return changed

    cdef Py_ssize_t look_for(self, uint64_t node, const uint16_t *owners, uint8_t *cells, int bits,
                             Few *sources) noexcept nogil:
        cdef Py_ssize_t[MOST_HITS] hits
        cdef Py_ssize_t n = <Py_ssize_t>self.before.partitions, at = 0, found, i, changed = 0
        while at < n:
            at = kernels.find16(owners, at, n, <uint16_t>node, hits, MOST_HITS, &found)
            for i in range(found):
                changed += self.mark_partition(hits[i], cells, bits, sources)
        return changed

    cdef inline bint mark_partition(self, Py_ssize_t partition, uint8_t *cells, int bits, Few *sources) noexcept nogil:
        """Do so where its owner changed."""
        cdef uint64_t p = <uint64_t>partition, n = self.before.partitions
        if self.before.owner[p] == self.after.owner[p]:
            return False
        mark(cells, (p << bits) // n, (((p + 1) << bits) - 1) // n)
        note(sources, self.before.owner[p])
        return True


cdef inline void mark(uint8_t *cells, uint64_t cell, uint64_t last) noexcept nogil:
    if cell <= last:
        memset(cells + cell, 1, <size_t>(last - cell + 1))


cdef inline bint take(id_type *ids, Py_ssize_t start, Py_ssize_t count, const Found *found,
                      Moves *moves) noexcept nogil:
    """Of `count` hashes that moved, the keys whose ids, from `start` on, say so; False: no memory."""
    cdef Py_ssize_t i, kept = moves.count
    if not reserve(moves, count):
        return False
    for i in range(count):
        moves.indices[kept] = start + found.places[i]
        moves.targets[kept] = found.targets[i]
        kept += ids[found.places[i]] == as_id(ids, found.sources[i])
    moves.count = kept
    return True


cdef inline void write(id_type *ids, const Moves *moves) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(moves.count):
        if i + AHEAD_HITS < moves.count:
            rw_prefetch(ids + moves.indices[i + AHEAD_HITS])
        ids[moves.indices[i]] = as_id(ids, moves.targets[i])


cdef inline Py_ssize_t find(const id_type *ids, Py_ssize_t start, Py_ssize_t size, id_type wanted, Py_ssize_t *hits,
                            Py_ssize_t *found) noexcept nogil:
    if id_type is uint16_t:
        return kernels.find16(ids, start, size, wanted, hits, MOST_HITS, found)
    elif id_type is uint32_t:
        return kernels.find32(ids, start, size, wanted, hits, MOST_HITS, found)
    else:
        return kernels.find64(ids, start, size, wanted, hits, MOST_HITS, found)


cdef inline id_type as_id(id_type *ids, uint64_t node) noexcept nogil:
    """The node in ids of this type, whose maximum stands for NO_NODE."""
    if node != NO_NODE:
        return <id_type>node
    if id_type is uint16_t:
        return 0xFFFF
    elif id_type is uint32_t:
        return 0xFFFFFFFF
    else:
        return 0x7FFFFFFFFFFFFFFF


cdef class Search(Loop):
    """What moves in a column, each chunk with a list of its own; then their new owners, if there are ids."""

    cdef MoveIndex index
    cdef const uint64_t *hashes
    cdef char *ids
    cdef Py_ssize_t width
    cdef Moves *lists
    cdef Py_ssize_t chunks
    cdef int64_t *indices  # where the result goes once all is known

    def __cinit__(self, MoveIndex index):
        self.index = index

    def __dealloc__(self):
        cdef Py_ssize_t k
        for k in range(self.chunks):
            free(self.lists[k].indices)
            free(self.lists[k].targets)
        free(self.lists)

    cdef object found(self, const uint64_t *hashes, Py_ssize_t size, Py_ssize_t threads):
        cdef Py_ssize_t k, total = 0
        self.hashes = hashes
        self.plan(size if self.index.filled else 0, threads)
        if self.threads == 1:
            self.chunk = min(self.chunk, <Py_ssize_t>PIECE)
        self.lists = <Moves *>calloc(<size_t>(self.size // self.chunk + 1), sizeof(Moves))
        if self.lists == NULL:
            raise MemoryError
        self.chunks = self.size // self.chunk + 1
        self.each()
        self.deaf = True  # from here on all or nothing is written
        for k in range(self.chunks):
            self.lists[k].before = total
            total += self.lists[k].count
        out = np.empty(total, np.int64)
        self.indices = <int64_t *>cnp.PyArray_DATA(out)
        if total > FEW_MOVES and self.threads > 1:
            self.go()
        else:
            for k in range(self.chunks):
                self.write(k)
        if self.ids != NULL and self.index.few_sources and self.index.sources.count > 1:
            out.sort()  # each chunk was scanned for one source after another
        return out

    cdef int each(self) except -1:
        cdef Py_ssize_t start = 0
        cdef int64_t last = 0
        if self.threads > 1:
            return self.go()
        with nogil:
            while start < self.size:
                self.listen(&last)
                self.run(start, min(self.chunk, self.size - start))
                start += self.chunk
        return 0

    cdef int run(self, Py_ssize_t start, Py_ssize_t count) except -1 nogil:
        if self.indices != NULL:
            self.write(start // self.chunk)
        elif not self.search(start, count, self.lists + start // self.chunk):
            with gil:
                raise MemoryError
        return 0

    cdef bint search(self, Py_ssize_t start, Py_ssize_t count, Moves *moves) noexcept nogil:
        cdef const uint64_t *hashes = self.hashes + start
        if self.ids == NULL:
            return self.index.search(hashes, count, moves)
        if self.width == 2:
            return self.index.search_ids(<uint16_t *>self.ids + start, hashes, count, moves)
        if self.width == 4:
            return self.index.search_ids(<uint32_t *>self.ids + start, hashes, count, moves)
        return self.index.search_ids(<int64_t *>self.ids + start, hashes, count, moves)

    cdef void write(self, Py_ssize_t k) noexcept nogil:
        cdef Py_ssize_t i, start = k * self.chunk
        cdef const Moves *moves = self.lists + k
        for i in range(moves.count):
            self.indices[moves.before + i] = start + moves.indices[i]
        if self.ids == NULL:
            return
        if self.width == 2:
            write(<uint16_t *>self.ids + start, moves)
        elif self.width == 4:
            write(<uint32_t *>self.ids + start, moves)
        else:
            write(<int64_t *>self.ids + start, moves)
