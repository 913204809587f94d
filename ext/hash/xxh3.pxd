"""XXH3-64: the 64-bit member of the XXH3 family, any length, any seed.

Source: the xxHash specification, doc/xxhash_spec.md, "XXH3 Algorithm Overview",
whose constants, secret and step names are used here.
Inputs of at most 240 bytes mix the default secret with the seed; longer ones use
a secret derived from the seed, which a `Hasher` computes once (`derive_secret`).
"""
from libc.stdint cimport uint32_t, uint64_t
from .mix cimport mul_fold, rw_load32, rw_load64, rw_rotl64, rw_swap32, rw_swap64

cdef extern from *:
    """
    #ifndef RINGWARD_XXH3_SECRET_H
    #define RINGWARD_XXH3_SECRET_H
    /* The 192-byte default secret of the specification. */
    static const unsigned char rw_xxh3_secret[192] = {
      0xb8,0xfe,0x6c,0x39,0x23,0xa4,0x4b,0xbe,0x7c,0x01,0x81,0x2c,0xf7,0x21,0xad,0x1c,
      0xde,0xd4,0x6d,0xe9,0x83,0x90,0x97,0xdb,0x72,0x40,0xa4,0xa4,0xb7,0xb3,0x67,0x1f,
      0xcb,0x79,0xe6,0x4e,0xcc,0xc0,0xe5,0x78,0x82,0x5a,0xd0,0x7d,0xcc,0xff,0x72,0x21,
      0xb8,0x08,0x46,0x74,0xf7,0x43,0x24,0x8e,0xe0,0x35,0x90,0xe6,0x81,0x3a,0x26,0x4c,
      0x3c,0x28,0x52,0xbb,0x91,0xc3,0x00,0xcb,0x88,0xd0,0x65,0x8b,0x1b,0x53,0x2e,0xa3,
      0x71,0x64,0x48,0x97,0xa2,0x0d,0xf9,0x4e,0x38,0x19,0xef,0x46,0xa9,0xde,0xac,0xd8,
      0xa8,0xfa,0x76,0x3f,0xe3,0x9c,0x34,0x3f,0xf9,0xdc,0xbb,0xc7,0xc7,0x0b,0x4f,0x1d,
      0x8a,0x51,0xe0,0x4b,0xcd,0xb4,0x59,0x31,0xc8,0x9f,0x7e,0xc9,0xd9,0x78,0x73,0x64,
      0xea,0xc5,0xac,0x83,0x34,0xd3,0xeb,0xc3,0xc5,0x81,0xa0,0xff,0xfa,0x13,0x63,0xeb,
      0x17,0x0d,0xdd,0x51,0xb7,0xf0,0xda,0x49,0xd3,0x16,0x55,0x26,0x29,0xd4,0x68,0x9e,
      0x2b,0x16,0xbe,0x58,0x7d,0x47,0xa1,0xfc,0x8f,0xf8,0xb8,0xd1,0x7a,0xd0,0x31,0xce,
      0x45,0xcb,0x3a,0x8f,0x95,0x16,0x04,0x28,0xaf,0xd7,0xfb,0xca,0xbb,0x4b,0x40,0x7e};
    #endif
    """
    const unsigned char *SECRET "rw_xxh3_secret"

cdef enum:
    SECRET_SIZE = 192
    STRIPE = 64
    STRIPES_PER_BLOCK = 16  # (SECRET_SIZE - STRIPE) / 8
    LONG = 240  # inputs above this many bytes use the derived secret

cdef extern from *:
    """
    #define RW_PRIME32_1 0x9E3779B1ULL
    #define RW_PRIME32_2 0x85EBCA77ULL
    #define RW_PRIME32_3 0xC2B2AE3DULL
    #define RW_PRIME64_1 0x9E3779B185EBCA87ULL
    #define RW_PRIME64_2 0xC2B2AE3D27D4EB4FULL
    #define RW_PRIME64_3 0x165667B19E3779F9ULL
    #define RW_PRIME64_4 0x85EBCA77C2B2AE63ULL
    #define RW_PRIME64_5 0x27D4EB2F165667C5ULL
    #define RW_PRIME_MX1 0x165667919E3779F9ULL
    #define RW_PRIME_MX2 0x9FB21C651E98DF25ULL
    """
    const uint64_t PRIME32_1 "RW_PRIME32_1"
    const uint64_t PRIME32_2 "RW_PRIME32_2"
    const uint64_t PRIME32_3 "RW_PRIME32_3"
    const uint64_t PRIME64_1 "RW_PRIME64_1"
    const uint64_t PRIME64_2 "RW_PRIME64_2"
    const uint64_t PRIME64_3 "RW_PRIME64_3"
    const uint64_t PRIME64_4 "RW_PRIME64_4"
    const uint64_t PRIME64_5 "RW_PRIME64_5"
    const uint64_t PRIME_MX1 "RW_PRIME_MX1"
    const uint64_t PRIME_MX2 "RW_PRIME_MX2"


cdef inline uint64_t avalanche(uint64_t h) noexcept nogil:
    h ^= h >> 37
    h *= PRIME_MX1
    return h ^ (h >> 32)


cdef inline uint64_t xxh64_avalanche(uint64_t h) noexcept nogil:
    h ^= h >> 33
    h *= PRIME64_2
    h ^= h >> 29
    h *= PRIME64_3
    return h ^ (h >> 32)


cdef inline uint64_t mix16(const unsigned char *p, const unsigned char *secret, uint64_t seed) noexcept nogil:
    return mul_fold(
        rw_load64(p) ^ (rw_load64(secret) + seed),
        rw_load64(p + 8) ^ (rw_load64(secret + 8) - seed),
    )


cdef inline uint64_t finish_4to8(uint64_t keyed, uint64_t size) noexcept nogil:
    keyed ^= rw_rotl64(keyed, 49) ^ rw_rotl64(keyed, 24)
    keyed *= PRIME_MX2
    keyed ^= (keyed >> 35) + size
    keyed *= PRIME_MX2
    return keyed ^ (keyed >> 28)


cdef inline uint64_t flip_4to8(uint64_t seed) noexcept nogil:
    seed ^= (<uint64_t>rw_swap32(<uint32_t>seed)) << 32
    return (rw_load64(SECRET + 8) ^ rw_load64(SECRET + 16)) - seed


cdef inline uint64_t xxh3_u64(uint64_t value, uint64_t flip) noexcept nogil:
    """The hash of the 8 bytes of `value`, little-endian; `flip` is `flip_4to8(seed)`."""
    return finish_4to8(((value << 32) | (value >> 32)) ^ flip, 8)


cdef inline uint64_t flip_9to16_low(uint64_t seed) noexcept nogil:
    return (rw_load64(SECRET + 24) ^ rw_load64(SECRET + 32)) + seed


cdef inline uint64_t flip_9to16_high(uint64_t seed) noexcept nogil:
    return (rw_load64(SECRET + 40) ^ rw_load64(SECRET + 48)) - seed


cdef inline uint64_t finish_9to16(uint64_t low, uint64_t high, size_t size) noexcept nogil:
    return avalanche(size + rw_swap64(low) + high + mul_fold(low, high))


cdef inline uint64_t xxh3_1to3(uint64_t first, uint64_t middle, uint64_t last, size_t size,
                               uint64_t seed) noexcept nogil:
    """The hash of 1 to 3 bytes: the first, the one at size // 2 and the last."""
    cdef uint64_t joined = (first << 16) | (middle << 24) | last | (<uint64_t>size << 8)
    return xxh64_avalanche(joined ^ ((rw_load32(SECRET) ^ rw_load32(SECRET + 4)) + seed))


cdef inline uint64_t xxh3_empty(uint64_t seed) noexcept nogil:
    return xxh64_avalanche(seed ^ rw_load64(SECRET + 56) ^ rw_load64(SECRET + 64))


cdef inline uint64_t xxh3_0to16(const unsigned char *p, size_t size, uint64_t seed) noexcept nogil:
    if size > 8:
        return finish_9to16(rw_load64(p) ^ flip_9to16_low(seed), rw_load64(p + size - 8) ^ flip_9to16_high(seed), size)
    if size >= 4:
        return finish_4to8((rw_load32(p + size - 4) + (rw_load32(p) << 32)) ^ flip_4to8(seed), size)
    if size:
        return xxh3_1to3(p[0], p[size >> 1], p[size - 1], size, seed)
    return xxh3_empty(seed)


cdef inline uint64_t xxh3_17to128(const unsigned char *p, size_t size, uint64_t seed) noexcept nogil:
    cdef uint64_t acc = size * PRIME64_1
    if size > 32:
        if size > 64:
            if size > 96:
                acc += mix16(p + 48, SECRET + 96, seed)
                acc += mix16(p + size - 64, SECRET + 112, seed)
            acc += mix16(p + 32, SECRET + 64, seed)
            acc += mix16(p + size - 48, SECRET + 80, seed)
        acc += mix16(p + 16, SECRET + 32, seed)
        acc += mix16(p + size - 32, SECRET + 48, seed)
    acc += mix16(p, SECRET, seed)
    acc += mix16(p + size - 16, SECRET + 16, seed)
    return avalanche(acc)


cdef inline uint64_t xxh3_129to240(const unsigned char *p, size_t size, uint64_t seed) noexcept nogil:
    cdef uint64_t acc = size * PRIME64_1
    cdef size_t i
    for i in range(8):
        acc += mix16(p + 16 * i, SECRET + 16 * i, seed)
    acc = avalanche(acc)
    for i in range(8, size // 16):
        acc += mix16(p + 16 * i, SECRET + 16 * (i - 8) + 3, seed)
    acc += mix16(p + size - 16, SECRET + 136 - 17, seed)
    return avalanche(acc)


cdef inline void accumulate(uint64_t *acc, const unsigned char *p, const unsigned char *secret) noexcept nogil:
    cdef uint64_t value, keyed
    cdef int lane
    for lane in range(8):
        value = rw_load64(p + 8 * lane)
        keyed = value ^ rw_load64(secret + 8 * lane)
        acc[lane ^ 1] += value
        acc[lane] += (keyed & 0xFFFFFFFFU) * (keyed >> 32)


cdef inline void scramble(uint64_t *acc, const unsigned char *secret) noexcept nogil:
    cdef int lane
    for lane in range(8):
        acc[lane] = (acc[lane] ^ (acc[lane] >> 47) ^ rw_load64(secret + 8 * lane)) * PRIME32_1


cdef inline uint64_t xxh3_long(const unsigned char *p, size_t size, const unsigned char *secret) noexcept nogil:
    cdef uint64_t[8] acc
    cdef size_t block_size = STRIPE * STRIPES_PER_BLOCK
    cdef size_t blocks = (size - 1) // block_size
    cdef size_t block, stripe
    cdef const unsigned char *tail = p + blocks * block_size
    cdef uint64_t result = size * PRIME64_1
    acc[0] = PRIME32_3
    acc[1] = PRIME64_1
    acc[2] = PRIME64_2
    acc[3] = PRIME64_3
    acc[4] = PRIME64_4
    acc[5] = PRIME32_2
    acc[6] = PRIME64_5
    acc[7] = PRIME32_1
    for block in range(blocks):
        for stripe in range(STRIPES_PER_BLOCK):
            accumulate(acc, p + block * block_size + stripe * STRIPE, secret + 8 * stripe)
        scramble(acc, secret + SECRET_SIZE - STRIPE)
    for stripe in range((size - 1 - blocks * block_size) // STRIPE):
        accumulate(acc, tail + stripe * STRIPE, secret + 8 * stripe)
    accumulate(acc, p + size - STRIPE, secret + SECRET_SIZE - STRIPE - 7)
    for stripe in range(4):
        result += mul_fold(
            acc[2 * stripe] ^ rw_load64(secret + 11 + 16 * stripe),
            acc[2 * stripe + 1] ^ rw_load64(secret + 19 + 16 * stripe),
        )
    return avalanche(result)


cdef inline uint64_t xxh3_bytes(
    const unsigned char *p, size_t size, uint64_t seed, const unsigned char *derived
) noexcept nogil:
    if size <= 16:
        return xxh3_0to16(p, size, seed)
    if size <= 128:
        return xxh3_17to128(p, size, seed)
    if size <= LONG:
        return xxh3_129to240(p, size, seed)
    return xxh3_long(p, size, derived)


cdef inline void store64(unsigned char *p, uint64_t value) noexcept nogil:
    cdef int byte
    for byte in range(8):
        p[byte] = <unsigned char>(value >> (8 * byte))


cdef inline void derive_secret(unsigned char *derived, uint64_t seed) noexcept nogil:
    cdef int i
    for i in range(SECRET_SIZE // 16):
        store64(derived + 16 * i, rw_load64(SECRET + 16 * i) + seed)
        store64(derived + 16 * i + 8, rw_load64(SECRET + 16 * i + 8) - seed)
