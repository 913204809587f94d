"""The point table: 64-bit points → owners, laid out for one cache miss a key.

Three structures answer the same question, "which is the first point at or after h?":

- The points themselves: `hash` and `node` in order, `owner` (the node that a key at that
  point belongs to, given who is alive), and `first`, which cuts the ring into buckets of
  about seven points. Exact for everything; the others fall back on it.
- Lines: one 64-byte line a bucket, up to 15 pairs of a 16-bit fragment of the point's hash
  and its 16-bit owner, closed by the owner of the next bucket's first point. A tie of
  fragments or a fuller bucket asks the exact points. For single keys and large rings.
- The direct table: owners by the top bits of the hash, eight or more entries a point; an
  entry with a boundary inside holds MIXED and its keys are resolved afterwards. For bulk
  lookups on rings whose table stays within 8 MB; built when enough keys have come.

Liveness never touches the points: a table of the same membership shares them and rewrites
only the lines of points that changed owner.
"""
import numpy as np

from libc.stdint cimport int64_t
from .cpu cimport kernels
from .kernels cimport AHEAD_HASHES, BLOCK, LINE_POINTS, MIXED, MOST_AT_ONCE, Rows
from .lanes cimport rw_rank16
from .mix cimport mul_high, rw_mul128, rw_prefetch, rw_publish, rw_published
from .pause cimport pause
from .table cimport FETCHED, NO_NODE
from .thinned cimport Thinned, walk_thinned

cimport numpy as cnp

cnp.import_array()

cdef enum:
    POINTS_PER_LINE = 7  # on average; a bucket of more than 15 is then rare (0.2 %)
    MOST_SLIM_IDS = 0xFFFF  # so many ids are below MIXED, and fit lines, direct tables and columns of 16 bits
    DIRECT_BITS_MIN = 10
    DIRECT_BITS_MAX = 22  # 2^22 entries of 2 bytes: 8 MB, beyond which lines are faster
    BULK_BREAK_EVEN = 4  # lookups a point after which a direct table has paid for itself
    TAKEN = 1
    LINES_A_TURN = 1 << 16  # written between two looks at signals
    PROBES = 8  # walks that tell how long one is
    FAR = 8  # points a candidate: walks that are no longer need no levels


cdef uint64_t GOLDEN = 0x9E3779B97F4A7C15  # its multiples are spread over the ring


cdef uint64_t bucket_count(Py_ssize_t size):
    """About size / 7, rounded up to four significant bits so that most changes keep it."""
    cdef uint64_t wanted = max(<uint64_t>1, <uint64_t>size // POINTS_PER_LINE)
    cdef uint64_t step = 1
    while wanted > 16 * step:
        step *= 2
    return (wanted + step - 1) // step * step


cdef class PointTable(Table):
    """Points on the ring with their owners.

    Parameters
    ----------
    hashes : ndarray of uint64, shape (points,)
        Rising; equal hashes stand in the order of their nodes' names.
    nodes : ndarray of uint32, shape (points,)
        The node id of each point.
    alive : ndarray of uint8, shape (ids,)
        1 for the ids that may own keys.
    groups : ndarray of uint32, shape (ids,), optional
        The part of each id. A key then belongs to the first live node of the part that
        the first point at or after it belongs to, and to the first live node of any part
        when that part has none.
    zones : ndarray of uint32, shape (ids,), optional
        The zone of each id: candidates then take distinct zones first.
    members : int
        How many ids have points; `alive` holds no others.
    before : PointTable, optional
        A table to start from: its lines are copied and only changed ones written anew.
    changed : ndarray of uint64, optional
        With `before`: the rising hashes of the points that were added to it or removed.
    added : bool
        Whether `changed` was added.
    """

    def __cinit__(self, hashes, nodes, alive, *, Py_ssize_t members, groups=None, zones=None,
                  PointTable before=None, changed=None, bint added=False):
        cdef const uint64_t[::1] hash_view = hashes  # buffers of any other type or shape end here
        cdef const uint32_t[::1] node_view = nodes, group_view = groups, zone_view = zones
        cdef const uint8_t[::1] alive_view = alive
        cdef Py_ssize_t i
        if hash_view.shape[0] != node_view.shape[0]:
            raise ValueError(f"nodes must be as many as hashes, {len(hashes)} (was {len(nodes)})")
        if groups is not None and len(groups) != len(alive) or zones is not None and len(zones) != len(alive):
            raise ValueError(f"groups and zones must be as many as ids, {len(alive)}")
        self.hash_array = hashes
        self.node_array = nodes
        self.alive = alive
        self.groups = groups
        self.zones = zones
        self.members = members
        self.size = len(hashes)
        self.ids = len(alive)
        self.hash = <const uint64_t *>cnp.PyArray_DATA(hashes)
        self.node = <const uint32_t *>cnp.PyArray_DATA(nodes)
        self.live_node = <const uint8_t *>cnp.PyArray_DATA(alive)
        self.group = <const uint32_t *>cnp.PyArray_DATA(groups) if groups is not None else NULL
        self.zone = <const uint32_t *>cnp.PyArray_DATA(zones) if zones is not None else NULL
        for i in range(self.ids):
            self.live += alive_view[i] != 0
        self.parts = 1
        if groups is not None or zones is not None:
            self.count_live()
        if self.size and self.live:
            self.compile(before, changed, added)

    @property
    def hashes(self):
        """The points: ndarray of uint64, rising."""
        self.settle()
        return self.hash_array

    @property
    def nodes(self):
        """The node id of each point: ndarray of uint32."""
        self.settle()
        return self.node_array

    cdef int count_live(self) except -1:
        """How many live nodes each part has, and how many zones have any."""
        live_ids = np.flatnonzero(self.alive)
        if self.zones is not None:
            self.live_zones = len(np.unique(self.zones[live_ids]))
        if self.groups is not None:
            self.parts = int(self.groups.max()) + 1 if self.ids else 1
            self.group_live_array = np.zeros(self.parts, np.uint32)
            np.add.at(self.group_live_array, self.groups[live_ids], 1)
            self.group_live = <const uint32_t *>cnp.PyArray_DATA(self.group_live_array)
        return 0

    cdef int compile(self, PointTable before, changed, bint added) except -1:
        """Owners, buckets and lines, from scratch or from a table that differs little."""
        cdef cnp.ndarray next_live
        cdef uint32_t *last_live
        same_points = before is not None and before.hash_array is self.hash_array
        everybody = self.live == self.members
        if everybody:
            self.owner_array = self.node_array
            self.owner = <uint32_t *>self.node
        else:
            self.owner_array = np.empty(self.size, np.uint32)
            self.owner = <uint32_t *>cnp.PyArray_DATA(self.owner_array)
            next_live = np.full(self.parts + 1, NO_NODE, np.uint32)
            last_live = <uint32_t *>cnp.PyArray_DATA(next_live)
            with nogil:
                self.effective_owners(last_live)
        self.buckets = bucket_count(self.size)
        patchable = before is not None and before.lines != NULL and before.buckets == self.buckets
        if same_points and before.owner != NULL:
            self.first_array = before.first_array
            changed = self.hash_array[self.owner_array != before.owner_array]
        elif before is not None and not (before.owner_array is before.node_array and everybody):
            patchable = False  # a dead node or a part hands other points on: write all lines
            changed = None
        self.count_buckets(before if patchable else None, changed, added)
        if self.ids <= MOST_SLIM_IDS:
            self.compile_lines(before if patchable else None, changed)

    cdef int count_buckets(self, PointTable before, changed, bint added) except -1:
        """`first`: bucket → index of its first point, with the number of points at the end."""
        cdef const uint64_t[::1] shifts
        cdef Py_ssize_t i, k = 0
        cdef uint64_t bucket = 0, b
        cdef uint32_t *old
        if self.first_array is not None:
            self.first = <uint32_t *>cnp.PyArray_DATA(self.first_array)
            return 0
        self.first_array = np.empty(self.buckets + 1, np.uint32)
        self.first = <uint32_t *>cnp.PyArray_DATA(self.first_array)
        if before is not None and changed is not None:
            old = before.first
            shifts = changed
            with nogil:
                for b in range(self.buckets + 1):
                    while k < shifts.shape[0] and mul_high(shifts[k], self.buckets) < b:
                        k += 1
                    self.first[b] = <uint32_t>(old[b] + k if added else old[b] - k)
            return 0
        with nogil:
            for i in range(self.size):
                b = mul_high(self.hash[i], self.buckets)
                while bucket <= b:
                    self.first[bucket] = <uint32_t>i
                    bucket += 1
            while bucket <= self.buckets:
                self.first[bucket] = <uint32_t>self.size
                bucket += 1

    cdef int compile_lines(self, PointTable before, changed) except -1:
        """All lines, or copies of those of `before` with the ones around `changed` written anew."""
        cdef uint64_t bucket, written = 0
        cdef int64_t last = 0
        cdef const uint64_t[::1] around
        cdef Py_ssize_t i
        room = np.empty(self.buckets * sizeof(Line) + 64, np.uint8)
        start = -room.ctypes.data % 64
        self.line_array = room[start:start + self.buckets * sizeof(Line)]
        self.lines = <Line *>cnp.PyArray_DATA(self.line_array)
        self.ring.lines = self.lines
        self.ring.buckets = self.buckets
        if before is None or changed is None or len(changed) > self.size // 8:
            with nogil:
                while written < self.buckets:
                    pause(&last)
                    for bucket in range(written, min(written + LINES_A_TURN, self.buckets)):
                        self.write_line(bucket)
                    written += LINES_A_TURN
            return 0
        self.line_array[:] = before.line_array
        around = changed
        with nogil:
            for i in range(around.shape[0]):
                bucket = mul_high(around[i], self.buckets)
                self.write_line(bucket)
                # The line of the previous point's bucket, and empty ones between, close with this owner.
                while True:
                    bucket = (bucket if bucket else self.buckets) - 1
                    self.write_line(bucket)
                    if self.first[bucket] < self.first[bucket + 1]:
                        break

    cdef void effective_owners(self, uint32_t *next_live) noexcept nogil:
        # Backwards, two rounds, so that the first points know who follows after the wrap.
        # The last entry of next_live is for "any part".
        cdef Py_ssize_t lap, i
        cdef uint32_t node, part = 0, anybody = <uint32_t>self.parts
        for lap in range(2):
            for i in range(self.size - 1, -1, -1):
                node = self.node[i]
                if self.group != NULL:
                    part = self.group[node]
                if self.live_node[node]:
                    next_live[part] = node
                    next_live[anybody] = node
                if lap:
                    self.owner[i] = next_live[part] if next_live[part] != NO_NODE else next_live[anybody]

    cdef void write_line(self, uint64_t bucket) noexcept nogil:
        cdef Line *line = self.lines + bucket
        cdef Py_ssize_t start = self.first[bucket], end = self.first[bucket + 1], i
        cdef uint64_t low
        cdef uint16_t closing = <uint16_t>self.owner[end if end < self.size else 0]
        if end - start > LINE_POINTS:
            for i in range(16):
                line.fragments[i] = 0xFFFF
                line.owners[i] = MIXED
            return
        for i in range(16):
            if start + i < end:
                rw_mul128(self.hash[start + i], self.buckets, &low)
                line.fragments[i] = <uint16_t>(low >> 48)
                line.owners[i] = <uint16_t>self.owner[start + i]
            else:
                line.fragments[i] = 0xFFFF
                line.owners[i] = closing

    cdef Py_ssize_t first_point(self, uint64_t h) noexcept nogil:
        """The index of the first point at or after h, wrapping."""
        cdef uint64_t bucket = mul_high(h, self.buckets)
        cdef Py_ssize_t i = self.first[bucket], end = self.first[bucket + 1]
        while i < end and self.hash[i] < h:
            i += 1
        return i if i < self.size else 0

    cdef uint32_t exact(self, uint64_t h) noexcept nogil:
        return self.owner[self.first_point(h)]

    cdef uint32_t lookup(self, uint64_t h) noexcept nogil:
        if self.lines != NULL:
            return self.find_in_line(h)
        return self.exact(h) if self.owner != NULL else self.lookup_unsettled(h)

    cdef uint32_t lookup_unsettled(self, uint64_t h) noexcept nogil:
        """For tables that are compiled later."""
        return NO_NODE

    cdef inline uint32_t find_in_line(self, uint64_t h) noexcept nogil:
        cdef uint64_t low
        cdef const Line *line = self.lines + rw_mul128(h, self.buckets, &low)
        cdef uint16_t fragment = <uint16_t>(low >> 48)
        cdef unsigned rank = rw_rank16(line.fragments, fragment)
        cdef uint16_t owner = line.owners[rank]
        if owner == MIXED or line.fragments[rank] == fragment:
            return self.exact(h)
        return owner

    cdef void lookup_narrow(self, const uint64_t *h, Py_ssize_t count, uint16_t *out) noexcept nogil:
        cdef uint16_t[MOST_AT_ONCE] unresolved
        cdef Py_ssize_t size, i, found, ahead = AHEAD_HASHES if count > BLOCK else 0
        while count > 0:
            size = min(<Py_ssize_t>MOST_AT_ONCE, count)
            found = kernels.look_up(&self.ring, h, size, ahead, out, unresolved)
            for i in range(found):
                out[unresolved[i]] = <uint16_t>self.exact(h[unresolved[i]])
            h += size
            out += size
            count -= size

    cdef bint lookup_rows(self, const Rows *rows, Py_ssize_t count, uint64_t *h, uint16_t *out) noexcept nogil:
        cdef uint16_t[MOST_AT_ONCE] unresolved
        cdef Py_ssize_t i, found
        if rw_published(<const uint16_t **>&self.ring.direct) == NULL:
            return False
        found = kernels.look_up_padded(&self.ring, rows, count, h, out, unresolved)
        for i in range(found):
            out[unresolved[i]] = <uint16_t>self.exact(h[unresolved[i]])
        return True

    cdef void lookup_block(self, const uint64_t *h, Py_ssize_t count, uint32_t *out) noexcept nogil:
        cdef uint16_t[MOST_AT_ONCE] owners, unresolved
        cdef Py_ssize_t size, i, found, ahead = AHEAD_HASHES if count > BLOCK else 0
        if self.lines == NULL:
            self.lookup_exact(h, count, out)
            return
        while count > 0:
            size = min(<Py_ssize_t>MOST_AT_ONCE, count)
            found = kernels.look_up(&self.ring, h, size, ahead, owners, unresolved)
            kernels.widen(owners, size, out)
            for i in range(found):
                out[unresolved[i]] = self.exact(h[unresolved[i]])
            h += size
            out += size
            count -= size

    cdef void fetch(self, const uint64_t *h, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t i, start
        if self.owner == NULL:
            return
        for i in range(count):
            rw_prefetch(self.first + mul_high(h[i], self.buckets))
        for i in range(count):
            start = self.first[mul_high(h[i], self.buckets)]
            rw_prefetch(self.hash + start)
            rw_prefetch(self.hash + start + POINTS_PER_LINE)
            rw_prefetch(self.node + start + POINTS_PER_LINE // 2)

    cdef void lookup_exact(self, const uint64_t *h, Py_ssize_t count, uint32_t *out) noexcept nogil:
        """Without lines a key misses the cache three times, one after the other; so many keys do so side by side."""
        cdef Py_ssize_t[FETCHED] points
        cdef Py_ssize_t size, i
        if self.owner == NULL:
            for i in range(count):
                out[i] = self.lookup_unsettled(h[i])
            return
        while count > 0:
            size = min(<Py_ssize_t>FETCHED, count)
            self.fetch(h, size)
            for i in range(size):
                points[i] = self.first_point(h[i])
                rw_prefetch(self.owner + points[i])
            for i in range(size):
                out[i] = self.owner[points[i]]
            h += size
            out += size
            count -= size

    cdef void prepare(self, Py_ssize_t keys):
        cdef int bits = DIRECT_BITS_MIN
        self.settle()
        self.bulk_keys += keys
        if self.ring.direct != NULL or self.lines == NULL or self.bulk_keys < BULK_BREAK_EVEN * self.size:
            return
        while bits < DIRECT_BITS_MAX and ((<Py_ssize_t>1) << bits) < 8 * self.size:
            bits += 1
        if ((<Py_ssize_t>1) << bits) < 8 * self.size:
            return
        self.direct_array = np.empty(1 << bits, np.uint16)
        self.build_direct(<uint16_t *>cnp.PyArray_DATA(self.direct_array), 64 - bits)

    cdef void build_direct(self, uint16_t *direct, int shift) noexcept nogil:
        cdef uint64_t entry = 0, end, entries = (<uint64_t>1) << (64 - shift)
        cdef uint64_t inside = ((<uint64_t>1) << shift) - 1
        cdef Py_ssize_t i
        cdef uint32_t owner
        for i in range(self.size):
            owner = self.owner[i]
            if i + 1 < self.size and self.owner[i + 1] == owner:
                continue
            end = self.hash[i] >> shift
            while entry < end:
                direct[entry] = <uint16_t>owner
                entry += 1
            if entry == end:  # not yet written by an earlier boundary in it
                direct[entry] = <uint16_t>owner if (self.hash[i] & inside) == inside else MIXED
                entry += 1
        while entry < entries:
            direct[entry] = <uint16_t>self.owner[0]
            entry += 1
        # The pointer last: a bulk call in another thread sees all of it or none.
        self.ring.direct_shift = shift
        rw_publish(&self.ring.direct, direct)

    cdef Py_ssize_t scratch_size(self) noexcept nogil:
        return 2 * self.ids  # one flag a node, one a zone (there are no more zones than ids)

    cdef int prepare_walks(self, Py_ssize_t keys, Py_ssize_t wanted) except -1:
        """Build levels where walks pass so many points that it pays."""
        cdef Py_ssize_t probe, walked
        self.settle()
        wanted = min(wanted, self.live)
        if wanted <= max(<Py_ssize_t>1, self.thinned_for) or self.owner == NULL:
            return 0
        if keys > PROBES:
            out, scratch = np.empty(wanted, np.uint32), np.zeros(self.scratch_size(), np.uint8)
            walked, self.walked = self.walked, 0
            for probe in range(PROBES):
                self.walk(<uint64_t>probe * GOLDEN, wanted, <uint32_t *>cnp.PyArray_DATA(out),
                          <uint8_t *>cnp.PyArray_DATA(scratch))
            walked, self.walked = self.walked, walked + self.walked
            if walked <= FAR * PROBES * wanted or walked // PROBES * keys <= self.size:
                return 0
        elif self.walked <= self.size:
            return 0
        return self.thin(wanted)

    cdef int thin(self, Py_ssize_t wanted) except -1:
        cdef Thinned by_node = Thinned(), other
        wanted = max(wanted, 2 * self.thinned_for)
        by_node.build(self.hash_array, self.node_array, self.alive, None, None, wanted - 1)
        if self.thinned is None:
            self.thinned = []
        self.thinned.append(by_node)
        if not by_node.plain():
            rw_publish(<const uint16_t **>&self.by_node, <const uint16_t *>&by_node.thin)
        if self.groups is not None or self.zones is not None:
            other = Thinned()
            other.build(self.hash_array, self.node_array, self.alive, self.zones if self.groups is None else None,
                        self.groups, wanted - 1)
            self.thinned.append(other)
            if self.groups is not None:
                rw_publish(<const uint16_t **>&self.by_part, <const uint16_t *>&other.thin)
            elif not other.plain():
                rw_publish(<const uint16_t **>&self.by_zone, <const uint16_t *>&other.thin)
        self.walked = 0
        self.thinned_for = wanted
        return 0

    cdef Py_ssize_t walk(self, uint64_t h, Py_ssize_t count, uint32_t *out, uint8_t *scratch) noexcept nogil:
        cdef Py_ssize_t start, found = 0, preferred = 0, steps = 0, lap, i, k, goal, ring
        cdef uint8_t *zone_seen = scratch + self.ids
        cdef uint32_t node, part = 0
        cdef const Thin *thin
        if self.owner == NULL:
            return 0
        start = self.first_point(h)
        count = min(count, self.live)
        if count == 1:
            out[0] = self.owner[start]
            return 1
        if self.group != NULL:
            part = self.group[self.node[start]]
            preferred = min(count, <Py_ssize_t>self.group_live[part])
        elif self.zone != NULL:
            preferred = min(count, self.live_zones)
        for lap in range(2):  # the part's or the zones' first round, then everybody
            goal = count if lap else preferred
            i = start
            thin, ring = <const Thin *>rw_published(<const uint16_t **>&self.by_node), 0
            if lap == 0 and self.group != NULL:
                thin, ring = <const Thin *>rw_published(<const uint16_t **>&self.by_part), <Py_ssize_t>part
            elif lap == 0 and self.zone != NULL:
                thin = <const Thin *>rw_published(<const uint16_t **>&self.by_zone)
            if thin != NULL:
                found = walk_thinned(thin, ring, h, goal, found, out, scratch,
                                     zone_seen if thin.class_of != NULL else NULL)
            while found < goal:
                steps += 1
                node = self.node[i]
                i = i + 1 if i + 1 < self.size else 0
                if scratch[node] or not self.live_node[node]:
                    continue
                if lap == 0 and self.group != NULL and self.group[node] != part:
                    continue
                if lap == 0 and self.zone != NULL and self.group == NULL:
                    if zone_seen[self.zone[node]]:
                        continue
                    zone_seen[self.zone[node]] = TAKEN
                scratch[node] = TAKEN
                out[found] = node
                found += 1
        for k in range(found):
            scratch[out[k]] = 0
            if self.zone != NULL:
                zone_seen[self.zone[out[k]]] = 0
        self.walked += steps
        return found

    cdef Py_ssize_t total(self) noexcept:
        """How many points there are, compiled or not."""
        return self.size

    cdef bint live_before(self, uint64_t h, uint64_t *out, Py_ssize_t *steps) noexcept nogil:
        """The hash of the last live point below h, not wrapping; False where there is none."""
        cdef Py_ssize_t i = self.last_live(self.live_node, h, steps)
        if i >= 0:
            out[0] = self.hash[i]
        return i >= 0

    cdef Py_ssize_t last_live(self, const uint8_t *live_node, uint64_t h, Py_ssize_t *steps) noexcept nogil:
        """The index of that point, by a liveness that need not be this table's; or -1."""
        cdef Py_ssize_t i = self.first_point(h)
        if i == 0 and self.hash[0] < h:
            i = self.size
        i -= 1
        while i >= 0 and not live_node[self.node[i]]:
            i -= 1
            steps[0] += 1
        return i

    def first_index(self, uint64_t h):
        """The index of the first point at or after `h`, wrapping."""
        self.settle()
        return self.first_point(h)

    def bounds(self):
        """The inclusive ends of the finest arcs: ndarray of uint64, the points and 2^64 - 1."""
        self.settle()
        ends = np.append(self.hash_array, np.uint64(0xFFFFFFFFFFFFFFFF))
        return ends[np.append(ends[1:] != ends[:len(ends) - 1], True)]  # they rise already: `np.unique` takes many times as long

    def arcs(self):
        cdef Py_ssize_t i, arcs = 0
        cdef uint64_t[::1] ends
        cdef uint32_t[::1] owners
        cdef uint32_t owner
        self.settle()
        if self.owner == NULL:
            return np.array([0xFFFFFFFFFFFFFFFF], np.uint64), np.array([NO_NODE], np.uint32)
        end_array = np.empty(self.size + 1, np.uint64)
        owner_array = np.empty(self.size + 1, np.uint32)
        ends = end_array
        owners = owner_array
        with nogil:
            for i in range(self.size + 1):
                owner = self.owner[i if i < self.size else 0]
                if i and i < self.size and self.hash[i] == self.hash[i - 1]:
                    continue  # of colliding points the first one owns
                if arcs and owners[arcs - 1] == owner:
                    arcs -= 1
                owners[arcs] = owner
                ends[arcs] = self.hash[i] if i < self.size else <uint64_t>0xFFFFFFFFFFFFFFFF
                # A point on the last hash leaves nothing for the wrap.
                if i < self.size or not arcs or ends[arcs - 1] != <uint64_t>0xFFFFFFFFFFFFFFFF:
                    arcs += 1
        return end_array[:arcs].copy(), owner_array[:arcs].copy()
