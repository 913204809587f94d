"""From nodes to points: hash them, sort them, merge them in and filter them out.

A ring's points are two arrays in step, hashes (uint64) and nodes (uint32 ids), in the order
of (hash, name of the node); `ranks` maps an id to the place of its name in UTF-8 order.
"""
cimport numpy as cnp
import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from .mix cimport mul_fold, mul_high, rw_load64
from .pause cimport pause
from .xxh3 cimport PRIME64_1, SECRET, avalanche, derive_secret, mix16, store64, xxh3_bytes


cdef enum:
    BLOCK = 1 << 17  # points between two looks at signals

cdef struct Point:
    uint64_t hash
    uint32_t node
    uint32_t rank


cdef bint precedes(const Point *a, const Point *b) noexcept nogil:
    return a.hash < b.hash or (a.hash == b.hash and a.rank < b.rank)


cdef void label_hashes(uint64_t *out, unsigned char *label, size_t size, uint32_t count,
                       const unsigned char *secret) noexcept nogil:
    """The hashes of a label whose last 8 bytes are 0, 1, ..."""
    cdef uint64_t same, mixed
    cdef uint32_t point
    if 24 <= size <= 32:  # as `xxh3_17to128`; only the last of its two parts differs
        same = size * PRIME64_1 + mix16(label, SECRET, 0)
        mixed = rw_load64(label + size - 16) ^ rw_load64(SECRET + 16)
        for point in range(count):
            out[point] = avalanche(same + mul_fold(mixed, point ^ rw_load64(SECRET + 24)))
    else:
        for point in range(count):
            store64(label + size - 8, point)
            out[point] = xxh3_bytes(label, size, 0, secret)


def node_points(list names, const uint32_t[::1] ids, const uint32_t[::1] counts):
    """The points of some nodes, unsorted.

    Point i of a node is the XXH3-64, seed 0, of a length-framed label: the length of the name
    in 8 bytes, the name, i in 8 bytes (both little-endian). No two nodes share a label.

    Parameters
    ----------
    names : list of bytes
        UTF-8 names.
    ids, counts : ndarray of uint32, shape (len(names),)
        The id of each node and how many points it gets.

    Returns
    -------
    hashes : ndarray of uint64, shape (sum(counts),)
    nodes : ndarray of uint32, shape (sum(counts),)
    """
    cdef unsigned char[192] secret
    cdef bytearray label
    cdef bytes name
    cdef unsigned char *p
    cdef Py_ssize_t i, total = 0, since = 0
    cdef uint64_t *hash
    cdef uint32_t *node
    cdef uint32_t k
    cdef size_t size
    cdef int64_t last = 0
    for i in range(counts.shape[0]):
        total += counts[i]
    hashes = np.empty(total, np.uint64)
    nodes = np.empty(total, np.uint32)
    hash = <uint64_t *>cnp.PyArray_DATA(hashes)
    node = <uint32_t *>cnp.PyArray_DATA(nodes)
    derive_secret(secret, 0)
    for i, name in enumerate(names):
        label = bytearray(len(name) + 16)
        label[8:-8] = name
        p = <unsigned char *>label
        store64(p, <uint64_t>len(name))
        size = <size_t>len(label)
        if counts[i] > BLOCK:
            with nogil:
                label_hashes(hash, p, size, counts[i], secret)
        else:
            label_hashes(hash, p, size, counts[i], secret)
        hash += counts[i]
        for k in range(counts[i]):
            node[k] = ids[i]
        node += counts[i]
        since += counts[i]
        if since > BLOCK:  # others get the GIL, and signals their handlers
            since = 0
            with nogil:
                pause(&last)
    return hashes, nodes


def sort_points(const uint64_t[::1] hashes, const uint32_t[::1] nodes, const uint32_t[::1] ranks):
    """The points in order. Hashes are evenly spread, so one scatter into as many buckets as
    there are points nearly sorts them, and an insertion sort finishes.

    Returns
    -------
    hashes : ndarray of uint64, shape (n,)
    nodes : ndarray of uint32, shape (n,)
    """
    cdef Py_ssize_t size = hashes.shape[0], i, k
    cdef Py_ssize_t block = 0
    cdef int64_t last = 0
    cdef uint64_t buckets = <uint64_t>max(size, 1)
    cdef uint32_t[::1] ends = np.zeros(size + 1, np.uint32)
    cdef uint64_t[::1] sorted_hashes
    cdef uint32_t[::1] sorted_nodes
    cdef Point point, other
    hash_array = np.empty(size, np.uint64)
    node_array = np.empty(size, np.uint32)
    sorted_hashes = hash_array
    sorted_nodes = node_array
    with nogil:
        while block < size:
            pause(&last)
            for i in range(block, min(block + BLOCK, size)):
                ends[<Py_ssize_t>mul_high(hashes[i], buckets) + 1] += 1
            block += BLOCK
        for i in range(size):
            ends[i + 1] += ends[i]
        block = 0
        while block < size:
            pause(&last)
            for i in range(block, min(block + BLOCK, size)):
                k = <Py_ssize_t>mul_high(hashes[i], buckets)
                sorted_hashes[ends[k]] = hashes[i]
                sorted_nodes[ends[k]] = nodes[i]
                ends[k] += 1
            block += BLOCK
        for i in range(1, size):
            if i & (BLOCK - 1) == 0:
                pause(&last)
            point.hash = sorted_hashes[i]
            if sorted_hashes[i - 1] < point.hash:
                continue
            point.node = sorted_nodes[i]
            point.rank = ranks[point.node]
            k = i
            while k > 0:
                other.hash = sorted_hashes[k - 1]
                other.rank = ranks[sorted_nodes[k - 1]]
                if not precedes(&point, &other):
                    break
                sorted_hashes[k] = other.hash
                sorted_nodes[k] = sorted_nodes[k - 1]
                k -= 1
            sorted_hashes[k] = point.hash
            sorted_nodes[k] = point.node
    return hash_array, node_array


def merge_points(const uint64_t[::1] hashes, const uint32_t[::1] nodes,
                 const uint64_t[::1] new_hashes, const uint32_t[::1] new_nodes, const uint32_t[::1] ranks):
    """Two ordered sets of points as one. Shapes (n,) and (m,) give (n + m,)."""
    cdef Py_ssize_t size = hashes.shape[0], extra = new_hashes.shape[0], i = 0, j = 0, low, high, middle
    cdef uint64_t[::1] out_hashes
    cdef uint32_t[::1] out_nodes
    cdef Point point, other
    hash_array = np.empty(size + extra, np.uint64)
    node_array = np.empty(size + extra, np.uint32)
    out_hashes = hash_array
    out_nodes = node_array
    with nogil:
        for j in range(extra):
            point.hash = new_hashes[j]
            point.rank = ranks[new_nodes[j]]
            low, high = i, size
            while low < high:
                middle = (low + high) // 2
                other.hash = hashes[middle]
                other.rank = ranks[nodes[middle]]
                if precedes(&other, &point):
                    low = middle + 1
                else:
                    high = middle
            if low > i:  # the stretch between two new points moves as a block
                out_hashes[i + j:low + j] = hashes[i:low]
                out_nodes[i + j:low + j] = nodes[i:low]
            i = low
            out_hashes[i + j] = new_hashes[j]
            out_nodes[i + j] = new_nodes[j]
        if i < size:
            out_hashes[i + extra:] = hashes[i:]
            out_nodes[i + extra:] = nodes[i:]
    return hash_array, node_array


def filter_points(const uint64_t[::1] hashes, const uint32_t[::1] nodes, const uint8_t[::1] gone):
    """The points whose node is not marked in `gone` (shape (ids,)), and the hashes taken out.

    Returns
    -------
    hashes : ndarray of uint64, shape (kept,)
    nodes : ndarray of uint32, shape (kept,)
    removed : ndarray of uint64, shape (n - kept,)
        Rising.
    """
    cdef Py_ssize_t size = hashes.shape[0], i, out = 0, start = 0, end
    cdef uint64_t[::1] kept_hashes, removed
    cdef uint32_t[::1] kept_nodes, places = np.empty(size + 1, np.uint32)
    with nogil:
        for i in range(size):  # no branch to mispredict
            places[out] = <uint32_t>i
            out += gone[nodes[i]] != 0
    hash_array = np.empty(size - out, np.uint64)
    node_array = np.empty(size - out, np.uint32)
    removed_array = np.empty(out, np.uint64)
    kept_hashes = hash_array
    kept_nodes = node_array
    removed = removed_array
    with nogil:
        for i in range(out + 1):  # the stretch between two that leave moves as a block
            end = places[i] if i < out else size
            if start < end:
                kept_hashes[start - i:end - i] = hashes[start:end]
                kept_nodes[start - i:end - i] = nodes[start:end]
            if i < out:
                removed[i] = hashes[end]
            start = end + 1
    return hash_array, node_array, removed_array
