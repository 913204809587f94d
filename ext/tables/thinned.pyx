"""Rings without those that are found first anyway, so that the next candidate is never far.

A walk along the ring passes all points of nodes that it has taken already. Where few nodes (or
zones, when distinct ones are wanted: here both are classes) have nearly all points, or where nearly
all nodes are down, that is thousands of points for one candidate. So a ring has levels: all points;
then only those of live nodes, without the heaviest class, the two heaviest, and so on, as far as each
has at most a quarter of the points of the level before. Once a walk has taken the m heaviest classes
it goes on in the last level that leaves out no others. All it has taken are at most as heavy as one
that it has not: of every 4 * (taken + 1) points there one is a candidate, however weights are.
"""
import numpy as np

from libc.stdint cimport int64_t

cimport numpy as cnp

cnp.import_array()

cdef enum:
    THINNER = 4  # times fewer points: what makes a level of its own worth it


cdef object counted(const uint32_t[::1] nodes, Py_ssize_t ids):
    """How many points each id has: as `np.bincount`, which would hold the GIL."""
    cdef Py_ssize_t i
    cdef int64_t[::1] counts
    result = np.zeros(ids, np.int64)
    counts = result
    with nogil:
        for i in range(nodes.shape[0]):
            counts[nodes[i]] += 1
    return result


cdef bint is_copied(const Thin *thin, uint32_t node, const uint64_t *hash, const uint32_t *ring_of,
                    const uint32_t *rank) noexcept nogil:
    """Whether a node has points in a level that is not the one of all points."""
    cdef Py_ssize_t ring = <Py_ssize_t>ring_of[node] if ring_of != NULL else 0
    cdef const Level *level = thin.levels + thin.first_level[ring]
    cdef const Level *end = thin.levels + thin.first_level[ring + 1]
    if not thin.live_node[node]:
        return False
    if level < end and level.hash == hash:
        level += 1
    return level < end and level.skip <= <Py_ssize_t>rank[thin.class_of[node] if thin.class_of != NULL else node]


cdef class Thinned:
    """The levels of one ring, or of one for each part; see the module."""

    cdef int build(self, hashes, nodes, alive, classes, rings, Py_ssize_t most) except -1:
        """Of a ring's points; `most`: how many classes walks have taken at most when they look for the last one.

        `classes` and `rings` tell the class and the ring of each id; None: its own, and one for all. The points of a
        class are in one ring.
        """
        ids = len(alive)
        counts = counted(nodes, ids)
        counts[np.asarray(alive) == 0] = 0
        ring_of = np.zeros(ids, np.uint32) if rings is None else rings
        if classes is not None:
            counts, of_nodes = np.zeros(int(classes.max(initial=0)) + 1, np.int64), counts
            np.add.at(counts, classes, of_nodes)
            ring_of = np.zeros(len(counts), np.uint32)
        number = 1 if rings is None else int(rings.max(initial=0)) + 1
        present = np.flatnonzero(counts)
        order = present[np.lexsort((-counts[present], ring_of[present]))].astype(np.uint32)
        ends = np.searchsorted(ring_of[order], np.arange(number + 1)).astype(np.intp)
        sizes = np.append(0, np.cumsum(counts[order]))  # of the points of the classes before
        skips, first_level = self.chosen(sizes, ends, most, rings is None and THINNER * sizes[len(order)] > len(nodes))
        self.held = [alive, classes, order, ends, first_level]
        self.thin.live_node = <const uint8_t *>cnp.PyArray_DATA(alive)
        self.thin.class_of = NULL if classes is None else <const uint32_t *>cnp.PyArray_DATA(classes)
        self.thin.order = <const uint32_t *>cnp.PyArray_DATA(order)
        self.thin.first_class = <const Py_ssize_t *>cnp.PyArray_DATA(ends)
        self.thin.first_level = <const Py_ssize_t *>cnp.PyArray_DATA(first_level)
        self.fill(hashes, nodes, len(counts), rings, sizes, skips)
        return 0

    cdef tuple chosen(self, sizes, ends, Py_ssize_t most, bint whole):
        """For each ring, how many classes its levels leave out; -1 for a level of all points, dead ones too."""
        cdef list skips = []
        first_level = np.zeros(len(ends), np.intp)
        for ring in range(len(ends) - 1):
            start, end = int(ends[ring]), int(ends[ring + 1])
            skips.append(-1 if whole else 0)
            last = sizes[end] - sizes[start]
            # Rising numbers of points passed: the next level begins where a quarter of the last is left.
            while True:
                skip = int(np.searchsorted(sizes[start:end], sizes[end] - last // THINNER))
                if skip > min(most, end - start - 1):
                    break
                skips.append(skip)
                last = sizes[end] - sizes[start + skip]
            first_level[ring + 1] = len(skips)
        return skips, first_level

    cdef int fill(self, hash_from, node_from, Py_ssize_t classes, rings, sizes, list skips) except -1:
        """The points of all levels, one level after the other."""
        cdef Py_ssize_t size = len(node_from), number = len(skips), total = 0, level, ring = 0, i, k
        cdef const uint64_t *hash = <const uint64_t *>cnp.PyArray_DATA(hash_from)
        cdef const uint32_t *node = <const uint32_t *>cnp.PyArray_DATA(node_from)
        cdef const uint32_t *ring_of = <const uint32_t *>cnp.PyArray_DATA(rings) if rings is not None else NULL
        cdef const Py_ssize_t *first_level = self.thin.first_level
        cdef const Py_ssize_t *first_class = self.thin.first_class
        cdef uint32_t[::1] rank = np.full(classes, 0xFFFFFFFF, np.uint32)  # class → its place in its ring's order
        cdef Py_ssize_t[::1] ends = np.zeros(number, np.intp)
        cdef uint64_t *hashes
        cdef uint32_t *nodes
        cdef Level *level_of
        cdef uint32_t one
        cdef uint8_t[::1] copied = np.zeros(len(self.held[0]), np.uint8)
        level_array = np.zeros(max(number, 1) * sizeof(Level), np.uint8)
        level_of = <Level *>cnp.PyArray_DATA(level_array)
        for ring in range(len(self.held[3]) - 1):
            for i in range(first_class[ring], first_class[ring + 1]):
                rank[self.thin.order[i]] = <uint32_t>(i - first_class[ring])
            for level in range(first_level[ring], first_level[ring + 1]):
                level_of[level].skip = max(0, <Py_ssize_t>skips[level])
                if skips[level] < 0:
                    level_of[level].size = size
                    level_of[level].hash = hash
                    level_of[level].node = node
                    continue
                level_of[level].size = sizes[first_class[ring + 1]] - sizes[first_class[ring] + level_of[level].skip]
                ends[level] = total
                total += level_of[level].size
        hash_array, node_array = np.empty(total, np.uint64), np.empty(total, np.uint32)
        hashes = <uint64_t *>cnp.PyArray_DATA(hash_array)
        nodes = <uint32_t *>cnp.PyArray_DATA(node_array)
        self.held += [level_array, hash_array, node_array]
        for level in range(number):
            if level_of[level].hash == NULL:
                level_of[level].hash = hashes + ends[level]
                level_of[level].node = nodes + ends[level]
        self.thin.levels = level_of
        with nogil:
            for one in range(<uint32_t>copied.shape[0]):
                copied[one] = is_copied(&self.thin, one, hash, ring_of, &rank[0] if classes else NULL)
            for i in range(size):
                one = node[i]
                if not copied[one]:
                    continue  # nearly all points, where few nodes have them
                ring = <Py_ssize_t>ring_of[one] if ring_of != NULL else 0
                k = <Py_ssize_t>rank[self.thin.class_of[one] if self.thin.class_of != NULL else one]
                for level in range(first_level[ring], first_level[ring + 1]):
                    if level_of[level].skip > k:
                        break
                    if level_of[level].hash == hash:
                        continue
                    hashes[ends[level]] = hash[i]
                    nodes[ends[level]] = one
                    ends[level] += 1
        return 0

    cdef bint plain(self) except -1:
        """Whether this is nothing but the one ring of all points."""
        return self.thin.first_level[1] == 1 and len(self.held[3]) == 2 and self.held[6].size == 0


cdef inline Py_ssize_t first_at(const Level *level, uint64_t h) noexcept nogil:
    """The index of the first point at or after h, wrapping."""
    cdef Py_ssize_t low = 0, high = level.size, middle
    while low < high:
        middle = (low + high) // 2
        if level.hash[middle] < h:
            low = middle + 1
        else:
            high = middle
    return low if low < level.size else 0


cdef Py_ssize_t walk_thinned(const Thin *thin, Py_ssize_t ring, uint64_t h, Py_ssize_t goal, Py_ssize_t found,
                             uint32_t *out, uint8_t *taken, uint8_t *class_taken) noexcept nogil:
    """Candidates from `found` to `goal` (no more than there are), as a walk along the whole ring finds them.

    `class_taken` marks the classes that are taken, where only one node of each counts; else those of `taken` are.
    """
    cdef const uint32_t *order = thin.order + thin.first_class[ring]
    cdef const Level *level = thin.levels + thin.first_level[ring]
    cdef const Level *end = thin.levels + thin.first_level[ring + 1]
    cdef const uint8_t *gone = class_taken if class_taken != NULL else taken
    cdef Py_ssize_t classes = thin.first_class[ring + 1] - thin.first_class[ring], heaviest = 0, i
    cdef uint32_t node
    if found < goal:
        i = first_at(level, h)
    while found < goal:
        while heaviest < classes and gone[order[heaviest]]:
            heaviest += 1
        if level + 1 < end and (level + 1).skip <= heaviest:
            while level + 1 < end and (level + 1).skip <= heaviest:
                level += 1
            i = first_at(level, h)  # what was passed there before belongs to nodes that are taken
        while True:
            node = level.node[i]
            i = i + 1 if i + 1 < level.size else 0
            if taken[node] or not thin.live_node[node]:
                continue
            if class_taken != NULL:
                if class_taken[thin.class_of[node]]:
                    continue
                class_taken[thin.class_of[node]] = 1
            taken[node] = 1
            out[found] = node
            found += 1
            break
    return found
