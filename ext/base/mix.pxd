"""Portable 64-bit building blocks that Cython has no words for.

128-bit products, little-endian loads, byte swaps, bit scans and prefetch, each
with a fallback in plain C where a compiler has no intrinsic for it.
"""
from libc.stdint cimport uint16_t, uint32_t, uint64_t


cdef extern from *:
    """
    #ifndef RINGWARD_MIX_H
    #define RINGWARD_MIX_H
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>
    #if defined(_MSC_VER)
    #include <intrin.h>
    #define RW_INLINE static __forceinline
    #else
    #define RW_INLINE static inline __attribute__((always_inline, unused))
    #endif

    /* Product of two 64-bit numbers: returns the high half, stores the low half. */
    RW_INLINE uint64_t rw_mul128(uint64_t a, uint64_t b, uint64_t *low) {
    #if defined(__SIZEOF_INT128__)
        unsigned __int128 product = (unsigned __int128)a * b;
        *low = (uint64_t)product;
        return (uint64_t)(product >> 64);
    #elif defined(_MSC_VER) && defined(_M_X64)
        uint64_t high;
        *low = _umul128(a, b, &high);
        return high;
    #else
        uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
        uint64_t p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
        uint64_t middle = (p00 >> 32) + (uint32_t)p01 + (uint32_t)p10;
        *low = (middle << 32) | (uint32_t)p00;
        return p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32);
    #endif
    }

    RW_INLINE uint64_t rw_swap64(uint64_t x) {
        x = ((x & 0x00FF00FF00FF00FFULL) << 8) | ((x >> 8) & 0x00FF00FF00FF00FFULL);
        x = ((x & 0x0000FFFF0000FFFFULL) << 16) | ((x >> 16) & 0x0000FFFF0000FFFFULL);
        return (x << 32) | (x >> 32);
    }
    RW_INLINE uint32_t rw_swap32(uint32_t x) {
        x = ((x & 0x00FF00FFU) << 8) | ((x >> 8) & 0x00FF00FFU);
        return (x << 16) | (x >> 16);
    }
    RW_INLINE uint16_t rw_swap16(uint16_t x) { return (uint16_t)((x << 8) | (x >> 8)); }

    #if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    #define RW_LITTLE64(x) rw_swap64(x)
    #define RW_LITTLE32(x) rw_swap32(x)
    #else
    #define RW_LITTLE64(x) (x)
    #define RW_LITTLE32(x) (x)
    #endif
    RW_INLINE uint64_t rw_load64(const unsigned char *p) {
        uint64_t x; memcpy(&x, p, 8); return RW_LITTLE64(x);
    }
    RW_INLINE uint64_t rw_load32(const unsigned char *p) {
        uint32_t x; memcpy(&x, p, 4); return RW_LITTLE32(x);
    }

    /* The bytes of x up to its highest that is not 0; x is not 0. */
    RW_INLINE unsigned rw_used_bytes(uint64_t x) {
    #if defined(__GNUC__)
        return 8 - (unsigned)__builtin_clzll(x) / 8;
    #else
        unsigned n = 8;
        while (!(x >> 8 * (n - 1))) n--;
        return n;
    #endif
    }

    RW_INLINE uint64_t rw_rotl64(uint64_t x, int r) { return (x << r) | (x >> (64 - r)); }

    #if defined(__GNUC__)
    #define rw_prefetch(p) __builtin_prefetch((const void *)(p))
    #else
    #define rw_prefetch(p) ((void)(p))
    #endif

    /* Store a pointer to what is complete, and load it in another thread without a lock: all of it is seen, or NULL. */
    #if defined(__GNUC__)
    #define rw_publish(p, x) __atomic_store_n((p), (x), __ATOMIC_RELEASE)
    #define rw_published(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #else
    #define rw_publish(p, x) ((void)_InterlockedExchangePointer((void *volatile *)(p), (void *)(x)))
    #define rw_published(p) _InterlockedCompareExchangePointer((void *volatile *)(p), NULL, NULL)
    #endif
    #endif
    """
    uint64_t rw_mul128(uint64_t a, uint64_t b, uint64_t *low) noexcept nogil
    uint64_t rw_swap64(uint64_t x) noexcept nogil
    uint32_t rw_swap32(uint32_t x) noexcept nogil
    uint16_t rw_swap16(uint16_t x) noexcept nogil
    uint64_t rw_load64(const unsigned char *p) noexcept nogil
    uint64_t rw_load32(const unsigned char *p) noexcept nogil
    unsigned rw_used_bytes(uint64_t x) noexcept nogil
    uint64_t rw_rotl64(uint64_t x, int r) noexcept nogil
    void rw_prefetch(const void *p) noexcept nogil
    void rw_publish(const uint16_t **p, const uint16_t *x) noexcept nogil
    const uint16_t *rw_published(const uint16_t **p) noexcept nogil


cdef inline uint64_t mul_high(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t low
    return rw_mul128(a, b, &low)


cdef inline uint64_t mul_fold(uint64_t a, uint64_t b) noexcept nogil:
    """The two halves of the 128-bit product, XORed."""
    cdef uint64_t low
    cdef uint64_t high = rw_mul128(a, b, &low)
    return high ^ low
