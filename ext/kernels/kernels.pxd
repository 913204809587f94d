"""The loops that pay for wider instructions: one table of functions for each instruction set.

`kernels.pyx` is compiled once a level; `cpu.pyx` picks a level at import. All levels give the same bits.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef enum:
    BLOCK = 1024  # keys hashed, then looked up, at a time: their hashes, 8 KiB, stay in the first cache
    MIXED = 0xFFFF  # no owner here: ask the exact points
    LINE_POINTS = 15  # the 16th pair closes the line
    MOST_AT_ONCE = 1024  # keys a call of `look_up` or `look_up_padded`
    LINES_AT_ONCE = 512  # those of 32 KiB: they fit the first cache
    AHEAD_BYTES = 16384  # of a stream that are on their way from memory: the measured best
    AHEAD_HASHES = 2048  # as many bytes of hashes

cdef struct Line:  # one cache line
    uint16_t[16] fragments
    uint16_t[16] owners

cdef struct Ring:  # what looking up a column on a ring reads
    const Line *lines
    uint64_t buckets
    const uint16_t *direct  # NULL: there are only lines
    int direct_shift

cdef struct Span:  # the bytes of one key, somewhere
    size_t size
    const unsigned char *p

cdef struct Rows:  # keys of at most 16 bytes, `stride` bytes apart, each without its trailing NULs
    const unsigned char *p
    Py_ssize_t stride
    Py_ssize_t width
    uint64_t seed

cdef struct Kernels:
    # XXH3 of 8-byte keys; `flip` is flip_4to8(seed).
    void (*hash_integers)(const uint64_t *keys, Py_ssize_t count, uint64_t flip, uint64_t *out) noexcept nogil
    # XXH3 of rows.
    void (*hash_padded)(const Rows *rows, Py_ssize_t count, uint64_t *out) noexcept nogil
    # XXH3 of keys of `width` bytes, one after the other; `secret` is derived from the seed (derive_secret).
    void (*hash_rows)(const unsigned char *p, Py_ssize_t width, Py_ssize_t count, uint64_t seed,
                      const unsigned char *secret, uint64_t *out) noexcept nogil
    # XXH3 of keys anywhere.
    void (*hash_spans)(const Span *spans, Py_ssize_t count, uint64_t seed, const unsigned char *secret,
                       uint64_t *out) noexcept nogil
    # At most MOST_AT_ONCE hashes → owners, fetching hashes `ahead`. Returns how many positions it wrote to
    # `unresolved`: those of keys that need the exact points.
    Py_ssize_t (*look_up)(const Ring *ring, const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, uint16_t *out,
                          uint16_t *unresolved) noexcept nogil
    # The same for at most MOST_AT_ONCE keys that are still to be hashed, into `h` (which begins a cache line), with the
    # direct table: a core hashes and loads at the same time.
    Py_ssize_t (*look_up_padded)(const Ring *ring, const Rows *rows, Py_ssize_t count, uint64_t *h, uint16_t *out,
                                 uint16_t *unresolved) noexcept nogil
    # owners[(h * partitions) >> 64]
    void (*look_up_partitions)(const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, const uint16_t *owners,
                               uint64_t partitions, uint16_t *out) noexcept nogil
    void (*look_up_partitions_wide)(const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, const uint16_t *owners,
                                    uint64_t partitions, uint32_t *out) noexcept nogil
    void (*widen)(const uint16_t *ids, Py_ssize_t count, uint32_t *out) noexcept nogil
    # From `start` on, the positions that hold `id`, until the ids or the room for hits (at least 32) run out.
    # Returns where to go on; `found` says how many hits there are.
    Py_ssize_t (*find16)(const uint16_t *ids, Py_ssize_t start, Py_ssize_t size, uint16_t id, Py_ssize_t *hits,
                         Py_ssize_t room, Py_ssize_t *found) noexcept nogil
    Py_ssize_t (*find32)(const uint32_t *ids, Py_ssize_t start, Py_ssize_t size, uint32_t id, Py_ssize_t *hits,
                         Py_ssize_t room, Py_ssize_t *found) noexcept nogil
    Py_ssize_t (*find64)(const int64_t *ids, Py_ssize_t start, Py_ssize_t size, int64_t id, Py_ssize_t *hits,
                         Py_ssize_t room, Py_ssize_t *found) noexcept nogil
