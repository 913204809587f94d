"""What stays of a table: entries that may, and the ranks they had."""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t
from .pause cimport pause
from .row_state cimport RowState, TURN, fits, id_in, place_in, slack_change


cdef inline bint survey(RowState* s, bint scarce) except -1 nogil:
    """Copy old entries that still may hold something, count them, and draw a seed from all, lest every change makes the
    same choices; whether the rows are legal but for vacancies, as those of a table are whose zones and width stay."""
    cdef Py_ssize_t p, rank, other, old_width = s.old_width, width = s.width
    cdef uint32_t node, value, nodes = <uint32_t>s.nodes, last = s.ids
    cdef int32_t zone, mark = s.mark
    cdef int64_t* count = s.count
    cdef uint64_t seed = s.random
    cdef bint legal = not scarce and old_width <= width
    cdef const uint32_t* old = s.old
    cdef const uint32_t* place_of = s.place_of
    cdef const int32_t* zone_of = s.zone
    cdef int32_t* zone_mark = s.zone_mark
    cdef uint32_t* row = s.rows
    for p in range(s.partitions):
        if p % TURN == 0:
            pause(&s.paused)
        mark += 1
        for rank in range(old_width):
            value = old[rank]
            if place_of != NULL:
                value = place_of[min(value, last)]
            seed = (seed ^ value) * <uint64_t>0xD6E8FEB86659FD93
            seed ^= seed >> 32
            if rank >= width:
                continue
            node = nodes
            zone = zone_of[value] if value < nodes else -1
            if zone >= 0:
                node = value
                if zone_mark[zone] == mark:
                    legal = False
                    for other in range(rank):
                        node = nodes if row[other] == value else node
                zone_mark[zone] = mark
            row[rank] = node
            count[node] += 1
        for rank in range(old_width, width):
            row[rank] = nodes
            count[nodes] += 1
        old += old_width
        row += width
    s.mark, s.random = mark, seed
    return legal


cdef inline int legalise(RowState* s, const double* share, int32_t* tally) except -1 nogil:
    """Vacate entries until each row can have what its zones need, and none too many; those beyond the new width may take their place.

    Entries of nodes that have more than their share go first, the higher rank first.
    """
    cdef Py_ssize_t p, rank, slot
    cdef uint32_t node, vacant = <uint32_t>s.nodes
    cdef uint32_t* row
    cdef int32_t slack, over, zone
    cdef int anyone
    for p in range(s.partitions):
        if p % TURN == 0:
            pause(&s.paused)
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
        for rank in range(s.width, s.old_width):
            node = place_in(s, s.old[p * s.old_width + rank])
            while slot < s.width and row[slot] != vacant:
                slot += 1
            if slot < s.width and node < vacant and s.zone[node] >= 0 and fits(s, p, slot, node):
                s.slack[p] += slack_change(s, row, slot, node)
                row[slot] = node
                s.touched[p] = 1
                s.count[node] += 1
                s.count[vacant] -= 1


cdef inline int keep_ranks(RowState* s, uint32_t* row_before) except -1 nogil:
    """Give everyone but the owner the rank it had; who is new, and the owner before, take what is free."""
    cdef Py_ssize_t p, rank, place
    cdef uint32_t vacant = <uint32_t>s.nodes, name
    cdef uint32_t* row
    for p in range(s.partitions):
        if p % TURN == 0:
            pause(&s.paused)
        if not s.touched[p]:
            continue
        row = s.rows + p * s.width
        for rank in range(1, s.width):
            row_before[rank] = row[rank]
            row[rank] = vacant
        for rank in range(1, s.width):
            name = id_in(s, row_before[rank])
            for place in range(1, min(s.width, s.old_width)):
                if s.old[p * s.old_width + place] == name and row[place] == vacant:
                    row[place] = row_before[rank]
                    row_before[rank] = vacant
                    break
        place = 1
        for rank in range(1, s.width):
            if row_before[rank] != vacant:
                while row[place] != vacant:
                    place += 1
                row[place] = row_before[rank]
