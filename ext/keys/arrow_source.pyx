"""The source for a column that exports the Arrow PyCapsule interface."""
from ringward import advice
from ringward._core.arrow import open_array, open_stream
from ringward._core.arrow_columns import FixedColumn, IntegerColumn, NullColumn, OffsetColumn, ViewColumn
from ringward._core.arrow_dictionary import DictionaryColumn
from ringward.errors import KeyTypeError, KeyValueError

from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.object cimport PyObject
from libc.stdint cimport INT32_MAX, INT64_MAX, int32_t, uint8_t, uint64_t
from libc.string cimport memcpy
from .arrow cimport OwnedArray, OwnedSchema
from .arrow_abi cimport ArrowSchema
from .arrow_columns cimport ArrowColumn, Layout
from .hashing cimport HashSpec
from .sources cimport KeySource

cimport numpy as cnp

cdef dict INTEGERS = {  # format: bytes, NumPy's number
    "c": (1, cnp.NPY_INT8), "C": (1, cnp.NPY_UINT8), "s": (2, cnp.NPY_INT16), "S": (2, cnp.NPY_UINT16),
    "i": (4, cnp.NPY_INT32), "I": (4, cnp.NPY_UINT32), "l": (8, cnp.NPY_INT64), "L": (8, cnp.NPY_UINT64)}
cdef dict OFFSETS = {"u": 4, "z": 4, "U": 8, "Z": 8}
cdef tuple VIEWS = ("vu", "vz")
cdef tuple EXTENSIONS = ("arrow.json", "arrow.uuid")  # those that mean the text or bytes they are stored as

# For messages only: the longest prefix of a format that is known names it.
cdef dict OTHERS = {
    "b": "bool", "e": "float16", "f": "float32", "g": "float64", "d": "decimal", "td": "date",
    "tt": "time", "ts": "timestamp", "tD": "duration", "ti": "interval", "+l": "list", "+L": "large_list",
    "+v": "list_view", "+w": "fixed_size_list", "+m": "map", "+u": "union", "+r": "run_end_encoded"}


cdef Layout plain_layout(str form):
    """The layout of a format without a dictionary, or None where it holds no keys."""
    if form in INTEGERS:
        width, number = INTEGERS[form]
        return Layout(IntegerColumn, 2, width, number)
    if form in OFFSETS:
        return Layout(OffsetColumn, 3, OFFSETS[form])
    if form in VIEWS:
        return Layout(ViewColumn, 3, 0)
    if form == "n":
        return Layout(NullColumn, 0, 0)
    if form.startswith("w:") and form[2:].isdecimal() and int(form[2:]) <= INT32_MAX:
        return Layout(FixedColumn, 2, int(form[2:]))
    return None


cdef Layout layout_of(const ArrowSchema *schema):
    cdef Layout layout
    if schema.format == NULL:
        raise KeyTypeError("keys must be an Arrow column with a format")
    form = schema.format.decode("utf-8", "replace")
    layout = plain_layout(form)
    if layout is None:
        refuse_format(schema, form)
    extension = extension_of(schema.metadata)
    if extension is not None and extension not in EXTENSIONS:
        raise KeyTypeError(
            f"keys must be integers, strings or binary (was an Arrow column of the extension {extension!r})")
    if schema.dictionary != NULL:
        if form not in INTEGERS or schema.dictionary.dictionary != NULL:
            raise KeyTypeError("keys must have a dictionary with integers as its indices and no further dictionary")
        layout = Layout(DictionaryColumn, 2, layout.width, layout.number, layout_of(schema.dictionary))
    return layout


cdef str extension_of(const char *metadata):
    """The name of an extension type, or None. Metadata: how many pairs, then the size of each text before it."""
    cdef int32_t i, pairs
    if metadata == NULL:
        return None
    pairs = next_number(&metadata)
    for i in range(pairs):
        name = next_text(&metadata)
        value = next_text(&metadata)
        if name == b"ARROW:extension:name":
            return value.decode("utf-8", "replace")
    return None


cdef bytes next_text(const char **p):
    cdef int32_t size = next_number(p)
    text = p[0][:size]
    p[0] += size
    return text


cdef int32_t next_number(const char **p) except -1:
    cdef int32_t number
    memcpy(&number, p[0], sizeof(number))
    if number < 0:
        raise KeyValueError(f"keys must be an Arrow column whose metadata have sizes of at least 0 (had {number})")
    p[0] += sizeof(number)
    return number


cdef int refuse_format(const ArrowSchema *schema, str form) except -1:
    if form == "+s":
        shown_children = min(schema.n_children, 5) if schema.children != NULL else 0
        names = [child_name(schema.children[i]) for i in range(shown_children)]
        shown = ", ".join(map(repr, names)) + (", ..." if schema.n_children > 5 else "")
        raise KeyTypeError(f"keys must be one column: pass a column of this table, not the whole (has {shown})")
    known = next((name for prefix, name in OTHERS.items() if form.startswith(prefix)), f"format {form!r}")
    raise KeyTypeError(
        f"keys must be integers, strings or binary (was an Arrow column of {known}); {advice.advice_for_type(known)}")


cdef str child_name(const ArrowSchema *child):
    if child == NULL or child.name == NULL:
        return ""
    return child.name.decode("utf-8", "replace")


cdef class ChunkedSource(KeySource):
    """Several columns one after the other."""

    cdef list columns
    cdef Py_ssize_t count
    cdef PyObject **column  # the same, for reading without the GIL
    cdef Py_ssize_t *starts  # where each begins, and where the last one ends

    def __cinit__(self, list columns):
        cdef KeySource column
        cdef Py_ssize_t i
        self.columns = columns
        self.count = len(columns)
        self.fallible = True
        self.column = <PyObject **>PyMem_Malloc(<size_t>self.count * sizeof(PyObject *))
        self.starts = <Py_ssize_t *>PyMem_Malloc(<size_t>(self.count + 1) * sizeof(Py_ssize_t))
        if self.column == NULL or self.starts == NULL:
            raise MemoryError
        for i, column in enumerate(columns):
            self.column[i] = <PyObject *>column
            self.starts[i] = self.size
            if column.nulls and not self.nulls:
                self.first_null = self.size + column.first_null
            self.nulls += column.nulls
            self.size += column.size
        self.starts[self.count] = self.size

    def __dealloc__(self):
        PyMem_Free(self.column)
        PyMem_Free(self.starts)

    cdef int prepare(self, const HashSpec *spec) except -1:
        cdef KeySource column
        for column in self.columns:
            column.prepare(spec)
        return 0

    cdef Py_ssize_t find(self, Py_ssize_t index) noexcept nogil:
        """The column that holds a key; none is empty."""
        cdef Py_ssize_t low = 0, high = self.count, middle
        while low + 1 < high:
            middle = (low + high) // 2
            if self.starts[middle] <= index:
                low = middle
            else:
                high = middle
        return low

    cdef int fill(self, const HashSpec *spec, Py_ssize_t start, Py_ssize_t count, uint64_t *out) except -1 nogil:
        cdef Py_ssize_t i = self.find(start), end = start + count, part
        while start < end:
            part = min(end, self.starts[i + 1]) - start
            (<KeySource>self.column[i]).fill(spec, start - self.starts[i], part, out)
            start += part
            out += part
            i += 1
        return 0

    cdef void mark_nulls(self, Py_ssize_t start, Py_ssize_t count, uint8_t *out) noexcept nogil:
        cdef Py_ssize_t i = self.find(start), end = start + count, part
        while start < end:
            part = min(end, self.starts[i + 1]) - start
            (<KeySource>self.column[i]).mark_nulls(start - self.starts[i], part, out)
            start += part
            out += part
            i += 1


def arrow_source(keys):
    """The source for an object with `__arrow_c_stream__` or `__arrow_c_array__`; whatever these raise is raised."""
    cdef OwnedSchema schema
    cdef OwnedArray owned
    cdef ArrowColumn column
    cdef Layout layout
    cdef list columns = []
    cdef Py_ssize_t size = 0
    if hasattr(keys, "__arrow_c_stream__"):
        schema, arrays = open_stream(keys.__arrow_c_stream__())
    else:
        schema, arrays = open_array(keys.__arrow_c_array__())
    layout = layout_of(&schema.schema)
    for owned in arrays:
        PyErr_CheckSignals()  # of empty arrays there may be no end
        column = layout.open(owned, &owned.array, size)
        if column.size > INT64_MAX - size:
            raise KeyValueError("keys must be fewer than 2**63")
        size += column.size
        if column.size:
            columns.append(column)
    return columns[0] if len(columns) == 1 else ChunkedSource(columns)
