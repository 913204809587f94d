"""What the kernels say to the hardware: the widest instructions of the level they are compiled for.

Each function has a form for AVX-512 (F, CD, BW, DQ, VL, VBMI2), AVX2, SSE2 and plain C, where these
differ in speed; RINGWARD_LEVEL (2, 1, 0) says how far a translation unit may go.
"""
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifndef RINGWARD_LANES_H
    #define RINGWARD_LANES_H
    #include <stdint.h>
    #include <stddef.h>
    #if defined(_MSC_VER)
    #include <intrin.h>
    #endif
    #if !defined(RINGWARD_LEVEL)
    #define RINGWARD_LEVEL 0
    #endif
    #if RINGWARD_LEVEL == 2
    #define RW_AVX512 1
    #endif
    #if RINGWARD_LEVEL >= 1
    #define RW_AVX2 1
    #include <immintrin.h>
    #endif
    #if defined(__SSE2__) || defined(_M_X64)
    #include <emmintrin.h>
    #define RW_SSE2 1
    #endif
    #if defined(__GNUC__) && !defined(__clang__)
    /* Products of 64-bit numbers in two lanes are slower than in none. */
    #define RW_SCALAR __attribute__((optimize("no-tree-vectorize", "no-tree-slp-vectorize")))
    #else
    #define RW_SCALAR
    #endif
    #if defined(__GNUC__)
    #define RW_AHEAD(p) __builtin_prefetch((const void *)(p))
    #else
    #define RW_AHEAD(p) ((void)(p))
    #endif

    /* The number of the lowest bit that is set; x is not 0. */
    static inline unsigned rw_lowest_bit(uint32_t x) {
    #if defined(_MSC_VER)
        unsigned long index;
        _BitScanForward(&index, x);
        return index;
    #elif defined(__GNUC__)
        return (unsigned)__builtin_ctz(x);
    #else
        unsigned n = 0;
        while (!(x >> n & 1)) n++;
        return n;
    #endif
    }

    static inline unsigned rw_lowest_bit64(uint64_t x) {
    #if defined(_MSC_VER) && defined(_M_X64)
        unsigned long index;
        _BitScanForward64(&index, x);
        return index;
    #elif defined(__GNUC__)
        return (unsigned)__builtin_ctzll(x);
    #else
        return (uint32_t)x ? rw_lowest_bit((uint32_t)x) : 32 + rw_lowest_bit((uint32_t)(x >> 32));
    #endif
    }

    /* The first of 16 rising fragments that is not below key; the last one is 0xFFFF. */
    static inline unsigned rw_rank16(const uint16_t *fragments, uint16_t key) {
    #if defined(RW_AVX512)
        __m256i line = _mm256_load_si256((const __m256i *)fragments);
        return rw_lowest_bit(_mm256_cmpge_epu16_mask(line, _mm256_set1_epi16((short)key)));
    #elif defined(RW_SSE2)
        __m128i k = _mm_set1_epi16((short)key), zero = _mm_setzero_si128();
        __m128i a = _mm_load_si128((const __m128i *)fragments);
        __m128i b = _mm_load_si128((const __m128i *)fragments + 1);
        a = _mm_cmpeq_epi16(_mm_subs_epu16(k, a), zero);
        b = _mm_cmpeq_epi16(_mm_subs_epu16(k, b), zero);
        return rw_lowest_bit((unsigned)_mm_movemask_epi8(_mm_packs_epi16(a, b)));
    #else
        unsigned rank = 0;
        for (int i = 0; i < 16; i++) rank += fragments[i] < key;
        return rank;
    #endif
    }

    /* Which of the ids at p (32 of 16 bits, 16 of 32, 8 of 64: a cache line) equal id, as bits from the lowest up. */
    static inline uint32_t rw_match16(const uint16_t *p, uint16_t id) {
    #if defined(RW_AVX512)
        return _mm512_cmpeq_epi16_mask(_mm512_loadu_si512(p), _mm512_set1_epi16((short)id));
    #elif defined(RW_SSE2)
        const __m128i *v = (const __m128i *)p;
        __m128i k = _mm_set1_epi16((short)id);
        __m128i a = _mm_cmpeq_epi16(_mm_loadu_si128(v), k), b = _mm_cmpeq_epi16(_mm_loadu_si128(v + 1), k);
        __m128i c = _mm_cmpeq_epi16(_mm_loadu_si128(v + 2), k), d = _mm_cmpeq_epi16(_mm_loadu_si128(v + 3), k);
        return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b))
             | (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(c, d)) << 16;
    #else
        uint32_t bits = 0;
        for (int i = 0; i < 32; i++) bits |= (uint32_t)(p[i] == id) << i;
        return bits;
    #endif
    }
    static inline uint32_t rw_match32(const uint32_t *p, uint32_t id) {
    #if defined(RW_AVX512)
        return _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(p), _mm512_set1_epi32((int)id));
    #elif defined(RW_SSE2)
        const __m128i *v = (const __m128i *)p;
        __m128i k = _mm_set1_epi32((int)id);
        __m128i a = _mm_cmpeq_epi32(_mm_loadu_si128(v), k), b = _mm_cmpeq_epi32(_mm_loadu_si128(v + 1), k);
        __m128i c = _mm_cmpeq_epi32(_mm_loadu_si128(v + 2), k), d = _mm_cmpeq_epi32(_mm_loadu_si128(v + 3), k);
        a = _mm_packs_epi32(a, b);
        return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, _mm_packs_epi32(c, d)));
    #else
        uint32_t bits = 0;
        for (int i = 0; i < 16; i++) bits |= (uint32_t)(p[i] == id) << i;
        return bits;
    #endif
    }
    static inline uint32_t rw_match64(const int64_t *p, int64_t id) {
    #if defined(RW_AVX512)
        return _mm512_cmpeq_epi64_mask(_mm512_loadu_si512(p), _mm512_set1_epi64(id));
    #else
        uint32_t bits = 0;
        for (int i = 0; i < 8; i++) bits |= (uint32_t)(p[i] == id) << i;
        return bits;
    #endif
    }

    /* out[i] = owners[h[i] >> shift] for eight hashes: stored at once, which is most of the time in eight stores. */
    static inline void rw_eight_owners(const uint16_t *owners, const uint64_t *h, int shift, uint16_t *out) {
    #if defined(RW_SSE2)
        __m128i v = _mm_cvtsi32_si128(owners[h[0] >> shift]);
        v = _mm_insert_epi16(v, owners[h[1] >> shift], 1);
        v = _mm_insert_epi16(v, owners[h[2] >> shift], 2);
        v = _mm_insert_epi16(v, owners[h[3] >> shift], 3);
        v = _mm_insert_epi16(v, owners[h[4] >> shift], 4);
        v = _mm_insert_epi16(v, owners[h[5] >> shift], 5);
        v = _mm_insert_epi16(v, owners[h[6] >> shift], 6);
        v = _mm_insert_epi16(v, owners[h[7] >> shift], 7);
        _mm_storeu_si128((__m128i *)out, v);
    #else
        for (int i = 0; i < 8; i++) out[i] = owners[h[i] >> shift];
    #endif
    }

    /* The same into 32 bits, two words of four owners: left alone, compilers store some of them one by one. */
    static inline void rw_eight_wide_owners(const uint16_t *owners, const uint64_t *h, int shift, uint32_t *out) {
    #if defined(RW_SSE2)
        for (int i = 0; i < 8; i += 4) {
            uint64_t four = owners[h[i] >> shift] | (uint64_t)owners[h[i + 1] >> shift] << 16
                          | (uint64_t)owners[h[i + 2] >> shift] << 32 | (uint64_t)owners[h[i + 3] >> shift] << 48;
            __m128i v = _mm_loadl_epi64((const __m128i *)&four);
            _mm_storeu_si128((__m128i *)(out + i), _mm_unpacklo_epi16(v, _mm_setzero_si128()));
        }
    #else
        for (int i = 0; i < 8; i++) out[i] = owners[h[i] >> shift];
    #endif
    }

    /* The positions of the owners that are mixed, of `count` owners; room for 31 more must follow in `out`. */
    static inline Py_ssize_t rw_mixed(const uint16_t *owners, Py_ssize_t count, uint16_t *out) {
        Py_ssize_t i = 0, found = 0;
    #if defined(RW_AVX512)
        __m512i at = _mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16,
                                      15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        for (; i + 32 <= count; i += 32) {
            __mmask32 mixed = rw_match16(owners + i, 0xFFFF);
            _mm512_storeu_si512(out + found, _mm512_maskz_compress_epi16(mixed, at));
            found += (Py_ssize_t)_mm_popcnt_u32(mixed);
            at = _mm512_add_epi16(at, _mm512_set1_epi16(32));
        }
    #endif
    #if defined(RW_SSE2) && !defined(RW_AVX512)
        for (; i + 64 <= count; i += 64) {  /* a branch for 64 of them, since it is hard to foretell */
            uint64_t mixed = rw_match16(owners + i, 0xFFFF) | (uint64_t)rw_match16(owners + i + 32, 0xFFFF) << 32;
            for (; mixed; mixed &= mixed - 1) out[found++] = (uint16_t)(i + rw_lowest_bit64(mixed));
        }
    #endif
        for (; i < count; i++) {
            out[found] = (uint16_t)i;
            found += owners[i] == 0xFFFF;
        }
        return found;
    }
    #endif
    """
    unsigned rw_lowest_bit(uint32_t x) noexcept nogil
    unsigned rw_rank16(const uint16_t *fragments, uint16_t key) noexcept nogil
    uint32_t rw_match16(const uint16_t *p, uint16_t id) noexcept nogil
    uint32_t rw_match32(const uint32_t *p, uint32_t id) noexcept nogil
    uint32_t rw_match64(const int64_t *p, int64_t id) noexcept nogil
    void rw_eight_owners(const uint16_t *owners, const uint64_t *h, int shift, uint16_t *out) noexcept nogil
    void rw_eight_wide_owners(const uint16_t *owners, const uint64_t *h, int shift, uint32_t *out) noexcept nogil
    Py_ssize_t rw_mixed(const uint16_t *owners, Py_ssize_t count, uint16_t *out) noexcept nogil
