"""What the balancing of rows works on: the table, its counts and quotas, and which swaps are legal."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    TURN = 1 << 14    # rows between two looks at the clock
    MIX_SWEEPS = 4    # swaps tried per entry of a first table; one already looks random, but tight zones reject some
    DEAL_TRIES = 48   # draws from the urn before a slot is left to the augmenting paths
    OWNER_TRIES = 12  # of these, draws that insist on a node that may still own more
    BARRED = -(1 << 30)
    UNSEEN = -2
    ROOT = -1
    STUCK = -1
    FEW_OWNERS = 32  # nodes that own too few, up to which their rows are looked at
    LOOSEN_TIMES = 200  # swaps between rows for the owners' sake, and draws for one of them
    LOOSEN_TRIES = 1 << 13
    ENTRIES_MAX = 1 << 29  # so that the snapped shares' errors add up to less than one entry


cdef struct RowState:
    Py_ssize_t partitions
    Py_ssize_t width
    Py_ssize_t nodes     # index `nodes` stands for "vacant", a node whose quota is 0
    Py_ssize_t zones
    int32_t need         # entries of a row that its zones' least numbers make up
    int32_t* low         # of a zone, how many entries of a row at least, towards `need`, and at most
    int32_t* high
    uint64_t random
    int64_t paused       # when signals were served last
    uint32_t* rows       # (partitions, width)
    const uint32_t* old  # the rows before, (partitions, old_width), of ids where nodes have ids
    Py_ssize_t old_width
    const uint32_t* id_of     # node -> id; NULL where they are the same
    const uint32_t* place_of  # id -> node, NO_NODE where it is none, also at `ids` for all ids from there on
    uint32_t ids
    uint8_t* touched     # of a partition: whether its row may differ from what it was
    int32_t* slack       # a partition's entries up to their zones' `low` + vacancies - need; never below 0
    int32_t* zone        # of a node; -1 for those that hold nothing
    int64_t* owned       # rows of a node at rank 0
    int64_t* owner_low
    int64_t* owner_high
    bint by_owner        # what the rest is about: who owns a row, or who is in it
    int64_t* count       # of a node, and where it should be
    int64_t* limit
    int32_t* first       # a node's entries (or owned rows) as a doubly linked list
    int32_t* after
    int32_t* before
    int32_t* parent      # the search: UNSEEN, ROOT or the node that would give up an entry
    int32_t* depth
    int32_t* queue
    int32_t* path
    int32_t* edges       # what goes along the path, and where to look for the next one
    int32_t* resume
    int32_t* unseen      # nodes not reached yet, grouped by zone
    int32_t* unseen_start
    int32_t* unseen_size
    int32_t* open_zones  # zones with any of these
    Py_ssize_t open_size
    int32_t* zone_mark
    int32_t* zone_seen   # entries of a row that are of a marked zone
    int32_t* node_mark
    int32_t mark
    int32_t* urn         # one token for each entry that a node lacks
    Py_ssize_t urn_size


cdef inline uint32_t place_in(const RowState* s, uint32_t old) noexcept nogil:
    """The node that an old entry stands for; from `nodes` on if for none."""
    return old if s.place_of == NULL else s.place_of[min(old, s.ids)]


cdef inline uint32_t id_in(const RowState* s, uint32_t node) noexcept nogil:
    """What a node is called in the old rows."""
    return node if s.id_of == NULL else s.id_of[node]


cdef inline void skip(RowState* s, int64_t draws) noexcept nogil:
    """As if so many numbers had been drawn."""
    s.random += <uint64_t>0x9E3779B97F4A7C15 * <uint64_t>draws


cdef inline uint64_t draw(RowState* s) noexcept nogil:
    """Next number of splitmix64 [5]."""
    s.random += <uint64_t>0x9E3779B97F4A7C15
    cdef uint64_t x = s.random
    x = (x ^ (x >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    x = (x ^ (x >> 27)) * <uint64_t>0x94D049BB133111EB
    return x ^ (x >> 31)


cdef inline Py_ssize_t below(uint64_t bits, Py_ssize_t bound) noexcept nogil:
    """The upper 32 bits scaled to 0 .. bound - 1; bound is below 2^31."""
    return <Py_ssize_t>(((bits >> 32) * <uint64_t>bound) >> 32)


cdef inline int slack_change(const RowState* s, const uint32_t* row, Py_ssize_t slot, uint32_t node) noexcept nogil:
    """What the row's slack gains if `node` replaces what is at `slot`; BARRED if it is in the row, or its zone full."""
    cdef int32_t coming = s.zone[node], going = s.zone[row[slot]], zone, left = 0, present = 0
    cdef Py_ssize_t rank
    for rank in range(s.width):
        if rank == slot:
            continue
        if row[rank] == node:
            return BARRED
        zone = s.zone[row[rank]]
        left += zone == going
        present += zone == coming
    if present >= s.high[coming]:
        return BARRED
    # Filling a vacancy always costs one, whatever other vacancies there are.
    return (going >= 0 and left >= s.low[going]) - (present >= s.low[coming])


cdef inline bint fits(const RowState* s, Py_ssize_t partition, Py_ssize_t slot, uint32_t node) noexcept nogil:
    """Whether `node` may replace what is at `slot`."""
    return s.slack[partition] + slack_change(s, s.rows + partition * s.width, slot, node) >= 0
