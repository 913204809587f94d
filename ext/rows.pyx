"""Rows of a partition table: which nodes hold each partition, in exact balance and with few moves.

What. `rebalance` turns an old table (partition, rank) -> node into one that fits new weights and zones. Rank 0 is the
owner. Rows hold distinct nodes, as evenly many of each zone as there are nodes, every node's share is met to the floor
or ceiling, and what may stay where it was stays.

How. Shares come from water-filling: a node cannot be twice in a row, nor a zone where zones suffice, so a share stops
at one entry a partition and the rest goes to the others. Where zones are fewer than ranks, each has as many entries of
a row as the next, or one more, or all its nodes; such zones' sums are bounded both ways. Whoever gets the ceiling is chosen so that most entries stay.
A first table is dealt by McNaughton's wrap-around rule [1]: tokens sorted by zone and node, token t to row t mod P;
whatever is consecutive and between k P and (k + 1) P long meets every row k or k + 1 times, so the quotas can
always be met: Gale and Ryser's condition [2], [3] with zones. Random legal swaps then mix it. Later tables keep what
survives, deal the missing entries at random, and end stuck cases with shortest augmenting paths [4]: u leaves a row for
x, x leaves another one for v. Replacements along a shortest path never get into each other's way, because two that
shared a row would leave a shorter path. Cycles of negative cost then save copies (`row_savings.pxd`). Owners are balanced the same way, by swapping ranks within rows.

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

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from math import fsum

import numpy as np
from .pause cimport pause
from .row_paths cimport augment, balance_owners, link_all
from .row_savings cimport Savings, copies_of, improve
from .row_state cimport DEAL_TRIES, ENTRIES_MAX, MIX_SWEEPS, OWNER_TRIES, State, below, draw, fits, slack_change

cdef uint64_t SEED = 0x72696E6777617264  # "ringward" in ASCII
cdef enum:
    SMALL_WORK = 1 << 18  # exchanges to look at for all copies that can be saved
    NODES_SEARCHED = 1 << 10  # at most, with the square of them in memory
cdef double SNAP = 1e-9  # how far off an integer, relatively, a share may be by rounding errors


cdef void count_survivors(State* s, const uint32_t* old, Py_ssize_t old_width) noexcept nogil:
    """Copy old entries that still may hold something, and count them."""
    cdef Py_ssize_t p, rank
    cdef uint32_t node
    for p in range(s.partitions):
        s.mark += 1
        for rank in range(s.width):
            node = old[p * old_width + rank] if rank < old_width else <uint32_t>s.nodes
            if node >= <uint32_t>s.nodes or s.zone[node] < 0 or s.node_mark[node] == s.mark:
                node = <uint32_t>s.nodes
            s.node_mark[node] = s.mark
            s.rows[p * s.width + rank] = node
            s.count[node] += 1


cdef void legalise(
    State* s, const uint32_t* old, Py_ssize_t old_width, const double* share, int32_t* tally
) noexcept nogil:
    """Vacate entries until each row can have what its zones need, and none too many; those beyond the new width may take their place.

    Entries of nodes that have more than their share go first, the higher rank first.
    """
    cdef Py_ssize_t p, rank, slot
    cdef uint32_t node, vacant = <uint32_t>s.nodes
    cdef uint32_t* row
    cdef int32_t slack, over, zone
    cdef int anyone
    for p in range(s.partitions):
        row = s.rows + p * s.width
        slack, over = -s.need, 0
        for rank in range(s.width):
            if row[rank] == vacant:
                slack += 1
            else:
                zone = s.zone[row[rank]]
                slack += tally[zone] < s.low[zone]
                over += tally[zone] >= s.high[zone]
                tally[zone] += 1
        for anyone in range(2):
            rank = s.width
            while (slack < 0 or over) and rank > 0:
                rank -= 1
                node = row[rank]
                if node == vacant or not (anyone or s.count[node] > share[node]):
                    continue
                zone = s.zone[node]
                if tally[zone] > s.high[zone] or (tally[zone] > s.low[zone] and slack < 0):
                    over -= tally[zone] > s.high[zone]
                    tally[zone] -= 1
                    s.count[node] -= 1
                    s.count[vacant] += 1
                    row[rank] = vacant
                    slack += 1
        for rank in range(s.width):
            if row[rank] != vacant:
                tally[s.zone[row[rank]]] = 0
        s.slack[p] = slack
        slot = 0
        for rank in range(s.width, old_width):
            node = old[p * old_width + rank]
            while slot < s.width and row[slot] != vacant:
                slot += 1
            if slot < s.width and node < vacant and s.zone[node] >= 0 and fits(s, p, slot, node):
                s.slack[p] += slack_change(s, row, slot, node)
                row[slot] = node
                s.count[node] += 1
                s.count[vacant] -= 1


cdef void wrap_around(State* s, const int64_t[::1] order) noexcept nogil:
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


cdef int mix(State* s) except -1 nogil:
    """Swap each entry with that of a random row, MIX_SWEEPS times, where both rows stay legal.

    The partner is the entry of the same zone where the row has one: with as many zones as ranks nothing else fits.
    """
    cdef Py_ssize_t sweep, p, q, slot, start, other, rank
    cdef uint32_t* row
    cdef uint32_t* row2
    cdef uint64_t bits
    cdef int64_t last = 0
    for sweep in range(MIX_SWEEPS):
        for p in range(s.partitions):
            if p & 0xFFFF == 0:
                pause(&last)
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


cdef void draw_ranks(State* s, const uint64_t* chance) noexcept nogil:
    """Order each row at random, its owner with the chance (of 2^32) that brings everyone their share."""
    cdef Py_ssize_t p, rank, other
    cdef uint32_t* row
    cdef uint64_t left
    for p in range(s.partitions):
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


cdef bint place(State* s, Py_ssize_t partition, Py_ssize_t slot) noexcept nogil:
    """Put a random node that lacks entries at `slot`; False if none was found that fits."""
    cdef uint32_t* row = s.rows + partition * s.width
    cdef Py_ssize_t attempt, token
    cdef uint32_t node
    for attempt in range(DEAL_TRIES if s.urn_size else 0):
        token = below(draw(s), s.urn_size)
        node = <uint32_t>s.urn[token]
        if slot == 0 and attempt < OWNER_TRIES and s.owned[node] >= s.owner_high[node]:
            continue
        if fits(s, partition, slot, node):
            s.urn_size -= 1
            s.urn[token] = s.urn[s.urn_size]
            s.slack[partition] += slack_change(s, row, slot, node)
            s.count[row[slot]] -= 1
            s.count[node] += 1
            if slot == 0:
                s.owned[row[slot]] -= 1
                s.owned[node] += 1
            row[slot] = node
            return True
    return False


cdef void deal(State* s, uint64_t* unvisited) noexcept nogil:
    """Fill vacancies and replace surplus entries, a random choice of each node's, in one pass over the rows.

    Where a surplus entry has no replacement it stays and a later one goes. Sampling is systematic within a row: as many
    entries go as their chances add up to, which lets a node that must be in every row find a place. Rows come in an
    order that changes from table to table, since the last ones have less to choose from.
    """
    cdef Py_ssize_t i, slot, node, p = below(draw(s), s.partitions), step = 1 + below(draw(s), s.partitions), a, b = 0
    cdef uint32_t* row
    cdef int64_t unit, surplus
    cdef uint64_t turns
    while b != 1:  # a step without a common divisor visits every row; 1 is one
        step = step - 1 if step > 1 else s.partitions + (s.partitions == 1)
        a, b = s.partitions, step
        while a:
            a, b = b % a, a
    s.urn_size = 0
    for node in range(s.nodes):
        unvisited[node] = s.count[node]
        for unit in range(s.limit[node] - s.count[node]):
            s.urn[s.urn_size] = <int32_t>node
            s.urn_size += 1
    for i in range(s.partitions):
        row = s.rows + p * s.width
        turns = draw(s) >> 32
        for slot in range(s.width):
            node = row[slot]
            if node == s.nodes:
                place(s, p, slot)
                continue
            surplus = s.count[node] - s.limit[node]
            if surplus > 0:
                if slot > 0 or s.owned[node] > s.owner_low[node] or unvisited[node] <= <uint64_t>surplus:
                    turns += (<uint64_t>min(surplus, <int64_t>unvisited[node]) << 32) // unvisited[node]
                    if turns >> 32:
                        turns -= <uint64_t>1 << 32
                        place(s, p, slot)
                unvisited[node] -= unvisited[node] > 1
        p += step
        p -= s.partitions if p >= s.partitions else 0


def _snapped(values):
    """Floor and ceiling, both the nearest integer where rounding errors alone keep a value off it."""
    near = np.round(values)
    whole = np.abs(values - near) <= SNAP * near
    low, high = np.where(whole, near, np.floor(values)), np.where(whole, near, np.ceil(values))
    return low.astype(np.int64), high.astype(np.int64)


def _zone_bounds(size, width):
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


def _shares(weight, zone, zones, width, low, high):
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
        bound = np.inf if full == 0 else heavy[zones - full]
        scale = (width - full) / total[zones - full - 1]
        return np.where(zone_weight[zone] >= bound, weight / zone_weight[zone], weight * scale)
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


def _quotas(share, owners, count, zone, zones, partitions, width, zone_low, zone_high):
    """Entries of each node, (n,) int64: floor or ceiling of its share so that most of `count` stays.

    A zone gets at least `zone_low` entries a row and at most `zone_high`, and exactly that if that is its share. And
    enough nodes can own the ceiling of their share of `owners`: those who need the ceiling of their entries for it are
    preferred as far as that is necessary.
    """
    floor, ceiling = _snapped(share)
    owned, most_owned = _snapped(owners)
    tie = np.arange(1, len(share) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    tie = (tie ^ (tie >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    tie ^= tie >> np.uint64(27)
    fraction = ceiling > floor
    held, sums = np.bincount(zone, floor, zones).astype(np.int64), np.bincount(zone, share, zones)
    some = np.bincount(zone[fraction], minlength=zones)
    needed, room = (np.clip(bound * partitions - held, 0, some) for bound in (zone_low, zone_high))
    least = np.where(np.abs(sums - zone_high * partitions) <= SNAP * zone_high * partitions, room, needed)
    most = np.where(np.abs(sums - zone_low * partitions) <= SNAP * zone_low * partitions, needed, room)
    extra = partitions * width - int(floor.sum())
    loses = count < ceiling  # no entry without the ceiling

    def chosen(preferred):
        order = np.lexsort((tie, loses, ~preferred, zone))
        order = order[fraction[order]]
        place = np.arange(len(order)) - np.searchsorted(zone[order], zone[order])
        allowed = place < most[zone[order]]
        order, place = order[allowed], place[allowed]
        best = np.lexsort((tie[order], loses[order], ~preferred[order], place >= least[zone[order]]))
        return order[best[:extra]]

    nodes = chosen(np.zeros(len(share), bool))
    needy = (most_owned > owned) & (most_owned > floor)
    short = partitions - int(owned.sum()) - np.count_nonzero((most_owned > owned) & ~needy)
    if np.count_nonzero(needy[nodes]) < short:
        order = np.lexsort((tie, loses))
        nodes = chosen(_preferred(order[needy[order]], short, zone, least, most, extra))
    floor[nodes] += 1
    return floor


def _preferred(order, wanted, zone, least, most, extra):
    """The first nodes in `order`, `wanted` of them, that can have one of `extra` entries together: a mask.

    Each zone may have `most` of the entries, and has to have `least`.
    """
    mask, taken = np.zeros(len(zone), bool), np.zeros(len(most), np.int64)
    for node in order:
        taken[zone[node]] += 1
        if taken[zone[node]] > most[zone[node]] or np.maximum(taken, least).sum() > extra:
            taken[zone[node]] -= 1
        else:
            mask[node] = True
        if np.count_nonzero(mask) == wanted:
            break
    return mask


cdef uint64_t digest(const uint32_t* old, Py_ssize_t size, uint64_t seed) noexcept nogil:
    """A seed that differs from table to table, lest every change makes the same choices."""
    cdef Py_ssize_t i
    for i in range(size):
        seed = (seed ^ old[i]) * <uint64_t>0xD6E8FEB86659FD93
        seed ^= seed >> 32
    return seed


cdef inline int32_t* cut(int32_t** rest, Py_ssize_t size) noexcept nogil:
    """The next `size` numbers of a block."""
    rest[0] += size
    return rest[0] - size


cdef void lay_out(State* s, int32_t* block) noexcept nogil:
    """Divide a block of zeros among the state's int32 arrays."""
    cdef Py_ssize_t nodes = s.nodes + 1
    s.parent, s.depth, s.queue = cut(&block, nodes), cut(&block, nodes), cut(&block, nodes)
    s.path, s.edges, s.resume = cut(&block, nodes), cut(&block, nodes), cut(&block, nodes)
    s.first, s.unseen, s.node_mark = cut(&block, nodes), cut(&block, nodes), cut(&block, nodes)
    s.unseen_size, s.open_zones, s.zone_mark = cut(&block, s.zones), cut(&block, s.zones), cut(&block, s.zones)
    s.zone_seen, s.low, s.high = cut(&block, s.zones), cut(&block, s.zones), cut(&block, s.zones)
    s.slack = cut(&block, s.partitions)
    s.after, s.before = cut(&block, s.partitions * s.width), cut(&block, s.partitions * s.width)
    s.urn = s.after  # the urn is empty before there are lists


cdef void keep_ranks(State* s, const uint32_t* old, Py_ssize_t old_width, uint32_t* row_before) noexcept nogil:
    """Give everyone but the owner the rank it had; who is new, and the owner before, take what is free."""
    cdef Py_ssize_t p, rank, place
    cdef uint32_t vacant = <uint32_t>s.nodes
    cdef uint32_t* row
    for p in range(s.partitions):
        row = s.rows + p * s.width
        for rank in range(1, s.width):
            row_before[rank] = row[rank]
            row[rank] = vacant
        for rank in range(1, s.width):
            for place in range(1, min(s.width, old_width)):
                if old[p * old_width + place] == row_before[rank] and row[place] == vacant:
                    row[place] = row_before[rank]
                    row_before[rank] = vacant
                    break
        place = 1
        for rank in range(1, s.width):
            if row_before[rank] != vacant:
                while row[place] != vacant:
                    place += 1
                row[place] = row_before[rank]


cdef bint unmet(const State* s) noexcept nogil:
    """Whether a node has more entries than it should."""
    cdef Py_ssize_t node
    for node in range(s.nodes + 1):
        if s.count[node] > s.limit[node]:
            return True
    return False


cdef object _save_copies(State* s, old_rows, const uint32_t* old, int64_t[:, ::1] numbers, table):
    """Look for fewer copies where the search is worth it; the rows before, or None if they stay.

    In small tables everywhere; in larger ones among the rows that change, and only if more is copied than counts demand.
    """
    cdef Savings v
    cdef Py_ssize_t size = s.nodes + 1
    cdef bint everywhere = s.partitions * s.width * s.width * size <= SMALL_WORK, found = False
    cdef int64_t[:, ::1] now = numbers
    cdef signed char[::1] cost
    cdef int32_t[::1] block
    cdef int64_t copies = 0
    v.old, v.old_width, v.size, v.floor, v.ceiling = old, old_rows.shape[1], size, &numbers[5, 0], &numbers[6, 0]
    if size > NODES_SEARCHED:
        return None
    held = np.bincount(np.minimum(old_rows, s.nodes).ravel(), minlength=size)
    with nogil:
        copies = copies_of(s, &v)
    if not everywhere and copies <= np.maximum(np.asarray(now)[0, :s.nodes] - held[:s.nodes], 0).sum():
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


cdef void _fill(
    State* s, const uint32_t[:, ::1] old_rows, uint32_t[:, ::1] table, live, inverse, double[::1] share,
    int32_t[::1] zone, int64_t[:, ::1] numbers, owners, low, high, uint64_t seed,
) except *:
    """Fill `table`: survivors, quotas, then a first deal or a change, then the owners."""
    cdef Py_ssize_t old_width = old_rows.shape[1], p
    cdef const uint32_t* old = &old_rows[0, 0] if old_width else NULL
    cdef int32_t[::1] start = np.searchsorted(np.sort(inverse), np.arange(s.zones)).astype(np.int32)
    cdef int32_t[::1] block = np.zeros(9 * (s.nodes + 1) + 6 * s.zones + s.partitions * (2 * s.width + 1), np.int32)
    cdef uint32_t[::1] one_row = np.empty(s.width, np.uint32)
    cdef int64_t[::1] order = live[np.argsort(inverse, kind="stable")]
    cdef uint64_t[::1] chance = np.zeros(s.nodes + 1, np.uint64)
    cdef int64_t last = 0
    count = np.asarray(numbers[0])
    s.rows, s.zone, s.unseen_start = &table[0, 0], &zone[0], &start[0]
    s.count, s.limit, s.owned = &numbers[0, 0], &numbers[1, 0], &numbers[2, 0]
    s.owner_low, s.owner_high = &numbers[3, 0], &numbers[4, 0]
    s.random, s.mark, s.by_owner = digest(old, s.partitions * old_width, seed), 0, False
    lay_out(s, &block[0])
    for p in range(s.zones):
        s.low[p], s.high[p] = low[p], high[p]
    with nogil:
        count_survivors(s, old, old_width)
        if s.width > 1 or old_width > 1:
            legalise(s, old, old_width, &share[0], s.unseen_size)
    shares = np.asarray(share)[live]
    scarce = s.zones < s.width  # else no zone has to be in each row
    np.asarray(numbers[1])[live] = _quotas(
        shares, owners, count[live], inverse, s.zones, s.partitions, s.width, low * scarce, high if scarce else low)
    np.asarray(numbers[5:])[:, live] = _snapped(shares)
    np.asarray(chance)[live] = owners / shares * 2.0**32
    first = not count[live].any()
    with nogil:
        if first:
            wrap_around(s, order)
            mix(s)
            draw_ranks(s, &chance[0])
        for p in range(s.partitions):
            s.owned[s.rows[p * s.width]] += 1
        if not first:
            deal(s, &chance[0])
            if unmet(s):
                link_all(s, False)
                while augment(s) > 0:
                    pause(&last)
    if s.width == 1 and old_width <= 1:
        return  # who is in a row owns it, and no copy is more than counts demand
    saved = _save_copies(s, np.asarray(old_rows), old, numbers, np.asarray(table)) if not first and old_width else None
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
            keep_ranks(s, old, old_width, &one_row[0])
    assert first or not count[s.nodes], "quotas that can be met leave no vacancy"


def rebalance(
    const uint32_t[:, ::1] old_rows,
    const double[::1] weights,
    const uint32_t[::1] zones,
    Py_ssize_t replicas,
    uint64_t seed=SEED,
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

    Returns
    -------
    uint32 array (partitions, width)

    Raises
    ------
    ValueError
        If lengths differ, a weight is negative or not finite, or the table would have 2^29 entries.
    """
    cdef State s
    weight = np.asarray(weights)
    if weights.shape[0] != zones.shape[0]:
        raise ValueError(f"zones must be as many as weights, {weights.shape[0]} (was {zones.shape[0]})")
    if not np.all(np.isfinite(weight) & (weight >= 0)):
        raise ValueError("weights must be finite and not negative")
    live = np.flatnonzero(weight)
    s.partitions, s.nodes, s.width = old_rows.shape[0], weights.shape[0], min(max(replicas, 0), len(live))
    if s.partitions * max(s.width, 1) >= ENTRIES_MAX or s.nodes >= ENTRIES_MAX:
        raise ValueError(f"partitions * width must be below {ENTRIES_MAX} (was {s.partitions * s.width})")
    table = np.empty((s.partitions, s.width), np.uint32)
    if table.size == 0:
        return table
    names, inverse = np.unique(np.asarray(zones)[live], return_inverse=True)
    s.zones = len(names)
    light = np.maximum(weight[live] / weight.max(), 1e-300)  # no sum overflows, nothing vanishes
    owners = light * (s.partitions / fsum(light))
    share, zone = np.zeros(s.nodes + 1), np.full(s.nodes + 1, -1, np.int32)
    if s.zones < s.width:
        low, high = _zone_bounds(np.bincount(inverse, minlength=s.zones), s.width)
        s.need = <int32_t>low.sum()
    else:
        low, high, s.need = np.ones(s.zones, np.int64), np.full(s.zones, s.width), <int32_t>s.width
    share[live] = s.partitions * _shares(light, inverse, s.zones, s.width, low, high)
    zone[live] = inverse
    numbers = np.zeros((7, s.nodes + 1), np.int64)
    numbers[3:5, live] = _snapped(owners)
    _fill(&s, old_rows, table, live, inverse, share, zone, numbers, owners, low, high, seed)
    return table
