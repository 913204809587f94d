"""The multiplicative hash H(k) = (k * m) mod p, scaled from [0, p) to the ring of 2^64.

Exact for every m, p < 2^64: a 128-bit product is divided by a 64-bit number with one
multiplication by a precomputed reciprocal. Source: Moeller and Granlund, "Improved
Division by Invariant Integers" (2011), algorithm 4. The divisor is p shifted left until
its top bit is set, the reciprocal floor((2^128 - 1) / divisor) - 2^64.
"""
from libc.stdint cimport uint64_t
from .mix cimport rw_mul128


cdef struct Divisor:
    uint64_t divisor
    uint64_t reciprocal
    int shift


cdef inline uint64_t divide(uint64_t high, uint64_t low, const Divisor *by, uint64_t *remainder) noexcept nogil:
    """Quotient and remainder of (high, low) by the normalised divisor; high < divisor."""
    cdef uint64_t q0, q1, r, carry
    q1 = rw_mul128(by.reciprocal, high, &q0)
    q0 += low
    carry = q0 < low
    q1 += high + carry + 1
    r = low - q1 * by.divisor
    if r > q0:
        q1 -= 1
        r += by.divisor
    if r >= by.divisor:
        q1 += 1
        r -= by.divisor
    remainder[0] = r
    return q1


cdef inline uint64_t position(uint64_t key, uint64_t multiplier, const Divisor *by) noexcept nogil:
    """(key * multiplier) mod p; multiplier < p."""
    cdef uint64_t low, high, remainder
    divide((key >> 1) >> (63 - by.shift), key << by.shift, by, &remainder)
    # (remainder >> shift) = key mod p, below p; times multiplier * 2^shift stays below divisor * p.
    high = rw_mul128(remainder >> by.shift, multiplier << by.shift, &low)
    divide(high, low, by, &remainder)
    return remainder >> by.shift


cdef inline uint64_t multiplicative(uint64_t key, uint64_t multiplier, const Divisor *by) noexcept nogil:
    """floor(position * 2^64 / p)."""
    cdef uint64_t remainder
    return divide(position(key, multiplier, by) << by.shift, 0, by, &remainder)
