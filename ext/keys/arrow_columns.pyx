"""Columns in Arrow's memory layouts, one class a layout, read in place and without the GIL.

Source: the Arrow specification, "Arrow Columnar Format". What the ABI lets a reader check is checked: the
number and presence of buffers, offsets against the last one, views against the sizes of their buffers. The
lengths of the other buffers, and that text is UTF-8, are the producer's promise.
"""
from ringward._core.sources import IntSource
from ringward.errors import KeyValueError

from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset
from .arrow cimport OwnedArray
from .arrow_abi cimport ArrowArray, count_nulls, is_valid
from .hashing cimport HashSpec, hash_rows, hash_spans
from .kernels cimport AHEAD_BYTES, Span
from .mix cimport rw_prefetch
from .sources cimport KeySource

cimport numpy as cnp

cnp.import_array()

cdef int64_t MOST_BYTES = <int64_t>1 << 56  # more than any machine addresses

cdef enum:
    GROUP = 64  # keys that are found before the first of them is hashed
    VIEW_SIZE = 16
    VIEW_INLINE = 12  # bytes that a view holds itself

ctypedef fused offset_t:
    int32_t
    int64_t


cdef class Layout:
    """What the format of a schema says about the arrays: which class reads them, how many buffers they have.

    `width` is the bytes of an integer, an offset, an index or a fixed-size key; `number` is NumPy's for integers.
    A dictionary has the layout of its `values` too, and those it has `seen`.
    """

    def __cinit__(self, column, int64_t buffers, Py_ssize_t width, int number=-1, Layout values=None):
        self.column = column
        self.buffers = buffers
        self.width = width
        self.number = number
        self.values = values

    cdef ArrowColumn open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position):
        cdef ArrowColumn column = self.column()
        column.open(owner, array, position, self)
        return column


cdef class ArrowColumn(KeySource):
    """One array: `size` keys from `offset` on, the first of which stands at `position` of the whole column."""

    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1:
        """Take an array and check its buffers; subclasses then look at their own."""
        cdef int64_t first = 0
        self.take(owner, array, position, layout.width)
        if array.n_buffers != layout.buffers and (array.n_buffers < layout.buffers or layout.column is not ViewColumn):
            self.refuse_array(f"{array.n_buffers} buffers instead of {layout.buffers}")
        if array.buffers == NULL or array.n_children != 0:
            self.refuse_array("no list of buffers" if array.buffers == NULL else "children")
        self.validity = <const uint8_t *>array.buffers[0]
        if array.null_count > 0 and self.validity == NULL:
            self.refuse_array("nulls, but no validity bitmap")
        if array.null_count != 0 and self.validity != NULL:
            self.nulls = count_nulls(self.validity, self.offset, self.size, &first)
            self.first_null = first
        return 0

    cdef int take(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Py_ssize_t width) except -1:
        """Hold an array, whose length must be one that can be."""
        self.owner = owner
        self.array = array
        self.position = position
        self.fallible = True
        if array.length < 0 or array.offset < 0 or array.length > INT64_MAX - 1 - array.offset:
            self.refuse_array(f"length {array.length} at offset {array.offset}")
        if array.length > MOST_BYTES // max(<Py_ssize_t>1, width) - array.offset:
            self.refuse_array(f"length {array.length} at offset {array.offset}, more than memory can hold")
        self.size = array.length
        self.offset = array.offset
        return 0

    cdef int find_buffer(self, int index, Py_ssize_t width, const char **data) except -1:
        """Where items of `width` bytes begin; NULL only where there is none to read."""
        data[0] = <const char *>self.array.buffers[index]
        if self.size and width:
            if data[0] == NULL:
                self.refuse_array(f"no buffer {index}")
            data[0] += self.offset * width
        return 0

    cdef int refuse_array(self, str has) except -1:
        raise KeyValueError(f"keys must be a valid Arrow array (has {has})")

    cdef int refuse(self, Py_ssize_t index, str must) except -1 nogil:
        with gil:
            if self.position == IN_DICTIONARY:
                raise KeyValueError(f"value {index} of the keys' dictionary must have {must}")
            index += self.position
            raise KeyValueError(f"keys[{index}] must have {must}", position=index)

    cdef bint is_present(self, Py_ssize_t index) noexcept nogil:
        return self.validity == NULL or is_valid(self.validity, self.offset + index)

    cdef void mark_nulls(self, Py_ssize_t start, Py_ssize_t count, uint8_t *out) noexcept nogil:
        cdef Py_ssize_t i
        for i in range(count):
            out[i] = not self.is_present(start + i)


cdef class NullColumn(ArrowColumn):
    """A column that has no values at all: what libraries make of one whose keys are all missing, or of an empty list."""

    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1:
        self.take(owner, array, position, layout.width)
        self.nulls = self.size
        return 0

    cdef bint is_present(self, Py_ssize_t index) noexcept nogil:
        return False

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        memset(out, 0, <size_t>count * sizeof(out[0]))
        return 0


cdef class IntegerColumn(ArrowColumn):
    """Integers: as NumPy has them, so the source of those reads them."""

    cdef KeySource integers

    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1:
        cdef cnp.npy_intp size
        cdef const char *data
        ArrowColumn.open(self, owner, array, position, layout)
        self.find_buffer(1, layout.width, &data)
        size = self.size
        self.integers = IntSource(cnp.PyArray_SimpleNewFromData(1, &size, layout.number, <void *>data))
        return 0

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        return self.integers.fill(spec, start, count, out)


cdef class OffsetColumn(ArrowColumn):
    """Text or bytes between offsets of 4 or 8 bytes."""

    cdef const char *offsets
    cdef const unsigned char *data
    cdef int64_t end
    cdef Py_ssize_t width

    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1:
        ArrowColumn.open(self, owner, array, position, layout)
        self.width = layout.width
        self.find_buffer(1, self.width, &self.offsets)
        self.data = <const unsigned char *>array.buffers[2]
        if self.size:
            self.end = (load(<const int32_t *>self.offsets, self.size) if self.width == 4
                        else load(<const int64_t *>self.offsets, self.size))
            if self.data == NULL and self.end > 0:
                self.refuse_array("no buffer 2")
        return 0

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef Py_ssize_t done
        if self.width == 4:
            done = hash_between(spec, <const int32_t *>self.offsets, self.data, self.end, start, count, out)
        else:
            done = hash_between(spec, <const int64_t *>self.offsets, self.data, self.end, start, count, out)
        if done < count:
            self.refuse(start + done, "offsets that neither fall nor pass the last one")
        return 0


cdef inline bint equally_far(const offset_t *offsets, Py_ssize_t count) noexcept nogil:
    """Whether `count` keys, whose first offset and last one rise, are all of one size."""
    cdef uint64_t first = <uint64_t>load(offsets, 0), width = <uint64_t>load(offsets, 1) - first, different = 0
    cdef Py_ssize_t i
    # The product tells most columns of other keys. Below 2^56 it cannot wrap.
    if width >> 56 or <uint64_t>load(offsets, count) - first != <uint64_t>count * width:
        return False
    for i in range(1, count):
        different |= <uint64_t>load(offsets, i + 1) - <uint64_t>load(offsets, i) ^ width
    return different == 0


cdef Py_ssize_t hash_between(const HashSpec *spec, const offset_t *offsets, const unsigned char *data, int64_t end,
                             Py_ssize_t start, Py_ssize_t count, uint64_t *out) noexcept nogil:
    """How many keys were hashed before one whose offsets fall, or lie outside of 0 .. `end`."""
    cdef Span[GROUP] spans
    cdef int64_t low = load(offsets, start), high
    cdef Py_ssize_t done = 0, part, i
    if low < 0 or low > end:
        return 0
    while done < count:
        part = min(<Py_ssize_t>GROUP, count - done)
        rw_prefetch(<const char *>(offsets + start + done) + AHEAD_BYTES)
        high = load(offsets, start + done + part)
        if low <= high <= end and equally_far(offsets + start + done, part):
            hash_rows(spec, data + low, (high - low) // part, part, out + done)
            low = high
            done += part
            continue
        for i in range(part):
            high = load(offsets, start + done + i + 1)
            if <uint64_t>high - <uint64_t>low > <uint64_t>(end - low):
                return done + i
            if i & 3 == 0:
                rw_prefetch(data + low + AHEAD_BYTES)
            spans[i].p = data + low
            spans[i].size = <size_t>(high - low)
            low = high
        hash_spans(spec, spans, part, out + done)
        done += part
    return count


cdef class ViewColumn(ArrowColumn):
    """Text or bytes of up to 12 bytes in views of 16 bytes, longer ones in buffers that the views point into."""

    cdef const char *views
    cdef const unsigned char **data
    cdef const int64_t *sizes
    cdef uint32_t buffers

    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1:
        cdef uint32_t i
        ArrowColumn.open(self, owner, array, position, layout)
        self.find_buffer(1, VIEW_SIZE, &self.views)
        self.data = <const unsigned char **>array.buffers + 2
        self.buffers = <uint32_t>min(array.n_buffers - layout.buffers, <int64_t>INT32_MAX)
        self.sizes = <const int64_t *>array.buffers[array.n_buffers - 1]
        if self.size:
            if self.buffers and self.sizes == NULL:
                self.refuse_array("no sizes of its buffers")
            for i in range(self.buffers):
                if load(self.sizes, i) > 0 and self.data[i] == NULL:
                    self.refuse_array(f"no buffer {i + 2}")
        return 0

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef Span[GROUP] spans
        cdef Py_ssize_t i, part
        while count:
            part = min(<Py_ssize_t>GROUP, count)
            for i in range(part):
                if self.seek(start + i, &spans[i]):
                    if i & 3 == 0:
                        rw_prefetch(self.views + (start + i) * VIEW_SIZE + AHEAD_BYTES)
                        rw_prefetch(spans[i].p + AHEAD_BYTES)
                        rw_prefetch(spans[i].p + AHEAD_BYTES + 64)
                elif self.is_present(start + i):
                    self.refuse(start + i, "a view of bytes that are there")
                else:  # what the view of a null says is undefined
                    spans[i].size = 0
            hash_spans(spec, spans, part, out)
            start += part
            count -= part
            out += part
        return 0

    cdef inline bint seek(self, Py_ssize_t index, Span *span) noexcept nogil:
        """The bytes of a key; False where its view leads nowhere."""
        cdef const char *view = self.views + index * VIEW_SIZE
        cdef int64_t length = load(<const int32_t *>view, 0)
        cdef int64_t buffer = load(<const int32_t *>view, 2)
        cdef int64_t start = load(<const int32_t *>view, 3)
        span.size = <size_t>length
        if 0 <= length <= VIEW_INLINE:
            span.p = <const unsigned char *>view + 4
            return True
        if length < 0 or buffer < 0 or buffer >= self.buffers or start < 0:
            return False
        span.p = self.data[buffer] + start
        return start + length <= load(self.sizes, buffer)


cdef class FixedColumn(ArrowColumn):
    """Bytes of one size; unlike NumPy's `S`, NULs at the end are part of the key."""

    cdef const char *data
    cdef Py_ssize_t width

    cdef int open(self, OwnedArray owner, const ArrowArray *array, Py_ssize_t position, Layout layout) except -1:
        ArrowColumn.open(self, owner, array, position, layout)
        self.width = layout.width
        return self.find_buffer(1, self.width, &self.data)

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        hash_rows(spec, <const unsigned char *>self.data + start * self.width, self.width, count, out)
        return 0
