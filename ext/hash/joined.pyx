"""Bytes put together, and their checksums, while other threads go on: a large router's are hundreds of megabytes."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint64_t
from libc.string cimport memcpy
from .xxh3 cimport derive_secret, xxh3_bytes


cdef uint64_t hashed(const unsigned char *p, size_t size) noexcept nogil:
    cdef unsigned char[192] secret
    derive_secret(secret, 0)
    return xxh3_bytes(p, size, 0, secret)


def checksum(const unsigned char[::1] data not None):
    """The XXH3-64 of bytes, as an int."""
    cdef uint64_t h
    with nogil:
        h = hashed(&data[0] if data.shape[0] else NULL, <size_t>data.shape[0])
    return h


def sealed(list parts not None):
    """The bytes of all parts, one after the other, and then their checksum: 8 bytes, big-endian.

    Parameters
    ----------
    parts : list of bytes or of contiguous ndarrays of uint8, shape (n,)
    """
    cdef const unsigned char[::1] part
    cdef Py_ssize_t left = 0, i
    cdef unsigned char *start
    cdef unsigned char *p
    cdef uint64_t h
    for each in parts:
        part = each
        left += part.shape[0]
    result = PyBytes_FromStringAndSize(NULL, left + 8)
    p = start = <unsigned char *>PyBytes_AS_STRING(result)
    for each in parts:
        part = each
        left -= part.shape[0]
        if left < 0:
            raise ValueError("parts must not change")
        if part.shape[0]:
            with nogil:
                memcpy(p, &part[0], <size_t>part.shape[0])
        p += part.shape[0]
    with nogil:
        h = hashed(start, <size_t>(p - start))
    for i in range(8):
        p[i] = <unsigned char>(h >> (56 - 8 * i))
    return result
