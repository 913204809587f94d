"""XXH3-64 of short keys, eight at a time, where the level has instructions for it.

Source: the xxHash specification, doc/xxhash_spec.md; the same steps as in xxh3.pxd.
"""
from libc.stdint cimport uint32_t, uint64_t
from .lanes cimport rw_lowest_bit  # brings the levels
from .mix cimport rw_mul128  # brings RW_INLINE

cdef extern from *:
    """
    #ifndef RINGWARD_LANES_XXH3_H
    #define RINGWARD_LANES_XXH3_H
    #define RW_MX1 0x165667919E3779F9ULL
    #define RW_MX2 0x9FB21C651E98DF25ULL

    /* The seed, and secret words mixed with it by length of key: 4 to 8 bytes, and the two of 9 to 16. */
    typedef struct rw_flips { uint64_t seed, flip, flip_low, flip_high; } rw_flips;

    typedef struct { size_t size; const unsigned char *p; } rw_span;  /* as the kernels' Span */

    /* In plain C, one after the other, but without a branch between them: branches cost half as much as hashing. */
    RW_INLINE uint64_t rw_9to16(uint64_t first, uint64_t last, uint64_t size, const rw_flips *flips) {
        uint64_t a = first ^ flips->flip_low, b = last ^ flips->flip_high, low;
        uint64_t high = rw_mul128(a, b, &low), h = size + rw_swap64(a) + b + (high ^ low);
        h = (h ^ h >> 37) * RW_MX1;
        return h ^ h >> 32;
    }
    RW_INLINE void rw_strided8(const unsigned char *p, Py_ssize_t stride, Py_ssize_t width, const rw_flips *flips,
                               uint64_t *out) {
        for (int i = 0; i < 8; i++, p += stride)
            out[i] = rw_9to16(rw_load64(p), rw_load64(p + width - 8), (uint64_t)width, flips);
    }
    /* Eight keys by size and pointer. Returns whether all are of 9 to 16 bytes: no other is hashed. */
    RW_INLINE int rw_spans8(const void *spans, const rw_flips *flips, uint64_t *out) {
        const rw_span *s = (const rw_span *)spans;
        size_t above = 0;
        for (int i = 0; i < 8; i++) above |= s[i].size - 9;
        if (above > 7) return 0;
        for (int i = 0; i < 8; i++)
            out[i] = rw_9to16(rw_load64(s[i].p), rw_load64(s[i].p + s[i].size - 8), s[i].size, flips);
        return 1;
    }
    /* Eight keys of `width` bytes, one after the other. Returns whether they were hashed: those of 9 to 16 bytes are. */
    RW_INLINE int rw_rows8(const unsigned char *p, Py_ssize_t width, const rw_flips *flips, uint64_t *out) {
        if (width < 9 || width > 16) return 0;
        rw_strided8(p, width, width, flips, out);
        return 1;
    }
    /* Eight keys of at most 16 bytes, NUL-padded. Returns the bits of those it left: all, unless none is padded. */
    RW_INLINE uint32_t rw_padded8(const unsigned char *p, Py_ssize_t stride, Py_ssize_t width, const rw_flips *flips,
                                  uint64_t *out) {
        unsigned full = 1;
        if (width < 9) return 0xFF;
        for (int i = 0; i < 8; i++) full &= p[i * stride + width - 1] != 0;
        if (!full) return 0xFF;
        rw_strided8(p, stride, width, flips, out);
        return 0;
    }

    #if defined(RW_AVX512)
    RW_INLINE __m512i rw_finish_4to8(__m512i k, __m512i size) {
        __m512i m = _mm512_set1_epi64((long long)RW_MX2);
        k = _mm512_ternarylogic_epi64(k, _mm512_rol_epi64(k, 49), _mm512_rol_epi64(k, 24), 0x96);
        k = _mm512_mullo_epi64(k, m);
        k = _mm512_xor_si512(k, _mm512_add_epi64(_mm512_srli_epi64(k, 35), size));
        k = _mm512_mullo_epi64(k, m);
        return _mm512_xor_si512(k, _mm512_srli_epi64(k, 28));
    }
    /* The two halves of the 128-bit product, XORed. */
    RW_INLINE __m512i rw_mul_fold8(__m512i a, __m512i b) {
        __m512i a_high = _mm512_srli_epi64(a, 32), b_high = _mm512_srli_epi64(b, 32);
        __m512i half = _mm512_set1_epi64(0xFFFFFFFF);
        __m512i ll = _mm512_mul_epu32(a, b), lh = _mm512_mul_epu32(a, b_high);
        __m512i hl = _mm512_mul_epu32(a_high, b), hh = _mm512_mul_epu32(a_high, b_high);
        __m512i middle = _mm512_add_epi64(_mm512_srli_epi64(ll, 32), _mm512_and_si512(lh, half));
        middle = _mm512_add_epi64(middle, hl);
        __m512i high = _mm512_add_epi64(_mm512_add_epi64(hh, _mm512_srli_epi64(lh, 32)), _mm512_srli_epi64(middle, 32));
        __m512i low = _mm512_mask_blend_epi32(0xAAAA, ll, _mm512_slli_epi64(middle, 32));
        return _mm512_xor_si512(low, high);
    }
    RW_INLINE __m512i rw_swap64x8(__m512i x) {
        const __m512i order = _mm512_broadcast_i32x4(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
        return _mm512_shuffle_epi8(x, order);
    }
    RW_INLINE void rw_hash_integers8(const uint64_t *keys, uint64_t flip, uint64_t *out) {
        __m512i k = _mm512_ror_epi64(_mm512_loadu_si512(keys), 32);
        k = _mm512_xor_si512(k, _mm512_set1_epi64((long long)flip));
        _mm512_storeu_si512(out, rw_finish_4to8(k, _mm512_set1_epi64(8)));
    }
    /* 9 to 16 bytes, by the first and the last 8. */
    RW_INLINE __m512i rw_9to16x8(__m512i first, __m512i last, __m512i size, const rw_flips *flips) {
        __m512i a = _mm512_xor_si512(first, _mm512_set1_epi64((long long)flips->flip_low));
        __m512i b = _mm512_xor_si512(last, _mm512_set1_epi64((long long)flips->flip_high));
        __m512i h = _mm512_add_epi64(_mm512_add_epi64(size, rw_swap64x8(a)), _mm512_add_epi64(b, rw_mul_fold8(a, b)));
        h = _mm512_xor_si512(h, _mm512_srli_epi64(h, 37));
        h = _mm512_mullo_epi64(h, _mm512_set1_epi64((long long)RW_MX1));
        return _mm512_xor_si512(h, _mm512_srli_epi64(h, 32));
    }
    RW_INLINE __m512i rw_low_words(__m512i a, __m512i b) {
        return _mm512_permutex2var_epi64(a, _mm512_set_epi64(14, 12, 10, 8, 6, 4, 2, 0), b);
    }
    RW_INLINE __m512i rw_high_words(__m512i a, __m512i b) {
        return _mm512_permutex2var_epi64(a, _mm512_set_epi64(15, 13, 11, 9, 7, 5, 3, 1), b);
    }
    /* Eight keys by size and pointer. Returns whether all are of 9 to 16 bytes: no other is hashed. */
    RW_INLINE int rw_hash_spans8(const void *spans, const rw_flips *flips, uint64_t *out) {
        const rw_span *s = (const rw_span *)spans;
        __m512i size = rw_low_words(_mm512_loadu_si512(s), _mm512_loadu_si512(s + 4));
        __m512i above = _mm512_sub_epi64(size, _mm512_set1_epi64(9));
        if (_mm512_test_epi64_mask(above, _mm512_set1_epi64(~7))) return 0;
    #define RW_FIRST(i) (long long)rw_load64(s[i].p)
    #define RW_LAST(i) (long long)rw_load64(s[i].p + s[i].size - 8)
        __m512i first = _mm512_set_epi64(RW_FIRST(7), RW_FIRST(6), RW_FIRST(5), RW_FIRST(4),
                                         RW_FIRST(3), RW_FIRST(2), RW_FIRST(1), RW_FIRST(0));
        __m512i last = _mm512_set_epi64(RW_LAST(7), RW_LAST(6), RW_LAST(5), RW_LAST(4),
                                        RW_LAST(3), RW_LAST(2), RW_LAST(1), RW_LAST(0));
        _mm512_storeu_si512(out, rw_9to16x8(first, last, size, flips));
        return 1;
    }
    /* Eight keys of `width` bytes, one after the other. Returns whether they were hashed: those of 9 to 16 bytes are. */
    RW_INLINE int rw_hash_rows8(const unsigned char *p, Py_ssize_t width, const rw_flips *flips, uint64_t *out) {
        __m512i first, last;
        if (width == 16) {
            __m512i a = _mm512_loadu_si512(p), b = _mm512_loadu_si512(p + 64);
            first = rw_low_words(a, b);
            last = rw_high_words(a, b);
        } else if (width > 8 && width < 16) {
    #define RW_WORD(i) (long long)rw_load64(p + (i) * width)
    #define RW_WORDS _mm512_set_epi64(RW_WORD(7), RW_WORD(6), RW_WORD(5), RW_WORD(4), RW_WORD(3), RW_WORD(2), RW_WORD(1), RW_WORD(0))
            first = RW_WORDS;
            p += width - 8;
            last = RW_WORDS;
        } else return 0;
        _mm512_storeu_si512(out, rw_9to16x8(first, last, _mm512_set1_epi64(width), flips));
        return 1;
    }
    /* Eight keys of at most 16 bytes, NUL-padded. Returns the bits of those it left: the ones below 4 bytes. */
    RW_INLINE uint32_t rw_hash_padded8(const unsigned char *p, Py_ssize_t stride, Py_ssize_t width, const rw_flips *flips,
                                       uint64_t *out) {
        __m512i first, second;
        if (stride == 16 && width == 16) {
            first = _mm512_loadu_si512(p);
            second = _mm512_loadu_si512(p + 64);
        } else {
            __mmask16 there = (__mmask16)((1u << width) - 1);
            __m128i k[8];
            for (int i = 0; i < 8; i++) k[i] = _mm_maskz_loadu_epi8(there, p + i * stride);
            first = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(k[1], k[0])), _mm256_set_m128i(k[3], k[2]), 1);
            second = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(k[5], k[4])), _mm256_set_m128i(k[7], k[6]), 1);
        }
        __m512i low = rw_low_words(first, second), high = rw_high_words(first, second);
        if (_mm512_test_epi64_mask(high, _mm512_set1_epi64((long long)0xFF00000000000000ULL)) == 0xFF) {  /* no padding */
            _mm512_storeu_si512(out, rw_9to16x8(low, high, _mm512_set1_epi64(16), flips));
            return 0;
        }
        const __m512i eight = _mm512_set1_epi64(8);
        __mmask8 is_long = _mm512_test_epi64_mask(high, high);
        __m512i word = _mm512_mask_blend_epi64(is_long, low, high);  /* the one that ends the key */
        __m512i last = _mm512_sub_epi64(eight, _mm512_srli_epi64(_mm512_lzcnt_epi64(word), 3));  /* its bytes, 0 to 8 */
        __m512i shift = _mm512_slli_epi64(last, 3);
        /* The last 8 bytes: both words shifted by the bytes of the second. Shifts by 64 give 0. */
        __m512i tail = _mm512_or_si512(_mm512_srlv_epi64(low, shift),
                                       _mm512_sllv_epi64(high, _mm512_sub_epi64(_mm512_set1_epi64(64), shift)));
        __m512i result = rw_9to16x8(low, tail, _mm512_add_epi64(last, eight), flips);
        __mmask8 left = 0;
        if (is_long != 0xFF) {
            __mmask8 is_short = (__mmask8)(~is_long & _mm512_cmpge_epu64_mask(last, _mm512_set1_epi64(4)));
            __m512i end = _mm512_srlv_epi64(low, _mm512_sub_epi64(shift, _mm512_set1_epi64(32)));  /* the last 4 bytes */
            __m512i k = _mm512_add_epi64(_mm512_and_si512(end, _mm512_set1_epi64(0xFFFFFFFF)), _mm512_slli_epi64(low, 32));
            k = _mm512_xor_si512(k, _mm512_set1_epi64((long long)flips->flip));
            result = _mm512_mask_mov_epi64(result, is_short, rw_finish_4to8(k, last));
            left = (__mmask8)~(is_long | is_short);
        }
        _mm512_storeu_si512(out, result);
        return left;
    }
    #elif defined(RW_AVX2)
    RW_INLINE __m256i rw_mullo64x4(__m256i a, uint64_t b) {
        __m256i low = _mm256_set1_epi64x((long long)(b & 0xFFFFFFFF)), high = _mm256_set1_epi64x((long long)(b >> 32));
        __m256i cross = _mm256_add_epi64(_mm256_mul_epu32(a, high), _mm256_mul_epu32(_mm256_srli_epi64(a, 32), low));
        return _mm256_add_epi64(_mm256_mul_epu32(a, low), _mm256_slli_epi64(cross, 32));
    }
    RW_INLINE __m256i rw_mul_fold4(__m256i a, __m256i b) {
        __m256i a_high = _mm256_srli_epi64(a, 32), b_high = _mm256_srli_epi64(b, 32);
        __m256i ll = _mm256_mul_epu32(a, b), lh = _mm256_mul_epu32(a, b_high);
        __m256i hl = _mm256_mul_epu32(a_high, b), hh = _mm256_mul_epu32(a_high, b_high);
        __m256i middle = _mm256_add_epi64(_mm256_srli_epi64(ll, 32), _mm256_blend_epi32(lh, _mm256_setzero_si256(), 0xAA));
        middle = _mm256_add_epi64(middle, hl);
        __m256i high = _mm256_add_epi64(_mm256_add_epi64(hh, _mm256_srli_epi64(lh, 32)), _mm256_srli_epi64(middle, 32));
        return _mm256_xor_si256(_mm256_blend_epi32(ll, _mm256_slli_epi64(middle, 32), 0xAA), high);
    }
    /* 9 to 16 bytes, by the first and the last 8. Unpacking has put keys 0, 2, 1, 3 into the lanes; they leave in order. */
    RW_INLINE void rw_9to16x4(__m256i first, __m256i last, __m256i size, const rw_flips *flips, uint64_t *out) {
        const __m256i swap = _mm256_broadcastsi128_si256(_mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
        __m256i a = _mm256_xor_si256(first, _mm256_set1_epi64x((long long)flips->flip_low));
        __m256i b = _mm256_xor_si256(last, _mm256_set1_epi64x((long long)flips->flip_high));
        __m256i h = _mm256_add_epi64(_mm256_add_epi64(size, _mm256_shuffle_epi8(a, swap)),
                                     _mm256_add_epi64(b, rw_mul_fold4(a, b)));
        h = rw_mullo64x4(_mm256_xor_si256(h, _mm256_srli_epi64(h, 37)), RW_MX1);
        h = _mm256_xor_si256(h, _mm256_srli_epi64(h, 32));
        _mm256_storeu_si256((__m256i *)out, _mm256_permute4x64_epi64(h, 0xD8));
    }
    /* Eight keys by size and pointer. Returns whether all are of 9 to 16 bytes: no other is hashed. */
    RW_INLINE int rw_hash_spans8(const void *spans, const rw_flips *flips, uint64_t *out) {
        const rw_span *s = (const rw_span *)spans;
        const __m256i *v = (const __m256i *)spans, nine = _mm256_set1_epi64x(9);
        __m256i size[2];
        size[0] = _mm256_unpacklo_epi64(_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1));
        size[1] = _mm256_unpacklo_epi64(_mm256_loadu_si256(v + 2), _mm256_loadu_si256(v + 3));
        __m256i above = _mm256_or_si256(_mm256_sub_epi64(size[0], nine), _mm256_sub_epi64(size[1], nine));
        if (!_mm256_testz_si256(above, _mm256_set1_epi64x(~7))) return 0;
    #define RW_FIRST(i) (long long)rw_load64(s[i].p)
    #define RW_LAST(i) (long long)rw_load64(s[i].p + s[i].size - 8)
        for (int i = 0; i < 2; i++, s += 4, out += 4) {
            __m256i first = _mm256_set_epi64x(RW_FIRST(3), RW_FIRST(1), RW_FIRST(2), RW_FIRST(0));
            __m256i last = _mm256_set_epi64x(RW_LAST(3), RW_LAST(1), RW_LAST(2), RW_LAST(0));
            rw_9to16x4(first, last, size[i], flips, out);
        }
        return 1;
    }
    RW_INLINE int rw_hash_rows8(const unsigned char *p, Py_ssize_t width, const rw_flips *flips, uint64_t *out) {
        const __m256i *v = (const __m256i *)p;
        if (width != 16) return rw_rows8(p, width, flips, out);
        for (int i = 0; i < 4; i += 2) {
            __m256i a = _mm256_loadu_si256(v + i), b = _mm256_loadu_si256(v + i + 1);
            rw_9to16x4(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b), _mm256_set1_epi64x(16), flips, out + 2 * i);
        }
        return 1;
    }
    RW_INLINE uint32_t rw_hash_padded8(const unsigned char *p, Py_ssize_t stride, Py_ssize_t width, const rw_flips *flips,
                                       uint64_t *out) {
        const __m256i *v = (const __m256i *)p;
        if (stride != 16 || width != 16) return rw_padded8(p, stride, width, flips, out);
        __m256i nul = _mm256_min_epu8(_mm256_min_epu8(_mm256_loadu_si256(v), _mm256_loadu_si256(v + 1)),
                                      _mm256_min_epu8(_mm256_loadu_si256(v + 2), _mm256_loadu_si256(v + 3)));
        nul = _mm256_cmpeq_epi8(nul, _mm256_setzero_si256());
        if ((uint32_t)_mm256_movemask_epi8(nul) & 0x80008000u) return 0xFF;
        rw_hash_rows8(p, 16, flips, out);
        return 0;
    }
    RW_INLINE void rw_hash_integers8(const uint64_t *keys, uint64_t flip, uint64_t *out) {
        for (int i = 0; i < 8; i += 4) {
            __m256i k = _mm256_shuffle_epi32(_mm256_loadu_si256((const __m256i *)(keys + i)), 0xB1);
            k = _mm256_xor_si256(k, _mm256_set1_epi64x((long long)flip));
            __m256i a = _mm256_or_si256(_mm256_slli_epi64(k, 49), _mm256_srli_epi64(k, 15));
            __m256i b = _mm256_or_si256(_mm256_slli_epi64(k, 24), _mm256_srli_epi64(k, 40));
            k = rw_mullo64x4(_mm256_xor_si256(k, _mm256_xor_si256(a, b)), RW_MX2);
            k = _mm256_xor_si256(k, _mm256_add_epi64(_mm256_srli_epi64(k, 35), _mm256_set1_epi64x(8)));
            k = rw_mullo64x4(k, RW_MX2);
            k = _mm256_xor_si256(k, _mm256_srli_epi64(k, 28));
            _mm256_storeu_si256((__m256i *)(out + i), k);
        }
    }
    #else
    #define RW_HASHES_BESIDE 0  /* both take the same ports */
    #define rw_hash_spans8 rw_spans8
    #define rw_hash_rows8 rw_rows8
    #define rw_hash_padded8 rw_padded8
    RW_INLINE void rw_hash_integers8(const uint64_t *keys, uint64_t flip, uint64_t *out) {
        for (int i = 0; i < 8; i++) {
            uint64_t k = (keys[i] << 32 | keys[i] >> 32) ^ flip;
            k ^= rw_rotl64(k, 49) ^ rw_rotl64(k, 24);
            k *= RW_MX2;
            k ^= (k >> 35) + 8;
            k *= RW_MX2;
            out[i] = k ^ (k >> 28);
        }
    }
    #endif

    #if !defined(RW_HASHES_BESIDE)  /* whether hashing pays beside something else that has no wide instructions */
    #define RW_HASHES_BESIDE 1
    #endif

    RW_SCALAR static void rw_hash_eights(const uint64_t *keys, Py_ssize_t count, uint64_t flip, Py_ssize_t ahead,
                                         uint64_t *out) {
        for (Py_ssize_t i = 0; i < count; i += 8) {  /* a cache line of keys at a time */
            RW_AHEAD(keys + i + ahead);
            rw_hash_integers8(keys + i, flip, out + i);
        }
    }
    #endif
    """
    const bint HASHES_BESIDE "RW_HASHES_BESIDE"
    cdef struct Flips "rw_flips":
        uint64_t seed
        uint64_t flip
        uint64_t flip_low
        uint64_t flip_high
    bint rw_hash_spans8(const void *spans, const Flips *flips, uint64_t *out) noexcept nogil
    bint rw_hash_rows8(const unsigned char *p, Py_ssize_t width, const Flips *flips, uint64_t *out) noexcept nogil
    uint32_t rw_hash_padded8(const unsigned char *p, Py_ssize_t stride, Py_ssize_t width, const Flips *flips,
                             uint64_t *out) noexcept nogil
    void rw_hash_eights(const uint64_t *keys, Py_ssize_t count, uint64_t flip, Py_ssize_t ahead,
                        uint64_t *out) noexcept nogil
