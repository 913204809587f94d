"""The structs of the Arrow C data and C stream interfaces, and validity bitmaps.

Source: the Arrow specification, "The Arrow C data interface" and "The Arrow C stream interface".
The order of the fields is the ABI.
"""
from libc.stdint cimport int64_t, uint8_t


cdef struct ArrowSchema:
    const char *format
    const char *name
    const char *metadata
    int64_t flags
    int64_t n_children
    ArrowSchema **children
    ArrowSchema *dictionary
    void (*release)(ArrowSchema *) noexcept
    void *private_data


cdef struct ArrowArray:
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers
    ArrowArray **children
    ArrowArray *dictionary
    void (*release)(ArrowArray *) noexcept
    void *private_data


cdef struct ArrowArrayStream:
    int (*get_schema)(ArrowArrayStream *, ArrowSchema *) noexcept nogil
    int (*get_next)(ArrowArrayStream *, ArrowArray *) noexcept nogil
    const char *(*get_last_error)(ArrowArrayStream *) noexcept
    void (*release)(ArrowArrayStream *) noexcept
    void *private_data


cdef inline bint is_valid(const uint8_t *validity, int64_t index) noexcept nogil:
    return (validity[index >> 3] >> (index & 7)) & 1


cdef inline int64_t count_nulls(const uint8_t *validity, int64_t offset, int64_t length, int64_t *first) noexcept nogil:
    """How many of `length` bits from `offset` on are 0; `first` is the index of the first, counted from there."""
    cdef int64_t nulls = 0, i = 0
    while i < length:
        if (offset + i) & 7 == 0 and i + 8 <= length and validity[(offset + i) >> 3] == 0xFF:
            i += 8
            continue
        if not is_valid(validity, offset + i):
            if nulls == 0:
                first[0] = i
            nulls += 1
        i += 1
    return nulls
