"""The bodies of the kernels; compiled once for each instruction set (see kernels.pxd)."""
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from .kernels cimport AHEAD_BYTES, AHEAD_HASHES, LINES_AT_ONCE, MIXED, MOST_AT_ONCE, Kernels, Line, Ring, Rows, Span
from .lanes cimport (
    rw_eight_owners, rw_eight_wide_owners, rw_lowest_bit, rw_match16, rw_match32, rw_match64, rw_mixed, rw_rank16)
from .lanes_xxh3 cimport HASHES_BESIDE, Flips, rw_hash_eights, rw_hash_padded8, rw_hash_rows8, rw_hash_spans8
from .mix cimport mul_high, rw_load32, rw_load64, rw_mul128, rw_prefetch, rw_published, rw_used_bytes
from .xxh3 cimport (
    finish_4to8, finish_9to16, flip_4to8, flip_9to16_high, flip_9to16_low, xxh3_1to3, xxh3_bytes, xxh3_empty, xxh3_u64)

cdef enum:
    ALL_EIGHT = 0xFF
    HASHED_AHEAD = 32  # keys that are hashed before the first of them is looked up


cdef void hash_integers(const uint64_t *keys, Py_ssize_t count, uint64_t flip, uint64_t *out) noexcept nogil:
    cdef Py_ssize_t i, eights = count & ~<Py_ssize_t>7
    rw_hash_eights(keys, eights, flip, AHEAD_HASHES, out)
    for i in range(eights, count):
        out[i] = xxh3_u64(keys[i], flip)


cdef inline uint64_t hash_words(uint64_t low, uint64_t high, const Flips *flips) noexcept nogil:
    """XXH3 of the up to 16 bytes of two words, little-endian, without their trailing NULs."""
    cdef uint64_t last
    cdef unsigned size
    if high:
        size = rw_used_bytes(high)  # 1 to 8 of the second word
        last = high if size == 8 else (low >> (8 * size)) | (high << (64 - 8 * size))
        return finish_9to16(low ^ flips.flip_low, last ^ flips.flip_high, 8 + size)
    if not low:
        return xxh3_empty(flips.seed)
    size = rw_used_bytes(low)
    if size >= 4:
        last = low >> (8 * (size - 4)) & 0xFFFFFFFFU
        return finish_4to8((last + (low << 32)) ^ flips.flip, size)
    return xxh3_1to3(low & 0xFF, low >> (8 * (size >> 1)) & 0xFF, low >> (8 * (size - 1)) & 0xFF, size, flips.seed)


cdef inline uint64_t hash_one_padded(const unsigned char *p, Py_ssize_t width, const Flips *flips) noexcept nogil:
    cdef uint64_t low = 0, high = 0
    if width > 8 and p[width - 1]:  # no padding
        return finish_9to16(rw_load64(p) ^ flips.flip_low, rw_load64(p + width - 8) ^ flips.flip_high, width)
    if width >= 8:  # loads that overlap agree on the bytes they share
        low = rw_load64(p)
        if width > 8:
            high = rw_load64(p + width - 8) >> (8 * (16 - width))
    elif width >= 4:
        low = rw_load32(p) | (rw_load32(p + width - 4) << (8 * (width - 4)))
    elif width:
        low = p[0] | (<uint64_t>p[width >> 1] << (8 * (width >> 1))) | (<uint64_t>p[width - 1] << (8 * (width - 1)))
    return hash_words(low, high, flips)


cdef inline void set_flips(Flips *flips, uint64_t seed) noexcept nogil:
    flips.seed = seed
    flips.flip = flip_4to8(seed)
    flips.flip_low = flip_9to16_low(seed)
    flips.flip_high = flip_9to16_high(seed)


cdef inline uint64_t hash_one(const unsigned char *p, size_t size, const Flips *flips,
                              const unsigned char *secret) noexcept nogil:
    if 8 < size <= 16:
        return finish_9to16(rw_load64(p) ^ flips.flip_low, rw_load64(p + size - 8) ^ flips.flip_high, size)
    return xxh3_bytes(p, size, flips.seed, secret)


cdef void hash_spans(const Span *spans, Py_ssize_t count, uint64_t seed, const unsigned char *secret,
                     uint64_t *out) noexcept nogil:
    cdef Flips flips
    cdef Py_ssize_t i = 0
    set_flips(&flips, seed)
    while i < count:
        if i & 7 == 0 and i + 8 <= count and rw_hash_spans8(spans + i, &flips, out + i):
            i += 8
            continue
        out[i] = hash_one(spans[i].p, spans[i].size, &flips, secret)
        i += 1


cdef void hash_rows(const unsigned char *p, Py_ssize_t width, Py_ssize_t count, uint64_t seed,
                    const unsigned char *secret, uint64_t *out) noexcept nogil:
    cdef Flips flips
    cdef Py_ssize_t i = 0
    set_flips(&flips, seed)
    while i < count:
        if i & 7 == 0:
            rw_prefetch(p + AHEAD_BYTES)
            rw_prefetch(p + AHEAD_BYTES + 64)
            if i + 8 <= count and rw_hash_rows8(p, width, &flips, out + i):
                p += 8 * width
                i += 8
                continue
        out[i] = hash_one(p, <size_t>width, &flips, secret)
        p += width
        i += 1


cdef void hash_left(const unsigned char *p, Py_ssize_t stride, Py_ssize_t width, uint32_t left, Flips flips,
                    uint64_t *out) noexcept nogil:
    """The keys of eight whose bits are set. (With a pointer to them, the caller could not keep flips in registers.)"""
    cdef Py_ssize_t lane
    if left == ALL_EIGHT:
        for lane in range(8):
            out[lane] = hash_one_padded(p, width, &flips)
            p += stride
        return
    while left:
        lane = rw_lowest_bit(left)
        left &= left - 1
        out[lane] = hash_one_padded(p + lane * stride, width, &flips)


cdef void hash_padded(const Rows *rows, Py_ssize_t count, uint64_t *out) noexcept nogil:
    cdef Flips flips
    cdef const unsigned char *p = rows.p
    cdef Py_ssize_t stride = rows.stride, width = rows.width, i = 0
    cdef uint32_t left
    set_flips(&flips, rows.seed)
    while i + 8 <= count:
        rw_prefetch(p + AHEAD_BYTES)
        rw_prefetch(p + AHEAD_BYTES + 64)
        left = rw_hash_padded8(p, stride, width, &flips, out + i)
        if left:
            hash_left(p, stride, width, left, flips, out + i)
        p += 8 * stride
        i += 8
    while i < count:
        out[i] = hash_one_padded(p, width, &flips)
        p += stride
        i += 1


cdef inline bint find_in_line(const Ring *ring, uint64_t h, uint16_t *owner) noexcept nogil:
    """Whether the line of `h` tells its owner."""
    cdef uint64_t low
    cdef const Line *line = ring.lines + rw_mul128(h, ring.buckets, &low)
    cdef uint16_t fragment = <uint16_t>(low >> 48)
    cdef unsigned rank = rw_rank16(line.fragments, fragment)
    owner[0] = line.owners[rank]
    return line.fragments[rank] != fragment and owner[0] != MIXED


cdef inline Py_ssize_t look_up_mixed(const Ring *ring, const uint64_t *h, Py_ssize_t count, uint16_t *out,
                                     uint16_t *unresolved) noexcept nogil:
    """Keys on an entry with a boundary inside were left: no branch for them in the loop before."""
    cdef uint16_t[MOST_AT_ONCE + 32] waiting
    cdef Py_ssize_t i, k, mixed = rw_mixed(out, count, waiting), found = 0
    for i in range(mixed):  # all their lines on the way before the first is needed
        rw_prefetch(ring.lines + mul_high(h[waiting[i]], ring.buckets))
    for i in range(mixed):
        k = waiting[i]
        if not find_in_line(ring, h[k], out + k):
            unresolved[found] = <uint16_t>k
            found += 1
    return found


cdef Py_ssize_t look_up_lines(const Ring *ring, const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, uint16_t *out,
                              uint16_t *unresolved) noexcept nogil:
    cdef Py_ssize_t i, start = 0, end, found = 0
    while start < count:
        end = min(count, start + LINES_AT_ONCE)
        for i in range(start, end):
            if i & 7 == 0:
                rw_prefetch(h + i + ahead)
            rw_prefetch(ring.lines + mul_high(h[i], ring.buckets))
        for i in range(start, end):
            unresolved[found] = <uint16_t>i
            found += not find_in_line(ring, h[i], out + i)
        start = end
    return found


cdef Py_ssize_t look_up(const Ring *ring, const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, uint16_t *out,
                        uint16_t *unresolved) noexcept nogil:
    cdef const uint16_t *direct = rw_published(<const uint16_t **>&ring.direct)
    cdef int shift = ring.direct_shift
    cdef Py_ssize_t i = 0
    if direct == NULL:
        return look_up_lines(ring, h, count, ahead, out, unresolved)
    while i + 8 <= count:
        rw_prefetch(h + i + ahead)
        rw_eight_owners(direct, h + i, shift, out + i)
        i += 8
    while i < count:
        out[i] = direct[h[i] >> shift]
        i += 1
    return look_up_mixed(ring, h, count, out, unresolved)


cdef Py_ssize_t look_up_padded(const Ring *ring, const Rows *rows, Py_ssize_t count, uint64_t *h, uint16_t *out,
                               uint16_t *unresolved) noexcept nogil:
    cdef const uint16_t *direct = rw_published(<const uint16_t **>&ring.direct)
    cdef Py_ssize_t stride = rows.stride, width = rows.width, i = 0
    cdef const unsigned char *p = rows.p + HASHED_AHEAD * stride
    cdef int shift = ring.direct_shift
    cdef uint32_t left
    cdef Flips flips
    if not HASHES_BESIDE or count & 7 or count < HASHED_AHEAD:
        hash_padded(rows, count, h)
        return look_up(ring, h, count, 0, out, unresolved)
    set_flips(&flips, rows.seed)
    hash_padded(rows, HASHED_AHEAD, h)
    while i < count:
        if i + HASHED_AHEAD < count:
            rw_prefetch(p + AHEAD_BYTES)
            rw_prefetch(p + AHEAD_BYTES + 64)
            left = rw_hash_padded8(p, stride, width, &flips, h + i + HASHED_AHEAD)
            if left:
                hash_left(p, stride, width, left, flips, h + i + HASHED_AHEAD)
            p += 8 * stride
        rw_eight_owners(direct, h + i, shift, out + i)
        i += 8
    return look_up_mixed(ring, h, count, out, unresolved)


ctypedef fused id_type:
    uint16_t
    uint32_t
    int64_t


ctypedef fused owner_type:
    uint16_t
    uint32_t


cdef inline void owners_of_partitions(const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, const uint16_t *owners,
                                      uint64_t partitions, owner_type *out) noexcept nogil:
    cdef Py_ssize_t i = 0, k
    cdef int shift = 64
    if partitions > 1 and partitions & (partitions - 1) == 0:  # a power of two: the top bits of the hash
        while partitions > 1:
            partitions >>= 1
            shift -= 1
        while i + 8 <= count:
            rw_prefetch(h + i + ahead)
            if owner_type is uint16_t:
                rw_eight_owners(owners, h + i, shift, out + i)
            else:
                rw_eight_wide_owners(owners, h + i, shift, out + i)
            i += 8
        while i < count:
            out[i] = owners[h[i] >> shift]
            i += 1
        return
    while i + 8 <= count:
        rw_prefetch(h + i + ahead)
        for k in range(8):
            out[i + k] = owners[mul_high(h[i + k], partitions)]
        i += 8
    while i < count:
        out[i] = owners[mul_high(h[i], partitions)]
        i += 1


cdef void look_up_partitions(const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, const uint16_t *owners,
                             uint64_t partitions, uint16_t *out) noexcept nogil:
    owners_of_partitions(h, count, ahead, owners, partitions, out)


cdef void look_up_partitions_wide(const uint64_t *h, Py_ssize_t count, Py_ssize_t ahead, const uint16_t *owners,
                                  uint64_t partitions, uint32_t *out) noexcept nogil:
    owners_of_partitions(h, count, ahead, owners, partitions, out)


cdef void widen(const uint16_t *ids, Py_ssize_t count, uint32_t *out) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        out[i] = ids[i]


cdef inline Py_ssize_t find(const id_type *ids, Py_ssize_t start, Py_ssize_t size, id_type id, Py_ssize_t *hits,
                            Py_ssize_t room, Py_ssize_t *found) noexcept nogil:
    cdef Py_ssize_t step = 64 // sizeof(id_type)
    cdef uint32_t bits
    found[0] = 0
    while start + step <= size:
        if found[0] + step > room:
            return start
        rw_prefetch(<const char *>(ids + start) + AHEAD_BYTES)
        if id_type is uint16_t:
            bits = rw_match16(ids + start, id)
        elif id_type is uint32_t:
            bits = rw_match32(ids + start, id)
        else:
            bits = rw_match64(ids + start, id)
        while bits:
            hits[found[0]] = start + rw_lowest_bit(bits)
            found[0] += 1
            bits &= bits - 1
        start += step
    if found[0] + step > room:
        return start
    while start < size:
        if ids[start] == id:
            hits[found[0]] = start
            found[0] += 1
        start += 1
    return start


cdef Py_ssize_t find16(const uint16_t *ids, Py_ssize_t start, Py_ssize_t size, uint16_t id, Py_ssize_t *hits,
                       Py_ssize_t room, Py_ssize_t *found) noexcept nogil:
    return find(ids, start, size, id, hits, room, found)


cdef Py_ssize_t find32(const uint32_t *ids, Py_ssize_t start, Py_ssize_t size, uint32_t id, Py_ssize_t *hits,
                       Py_ssize_t room, Py_ssize_t *found) noexcept nogil:
    return find(ids, start, size, id, hits, room, found)


cdef Py_ssize_t find64(const int64_t *ids, Py_ssize_t start, Py_ssize_t size, int64_t id, Py_ssize_t *hits,
                       Py_ssize_t room, Py_ssize_t *found) noexcept nogil:
    return find(ids, start, size, id, hits, room, found)


cdef Kernels table
table.hash_integers = hash_integers
table.hash_padded = hash_padded
table.hash_rows = hash_rows
table.hash_spans = hash_spans
table.look_up = look_up
table.look_up_padded = look_up_padded
table.look_up_partitions = look_up_partitions
table.look_up_partitions_wide = look_up_partitions_wide
table.widen = widen
table.find16 = find16
table.find32 = find32
table.find64 = find64

KERNELS = PyCapsule_New(&table, b"ringward kernels", NULL)
