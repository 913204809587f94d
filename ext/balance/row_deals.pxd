"""What comes into rows whose entries left: nodes that lack entries, drawn from an urn."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from .mix cimport rw_prefetch
from .pause cimport pause
from .row_state cimport DEAL_TRIES, OWNER_TRIES, RowState, TURN, below, draw, fits, skip, slack_change

cdef enum:
    DEAL_AHEAD = 8  # rows fetched before they are looked at


cdef inline bint place(RowState* s, Py_ssize_t partition, Py_ssize_t slot) noexcept nogil:
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
            s.touched[partition] = 1
            s.count[row[slot]] -= 1
            s.count[node] += 1
            if slot == 0:
                s.owned[row[slot]] -= 1
                s.owned[node] += 1
            row[slot] = node
            return True
    return False


cdef inline int64_t modulo(int64_t value, int64_t by) noexcept nogil:
    """Division is slow, and most tables have a power of two of partitions."""
    return value & (by - 1) if by & (by - 1) == 0 else value % by


cdef inline void note_visits(RowState* s, Py_ssize_t start, Py_ssize_t step, uint8_t* acting, uint8_t* visited) noexcept nogil:
    """Mark the turns, from `start` on in steps of `step`, at which rows with an entry that may go come."""
    cdef Py_ssize_t i, node, size = s.partitions * s.width, width = s.width, found = 0
    cdef int64_t a = s.partitions, b = step, x = 0, y = 1, quotient, turn  # x, y: a and b as multiples of step
    cdef int32_t* entries = s.before  # there are no lists yet
    cdef const uint32_t* row = s.rows
    while a:
        quotient = b // a
        a, b, x, y = b - quotient * a, a, y - quotient * x, x
    y += s.partitions if y < 0 else 0
    for node in range(s.nodes):
        acting[node] = s.count[node] > s.limit[node]
    acting[s.nodes] = 1
    for i in range(size):  # without a branch, which would be guessed wrong as often as not
        entries[found] = <int32_t>i
        found += acting[row[i]]
    for i in range(found):
        turn = entries[i] // width - start
        turn += s.partitions if turn < 0 else 0
        visited[modulo(turn * y, s.partitions)] = 1


cdef inline void deal_row(RowState* s, Py_ssize_t p, uint64_t* unvisited) noexcept nogil:
    """Fill the row's vacancies; as many of its surplus entries go as their chances add up to."""
    cdef uint32_t* row = s.rows + p * s.width
    cdef uint64_t turns = draw(s) >> 32
    cdef Py_ssize_t slot, node
    cdef int64_t surplus
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


cdef inline int deal(RowState* s, uint64_t* unvisited, uint8_t* acting, uint64_t* visited) except -1 nogil:
    """Fill vacancies and replace surplus entries, a random choice of each node's, in one pass over the rows.

    Where a surplus entry has no replacement it stays and a later one goes. Sampling is systematic within a row: as many
    entries go as their chances add up to, which lets a node that must be in every row find a place. Rows come in an
    order that changes from table to table, since the last ones have less to choose from. Those without such entries
    are passed over: `visited` says at which turns there are any, a byte each.
    """
    cdef Py_ssize_t i, node, start = below(draw(s), s.partitions), step = 1 + below(draw(s), s.partitions), a, b = 0
    cdef Py_ssize_t turn, next_turn = 0, visits = 0
    cdef int32_t* turns = s.before  # there are no lists yet
    cdef int64_t unit
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
    note_visits(s, start, step, acting, <uint8_t*>visited)
    for i in range((s.partitions + 7) // 8):
        for turn in range(8 * i, 8 * i + 8 if visited[i] else 0):
            turns[visits] = <int32_t>turn
            visits += (<uint8_t*>visited)[turn]
    for i in range(visits + DEAL_AHEAD):
        if i % TURN == 0:
            pause(&s.paused)
        if i < visits:
            rw_prefetch(s.rows + s.width * modulo(start + <int64_t>turns[i] * step, s.partitions))
        if i >= DEAL_AHEAD:
            turn = turns[i - DEAL_AHEAD]
            skip(s, turn - next_turn)
            deal_row(s, modulo(start + <int64_t>turn * step, s.partitions), unvisited)
            next_turn = turn + 1
    skip(s, s.partitions - next_turn)
