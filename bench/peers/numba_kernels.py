"""The loops that numba compiles."""

from __future__ import annotations

import numpy as np
from numba import njit

from peers.xxh3 import MIX, SECRET, SIZE

U15, U24, U28, U32, U35, U40, U49 = (np.uint64(bits) for bits in (15, 24, 28, 32, 35, 40, 49))


@njit(cache=True, inline="always")
def hashed(key):
    """XXH3 of one uint64."""
    h = ((key >> U32) | (key << U32)) ^ SECRET
    h ^= ((h << U49) | (h >> U15)) ^ ((h << U24) | (h >> U40))
    h *= MIX
    h ^= (h >> U35) + SIZE
    h *= MIX
    return h ^ (h >> U28)


@njit(cache=True)
def first_points(points, bits):
    """Bucket of the top bits → the first point in it or after it."""
    first = np.empty(1 << bits, np.uint32)
    shift = np.uint64(64 - bits)
    bucket = 0
    for i in range(len(points)):
        while bucket <= np.int64(points[i] >> shift):
            first[bucket] = i
            bucket += 1
    first[bucket:] = len(points)
    return first


@njit(cache=True, inline="always")
def owner_of(h, points, owners, first, shift):
    """The owner of the first point at or after h; `points` ends with the largest hash there is."""
    i = first[h >> shift]
    while points[i] < h:
        i += 1
    return owners[i]


@njit(cache=True)
def ring_hashes(hashes, points, owners, first, shift):
    out = np.empty(len(hashes), np.uint32)
    for i in range(len(hashes)):
        out[i] = owner_of(hashes[i], points, owners, first, shift)
    return out


@njit(cache=True)
def ring_keys(keys, points, owners, first, shift):
    out = np.empty(len(keys), np.uint32)
    for i in range(len(keys)):
        out[i] = owner_of(hashed(keys[i]), points, owners, first, shift)
    return out


@njit(cache=True)
def table_hashes(hashes, table, shift):
    out = np.empty(len(hashes), np.uint16)
    for i in range(len(hashes)):
        out[i] = table[hashes[i] >> shift]
    return out


@njit(cache=True)
def table_keys(keys, table, shift):
    out = np.empty(len(keys), np.uint16)
    for i in range(len(keys)):
        out[i] = table[hashed(keys[i]) >> shift]
    return out
