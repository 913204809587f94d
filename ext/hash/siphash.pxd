"""SipHash-c-d: a keyed hash that an opponent without the key cannot compute.

Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), section 2;
the rounds are arguments, 1-3 and 2-4 are the usual choices.
"""
from libc.stdint cimport uint64_t
from .mix cimport rw_load64, rw_rotl64


cdef inline void sip_round(uint64_t *v) noexcept nogil:
    v[0] += v[1]
    v[2] += v[3]
    v[1] = rw_rotl64(v[1], 13) ^ v[0]
    v[3] = rw_rotl64(v[3], 16) ^ v[2]
    v[0] = rw_rotl64(v[0], 32)
    v[2] += v[1]
    v[0] += v[3]
    v[1] = rw_rotl64(v[1], 17) ^ v[2]
    v[3] = rw_rotl64(v[3], 21) ^ v[0]
    v[2] = rw_rotl64(v[2], 32)


cdef inline void sip_absorb(uint64_t *v, uint64_t word, int rounds) noexcept nogil:
    cdef int i
    v[3] ^= word
    for i in range(rounds):
        sip_round(v)
    v[0] ^= word


cdef inline uint64_t siphash(
    const unsigned char *p, size_t size, uint64_t k0, uint64_t k1, int c_rounds, int d_rounds
) noexcept nogil:
    cdef uint64_t[4] v
    cdef uint64_t last = <uint64_t>size << 56
    cdef size_t i
    v[0] = k0 ^ <uint64_t>0x736F6D6570736575
    v[1] = k1 ^ <uint64_t>0x646F72616E646F6D
    v[2] = k0 ^ <uint64_t>0x6C7967656E657261
    v[3] = k1 ^ <uint64_t>0x7465646279746573
    for i in range(size // 8):
        sip_absorb(v, rw_load64(p + 8 * i), c_rounds)
    for i in range(size & 7):
        last |= <uint64_t>p[(size & ~<size_t>7) + i] << (8 * i)
    sip_absorb(v, last, c_rounds)
    v[2] ^= 0xFF
    for i in range(<size_t>d_rounds):
        sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


cdef inline uint64_t siphash_u64(uint64_t value, uint64_t k0, uint64_t k1, int c_rounds, int d_rounds) noexcept nogil:
    """The hash of the 8 bytes of `value`, little-endian."""
    cdef uint64_t[4] v
    cdef int i
    v[0] = k0 ^ <uint64_t>0x736F6D6570736575
    v[1] = k1 ^ <uint64_t>0x646F72616E646F6D
    v[2] = k0 ^ <uint64_t>0x6C7967656E657261
    v[3] = k1 ^ <uint64_t>0x7465646279746573
    sip_absorb(v, value, c_rounds)
    sip_absorb(v, <uint64_t>8 << 56, c_rounds)
    v[2] ^= 0xFF
    for i in range(d_rounds):
        sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]
