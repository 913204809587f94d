"""Hash families and the scalar key: which bytes a key stands for, and their hash."""
import uuid

import numpy as np

from ringward.advice import advice_for_key
from ringward.checks import checked_int
from ringward.errors import ArgumentError, KeyTypeError, KeyValueError
from ringward.texts import shown

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.long cimport PyLong_Check
from cpython.unicode cimport PyUnicode_Check
from libc.string cimport memset
from .cpu cimport kernels
from .multiplicative cimport multiplicative, position
from .siphash cimport siphash
from .xxh3 cimport derive_secret, flip_4to8, xxh3_bytes

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(PyObject *, Py_ssize_t *) except NULL
    unsigned long long PyLong_AsUnsignedLongLong(PyObject *) except? 0xFFFFFFFFFFFFFFFF

cdef object UUID = uuid.UUID
cdef tuple NUMPY_INTEGERS = (np.integer,)
cdef tuple NOT_KEYS = (bool, np.bool_, np.timedelta64)  # integers by class, not by meaning


cdef uint64_t hash_long(const HashSpec *spec, const unsigned char *p, size_t size) noexcept nogil:
    """Bytes of any length, by any family."""
    if spec.family == FAMILY_SIPHASH:
        return siphash(p, size, spec.k0, spec.k1, spec.c_rounds, spec.d_rounds)
    if spec.family == FAMILY_MULTIPLICATIVE:
        return multiplicative(xxh3_bytes(p, size, 0, spec.secret), spec.multiplier, &spec.modulus)
    return xxh3_bytes(p, size, spec.seed, spec.secret)


cdef void hash_spans(const HashSpec *spec, const Span *spans, Py_ssize_t count, uint64_t *out) noexcept nogil:
    """Keys of any length, by any family."""
    cdef Py_ssize_t i
    if spec.family == FAMILY_XXH3:
        kernels.hash_spans(spans, count, spec.seed, spec.secret, out)
        return
    for i in range(count):
        out[i] = hash_long(spec, spans[i].p, spans[i].size)


cdef void hash_rows(const HashSpec *spec, const unsigned char *p, Py_ssize_t width, Py_ssize_t count,
                    uint64_t *out) noexcept nogil:
    """Keys of `width` bytes, one after the other, by any family."""
    cdef Py_ssize_t i
    if spec.family == FAMILY_XXH3:
        kernels.hash_rows(p, width, count, spec.seed, spec.secret, out)
        return
    for i in range(count):
        out[i] = hash_long(spec, p + i * width, <size_t>width)


cdef uint64_t hash_any(const HashSpec *spec, PyObject *key) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t out = 0
    hash_key(spec, key, -1, &out)
    return out


cdef enum:
    MOST_ROUNDS = 64  # a hash must end

cdef uint64_t word(str argument, value) except? 0xFFFFFFFFFFFFFFFF:
    return checked_int(argument, value, 0, (1 << 64) - 1)


cdef class Hasher:
    """Compiled base of the hash families, which say what their arguments mean; here they are kept within what is safe.

    Parameters
    ----------
    family : int
        0 XXH3, 1 SipHash, 2 multiplicative.
    seed, k0, k1, multiplier, divisor, reciprocal : int
        Unsigned 64-bit parameters of the family.
    c_rounds, d_rounds, shift : int
        SipHash rounds; the shift that normalises the divisor.
    """

    def __cinit__(self, *args, **kwargs):
        memset(&self.spec, 0, sizeof(HashSpec))

    def __init__(self, family, *, seed=0, k0=0, k1=0, c_rounds=0, d_rounds=0, multiplier=0, divisor=0, reciprocal=0,
                 shift=0):
        cdef HashSpec spec
        cdef int least = family == FAMILY_SIPHASH
        memset(&spec, 0, sizeof(HashSpec))
        spec.family = <Family><int>checked_int("family", family, 0, FAMILY_MULTIPLICATIVE)
        spec.seed = word("seed", seed)
        spec.flip = flip_4to8(spec.seed)
        derive_secret(spec.secret, spec.seed)
        spec.k0 = word("k0", k0)
        spec.k1 = word("k1", k1)
        spec.c_rounds = checked_int("c_rounds", c_rounds, least, MOST_ROUNDS)
        spec.d_rounds = checked_int("d_rounds", d_rounds, least, MOST_ROUNDS)
        spec.multiplier = word("multiplier", multiplier)
        spec.modulus.divisor = word("divisor", divisor)
        spec.modulus.reciprocal = word("reciprocal", reciprocal)
        spec.modulus.shift = checked_int("shift", shift, 0, 63)
        if spec.family == FAMILY_MULTIPLICATIVE:
            refuse_unnormalised(spec.multiplier, spec.modulus.divisor, spec.modulus.reciprocal, spec.modulus.shift)
        self.spec = spec

    def __call__(self, key, /):
        """The 64-bit hash of one key.

        Raises
        ------
        KeyTypeError, KeyValueError
            When `key` is of no key type, or an int or str that has no bytes.
        """
        return hash_scalar(&self.spec, <PyObject *>key)

    def _position(self, key):
        """The raw (k * m) mod p of the multiplicative family."""
        cdef HashSpec spec = self.spec
        cdef uint64_t value
        if PyLong_Check(key) or isinstance(key, NUMPY_INTEGERS):
            value = integer_value(key, -1)
        else:
            spec.family = FAMILY_XXH3
            value = hash_scalar(&spec, <PyObject *>key)
        return position(value, spec.multiplier, &spec.modulus)


cdef int refuse_unnormalised(multiplier, divisor, reciprocal, shift) except -1:
    """The division by a reciprocal is right for these alone; see multiplicative.pxd."""
    p = divisor >> shift
    if divisor >> 63 != 1 or p << shift != divisor:
        raise ArgumentError("divisor", f"p shifted left by {shift}, and then at least 2**63", divisor)
    if reciprocal != ((1 << 128) - 1) // divisor - (1 << 64):
        raise ArgumentError("reciprocal", "floor((2**128 - 1) / divisor) - 2**64", reciprocal)
    if multiplier >= p:
        raise ArgumentError("multiplier", f"below {p}", multiplier)
    return 0


cdef object describe(key):
    """How an error shows a key: its type and a short form of its value."""
    return f"{type(key).__name__} {shown(key, 40)}"


cdef int refuse(error, str must, key, Py_ssize_t index) except -1:
    if index < 0:
        if isinstance(key, list) or (hasattr(type(key), "__array__") and hasattr(type(key), "__len__")):
            must += ": assign and hash_keys take columns"
        raise error(f"key {must} (was {describe(key)})")
    hint = advice_for_key(key) if error is KeyTypeError else ""
    raise error(f"keys[{index}] {must} (was {describe(key)}){hint}", position=index)


cdef uint64_t integer_value(key, Py_ssize_t index) except? 0xFFFFFFFFFFFFFFFF:
    """The value modulo 2^64 of an int of the allowed range."""
    cdef int overflow = 0
    cdef long long small
    if isinstance(key, NOT_KEYS):
        refuse(KeyTypeError, "must be str, bytes, int or UUID", key, index)
    exact = int(key)
    small = PyLong_AsLongLongAndOverflow(<PyObject *>exact, &overflow)
    if overflow == 0:
        return <uint64_t>small
    if overflow > 0 and exact <= 0xFFFFFFFFFFFFFFFF:
        return PyLong_AsUnsignedLongLong(<PyObject *>exact)
    refuse(KeyValueError, "must be at least -2**63 and at most 2**64 - 1", key, index)


cdef int hash_other(const HashSpec *spec, PyObject *borrowed, Py_ssize_t index, uint64_t *out) except -1:
    """Every kind of key; the caller has tried the common ones."""
    cdef object key = <object>borrowed  # a strong reference: what follows may run Python code
    cdef const char *text
    cdef Py_ssize_t size = 0
    if PyUnicode_Check(key):
        try:
            text = PyUnicode_AsUTF8AndSize(borrowed, &size)
        except UnicodeEncodeError:
            refuse(KeyValueError, "must have no lone surrogate", key, index)
        out[0] = hash_bytes(spec, <const unsigned char *>text, <size_t>size)
    elif PyBytes_Check(key):
        out[0] = hash_bytes(spec, <const unsigned char *>PyBytes_AS_STRING(key), <size_t>PyBytes_GET_SIZE(key))
    elif PyLong_Check(key) or isinstance(key, NUMPY_INTEGERS):
        out[0] = hash_u64(spec, integer_value(key, index))
    elif isinstance(key, (bytearray, memoryview, UUID)):
        try:
            data = key.bytes if isinstance(key, UUID) else bytes(key)
        except ValueError:  # of a memoryview that is released
            refuse(KeyValueError, "must have bytes that can be read", key, index)
        if not PyBytes_Check(data):  # a subclass of UUID may have anything there
            refuse(KeyTypeError, "must be str, bytes, int or UUID", key, index)
        out[0] = hash_bytes(spec, <const unsigned char *>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data))
    else:
        refuse(KeyTypeError, "must be str, bytes, int or UUID", key, index)
    return 0
