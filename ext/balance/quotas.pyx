"""How many entries each node of a partition table has: shares by weight, and who of them has the ceiling.

Shares come from water-filling: a node cannot be twice in a row, nor a zone where zones suffice, so a share stops at one
entry a partition and the rest goes to the others. Where zones are fewer than ranks, each has as many entries of a row
as the next, or one more, or all its nodes; such zones' sums are bounded both ways. Whoever gets the ceiling is chosen so
that most entries stay. Equals are told apart by a fixed order of numbers, made once: so nothing is sorted.
"""

from libc.math cimport fabs, floor as floor_of, rint
from libc.stdint cimport int32_t, int64_t, uint32_t

from math import fsum

import numpy as np

cdef double SNAP = 1e-9  # how far off an integer, relatively, a share may be by rounding errors
cdef enum:
    SPARSE = 4  # numbers up to so many times as large as there are of them are counted, not sorted
    FIRST_TIES = 256

cdef object _ties = np.empty(0, np.int32)


cdef object _tie_order(Py_ssize_t size):
    """The numbers below a power of two, `size` or more, in the order that decides between equals."""
    global _ties
    if len(_ties) < size:
        tie = np.arange(1, 1 + (1 << int(max(FIRST_TIES, size - 1)).bit_length()), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        tie = (tie ^ (tie >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        _ties = np.argsort(tie ^ (tie >> np.uint64(27))).astype(np.int32)
    return _ties


def numbered(const uint32_t[::1] zones):
    """The rank of each zone's number among those that are there, and how many these are: (ndarray of int64, int)."""
    cdef Py_ssize_t i, size = zones.shape[0], found = 0
    cdef uint32_t largest = 0
    cdef int64_t[::1] rank, out
    for i in range(size):
        largest = max(largest, zones[i])
    if largest >= <uint32_t>(SPARSE * size + FIRST_TIES):
        names, inverse = np.unique(np.asarray(zones), return_inverse=True)
        return inverse, len(names)
    rank, result = np.zeros(<Py_ssize_t>largest + 1, np.int64), np.empty(size, np.int64)
    out = result
    for i in range(size):
        rank[zones[i]] = 1
    for i in range(rank.shape[0]):
        if rank[i]:
            rank[i] = found
            found += 1
    for i in range(size):
        out[i] = rank[zones[i]]
    return result, found


def numbered_zones(const uint32_t[::1] marks, Py_ssize_t size):
    """A number for each mark, from 0 in the order in which they appear: equal ones below `size` share one, all others
    have their own. Ndarray of uint32, (n,)."""
    cdef uint32_t[::1] numbers = np.zeros(size, np.uint32)  # one more than the number; 0: not met yet
    cdef Py_ssize_t i
    cdef uint32_t found = 0, mark
    result = np.empty(marks.shape[0], np.uint32)
    cdef uint32_t[::1] out = result
    for i in range(marks.shape[0]):
        mark = marks[i]
        if mark < size and numbers[mark]:
            out[i] = numbers[mark] - 1
            continue
        out[i] = found
        found += 1
        if mark < size:
            numbers[mark] = found
    return result


cdef inline bint snap(double value, int64_t* low) noexcept nogil:
    """Floor of a value, or the nearest integer where rounding errors alone keep it off that; whether the ceiling is above."""
    cdef double near = rint(value)
    cdef bint whole = fabs(value - near) <= SNAP * near
    low[0] = <int64_t>(near if whole else floor_of(value))
    return not whole


def snapped(const double[::1] values):
    """Floor and ceiling, both the nearest integer where rounding errors alone keep a value off it: int64, (2, n)."""
    cdef Py_ssize_t i
    result = np.empty((2, values.shape[0]), np.int64)
    cdef int64_t[:, ::1] out = result
    for i in range(values.shape[0]):
        out[1, i] = snap(values[i], &out[0, i])
        out[1, i] += out[0, i]
    return result


def zone_bounds(size, width):
    """Entries of a row of each zone, at least and at most, where zones of `size` nodes are fewer than ranks.

    They differ by at most one, except that a zone cannot have more entries than nodes.
    """
    level = 1
    while level < width and np.minimum(size, level + 1).sum() <= width:
        level += 1
    return np.minimum(size, level), np.minimum(size, level + 1)


def _scale_for(weight, total):
    """The scale by which weights, none counting above 1, add up to `total`; `weight` falls."""
    rest = np.cumsum(weight[::-1])[::-1]
    for full in range(int(total)):
        if weight[full] * (total - full) <= rest[full]:
            return (total - full) / rest[full]
    return 1 / weight[int(total) - 1]


def shares(weight, zone, zones, width, low, high):
    """Entries per partition of each node: in proportion to weight, as far as one entry a row and the zones allow.

    `weight` (n,) is positive, `zone` (n,) runs from 0 to zones - 1, `low` and `high` bound its zones' sums, (zones,).
    Sums run from light to heavy: no cancellation.
    """
    zone_weight = np.bincount(zone, weight, zones)
    if zones >= width:  # a zone is in a row at most once; the heaviest reach that first
        heavy = np.sort(zone_weight)
        total = np.cumsum(heavy)
        free = np.arange(zones, zones - width, -1)
        full = int(np.argmax((width - zones + free) * heavy[free - 1] <= total[free - 1] * (1 + 1e-12)))
        scale = (width - full) / total[zones - full - 1]
        if not full:
            return weight * scale
        return np.where(zone_weight[zone] >= heavy[zones - full], weight / zone_weight[zone], weight * scale)
    # the scales at which a zone leaves its least number and reaches its most, and a node reaches one entry a row
    by_zone = [-np.sort(-weight[zone == i]) for i in range(zones)]
    lifts = np.where(low == 1, 1 / zone_weight, [_scale_for(w, least) for w, least in zip(by_zone, low)])
    caps = np.array([_scale_for(w, most) for w, most in zip(by_zone, high)])
    fills = 1 / weight
    steps = np.unique(np.concatenate((lifts, fills, caps)))
    first, last = 0, len(steps)
    while last - first > 1:
        mid = (first + last) // 2
        inside = np.bincount(zone, np.minimum(weight * steps[mid], 1), zones)
        first, last = (mid, last) if np.clip(inside, low, high).sum() <= width else (first, mid)
    lifted, capped = lifts <= steps[first], caps <= steps[first]
    full = lifted[zone] & (fills <= np.minimum(steps[first], caps)[zone])
    free = weight[lifted[zone] & ~full & ~capped[zone]]
    left = width - low[~lifted].sum() - high[capped].sum() - np.count_nonzero(full & ~capped[zone])
    scale = left / fsum(free) if len(free) else 0
    bounded = np.minimum(weight * np.where(capped, caps, lifts)[zone], 1)
    bounded = np.where((low == 1)[zone] & ~capped[zone], weight / zone_weight[zone], bounded)
    return np.where(full, 1, np.where(lifted[zone] & ~capped[zone], np.minimum(weight * scale, 1), bounded))


cdef struct Choice:
    Py_ssize_t nodes
    Py_ssize_t zones
    const int32_t* ties      # numbers from 0 on, those below `nodes` among them, in the order between equals
    Py_ssize_t ties_size
    const int64_t* zone      # of a node
    int64_t* least           # of a zone: nodes with the ceiling
    int64_t* most
    int64_t extra            # nodes with the ceiling, in all
    int32_t* kind            # of a node, the lower the sooner: 1 if no entry goes without the ceiling, and 2 unless it is
                             # preferred; -1 if its share is whole
    int32_t* needy           # of a node: 0 if it can own its share anyway; else 1, and 1 if no entry goes
    int64_t* seen            # of a zone
    int32_t* picked


cdef Py_ssize_t choose(Choice* c) noexcept nogil:
    """Who has the ceiling, in `picked`; how many. By kind and tie; first those that their zones need, then the others."""
    cdef Py_ssize_t i, k, found = 0
    cdef int64_t place, needed = 0
    cdef int32_t kind
    cdef int group
    for i in range(c.zones):
        needed = max(needed, c.least[i])
    for group in range(0 if needed else 1, 2):
        for i in range(c.zones):
            c.seen[i] = 0
        for kind in range(4):
            for k in range(c.ties_size):
                i = c.ties[k]
                if i >= c.nodes or c.kind[i] != kind:
                    continue
                place = c.seen[c.zone[i]]
                c.seen[c.zone[i]] += 1
                if place < c.most[c.zone[i]] and (place >= c.least[c.zone[i]]) == group and found < c.extra:
                    c.picked[found] = <int32_t>i
                    found += 1
                    if found == c.extra:
                        return found
    return found


cdef void prefer(Choice* c, int64_t wanted) noexcept nogil:
    """Let `wanted` needy nodes, first those that would lose an entry, go before the others, as far as zones allow it.

    Each zone may have `most` of the entries, and has to have `least`.
    """
    cdef Py_ssize_t i, k
    cdef int64_t taken = 0, all_taken = 0, preferred = 0
    cdef int32_t need
    for i in range(c.zones):
        c.seen[i] = 0
        all_taken += c.least[i]
    for i in range(c.nodes):
        if c.kind[i] >= 0:
            c.kind[i] |= 2
    for need in range(1, 3):
        for k in range(c.ties_size):
            i = c.ties[k]
            if preferred == wanted:
                return
            if i >= c.nodes or c.needy[i] != need:
                continue
            taken = c.seen[c.zone[i]] + 1
            if taken > c.most[c.zone[i]] or all_taken + (taken > c.least[c.zone[i]]) > c.extra:
                continue
            c.seen[c.zone[i]] = taken
            all_taken += taken > c.least[c.zone[i]]
            if c.kind[i] >= 0:
                c.kind[i] &= 1
            preferred += 1


def quotas(
    const double[::1] share, const double[::1] owners, const int64_t[::1] count, const int64_t[::1] zone,
    Py_ssize_t zones, int64_t partitions, Py_ssize_t width, const int64_t[::1] zone_low, const int64_t[::1] zone_high,
):
    """Entries of each node, (n,) int64: floor or ceiling of its share so that most of `count` stays.

    A zone gets at least `zone_low` entries a row and at most `zone_high`, and exactly that if that is its share. And
    enough nodes can own the ceiling of their share of `owners`: those who need the ceiling of their entries for it are
    preferred as far as that is necessary.
    """
    cdef Choice c
    cdef Py_ssize_t i, size = share.shape[0]
    cdef int64_t owned, short = partitions, found, can_own, needed, room, bound
    cdef bint fraction, owner_fraction, kept
    result = np.empty(size, np.int64)
    cdef int64_t[::1] entries = result
    cdef int32_t[::1] ties = _tie_order(size)
    cdef int32_t[:, ::1] room_for_nodes = np.zeros((3, max(size, 1)), np.int32)
    cdef int64_t[:, ::1] of_zone = np.zeros((5, max(zones, 1)), np.int64)
    cdef double[::1] sums = np.zeros(max(zones, 1))
    cdef int64_t* some = &of_zone[3, 0]
    cdef int64_t* held = &of_zone[4, 0]
    c.nodes, c.zones, c.ties, c.ties_size, c.zone = size, zones, &ties[0], ties.shape[0], &zone[0]
    c.kind, c.picked, c.needy = &room_for_nodes[0, 0], &room_for_nodes[1, 0], &room_for_nodes[2, 0]
    c.extra = partitions * width
    c.least, c.most, c.seen = &of_zone[0, 0], &of_zone[1, 0], &of_zone[2, 0]
    with nogil:
        for i in range(size):
            fraction = snap(share[i], &entries[i])
            owner_fraction = snap(owners[i], &owned)
            kept = count[i] < entries[i] + fraction
            c.kind[i] = <int32_t>kept if fraction else -1
            c.needy[i] = 1 + kept if owner_fraction and owned + 1 > entries[i] else 0
            short -= owned + (owner_fraction and not c.needy[i])
            c.extra -= entries[i]
            held[zone[i]] += entries[i]
            some[zone[i]] += fraction
            sums[zone[i]] += share[i]
        for i in range(zones):
            needed = min(max(zone_low[i] * partitions - held[i], 0), some[i])
            room = min(max(zone_high[i] * partitions - held[i], 0), some[i])
            bound = zone_high[i] * partitions
            c.least[i] = room if fabs(sums[i] - bound) <= SNAP * bound else needed
            bound = zone_low[i] * partitions
            c.most[i] = needed if fabs(sums[i] - bound) <= SNAP * bound else room
        found = choose(&c)
        can_own = 0
        for i in range(found):
            can_own += c.needy[c.picked[i]] > 0
        if can_own < short:
            prefer(&c, short)
            found = choose(&c)
        for i in range(found):
            entries[c.picked[i]] += 1
    return result
