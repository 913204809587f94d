"""UTF-32 text with NUL padding, as NumPy's `U` holds it → UTF-8."""
from libc.stdint cimport uint32_t
from libc.string cimport memcpy
from .mix cimport rw_swap32

cdef extern from *:
    """
    #ifndef RINGWARD_UTF8_H
    #define RINGWARD_UTF8_H
    #if defined(__SSE2__) || (defined(_MSC_VER) && defined(_M_X64))
    #include <emmintrin.h>
    #define RW_SSE2 1
    #endif

    #ifdef RW_SSE2
    /* Four characters, NUL where there are fewer. */
    RW_INLINE __m128i rw_characters(const unsigned char *p, size_t count) {
        int one;
        if (count >= 4) return _mm_loadu_si128((const __m128i *)p);
        if (count == 2) return _mm_loadl_epi64((const __m128i *)p);
        if (count == 0) return _mm_setzero_si128();
        memcpy(&one, p + 4 * (count - 1), 4);
        if (count == 1) return _mm_cvtsi32_si128(one);
        return _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)p), _mm_cvtsi32_si128(one));
    }

    /* Stores the low bytes of 16 characters at once, since what reads them next could not run ahead of several
       smaller stores; returns the bits that are set in any of them. */
    RW_INLINE __m128i rw_narrow16(__m128i a, __m128i b, __m128i c, __m128i d, int swapped, unsigned char *out) {
        __m128i seen = _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d));
        if (swapped) {
            a = _mm_srli_epi32(a, 24);
            b = _mm_srli_epi32(b, 24);
            c = _mm_srli_epi32(c, 24);
            d = _mm_srli_epi32(d, 24);
        }
        a = _mm_packus_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
        _mm_storeu_si128((__m128i *)out, a);
        return seen;
    }

    RW_INLINE int rw_narrow_as(const unsigned char *p, size_t count, int swapped, unsigned char *out) {
        const __m128i beyond = _mm_set1_epi32(swapped ? (int)0x80FFFFFF : (int)0xFFFFFF80);
        __m128i seen = _mm_setzero_si128();
        for (; count >= 16; count -= 16, p += 64, out += 16) {
            const __m128i *q = (const __m128i *)p;
            seen = _mm_or_si128(seen, rw_narrow16(_mm_loadu_si128(q), _mm_loadu_si128(q + 1), _mm_loadu_si128(q + 2),
                                                  _mm_loadu_si128(q + 3), swapped, out));
        }
        if (count)
            seen = _mm_or_si128(seen, rw_narrow16(
                rw_characters(p, count), rw_characters(p + 16, count > 4 ? count - 4 : 0),
                rw_characters(p + 32, count > 8 ? count - 8 : 0), rw_characters(p + 48, count > 12 ? count - 12 : 0),
                swapped, out));
        seen = _mm_cmpeq_epi32(_mm_and_si128(seen, beyond), _mm_setzero_si128());
        return _mm_movemask_epi8(seen) == 0xFFFF;
    }
    #else
    RW_INLINE int rw_narrow_as(const unsigned char *p, size_t count, int swapped, unsigned char *out) {
        uint32_t c, seen = 0;
        size_t i;
        for (i = 0; i < count; i++) {
            memcpy(&c, p + 4 * i, 4);
            if (swapped) c = rw_swap32(c);
            seen |= c;
            out[i] = (unsigned char)c;
        }
        return seen < 0x80;
    }
    #endif

    /* Writes the low bytes of `count` characters to `out`, where there is room for 15 more; returns whether all of
       them were ASCII. */
    RW_INLINE int rw_narrow(const unsigned char *p, size_t count, int swapped, unsigned char *out) {
        return swapped ? rw_narrow_as(p, count, 1, out) : rw_narrow_as(p, count, 0, out);
    }

    /* Bytes left of `p` without the NULs at its end; the 8 bytes before `p` must be NUL. */
    RW_INLINE size_t rw_trimmed(const unsigned char *p, size_t size) {
        for (;;) {
            uint64_t last = rw_load64(p + size - 8);
            if (last) return size - 8 + rw_used_bytes(last);
            if (size <= 8) return 0;
            size -= 8;
        }
    }
    #endif
    """
    bint rw_narrow(const unsigned char *p, size_t count, bint swapped, unsigned char *out) noexcept nogil
    size_t rw_trimmed(const unsigned char *p, size_t size) noexcept nogil


cdef inline uint32_t character(const unsigned char *p, size_t index, bint swapped) noexcept nogil:
    cdef uint32_t c
    memcpy(&c, p + 4 * index, 4)
    return rw_swap32(c) if swapped else c


cdef inline Py_ssize_t encode_utf8(const unsigned char *p, size_t count, bint swapped, unsigned char *out) noexcept nogil:
    """The bytes written, at most 4 a character, or -1 where one is no Unicode scalar value."""
    cdef uint32_t c
    cdef size_t i
    cdef unsigned char *start = out
    while count and character(p, count - 1, swapped) == 0:
        count -= 1
    for i in range(count):
        c = character(p, i, swapped)
        if c < 0x80:
            out[0] = <unsigned char>c
            out += 1
        elif c < 0x800:
            out[0] = 0xC0 | <unsigned char>(c >> 6)
            out[1] = 0x80 | <unsigned char>(c & 0x3F)
            out += 2
        elif c < 0x10000:
            if 0xD800 <= c < 0xE000:
                return -1
            out[0] = 0xE0 | <unsigned char>(c >> 12)
            out[1] = 0x80 | <unsigned char>((c >> 6) & 0x3F)
            out[2] = 0x80 | <unsigned char>(c & 0x3F)
            out += 3
        elif c < 0x110000:
            out[0] = 0xF0 | <unsigned char>(c >> 18)
            out[1] = 0x80 | <unsigned char>((c >> 12) & 0x3F)
            out[2] = 0x80 | <unsigned char>((c >> 6) & 0x3F)
            out[3] = 0x80 | <unsigned char>(c & 0x3F)
            out += 4
        else:
            return -1
    return out - start
