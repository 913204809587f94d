"""Arcs: what differs between two tables, and the columns of owners that follow from it."""
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from .cpu cimport kernels
from .kernels cimport AHEAD_HASHES, MOST_AT_ONCE
from .mix cimport rw_prefetch
from .parallel cimport Loop, checked_threads
from .table cimport NO_NODE

cimport numpy as cnp

cnp.import_array()

ctypedef fused id_type:
    uint16_t
    uint32_t
    int64_t

cdef enum:
    SUSPECT_BITS = 18  # 2^18 bits are 32 KiB: they stay in L1 beside the stream of hashes
    FEW_SOURCES = 4  # up to this many, scanning the ids beats testing the hashes
    MOST_HITS = 128  # found at a time: their hashes are then on their way from memory
    AHEAD_HITS = 32  # ids on their way while others are written
    TEST_SPEED = 2  # of testing hashes, and of scanning ids, beside assigning keys: see `checked_threads`
    SCAN_SPEED = 32
    FEW_MOVES = 1 << 16  # up to this many, one thread writes them
    PIECE = 1 << 22  # keys that are tested before signals are

ARC = np.dtype([("start", np.uint64), ("end", np.uint64), ("source", np.uint64), ("target", np.uint64)])


def difference(const uint64_t[::1] ends_before, const uint32_t[::1] owners_before,
               const uint64_t[::1] ends_after, const uint32_t[::1] owners_after):
    """Where two divisions of the hash space name different owners.

    Parameters
    ----------
    ends_before, ends_after : ndarray of uint64, shape (n,), (m,)
        Rising inclusive ends of ranges, the last one 2^64 - 1.
    owners_before, owners_after : ndarray of uint32, shape (n,), (m,)

    Returns
    -------
    ndarray of ARC, shape (k,)
        Sorted ranges with both ends inclusive, neighbours of the same move joined.
    """
    cdef Py_ssize_t i = 0, j = 0, found = 0
    cdef uint64_t start = 0, end
    cdef uint64_t[:, ::1] out
    room = np.empty((len(ends_before) + len(ends_after), 4), np.uint64)
    out = room
    with nogil:
        while True:
            end = min(ends_before[i], ends_after[j])
            if owners_before[i] != owners_after[j]:
                if (found and start and out[found - 1, 1] == start - 1
                        and out[found - 1, 2] == owners_before[i] and out[found - 1, 3] == owners_after[j]):
                    out[found - 1, 1] = end
                else:
                    out[found, 0] = start
                    out[found, 1] = end
                    out[found, 2] = owners_before[i]
                    out[found, 3] = owners_after[j]
                    found += 1
            if end == <uint64_t>0xFFFFFFFFFFFFFFFF:
                break
            if ends_before[i] == end:
                i += 1
            if ends_after[j] == end:
                j += 1
            start = end + 1
    return room[:found].copy().view(ARC).reshape(found)


cdef struct Moves:  # a growing list of what changes in a chunk, so that nothing is written before all is known
    int64_t *indices  # in the chunk
    uint32_t *targets
    Py_ssize_t count
    Py_ssize_t room
    Py_ssize_t before  # how many there are in the chunks before this one


cdef bint push(Moves *moves, Py_ssize_t index, uint64_t target) noexcept nogil:
    cdef Py_ssize_t room
    cdef void *bigger
    if moves.count == moves.room:
        room = max(<Py_ssize_t>1024, 2 * moves.room)
        bigger = realloc(moves.indices, <size_t>room * sizeof(int64_t))
        if bigger == NULL:
            return False
        moves.indices = <int64_t *>bigger
        bigger = realloc(moves.targets, <size_t>room * sizeof(uint32_t))
        if bigger == NULL:
            return False
        moves.targets = <uint32_t *>bigger
        moves.room = room
    moves.indices[moves.count] = index
    moves.targets[moves.count] = <uint32_t>target
    moves.count += 1
    return True


cdef class ArcIndex:
    """Arcs, arranged so that a column of hashes or owners finds its moved keys in one pass.

    Parameters
    ----------
    arcs : ndarray of ARC, shape (k,)
        As `difference` returns them.

    Attributes
    ----------
    largest : int
        The largest node id among their sources and targets; 0 where there is none.
    """

    cdef const uint64_t[:, ::1] arcs
    cdef readonly uint64_t largest
    cdef uint64_t[FEW_SOURCES] sources
    cdef int source_count  # one more than FEW_SOURCES where there are more
    cdef bint few_sources
    cdef object bitmap_array, first_array
    cdef uint32_t *bitmap  # hash's top bits → may it be in an arc?
    cdef uint32_t *first  # hash's top bits → the first arc that may hold it
    cdef int shift
    cdef Py_ssize_t size

    def __cinit__(self, arcs):
        cdef int bits = 8
        self.size = len(arcs)
        self.arcs = np.ascontiguousarray(arcs).view(np.uint64).reshape(self.size, 4)
        self.bitmap_array = np.zeros(1 << (SUSPECT_BITS - 5), np.uint32)
        self.bitmap = <uint32_t *>cnp.PyArray_DATA(self.bitmap_array)
        while bits < 24 and (<Py_ssize_t>1 << bits) < 2 * self.size:
            bits += 1
        self.shift = 64 - bits
        self.first_array = np.empty(1 << bits, np.uint32)
        self.first = <uint32_t *>cnp.PyArray_DATA(self.first_array)
        with nogil:
            self.arrange(<uint64_t>1 << bits)

    cdef void arrange(self, uint64_t cells) noexcept nogil:
        cdef Py_ssize_t i
        cdef uint64_t cell = 0
        for i in range(self.size):
            self.mark(self.arcs[i, 0] >> (64 - SUSPECT_BITS), self.arcs[i, 1] >> (64 - SUSPECT_BITS))
            self.note(self.arcs[i, 2], self.arcs[i, 3])
            while cell <= self.arcs[i, 1] >> self.shift:
                self.first[cell] = <uint32_t>i
                cell += 1
        while cell < cells:
            self.first[cell] = <uint32_t>self.size
            cell += 1
        self.few_sources = self.source_count <= FEW_SOURCES

    cdef void mark(self, uint64_t bit, uint64_t last) noexcept nogil:
        """Set all bits up to the last one, a word at a time."""
        cdef uint64_t end
        while bit <= last:
            end = min(last, bit | 31)
            self.bitmap[bit >> 5] |= <uint32_t>((((<uint64_t>2 << (end - bit)) - 1) << (bit & 31)) & 0xFFFFFFFFU)
            bit = end + 1

    cdef void note(self, uint64_t source, uint64_t target) noexcept nogil:
        cdef int s = 0
        if source != NO_NODE:
            self.largest = max(self.largest, source)
        if target != NO_NODE:
            self.largest = max(self.largest, target)
        while s < min(self.source_count, <int>FEW_SOURCES) and self.sources[s] != source:
            s += 1
        if s == self.source_count or s == FEW_SOURCES:
            if s < FEW_SOURCES:
                self.sources[s] = source
            self.source_count = s + 1

    cdef Py_ssize_t find(self, uint64_t h) noexcept nogil:
        """The arc that holds h, or -1."""
        cdef Py_ssize_t i = self.first[h >> self.shift]
        while i < self.size and self.arcs[i, 1] < h:
            i += 1
        return i if i < self.size and self.arcs[i, 0] <= h else -1

    cdef Py_ssize_t suspects(self, const uint64_t *hashes, Py_ssize_t count, uint16_t *out) noexcept nogil:
        """The positions of the hashes that may be in an arc, of up to MOST_AT_ONCE; few others are among them."""
        # Most are not, but which ones cannot be foretold: no branch for a key.
        cdef const uint32_t *bitmap = self.bitmap
        cdef Py_ssize_t i, found = 0
        for i in range(count):
            if (i & 7) == 0:
                rw_prefetch(hashes + i + AHEAD_HASHES)
            out[found] = <uint16_t>i
            found += bitmap[hashes[i] >> (69 - SUSPECT_BITS)] >> (hashes[i] >> (64 - SUSPECT_BITS) & 31) & 1
        return found

    cdef bint search(self, const uint64_t *hashes, Py_ssize_t size, Moves *moves) noexcept nogil:
        cdef uint16_t[MOST_AT_ONCE] found
        cdef Py_ssize_t start = 0, i
        while start < size:
            for i in range(self.suspects(hashes + start, min(size - start, <Py_ssize_t>MOST_AT_ONCE), found)):
                if self.find(hashes[start + found[i]]) >= 0 and not push(moves, start + found[i], 0):
                    return False
            start += MOST_AT_ONCE
        return True

    def moved(self, const uint64_t[::1] hashes, threads):
        """Ascending int64 indices of the hashes that lie in an arc."""
        cdef Py_ssize_t size = hashes.shape[0]
        cdef Search search = Search(self)
        cdef Py_ssize_t shared = checked_threads(threads, size, TEST_SPEED)
        return search.found(&hashes[0] if size else NULL, size, shared)

    def apply(self, id_type[::1] ids, const uint64_t[::1] hashes, threads):
        """Write the new owners of the moved keys into `ids`; the indices written, ascending.

        A key moves when its hash lies in an arc and its id is the arc's source.
        """
        cdef Py_ssize_t size = hashes.shape[0]
        cdef Search search = Search(self)
        cdef Py_ssize_t shared = checked_threads(threads, size, SCAN_SPEED if self.few_sources else TEST_SPEED)
        if ids.shape[0] != size:
            raise ValueError(f"ids must be as many as hashes, {size} (were {ids.shape[0]})")
        search.ids = <char *>&ids[0] if size else NULL
        search.width = sizeof(id_type)
        return search.found(&hashes[0] if size else NULL, size, shared)

    cdef bint search_ids(self, id_type *ids, const uint64_t *hashes, Py_ssize_t size, Moves *moves) noexcept nogil:
        cdef int s
        if not self.few_sources:
            return self.test(ids, hashes, size, moves)
        for s in range(self.source_count):
            if not self.scan(ids, hashes, size, self.sources[s], moves):
                return False
        return True

    cdef void write(self, id_type *ids, const Moves *moves) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(moves.count):
            if i + AHEAD_HITS < moves.count:
                rw_prefetch(ids + moves.indices[i + AHEAD_HITS])
            ids[moves.indices[i]] = <id_type>moves.targets[i] if moves.targets[i] != NO_NODE else nobody(ids)

    cdef bint consider(self, id_type *ids, const uint64_t *hashes, Py_ssize_t i, Moves *moves) noexcept nogil:
        cdef Py_ssize_t arc = self.find(hashes[i])
        cdef uint64_t source
        if arc < 0:
            return True
        source = self.arcs[arc, 2]
        if ids[i] != (<id_type>source if source != NO_NODE else nobody(ids)):
            return True
        return push(moves, i, self.arcs[arc, 3])

    cdef bint test(self, id_type *ids, const uint64_t *hashes, Py_ssize_t size, Moves *moves) noexcept nogil:
        cdef uint16_t[MOST_AT_ONCE] found
        cdef Py_ssize_t start = 0, i
        while start < size:
            for i in range(self.suspects(hashes + start, min(size - start, <Py_ssize_t>MOST_AT_ONCE), found)):
                if not self.consider(ids, hashes, start + found[i], moves):
                    return False
            start += MOST_AT_ONCE
        return True

    cdef bint scan(self, id_type *ids, const uint64_t *hashes, Py_ssize_t size, uint64_t source,
                   Moves *moves) noexcept nogil:
        """The keys of one source that move."""
        # Only a hit's hash is asked for, and looked at after the next hits are found, when memory has delivered it.
        cdef Py_ssize_t[2][MOST_HITS] hits
        cdef Py_ssize_t[2] found
        cdef Py_ssize_t at = 0, i
        cdef int now = 0
        cdef id_type wanted = <id_type>source if source != NO_NODE else nobody(ids)
        found[0] = 0
        while at < size or found[now]:
            now ^= 1
            at = find(ids, at, size, wanted, hits[now], &found[now])
            for i in range(found[now]):
                rw_prefetch(hashes + hits[now][i])
            for i in range(found[now ^ 1]):
                if not self.consider(ids, hashes, hits[now ^ 1][i], moves):
                    return False
        return True


cdef inline Py_ssize_t find(const id_type *ids, Py_ssize_t start, Py_ssize_t size, id_type wanted, Py_ssize_t *hits,
                            Py_ssize_t *found) noexcept nogil:
    if id_type is uint16_t:
        return kernels.find16(ids, start, size, wanted, hits, MOST_HITS, found)
    elif id_type is uint32_t:
        return kernels.find32(ids, start, size, wanted, hits, MOST_HITS, found)
    else:
        return kernels.find64(ids, start, size, wanted, hits, MOST_HITS, found)


cdef inline id_type nobody(id_type *ids) noexcept nogil:
    """What stands for NO_NODE in ids of this type: its maximum."""
    if id_type is uint16_t:
        return 0xFFFF
    elif id_type is uint32_t:
        return 0xFFFFFFFF
    else:
        return 0x7FFFFFFFFFFFFFFF


cdef class Search(Loop):
    """What moves in a column, each chunk with a list of its own; then their new owners, if there are ids."""

    cdef ArcIndex index
    cdef const uint64_t *hashes
    cdef char *ids
    cdef Py_ssize_t width
    cdef Moves *lists
    cdef Py_ssize_t chunks
    cdef int64_t *indices  # where the result goes once all is known

    def __cinit__(self, ArcIndex index):
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
        self.plan(size if self.index.size else 0, threads)
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
        if self.ids != NULL and self.index.few_sources and self.index.source_count > 1:
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
            self.index.write(<uint16_t *>self.ids + start, moves)
        elif self.width == 4:
            self.index.write(<uint32_t *>self.ids + start, moves)
        else:
            self.index.write(<int64_t *>self.ids + start, moves)
