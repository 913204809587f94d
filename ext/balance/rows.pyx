"""Rows of a partition table: which nodes hold each partition, in exact balance and with few moves.

What. `rebalance` turns an old table (partition, rank) -> node into one that fits new weights and zones. Rank 0 is the
owner. Rows hold distinct nodes, as evenly many of each zone as there are nodes, every node's share is met to the floor
or ceiling, and what may stay where it was stays.

How. `quotas.pyx` says how many entries each node has. A first table is dealt by McNaughton's wrap-around rule [1]: tokens
sorted by zone and node, token t to row t mod P; whatever is consecutive and between k P and (k + 1) P long meets every row
k or k + 1 times, so the quotas can always be met: Gale and Ryser's condition [2], [3] with zones. Random legal swaps then
mix it. Later tables keep what survives, deal the missing entries at random, and end stuck cases with shortest augmenting
paths [4]: u leaves a row for x, x leaves another one for v. Replacements along a shortest path never get into each other's
way, because two that shared a row would leave a shorter path. Cycles of negative cost then save copies
(`row_savings.pxd`). Owners are balanced the same way, by swapping ranks within rows.

A change looks at every row twice, once to count and once for entries that may go; all else is about rows that change.
Rows that have one entry and had one need none of this: see `single_rows.pyx`.

Complexity. O(P * width) for a table, plus O(P * width * (width + zones)) for each round of augmenting paths; rounds
serve many nodes at once and are few. Each moves at least one entry towards its quota, so they end.

References
----------
.. [1] R. McNaughton, Scheduling with Deadlines and Loss Functions, Management Science 6(1), 1959.
.. [2] D. Gale, A theorem on flows in networks, Pacific Journal of Mathematics 7(2), 1957.
.. [3] H. J. Ryser, Combinatorial properties of matrices of zeros and ones, Canadian Journal of Mathematics 9, 1957.
.. [4] J. Edmonds and R. M. Karp, Theoretical Improvements in Algorithmic Efficiency for Network Flow Problems,
       Journal of the ACM 19(2), 1972.
.. [5] G. L. Steele, D. Lea and C. H. Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA 2014 (splitmix64).
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from math import fsum

import numpy as np

from ringward._core.quotas import numbered, quotas, shares, snapped, zone_bounds
from ringward._core.single_rows import rebalance_single

from .pause cimport pause
from .row_deals cimport deal
from .row_paths cimport augment, balance_owners, link_all
from .row_savings cimport Savings, copies_of, improve
from .row_state cimport ENTRIES_MAX, MIX_SWEEPS, RowState, TURN, below, draw, place_in, slack_change
from .row_survivors cimport keep_ranks, legalise, survey
from .table cimport NO_NODE

cdef list _scratch = []  # memory that is not asked for again at each change, since the system clears it each time
cdef uint64_t SEED = 0x72696E6777617264  # "ringward" in ASCII
cdef enum:
    SCRATCH_MAX = 1 << 20  # numbers that are kept
    SMALL_WORK = 1 << 18  # exchanges to look at for all copies that can be saved
    NODES_SEARCHED = 1 << 10  # at most, with the square of them in memory


cdef void wrap_around(RowState* s, const int64_t[::1] order) noexcept nogil:
    """McNaughton's rule over the nodes in `order`, which keeps zones together; legal by construction."""
    cdef Py_ssize_t i, partition = 0, rank = 0
    cdef int64_t unit
    for i in range(order.shape[0]):
        for unit in range(s.limit[order[i]]):
            s.rows[partition * s.width + rank] = <uint32_t>order[i]
            partition += 1
            if partition == s.partitions:
                partition = 0
                rank += 1


cdef int mix(RowState* s) except -1 nogil:
    """Swap each entry with that of a random row, MIX_SWEEPS times, where both rows stay legal.

    The partner is the entry of the same zone where the row has one: with as many zones as ranks nothing else fits.
    """
    cdef Py_ssize_t sweep, p, q, slot, start, other, rank
    cdef uint32_t* row
    cdef uint32_t* row2
    cdef uint64_t bits
    for sweep in range(MIX_SWEEPS):
        for p in range(s.partitions):
            if p % TURN == 0:
                pause(&s.paused)
            row = s.rows + p * s.width
            for slot in range(s.width):
                bits = draw(s)
                q = below(bits, s.partitions)
                start = below(bits << 32, s.width)
                row2 = s.rows + q * s.width
                other = start
                if s.need == s.width or bits & 1:
                    for rank in range(s.width):
                        if s.zone[row2[other]] == s.zone[row[slot]]:
                            break
                        other = other + 1 if other + 1 < s.width else 0
                if row[slot] != row2[other] and p != q:
                    if slack_change(s, row, slot, row2[other]) >= 0 and slack_change(s, row2, other, row[slot]) >= 0:
                        row[slot], row2[other] = row2[other], row[slot]


cdef int draw_ranks(RowState* s, const uint64_t* chance) except -1 nogil:
    """Order each row at random, its owner with the chance (of 2^32) that brings everyone their share."""
    cdef Py_ssize_t p, rank, other
    cdef uint32_t* row
    cdef uint64_t left
    for p in range(s.partitions):
        if p % TURN == 0:
            pause(&s.paused)
        row = s.rows + p * s.width
        left = draw(s) >> 32
        other = 0
        while other + 1 < s.width and left >= chance[row[other]]:
            left -= chance[row[other]]
            other += 1
        row[0], row[other] = row[other], row[0]
        for rank in range(s.width - 1, 1, -1):
            other = 1 + below(draw(s), rank)
            row[rank], row[other] = row[other], row[rank]


cdef inline int32_t* cut(int32_t** rest, Py_ssize_t size) noexcept nogil:
    """The next `size` numbers of a block."""
    rest[0] += size
    return rest[0] - size


cdef void lay_out(RowState* s, int32_t* block, int32_t* lists) noexcept nogil:
    """Divide a block of zeros among the state's int32 arrays; what is in `lists` does not matter."""
    cdef Py_ssize_t nodes = s.nodes + 1
    s.parent, s.depth, s.queue = cut(&block, nodes), cut(&block, nodes), cut(&block, nodes)
    s.path, s.edges, s.resume = cut(&block, nodes), cut(&block, nodes), cut(&block, nodes)
    s.first, s.unseen, s.node_mark = cut(&block, nodes), cut(&block, nodes), cut(&block, nodes)
    s.unseen_size, s.open_zones, s.zone_mark = cut(&block, s.zones), cut(&block, s.zones), cut(&block, s.zones)
    s.zone_seen, s.low, s.high = cut(&block, s.zones), cut(&block, s.zones), cut(&block, s.zones)
    s.unseen_start = cut(&block, s.zones)
    s.slack = cut(&block, s.partitions)
    s.after, s.before = lists, lists + s.partitions * s.width
    s.urn = s.after  # the urn is empty before there are lists


cdef bint unmet(const RowState* s) noexcept nogil:
    """Whether a node has more entries than it should."""
    cdef Py_ssize_t node
    for node in range(s.nodes + 1):
        if s.count[node] > s.limit[node]:
            return True
    return False


cdef object _save_copies(RowState* s, old_rows, const int64_t* floor, const int64_t* ceiling, before, table):
    """Look for fewer copies where the search is worth it; the rows before, or None if they stay.

    In small tables everywhere; in larger ones among the rows that change, and only if more is copied than counts demand.
    `before`, (nodes,), is how many old entries each node had; None where that has to be counted.
    """
    cdef Savings v
    cdef Py_ssize_t size = s.nodes + 1, node
    cdef bint everywhere = s.partitions * s.width * s.width * size <= SMALL_WORK, found = False
    cdef signed char[::1] cost
    cdef int32_t[::1] block
    cdef int64_t[::1] held
    cdef int64_t copies = 0
    v.size, v.floor, v.ceiling = size, floor, ceiling
    if size > NODES_SEARCHED:
        return None
    if before is None:
        before = np.zeros(size, np.int64)
        held = before
        with nogil:
            for node in range(s.partitions * s.old_width):
                held[min(<Py_ssize_t>place_in(s, s.old[node]), s.nodes)] += 1
    held = before
    with nogil:
        copies = copies_of(s)
        for node in range(s.nodes):
            copies -= max(s.count[node] - held[node], 0)
    if not everywhere and copies <= 0:
        return None
    cost = np.empty(size * size, np.int8)
    block = np.empty(size * size + 4 * size, np.int32)
    v.cost, v.entry = &cost[0], &block[0]
    v.distance, v.source, v.seen, v.path = (
        v.entry + size * size, v.entry + size * (size + 1), v.entry + size * (size + 2), v.entry + size * (size + 3))
    saved = table.copy()
    with nogil:
        link_all(s, False)
        found = improve(s, &v, everywhere)
    return saved if found else None


cdef void count_owned(RowState* s) noexcept nogil:
    cdef Py_ssize_t p
    for p in range(s.nodes + 1):
        s.owned[p] = 0
    for p in range(s.partitions):
        s.owned[s.rows[p * s.width]] += 1


cdef object scratch_of(Py_ssize_t size):
    """At least so many numbers of any value, from the last call where it left as many and nobody has them."""
    try:
        scratch = _scratch.pop()
    except IndexError:
        scratch = None
    return scratch if scratch is not None and size <= len(scratch) else np.empty(size, np.int32)


cdef void _fill(
    RowState* s, old_rows, uint32_t[:, ::1] table, live, inverse, double[::1] share,
    int32_t[::1] zone, int64_t[:, ::1] numbers, owners, low, high,
) except *:
    """Fill `table`: survivors, quotas, then a first deal or a change, then the owners."""
    cdef Py_ssize_t p
    cdef bint scarce = s.zones < s.width, legal, first  # scarce: else no zone has to be in each row
    cdef int32_t[::1] start = np.cumsum(np.bincount(inverse, minlength=s.zones)[:s.zones - 1], dtype=np.int32)
    cdef const int64_t[::1] least = low, most = high
    cdef Py_ssize_t size = 9 * (s.nodes + 1) + 7 * s.zones + s.partitions
    scratch = scratch_of(size + 2 * s.partitions * s.width + 1)
    cdef int32_t[::1] block = scratch
    cdef uint8_t[::1] flags = np.zeros(s.partitions + s.nodes + 1, np.uint8)
    cdef uint64_t[::1] visited = np.zeros(s.partitions // 8 + 1, np.uint64)
    cdef int64_t[::1] order
    cdef uint64_t[::1] chance = np.zeros(s.nodes + 1, np.uint64)
    count = np.asarray(numbers[0])
    s.rows, s.zone, s.touched = &table[0, 0], &zone[0], &flags[0]
    s.count, s.limit, s.owned = &numbers[0, 0], &numbers[1, 0], &numbers[2, 0]
    s.owner_low, s.owner_high = &numbers[3, 0], &numbers[4, 0]
    s.mark, s.by_owner = 0, False
    memset(&block[0], 0, <size_t>size * sizeof(int32_t))
    lay_out(s, &block[0], &block[size])
    for p in range(s.zones):
        s.low[p], s.high[p] = <int32_t>least[p], <int32_t>most[p]
        s.unseen_start[p] = start[p - 1] if p else 0
    with nogil:
        legal = survey(s, scarce)
        if not legal:
            legalise(s, &share[0], s.unseen_size)
    before = count.copy() if legal else None
    shares_now = np.asarray(share)[live]
    np.asarray(numbers[1])[live] = quotas(
        shares_now, owners, count[live], inverse, s.zones, s.partitions, s.width, low * scarce, high if scarce else low)
    np.asarray(numbers[5:])[:, live] = snapped(shares_now)
    first = not count[live].any()
    if first:
        order = np.arange(s.nodes)[live][np.argsort(inverse, kind="stable")]
        np.asarray(chance)[live] = owners / shares_now * 2.0**32
        with nogil:
            wrap_around(s, order)
            mix(s)
            draw_ranks(s, &chance[0])
            count_owned(s)
    else:
        with nogil:
            count_owned(s)
            deal(s, &chance[0], s.touched + s.partitions, &visited[0])
            if unmet(s):
                link_all(s, False)
                while augment(s) > 0:
                    pause(&s.paused)
    if s.width > 1 or s.old_width > 1:  # else no copy is more than counts demand
        _fill_ranks(s, old_rows, numbers, before, table, live, first)
    if block.shape[0] <= SCRATCH_MAX and not _scratch:
        _scratch.append(scratch)


cdef void _fill_ranks(
    RowState* s, old_rows, int64_t[:, ::1] numbers, before, uint32_t[:, ::1] table, live, bint first,
) except *:
    """Save copies and balance the owners."""
    cdef uint32_t[::1] one_row = np.empty(s.width, np.uint32)
    saved = None
    if not first and s.old_width:
        saved = _save_copies(s, old_rows, &numbers[5, 0], &numbers[6, 0], before, np.asarray(table))
    if saved is not None:
        with nogil:
            balance_owners(s)
        owned, least, most = np.asarray(numbers)[2:5, live]
        if not np.all((least <= owned) & (owned <= most)):  # no use: the rows as they were can do it
            np.asarray(table)[:] = saved
            np.asarray(numbers)[2, :] = np.bincount(saved[:, 0], minlength=s.nodes + 1)
    with nogil:
        balance_owners(s)
        if not first:
            keep_ranks(s, &one_row[0])
    assert first or not numbers[0, s.nodes], "quotas that can be met leave no vacancy"


cdef object places_of(const uint32_t[::1] ids):
    """id -> node, and one more that stands for all ids beyond: ndarray of uint32."""
    result = np.full(int(np.max(ids)) + 2, NO_NODE, np.uint32)
    result[np.asarray(ids)] = np.arange(ids.shape[0], dtype=np.uint32)
    return result


def rebalance(
    const uint32_t[:, ::1] old_rows,
    const double[::1] weights,
    const uint32_t[::1] zones,
    Py_ssize_t replicas,
    uint64_t seed=SEED,
    ids=None,
):
    """Fit a partition table to new weights and zones, in exact balance and with few moves.

    In order of priority: distinct nodes in a row; zones in it as evenly as their nodes allow; owners (rank 0) of every node
    within floor and ceiling of its share by weight; its entries likewise, where no node has more than one entry a
    partition, and no zone more than its part of the row; few new entries (as few as possible if rows have one entry);
    what stays keeps its rank unless the owners' balance needs otherwise. Deterministic on every platform.

    Parameters
    ----------
    old_rows : uint32 array (partitions, any width)
        Node indices, best in order of names; any number beyond the last node is a vacancy.
    weights : float64 array (nodes,)
        Finite, not negative; a node of weight 0 holds nothing. Ratios above 1e300 count as 1e300.
    zones : uint32 array (nodes,)
        A node without a zone has a number of its own.
    replicas : int
        Wanted width; the width is smaller if there are fewer nodes of positive weight.
    seed : int
        Of the random choices.
    ids : uint32 array (nodes,), optional
        What the nodes are called in the rows, old and new, in place of their indices. Other ids there are vacancies.

    Returns
    -------
    uint32 array (partitions, width)

    Raises
    ------
    ValueError
        If lengths differ, a weight is negative or not finite, or the table would have 2^29 entries.
    """
    cdef RowState s
    cdef const uint32_t[::1] id_view, place_view
    weight = np.asarray(weights)
    for argument, size in (("zones", zones.shape[0]), ("ids", weights.shape[0] if ids is None else len(ids))):
        if weights.shape[0] != size:
            raise ValueError(f"{argument} must be as many as weights, {weights.shape[0]} (was {size})")
    if not np.all(np.isfinite(weight) & (weight >= 0)):
        raise ValueError("weights must be finite and not negative")
    live = np.flatnonzero(weight)
    s.partitions, s.nodes, s.width = old_rows.shape[0], weights.shape[0], min(max(replicas, 0), len(live))
    if s.partitions * max(s.width, 1) >= ENTRIES_MAX or s.nodes >= ENTRIES_MAX:
        raise ValueError(f"partitions * width must be below {ENTRIES_MAX} (was {s.partitions * s.width})")
    if s.partitions and s.width == 1 == old_rows.shape[1]:
        single = rebalance_single(old_rows, weights, np.arange(s.nodes, dtype=np.uint32) if ids is None else ids, seed)
        if single is not None:
            return single
    table = np.empty((s.partitions, s.width), np.uint32)
    if table.size == 0:
        return table
    s.id_of, s.place_of, s.ids = NULL, NULL, 0
    if ids is not None:
        id_view, place_view = ids, places_of(ids)
        s.id_of, s.place_of, s.ids = &id_view[0], &place_view[0], <uint32_t>(place_view.shape[0] - 1)
    s.old_width, s.random, s.paused = old_rows.shape[1], seed, 0
    s.old = &old_rows[0, 0] if s.old_width else NULL
    if len(live) == s.nodes:
        live = slice(s.nodes)  # a view costs less than a copy
    inverse, s.zones = numbered(np.asarray(zones)[live])
    light = np.maximum(weight[live] / weight.max(), 1e-300)  # no sum overflows, nothing vanishes
    owners = light * (s.partitions / fsum(light.tolist()))
    share, zone = np.zeros(s.nodes + 1), np.full(s.nodes + 1, -1, np.int32)
    if s.zones < s.width:
        low, high = zone_bounds(np.bincount(inverse, minlength=s.zones), s.width)
        s.need = <int32_t>low.sum()
    else:
        low, high, s.need = np.ones(s.zones, np.int64), np.full(s.zones, s.width), <int32_t>s.width
    share[live] = s.partitions * shares(light, inverse, s.zones, s.width, low, high)
    zone[live] = inverse
    numbers = np.zeros((7, s.nodes + 1), np.int64)
    numbers[3:5, live] = snapped(owners)
    _fill(&s, old_rows, table, live, inverse, share, zone, numbers, owners, low, high)
    if ids is not None:
        name_entries(&s, table)
    return table


cdef void name_entries(RowState* s, uint32_t[:, ::1] table) noexcept:
    """Put ids in place of nodes."""
    cdef Py_ssize_t i
    cdef uint32_t* entry = &table[0, 0]
    with nogil:
        for i in range(s.partitions * s.width):
            entry[i] = s.id_of[entry[i]]
