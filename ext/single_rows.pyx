"""Rows of one entry: any node fits into any row, so who gives and who gets one is found by counting, without a search.

What `rows.pyx` does for rows of any width costs several times as much. Here a change counts the rows of each id, has the nodes
with too many give a random choice of theirs, and hands these and the vacant ones to nodes with too few.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from ringward._core.quotas import quotas

from .row_state cimport State, below, draw

cdef double LIGHTEST = 1e-300  # of the heaviest: no sum overflows, nothing vanishes
cdef uint64_t ODD_STEP = 0x9E3779B97F4A7C16  # even: sums of it and 1 are odd


cdef struct Giving:  # what an id gives of its rows
    int64_t rows
    int64_t surplus
    int64_t start  # below `rows`: where it begins
    int64_t given


cdef inline int64_t place_of_next(const Giving* giving) noexcept nogil:
    """Which of its rows an id gives next: evenly spaced ones, from a random start."""
    return (giving.given * giving.rows + giving.start) // giving.surplus


cdef void count_rows(State* s, uint64_t* tally) noexcept nogil:
    """Add up for each id its rows, in the lower half of a number, and what tells in the upper half which these are."""
    cdef Py_ssize_t p, partitions = s.partitions  # names of their own stay in registers
    cdef uint32_t last = s.ids
    cdef uint64_t one = 1
    cdef const uint32_t* old = s.old
    for p in range(partitions):
        tally[min(old[p], last)] += one
        one += ODD_STEP << 32


cdef void share_out(const double[::1] weights, int64_t partitions, double[::1] share) noexcept nogil:
    """Each node's part of the partitions, by weight."""
    cdef Py_ssize_t i, nodes = weights.shape[0]
    cdef double heaviest = 0, total = 0, lost = 0, light, sum
    for i in range(nodes):
        heaviest = max(heaviest, weights[i])
    for i in range(nodes):
        light = max(weights[i] / heaviest, LIGHTEST) if weights[i] > 0 else 0
        share[i] = light
        sum = total + light  # as Neumaier adds: what a sum rounds off is kept
        lost += (total - sum) + light if total >= light else (light - sum) + total
        total = sum
    for i in range(nodes):
        share[i] *= partitions / (total + lost)


cdef void change_rows(State* s, Giving* giving, int32_t* left) noexcept nogil:
    """Hand out, in `rows`, what is vacant and what ids have too much; `left`: how many each keeps before it gives the next."""
    cdef Py_ssize_t p, partitions = s.partitions, token
    cdef int64_t place
    cdef uint32_t id, last = s.ids
    cdef const uint32_t* old = s.old
    for p in range(partitions):
        id = min(old[p], last)
        left[id] -= 1
        if left[id] != -1:
            continue
        token = below(draw(s), s.urn_size)
        s.rows[p] = s.id_of[s.urn[token]]
        s.urn_size -= 1
        s.urn[token] = s.urn[s.urn_size]
        place = place_of_next(&giving[id])
        giving[id].given += 1
        if giving[id].given < giving[id].surplus:
            left[id] = <int32_t>(place_of_next(&giving[id]) - place - 1)


cdef object filled(State* s, Giving* giving, int32_t* left):
    """The new table. Apart from what prepares it, so that its loop has the registers to itself."""
    table = np.empty((s.partitions, 1), np.uint32)
    cdef uint32_t[:, ::1] rows = table
    s.rows = &rows[0, 0]
    with nogil:
        memcpy(s.rows, s.old, <size_t>s.partitions * sizeof(uint32_t))
        change_rows(s, giving, left)
    return table


def rebalance_single(
    const uint32_t[:, ::1] old_rows, const double[::1] weights, const uint32_t[::1] ids, uint64_t seed,
):
    """As `rebalance` with one replica, for rows that have one entry: in exact balance and with the fewest moves.

    Parameters
    ----------
    old_rows : uint32 array (partitions, 1)
        Ids; others than those in `ids` are vacancies.
    weights : float64 array (nodes,)
        Finite, not negative, some of them positive.
    ids : uint32 array (nodes,)
    seed : int

    Returns
    -------
    uint32 array (partitions, 1), or None where all rows were vacant
    """
    cdef State s
    cdef Py_ssize_t i, id, nodes = weights.shape[0], kept = 0, lacking = 0
    cdef uint64_t[::1] tally
    cdef int64_t[::1] count = np.empty(nodes, np.int64), limit
    cdef double[::1] share = np.empty(nodes)
    cdef Giving* giving
    cdef int32_t[::1] left, urn
    s.partitions, s.nodes, s.random, s.ids = old_rows.shape[0], nodes, seed, 0
    s.old, s.id_of = &old_rows[0, 0], &ids[0]
    for i in range(nodes):
        s.ids = max(s.ids, ids[i] + 1)
    tally = np.zeros(<Py_ssize_t>s.ids + 1, np.uint64)
    with nogil:
        count_rows(&s, &tally[0])
        share_out(weights, s.partitions, share)
    for i in range(nodes):  # the same whatever the ids are
        count[i] = <int64_t>(tally[ids[i]] & 0xFFFFFFFF) if weights[i] > 0 else 0
        s.random += (tally[ids[i]] >> 32) * (<uint64_t>i * ODD_STEP + 1)
        kept += count[i]
    if not kept:
        return None
    alone, bounds = np.zeros(nodes, np.int64), np.array([0, 2])  # one zone, which is no bound
    limit = quotas(share, share, count, alone, 1, s.partitions, 1, bounds[:1], bounds[1:])
    block = np.zeros((<Py_ssize_t>s.ids + 1, sizeof(Giving) // sizeof(int64_t)), np.int64)
    cdef int64_t[:, ::1] block_view = block
    giving = <Giving*>&block_view[0, 0]
    left = np.zeros(<Py_ssize_t>s.ids + 1, np.int32)  # 0: what is vacant gives the first it has, and so on
    for id in range(<Py_ssize_t>s.ids + 1):
        giving[id].rows = giving[id].surplus = <int64_t>(tally[id] & 0xFFFFFFFF)
    for i in range(nodes):
        if weights[i] > 0:
            id = ids[i]
            giving[id].surplus = max(count[i] - limit[i], 0)
            left[id] = -1  # it falls, and is never -1 again
            if giving[id].surplus:
                giving[id].start = below(draw(&s), count[i])
                left[id] = <int32_t>place_of_next(&giving[id])
            lacking += max(limit[i] - count[i], 0)
    urn = np.empty(lacking + 1, np.int32)
    s.urn, s.urn_size = &urn[0], 0
    for i in range(nodes):
        for _ in range(limit[i] - count[i]):
            urn[s.urn_size] = <int32_t>i
            s.urn_size += 1
    return filled(&s, giving, &left[0])
