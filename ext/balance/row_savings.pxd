"""Fewer copies: what the augmenting paths leave is improved along cycles that cost less than nothing.

An entry of u in a row where u is new is a copy. Giving it to x, who was in that row before, saves it. Such exchanges
are edges between nodes, of cost -1, 0 or 1, and so is the choice of who has the ceiling of their share (over one
more node, the bank). A cycle of negative cost leaves all counts between floor and ceiling and makes fewer copies;
without one there are no fewer to be had: Klein's rule for the cheapest of all flows. Source: M. Klein, A primal method
for minimal cost flows, Management Science 14(3), 1967.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from .row_paths cimport turn
from .pause cimport pause
from .row_state cimport RowState, draw, below, fits, id_in, place_in

cdef enum:
    NO_EDGE = 2
    IMPROVE_TRIES = 16  # rounds whose cycles turned out to get into their own way, before all is left as it is
    ROUNDS_MAX = 256


cdef struct Savings:
    const int64_t* floor     # of a node's entries
    const int64_t* ceiling
    Py_ssize_t size          # nodes and the bank
    signed char* cost        # (size, size); NO_EDGE where there is none
    int32_t* entry           # (size, size): what u gives to x
    int32_t* distance
    int32_t* source
    int32_t* seen
    int32_t* path            # of the cycles, one node each


cdef inline bint is_new(const RowState* s, Py_ssize_t partition, uint32_t node) noexcept nogil:
    cdef Py_ssize_t rank
    cdef uint32_t name = id_in(s, node)
    for rank in range(s.old_width):
        if s.old[partition * s.old_width + rank] == name:
            return False
    return True


cdef inline int64_t copies_of(const RowState* s) noexcept nogil:
    cdef int64_t found = 0
    cdef Py_ssize_t p, rank
    for p in range(s.partitions):
        for rank in range(s.width if s.touched[p] else 0):
            found += is_new(s, p, s.rows[p * s.width + rank])
    return found


cdef inline void offer(RowState* s, Savings* v, Py_ssize_t p, Py_ssize_t slot, bint u_new, uint32_t x) noexcept nogil:
    """Note that `x` may have what is at `slot`, if nothing cheaper of the same two nodes is known."""
    cdef Py_ssize_t u = s.rows[p * s.width + slot], edge = u * v.size + x
    cdef int cost
    if x == <uint32_t>u or x >= <uint32_t>s.nodes or s.zone[x] < 0:
        return
    cost = is_new(s, p, x) - u_new
    if cost < v.cost[edge] and fits(s, p, slot, x):
        v.cost[edge] = <signed char>cost
        v.entry[edge] = <int32_t>(p * s.width + slot)


cdef inline void find_edges(RowState* s, Savings* v, bint everywhere) noexcept nogil:
    """The cheapest exchange of each pair of nodes; rows in random order, so that another try finds another cycle.

    Where it would take long, no exchange is looked at that costs a copy to save two.
    """
    cdef Py_ssize_t p, slot, bank = v.size - 1, x, i, start, rank
    cdef uint32_t* row
    cdef bint changed, u_new
    for i in range(v.size * v.size):
        v.cost[i] = NO_EDGE
    start = below(draw(s), s.partitions)
    for i in range(s.partitions):
        p = start + i
        p -= s.partitions if p >= s.partitions else 0
        row = s.rows + p * s.width
        changed = everywhere
        for slot in range(s.width if s.touched[p] else 0):
            changed |= is_new(s, p, row[slot])
        for slot in range(s.width if changed else 0):
            u_new = is_new(s, p, row[slot])
            if u_new or everywhere:
                for x in range(s.nodes):
                    offer(s, v, p, slot, u_new, <uint32_t>x)
            else:
                for rank in range(s.old_width):
                    offer(s, v, p, slot, u_new, place_in(s, s.old[p * s.old_width + rank]))
    for x in range(s.nodes):
        if s.zone[x] >= 0:
            v.cost[x * v.size + bank] = 0 if s.count[x] < v.ceiling[x] else NO_EDGE
            v.cost[bank * v.size + x] = 0 if s.count[x] > v.floor[x] else NO_EDGE


cdef inline bint find_cycles(Savings* v) noexcept nogil:
    """Cycles of negative cost that share no node, in `source`, each marked in `seen` by its last node: Bellman and
    Ford's search. False when there is none."""
    cdef Py_ssize_t u, x, turns, edge
    cdef bint shorter, found = False
    for u in range(v.size):
        v.distance[u] = 0
        v.source[u] = -1
    for turns in range(v.size + 1):
        shorter = False
        for u in range(v.size):
            edge = u * v.size
            for x in range(v.size):
                if v.cost[edge + x] != NO_EDGE and v.distance[u] + v.cost[edge + x] < v.distance[x]:
                    v.distance[x] = v.distance[u] + v.cost[edge + x]
                    v.source[x] = <int32_t>u
                    shorter = True
        for u in range(v.size):
            v.seen[u] = -1
            v.path[u] = -1
        for u in range(v.size if shorter else 0):  # whoever was reached over themselves is on such a cycle
            x = u
            while x >= 0 and v.seen[x] < 0:
                v.seen[x] = <int32_t>u
                x = v.source[x]
            if x >= 0 and v.seen[x] == u:
                v.path[u] = <int32_t>x
                found = True
        if found or not shorter:
            return found
    return False


cdef inline bint follow(RowState* s, Savings* v, int32_t start) noexcept nogil:
    """Make the exchanges of the cycle through `start`; False, and nothing made, when they get into each other's way."""
    cdef Py_ssize_t bank = v.size - 1
    cdef int32_t x = start, u, entry
    cdef bint back = False
    while x != start or not back:
        back = True
        u = v.source[x]  # u gives, x takes
        if u != bank and x != bank:
            entry = v.entry[u * v.size + x]
            if s.rows[entry] != <uint32_t>u or not fits(s, entry // s.width, entry % s.width, <uint32_t>x):
                while start != x:
                    u = v.source[start]
                    if u != bank and start != bank:
                        turn(s, v.entry[u * v.size + start], <uint32_t>u)
                    start = u
                return False
            turn(s, entry, <uint32_t>x)
        x = u
    return True


cdef inline bint improve(RowState* s, Savings* v, bint everywhere) except -1 nogil:
    """Make cycles' exchanges until no copy can be saved, or a bound is met; whether any was made."""
    cdef Py_ssize_t u
    cdef int fails = 0, rounds = 0
    cdef bint any_made = False
    cdef int64_t least = copies_of(s), now
    while fails < IMPROVE_TRIES and rounds < ROUNDS_MAX:
        rounds += 1
        pause(&s.paused)
        find_edges(s, v, everywhere)
        if not find_cycles(v):
            break
        for u in range(v.size):
            if v.path[u] >= 0:
                any_made |= follow(s, v, v.path[u])
        now = copies_of(s)
        fails += now >= least  # in each other's way, or together in one row and dearer than each alone
        least = min(least, now)
    return any_made
