"""One key → one 64-bit hash. `HashSpec` is plain data, so that loops without the GIL can use it."""
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t
from .kernels cimport Span
from .multiplicative cimport Divisor, multiplicative
from .siphash cimport siphash_u64
from .xxh3 cimport xxh3_0to16, xxh3_u64

cdef extern from "Python.h":
    bint PyUnicode_CheckExact(PyObject *)
    bint PyUnicode_IS_COMPACT_ASCII(PyObject *)
    ctypedef struct PyASCIIObject:
        pass
    Py_ssize_t PyUnicode_GET_LENGTH(PyObject *)
    bint PyLong_CheckExact(PyObject *)
    long long PyLong_AsLongLongAndOverflow(PyObject *, int *) except? -1

cdef enum Family:
    FAMILY_XXH3 = 0
    FAMILY_SIPHASH = 1
    FAMILY_MULTIPLICATIVE = 2

cdef struct HashSpec:
    Family family
    uint64_t seed
    uint64_t flip  # XXH3 of 8 bytes: the secret words mixed with the seed
    uint64_t k0
    uint64_t k1
    int c_rounds
    int d_rounds
    uint64_t multiplier
    Divisor modulus
    unsigned char[192] secret  # XXH3 above 240 bytes: derived from the seed


cdef class Hasher:
    cdef HashSpec spec


cdef void hash_rows(const HashSpec *spec, const unsigned char *p, Py_ssize_t width, Py_ssize_t count,
                    uint64_t *out) noexcept nogil
cdef void hash_spans(const HashSpec *spec, const Span *spans, Py_ssize_t count, uint64_t *out) noexcept nogil
cdef uint64_t hash_long(const HashSpec *spec, const unsigned char *p, size_t size) noexcept nogil


cdef inline uint64_t hash_bytes(const HashSpec *spec, const unsigned char *p, size_t size) noexcept nogil:
    # Most keys are short and hashed by XXH3. Kept apart from all else, that path is inlined where keys are read.
    if spec.family == FAMILY_XXH3 and size <= 16:
        return xxh3_0to16(p, size, spec.seed)
    return hash_long(spec, p, size)


cdef inline uint64_t hash_u64(const HashSpec *spec, uint64_t value) noexcept nogil:
    if spec.family == FAMILY_SIPHASH:
        return siphash_u64(value, spec.k0, spec.k1, spec.c_rounds, spec.d_rounds)
    if spec.family == FAMILY_MULTIPLICATIVE:
        return multiplicative(value, spec.multiplier, &spec.modulus)
    return xxh3_u64(value, spec.flip)


cdef inline const unsigned char *ascii_data(PyObject *text) noexcept nogil:
    """The characters of compact ASCII text: they follow its header."""
    return <const unsigned char *>(<PyASCIIObject *>text + 1)


cdef int hash_other(const HashSpec *spec, PyObject *key, Py_ssize_t index, uint64_t *out) except -1


cdef inline int hash_key(const HashSpec *spec, PyObject *key, Py_ssize_t index, uint64_t *out) except -1:
    """The hash of one key; `index` is its position in a container, -1 for a key on its own."""
    cdef int overflow = 0
    cdef long long value
    if PyUnicode_CheckExact(key) and PyUnicode_IS_COMPACT_ASCII(key):
        out[0] = hash_bytes(spec, ascii_data(key), <size_t>PyUnicode_GET_LENGTH(key))
        return 0
    if PyLong_CheckExact(key):
        value = PyLong_AsLongLongAndOverflow(key, &overflow)
        if overflow == 0:
            out[0] = hash_u64(spec, <uint64_t>value)
            return 0
    return hash_other(spec, key, index, out)


cdef uint64_t hash_any(const HashSpec *spec, PyObject *key) except? 0xFFFFFFFFFFFFFFFF


cdef inline uint64_t hash_scalar(const HashSpec *spec, PyObject *key) except? 0xFFFFFFFFFFFFFFFF:
    """As `hash_key`, for one key on its own: the path of plain ASCII text is short enough to be inlined."""
    if PyUnicode_CheckExact(key) and PyUnicode_IS_COMPACT_ASCII(key):
        return hash_bytes(spec, ascii_data(key), <size_t>PyUnicode_GET_LENGTH(key))
    return hash_any(spec, key)
