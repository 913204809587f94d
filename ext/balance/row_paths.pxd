"""Shortest augmenting paths over rows: what makes counts exact where dealing got stuck.

u leaves a row for x, x leaves another one for v; owners are balanced the same way, by swapping
ranks within rows. The sources are in `rows.pyx`.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t
from .pause cimport pause
from .row_state cimport FEW_OWNERS, LOOSEN_TIMES, LOOSEN_TRIES, ROOT, STUCK, RowState, UNSEEN, below, draw, fits, slack_change


cdef inline void link(RowState* s, int32_t entry, uint32_t node) noexcept nogil:
    s.before[entry] = -1
    s.after[entry] = s.first[node]
    if s.first[node] >= 0:
        s.before[s.first[node]] = entry
    s.first[node] = entry


cdef inline void link_all(RowState* s, bint by_owner) noexcept nogil:
    """List what each node has: entries, or rows that it owns."""
    cdef Py_ssize_t i, stride = s.width if by_owner else 1
    s.by_owner = by_owner
    for i in range(s.nodes + 1):
        s.first[i] = -1
    for i in range(s.partitions * s.width // stride - 1, -1, -1):
        link(s, <int32_t>i, s.rows[i * stride])


cdef inline void turn(RowState* s, int32_t entry, uint32_t node) noexcept nogil:
    """Give an entry (or the ownership of a row) to `node`."""
    cdef Py_ssize_t partition = entry if s.by_owner else entry // s.width, slot = 0, rank
    cdef uint32_t* row = s.rows + partition * s.width
    cdef uint32_t gone
    if s.by_owner:
        gone = row[0]
        for rank in range(1, s.width):
            if row[rank] == node:
                row[rank] = gone
    else:
        slot = entry - partition * s.width
        gone = row[slot]
        s.slack[partition] += slack_change(s, row, slot, node)
        s.owned[gone] -= slot == 0
        s.owned[node] += slot == 0
    row[slot] = node
    s.touched[partition] = 1
    s.count[gone] -= 1
    s.count[node] += 1
    if s.before[entry] >= 0:
        s.after[s.before[entry]] = s.after[entry]
    else:
        s.first[gone] = s.after[entry]
    if s.after[entry] >= 0:
        s.before[s.after[entry]] = s.before[entry]
    link(s, entry, node)


cdef inline int32_t find_edge(const RowState* s, uint32_t target, int32_t entry) noexcept nogil:
    """An entry (or owned row), from `entry` on in its list, that its node can give to `target`; -1 if there is none."""
    cdef Py_ssize_t partition, rank
    while entry >= 0:
        if s.by_owner:
            for rank in range(1, s.width):
                if s.rows[entry * s.width + rank] == target:
                    return entry
        else:
            partition = entry // s.width
            if fits(s, partition, entry - partition * s.width, target):
                return entry
        entry = s.after[entry]
    return -1


cdef inline Py_ssize_t reach(RowState* s, int32_t node, int32_t source, Py_ssize_t tail) noexcept nogil:
    s.parent[node] = source
    s.depth[node] = s.depth[source] + 1 if source >= 0 else 0
    s.queue[tail] = node
    return tail + 1


cdef inline Py_ssize_t expand_owner(RowState* s, int32_t source, Py_ssize_t tail) noexcept nogil:
    """Reach the nodes that are in rows which `source` owns."""
    cdef int32_t entry = s.first[source]
    cdef Py_ssize_t rank
    cdef uint32_t node
    while entry >= 0:
        for rank in range(1, s.width):
            node = s.rows[entry * s.width + rank]
            if s.parent[node] == UNSEEN:
                tail = reach(s, <int32_t>node, source, tail)
        entry = s.after[entry]
    return tail


cdef inline int32_t seen_in(const RowState* s, int32_t zone) noexcept nogil:
    """Entries of the row looked at that are of the zone."""
    return s.zone_seen[zone] if s.zone_mark[zone] == s.mark else 0


cdef inline Py_ssize_t expand_rows(RowState* s, int32_t source, Py_ssize_t tail) noexcept nogil:
    """Reach the nodes that may replace `source` in some row.

    A zone is looked at as a whole: its nodes may all come or none, but for those that are in the row already.
    """
    cdef int32_t entry = s.first[source], going = s.zone[source], zone, node, room
    cdef Py_ssize_t partition, slot, rank, i, j
    cdef uint32_t* row
    cdef int32_t* group
    while entry >= 0 and s.open_size:
        partition = entry // s.width
        slot = entry - partition * s.width
        row = s.rows + partition * s.width
        room = s.slack[partition]
        s.mark += 1
        for rank in range(s.width):
            s.node_mark[row[rank]] = s.mark
            if rank != slot and row[rank] != <uint32_t>s.nodes:
                zone = s.zone[row[rank]]
                s.zone_seen[zone] = s.zone_seen[zone] + 1 if s.zone_mark[zone] == s.mark else 1
                s.zone_mark[zone] = s.mark
        if going >= 0 and seen_in(s, going) >= s.low[going]:
            room += 1
        for i in range(s.open_size - 1, -1, -1):
            zone = s.open_zones[i]
            if zone != going and (seen_in(s, zone) >= s.high[zone] or (room < 1 and seen_in(s, zone) >= s.low[zone])):
                continue
            group = s.unseen + s.unseen_start[zone]
            for j in range(s.unseen_size[zone] - 1, -1, -1):
                node = group[j]
                if s.node_mark[node] != s.mark:
                    tail = reach(s, node, source, tail)
                    s.unseen_size[zone] -= 1
                    group[j] = group[s.unseen_size[zone]]
            if s.unseen_size[zone] == 0:
                s.open_size -= 1
                s.open_zones[i] = s.open_zones[s.open_size]
        entry = s.after[entry]
    return tail


cdef inline int64_t push(RowState* s, int32_t target) noexcept nogil:
    """Send as much as possible along the path by which `target` was reached; how much it was.

    Entries are looked up anew from the target back, since earlier paths may have used those that the search saw.
    """
    cdef Py_ssize_t length = 0, i
    cdef int64_t units, done
    cdef int32_t node = target, entry
    while node >= 0:
        s.resume[length] = -1
        s.path[length] = node
        length += 1
        node = s.parent[node]
    node = s.path[length - 1]
    units = min(s.count[node] - s.limit[node], s.limit[target] - s.count[target])
    for done in range(units):
        for i in range(length - 1):
            entry = find_edge(s, <uint32_t>s.path[i], s.resume[i])
            if entry < 0:  # what was passed over may fit by now
                entry = find_edge(s, <uint32_t>s.path[i], s.first[s.path[i + 1]])
            if entry < 0:
                for i in range(i - 1, -1, -1):
                    turn(s, s.edges[i], s.path[i + 1])
                return done
            s.edges[i] = entry
            s.resume[i] = s.after[entry]
            turn(s, entry, s.path[i])
    return max(units, 0)


cdef inline int64_t augment(RowState* s) noexcept nogil:
    """One round: search from all nodes over their limit to the nearest below theirs; how much got through, or STUCK."""
    cdef Py_ssize_t head = 0, tail = 0, seen, i, below_limit = 0
    cdef int32_t node, zone, nearest = -1
    cdef int64_t done = 0
    for zone in range(s.zones):
        s.unseen_size[zone] = 0
    for node in range(s.nodes + 1):
        s.parent[node] = UNSEEN
        if s.count[node] > s.limit[node]:
            tail = reach(s, node, ROOT, tail)
        elif s.zone[node] >= 0:
            below_limit += s.count[node] < s.limit[node]
            zone = s.zone[node]
            s.unseen[s.unseen_start[zone] + s.unseen_size[zone]] = node
            s.unseen_size[zone] += 1
    s.open_size = 0
    for zone in range(s.zones):
        if s.unseen_size[zone]:
            s.open_zones[s.open_size] = zone
            s.open_size += 1
    while head < tail and below_limit:
        node = s.queue[head]
        head += 1
        if nearest >= 0 and s.depth[node] >= nearest:
            break  # only shortest paths keep out of each other's way
        seen = tail
        tail = expand_owner(s, node, tail) if s.by_owner else expand_rows(s, node, tail)
        for i in range(seen, tail):
            if s.count[s.queue[i]] < s.limit[s.queue[i]]:
                nearest = s.depth[s.queue[i]]
                below_limit -= 1
    for i in range(tail):
        if s.count[s.queue[i]] < s.limit[s.queue[i]]:
            done += push(s, s.queue[i])
    return done if done or tail == 0 or below_limit == 0 else STUCK


cdef inline bint loosen(RowState* s) noexcept nogil:
    """Swap entries of two rows, owners aside, so that the search that got stuck reaches one more node.

    With capped shares and few partitions the rows can be such that nobody can own what they should.
    """
    cdef Py_ssize_t attempt, p, q, slot, other
    cdef uint32_t* row
    cdef uint32_t* row2
    for attempt in range(LOOSEN_TRIES if s.width > 1 else 0):
        p, q = below(draw(s), s.partitions), below(draw(s), s.partitions)
        row, row2 = s.rows + p * s.width, s.rows + q * s.width
        slot, other = 1 + below(draw(s), s.width - 1), 1 + below(draw(s), s.width - 1)
        if s.parent[row[0]] != UNSEEN and s.parent[row2[other]] == UNSEEN:
            if slack_change(s, row, slot, row2[other]) >= 0 and slack_change(s, row2, other, row[slot]) >= 0:
                row[slot], row2[other] = row2[other], row[slot]
                s.touched[p] = s.touched[q] = 1
                return True
    return False


cdef inline bint owners_fit(const RowState* s) noexcept nogil:
    """Whether everyone's rows at rank 0 are between floor and ceiling."""
    cdef Py_ssize_t node
    for node in range(s.nodes + 1):
        if s.owned[node] > s.owner_high[node] or s.owned[node] < s.owner_low[node]:
            return False
    return True


cdef inline int64_t push_from(RowState* s, int32_t owner, const int32_t* targets, Py_ssize_t size) noexcept nogil:
    """Give rows of `owner` to the targets whose parent that is, in the order in which its list has them; how many."""
    cdef Py_ssize_t i, rank, left = 0
    cdef int32_t entry = s.first[owner]
    cdef int64_t done = 0
    for i in range(size):
        left += s.parent[targets[i]] == owner
    s.parent[owner] = ROOT
    size = 0
    while entry >= 0 and size < left:
        for rank in range(1, s.width):
            if s.parent[s.rows[entry * s.width + rank]] == owner:
                s.queue[size] = <int32_t>s.rows[entry * s.width + rank]
                s.parent[s.queue[size]] = UNSEEN
                size += 1
        entry = s.after[entry]
    for i in range(size):
        s.parent[s.queue[i]] = owner
        done += push(s, s.queue[i])
        s.parent[s.queue[i]] = UNSEEN
    return done


cdef inline void own_directly(RowState* s) noexcept nogil:
    """If few nodes own too few: give them rows of their own that others own too many of.

    The paths are those that `augment` finds where one step is enough. It looks at all that those nodes own who own too
    many, each time; here the rows of those that own too few are looked at.
    """
    cdef Py_ssize_t p, rank, i, found = 0, few = 0
    cdef int32_t node, owner, nearest
    cdef int64_t done = 1
    cdef int32_t targets[FEW_OWNERS]
    cdef int32_t* mine = s.after + s.partitions  # lists of owned rows need no more, and rows have two entries or more
    cdef const uint32_t* row
    for node in range(s.nodes + 1):
        s.parent[node] = ROOT
        if s.count[node] < s.limit[node]:
            if few == FEW_OWNERS:
                return
            targets[few] = node
            few += 1
            s.parent[node] = UNSEEN
    for p in range(s.partitions if few else 0):
        mine[found] = <int32_t>p
        row = s.rows + p * s.width
        for rank in range(1, s.width):
            if s.parent[row[rank]] == UNSEEN:
                found += 1
                break
    while done:
        done = 0
        for i in range(found):  # who comes first of those that own too many, for each target
            row = s.rows + mine[i] * s.width
            owner = <int32_t>row[0]
            for rank in range(1, s.width if s.count[owner] > s.limit[owner] else 0):
                node = <int32_t>row[rank]
                if s.parent[node] != ROOT and s.count[node] < s.limit[node]:
                    if s.parent[node] == UNSEEN or owner < s.parent[node]:
                        s.parent[node] = owner
        nearest = 0
        while nearest < <int32_t>s.nodes:
            nearest = <int32_t>s.nodes
            for i in range(few):
                if s.parent[targets[i]] >= 0:
                    nearest = min(nearest, s.parent[targets[i]])
            if nearest < <int32_t>s.nodes:
                done += push_from(s, nearest, targets, few)


cdef inline int balance_owners(RowState* s) except -1 nogil:
    """Bring everyone's rows at rank 0 between floor and ceiling: first none above, then none below."""
    cdef int step, times = LOOSEN_TIMES
    cdef int64_t done
    if owners_fit(s):
        return 0
    s.count = s.owned
    link_all(s, True)
    for step in range(2):
        s.limit = s.owner_low if step else s.owner_high
        own_directly(s)
        pause(&s.paused)
        done = augment(s)
        while done > 0 or (done == STUCK and times > 0 and loosen(s)):
            times -= done == STUCK
            pause(&s.paused)
            done = augment(s)
