"""Loops over columns of keys, a block at a time: hashes, owners, candidates.

The keys' source says what it needs: those that read Python objects run in the calling thread
with the GIL, all others without it and in as many threads as asked for.
"""
import numpy as np

from ringward.errors import ArgumentTypeError, KeyTypeError

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from .columns cimport key_source
from .cpu cimport kernels
from .hashing cimport Hasher
from .kernels cimport BLOCK, MOST_AT_ONCE, Rows
from .parallel cimport Loop, checked_threads
from .pause cimport let_others_in, rw_clock_ms
from .sources cimport plain_array
from .table cimport FETCHED, NO_NODE

cnp.import_array()

cdef enum:
    TURN = 1 << 15  # keys that are read before the source is left for others
    WALKS = 256  # the same for candidates, which may take many microseconds a key
    SMALL = 1 << 22  # keys whose owners are written at once: it takes less time than a signal may wait
    HASH_SPEED = 4  # of hashing integers alone, beside assigning them: see `checked_threads`

cdef int64_t WIDE_NO_NODE = 0x7FFFFFFFFFFFFFFF


cdef class HashSource(KeySource):
    """Hashes that are already there."""

    def __cinit__(self, hashes):
        self.hashes = hashes
        self.size = self.hashes.shape[0]
        self.ready = &self.hashes[0] if self.size else NULL


cpdef object checked_hashes(object hashes, str argument="hashes"):
    """`hashes` as a contiguous array of native uint64, or an error that names the argument."""
    plain = plain_array(hashes)
    if plain is None or plain.dtype != np.uint64 or plain.ndim != 1:
        shown = f"{plain.dtype} of shape {plain.shape}" if plain is not None else type(hashes).__name__
        raise ArgumentTypeError(argument, "a one-dimensional NumPy array of uint64, as hash_keys makes of keys", shown)
    return np.require(plain, np.dtype(np.uint64), "CA")


cdef int refuse_nulls(KeySource source) except -1:
    if source.nulls:
        raise KeyTypeError(f"keys must have no null (had {source.nulls}, the first at {source.first_null})",
                           position=source.first_null)
    return 0


cdef class KeyLoop(Loop):
    """A loop over the keys of a source, which each thread enters and leaves again and again."""

    cdef KeySource source
    cdef const HashSpec *spec
    cdef char *out

    cdef int read(self, KeySource source, const HashSpec *spec, cnp.ndarray out, Py_ssize_t threads) except -1:
        self.source = source
        self.spec = spec
        self.out = <char *>cnp.PyArray_DATA(out)
        if source.needs_gil:
            return self.run(0, source.size)
        self.plan(source.size, threads)
        return self.go()

    cdef int run(self, Py_ssize_t start, Py_ssize_t count) except -1 nogil:
        cdef uint8_t *scratch = <uint8_t *>calloc(<size_t>max(<Py_ssize_t>1, self.scratch_size()), 1)
        cdef Py_ssize_t end = start + count
        cdef int64_t last = 0, since = rw_clock_ms()
        if scratch == NULL:
            with gil:
                raise MemoryError
        try:
            while start < end and not self.listen(&last):
                count = min(self.turn_size(), end - start)
                self.source.enter()
                self.turn(start, start + count, scratch)
                self.source.leave()
                start += count
                if self.source.needs_gil:
                    let_others_in(&since)
        finally:
            free(scratch)
        return 0

    cdef Py_ssize_t turn_size(self) noexcept nogil:
        return BLOCK if self.source.needs_gil else TURN  # objects may be long texts

    cdef Py_ssize_t scratch_size(self) noexcept nogil:
        """Bytes, 0 at first, that each thread needs for itself."""
        return 0

    cdef int turn(self, Py_ssize_t start, Py_ssize_t end, uint8_t *scratch) except -1 nogil:
        """The keys from `start` to `end`. Nothing but the source's `fill` may raise here."""
        return 0

    cdef inline const uint64_t *hashes_of(self, Py_ssize_t start, Py_ssize_t count,
                                          uint64_t *room) except NULL nogil:
        """The hashes of a block of keys: where they are, or in `room`."""
        if self.source.ready != NULL:
            return self.source.ready + start
        self.source.fill(self.spec, start, count, room)
        return room

    cdef inline void blank_nulls(self, Py_ssize_t start, Py_ssize_t count, char *out, size_t width) noexcept nogil:
        """NO_NODE, all bits 1, where a key of the block is missing; `width` bytes of `out` are one key's."""
        cdef uint8_t[BLOCK] missing
        cdef Py_ssize_t i
        if self.source.nulls:
            self.source.mark_nulls(start, count, missing)
            for i in range(count):
                if missing[i]:
                    memset(out + i * <Py_ssize_t>width, 0xFF, width)


cdef class HashLoop(KeyLoop):
    """Keys → hashes."""

    cdef int turn(self, Py_ssize_t start, Py_ssize_t end, uint8_t *scratch) except -1 nogil:
        cdef Py_ssize_t count
        while start < end:
            count = min(<Py_ssize_t>BLOCK, end - start)
            self.source.fill(self.spec, start, count, <uint64_t *>self.out + start)
            start += count
        return 0


cdef class OwnersLoop(KeyLoop):
    """Keys → node ids of `width` bytes."""

    cdef Table table
    cdef Py_ssize_t width

    def __cinit__(self, Table table, Py_ssize_t width):
        self.table = table
        self.width = width

    cdef int turn(self, Py_ssize_t start, Py_ssize_t end, uint8_t *scratch) except -1 nogil:
        cdef uint64_t[BLOCK] room
        cdef uint32_t[BLOCK] ids
        cdef const uint64_t *h
        cdef Py_ssize_t block = end - start, count, i
        cdef char *out
        if self.turn_of_rows(start, end):
            return 0
        if self.source.ready == NULL or self.source.nulls or self.width == 8:
            block = BLOCK  # others go as one stream, so that the table fetches the hashes ahead
        while start < end:
            count = min(block, end - start)
            h = self.hashes_of(start, count, room)
            out = self.out + start * self.width
            if self.width == 2:
                self.table.lookup_narrow(h, count, <uint16_t *>out)
                self.blank_nulls(start, count, out, sizeof(uint16_t))
            elif self.width == 4:
                self.table.lookup_block(h, count, <uint32_t *>out)
                self.blank_nulls(start, count, out, sizeof(uint32_t))
            else:
                self.table.lookup_block(h, count, ids)
                self.blank_nulls(start, count, <char *>ids, sizeof(uint32_t))
                for i in range(count):
                    (<int64_t *>out)[i] = ids[i] if ids[i] != NO_NODE else WIDE_NO_NODE
            start += count
        return 0

    cdef bint turn_of_rows(self, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
        """The same for keys that are rows, hashed while others are looked up; False where the table can't."""
        cdef uint64_t[MOST_AT_ONCE + 8] room
        cdef uint64_t *h = <uint64_t *>((<size_t>room + 63) & ~<size_t>63)  # whole cache lines
        cdef uint16_t[MOST_AT_ONCE] ids
        cdef uint16_t *narrow = ids
        cdef Rows rows
        cdef Py_ssize_t count, i
        while start < end:
            count = min(<Py_ssize_t>MOST_AT_ONCE, end - start)
            if self.width == 2:
                narrow = <uint16_t *>self.out + start
            if not (self.source.rows(self.spec, start, &rows) and self.table.lookup_rows(&rows, count, h, narrow)):
                return False
            if self.width == 4:
                kernels.widen(ids, count, <uint32_t *>self.out + start)
            elif self.width == 8:
                for i in range(count):
                    (<int64_t *>self.out)[start + i] = ids[i]
            start += count
        return True


cdef class CandidatesLoop(KeyLoop):
    """Keys → rows of `wanted` node ids, 32 bits each."""

    cdef Table table
    cdef Py_ssize_t wanted

    def __cinit__(self, Table table, Py_ssize_t wanted):
        self.table = table
        self.wanted = wanted

    cdef Py_ssize_t scratch_size(self) noexcept nogil:
        return self.table.scratch_size()

    cdef Py_ssize_t turn_size(self) noexcept nogil:
        return WALKS

    cdef int turn(self, Py_ssize_t start, Py_ssize_t end, uint8_t *scratch) except -1 nogil:
        cdef uint64_t[BLOCK] room
        cdef const uint64_t *h
        cdef Py_ssize_t count, i, found
        cdef uint32_t *out
        while start < end:
            count = min(<Py_ssize_t>BLOCK, end - start)
            h = self.hashes_of(start, count, room)
            out = <uint32_t *>self.out + start * self.wanted
            for i in range(count):
                if i % FETCHED == 0:
                    self.table.fetch(h + i, min(<Py_ssize_t>FETCHED, count - i))
                found = self.table.walk(h[i], self.wanted, out, scratch)
                memset(out + found, 0xFF, <size_t>(self.wanted - found) * sizeof(uint32_t))
                out += self.wanted
            out -= count * self.wanted
            self.blank_nulls(start, count, <char *>out, <size_t>self.wanted * sizeof(uint32_t))
            start += count
        return 0


cdef bint is_small(Py_ssize_t keys) noexcept:
    return keys <= SMALL


cdef int owners_into(Table table, const HashSpec *spec, KeySource source, cnp.ndarray out, Py_ssize_t threads,
                     bint whole) except -1:
    """`whole`: no signal is to leave `out` written in part."""
    cdef OwnersLoop loop = OwnersLoop(table, cnp.PyArray_ITEMSIZE(out))
    table.prepare(source.size)
    loop.deaf = whole
    return loop.read(source, spec, out, threads)


cdef int candidates_into(Table table, const HashSpec *spec, KeySource source, Py_ssize_t wanted, cnp.ndarray out,
                         Py_ssize_t threads) except -1:
    table.prepare_walks(source.size, wanted)
    return CandidatesLoop(table, wanted).read(source, spec, out, threads)


def hash_column(Hasher hasher not None, keys, threads):
    """The hashes of a column of keys: ndarray of uint64, shape (n,)."""
    cdef KeySource source = key_source(keys)
    cdef Py_ssize_t shared = checked_threads(threads, source.size, HASH_SPEED)
    refuse_nulls(source)
    source.prepare(&hasher.spec)
    out = np.empty(source.size, np.uint64)
    HashLoop().read(source, &hasher.spec, out, shared)
    return out


def second_candidates(Table table not None, const uint64_t[::1] hashes):
    """Owner and first heir of each hash: ndarray of uint32, shape (n, 2), NO_NODE where there is none."""
    out = np.empty((hashes.shape[0], 2), np.uint32)
    candidates_into(table, NULL, HashSource(np.asarray(hashes)), 2, out, 1)
    return out
