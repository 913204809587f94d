"""Rows of one entry: any node fits into any row, so who gives and who gets one is found by counting, without a search.

What `rows.pyx` does for rows of any width costs several times as much. Here a change counts the rows of each id, has the nodes
with too many give a random choice of theirs, and hands these and the vacant ones to nodes with too few.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

import numpy as np

from ringward._core.quotas import quotas

from .row_state cimport RowState, below, draw

cdef double LIGHTEST = 1e-300  # of the heaviest: no sum overflows, nothing vanishes
cdef uint64_t ODD_STEP = 0x9E3779B97F4A7C16  # even: sums of it and 1 are odd
cdef enum:
    BLOCK = 4096  # rows
    FEW_IDS = 2048  # so many tables of four fit into a processor's first cache


cdef struct Giving:  # what an id gives of its rows
    int64_t rows
    int64_t surplus
    int64_t start  # below `rows`: where it begins
    int64_t given


cdef inline int64_t place_of_next(const Giving* giving) noexcept nogil:
    """Which of its rows an id gives next: evenly spaced ones, from a random start."""
    return (giving.given * giving.rows + giving.start) // giving.surplus


cdef void count_rows(RowState* s, uint64_t* tally, Py_ssize_t apart) noexcept nogil:
    """Add up for each id its rows, in the lower half of a number, and what tells in the upper half which these are.

    In turn in four tables, each `apart` from the next: an addition waits for the one before to the same number.
    """
    cdef Py_ssize_t p = 0, partitions = s.partitions  # names of their own stay in registers
    cdef uint32_t last = s.ids
    cdef uint64_t one = 1, step = ODD_STEP << 32
    cdef const uint32_t* old = s.old
    while p + 4 <= partitions:
        tally[min(old[p], last)] += one
        tally[apart + min(old[p + 1], last)] += one + step
        tally[2 * apart + min(old[p + 2], last)] += one + 2 * step
        tally[3 * apart + min(old[p + 3], last)] += one + 3 * step
        one += 4 * step
        p += 4
    for p in range(p, partitions):
        tally[min(old[p], last)] += one
        one += step


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


cdef void change_rows(RowState* s, Giving* giving, int32_t* left, const uint8_t* gives) noexcept nogil:
    """Hand out, in `rows`, what is vacant and what ids have too much; `left`: how many each keeps before it gives the next.

    Rows of ids that give are found first, a block at a time and without a branch.
    """
    cdef Py_ssize_t p, first = 0, i, found, token
    cdef int64_t place
    cdef uint32_t id, last = s.ids
    cdef const uint32_t* old = s.old
    cdef int32_t[BLOCK] rows
    while first < s.partitions:
        found = 0
        for p in range(first, min(first + BLOCK, s.partitions)):
            rows[found] = <int32_t>p
            found += gives[min(old[p], last)]
        for i in range(found):
            p = rows[i]
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
        first += BLOCK


cdef object filled(RowState* s, Giving* giving, int32_t* left, const uint8_t* gives):
    """The new table. Apart from what prepares it, so that its loop has the registers to itself."""
    table = np.empty((s.partitions, 1), np.uint32)
    cdef uint32_t[:, ::1] rows = table
    s.rows = &rows[0, 0]
    with nogil:
        memcpy(s.rows, s.old, <size_t>s.partitions * sizeof(uint32_t))
        change_rows(s, giving, left, gives)
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
    cdef RowState s
    cdef Py_ssize_t i, id, nodes = weights.shape[0], apart, kept = 0, lacking = 0, given = 0
    cdef uint64_t[::1] tally
    cdef int64_t[::1] count = np.empty(nodes, np.int64), limit
    cdef double[::1] share = np.empty(nodes)
    cdef Giving* giving
    cdef int32_t[::1] left, urn
    cdef uint8_t[::1] gives
    s.partitions, s.nodes, s.random, s.ids = old_rows.shape[0], nodes, seed, 0
    s.old, s.id_of = &old_rows[0, 0], &ids[0]
    for i in range(nodes):
        s.ids = max(s.ids, ids[i] + 1)
    apart = <Py_ssize_t>s.ids + 1 if s.ids < FEW_IDS else 0
    tally = np.zeros(<Py_ssize_t>s.ids + 1 + 3 * apart, np.uint64)
    with nogil:
        count_rows(&s, &tally[0], apart)
        for id in range(apart):
            tally[id] += tally[apart + id] + tally[2 * apart + id] + tally[3 * apart + id]
        share_out(weights, s.partitions, share)
    for i in range(nodes):  # the same whatever the ids are
        count[i] = <uint32_t>tally[ids[i]] if weights[i] > 0 else 0
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
    gives = np.ones(<Py_ssize_t>s.ids + 1, np.uint8)
    for id in range(<Py_ssize_t>s.ids + 1):
        giving[id].rows = giving[id].surplus = <uint32_t>tally[id]
    for i in range(nodes):
        if weights[i] > 0:
            id = ids[i]
            giving[id].surplus = max(count[i] - limit[i], 0)
            gives[id] = giving[id].surplus > 0
            if gives[id]:
                giving[id].start = below(draw(&s), count[i])
                left[id] = <int32_t>place_of_next(&giving[id])
            lacking += max(limit[i] - count[i], 0)
    for id in range(<Py_ssize_t>s.ids + 1):
        given += giving[id].surplus
    assert lacking == given, "quotas that can be met leave no vacancy"
    urn = np.empty(lacking + 1, np.int32)
    s.urn, s.urn_size = &urn[0], 0
    for i in range(nodes):
        for _ in range(limit[i] - count[i]):
            urn[s.urn_size] = <int32_t>i
            s.urn_size += 1
    return filled(&s, giving, &left[0], &gives[0])
