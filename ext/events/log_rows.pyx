"""Rows of the event log, each with a digest of itself and of all rows before it; and digests of single events."""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_SET_ITEM
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy
from .xxh3 cimport LONG, SECRET_SIZE, derive_secret, xxh3_bytes

cdef extern from "Python.h":
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL
    bytes PyUnicode_AsUTF8String(object text)
    bint PyUnicode_IS_ASCII(object text) noexcept
    Py_ssize_t PyUnicode_GET_LENGTH(object text) noexcept
    void PyObject_GC_UnTrack(object container) noexcept

cdef extern from *:
    """
    /* An instance of a subclass of tuple, its items not set yet. */
    static PyObject *rw_new_tuple(PyTypeObject *kind, Py_ssize_t size) { return kind->tp_alloc(kind, size); }
    /* Numbers are little-endian in what is hashed, on every machine. */
    static void rw_store32(unsigned char *p, uint32_t value) {
        p[0] = (unsigned char)value;
        p[1] = (unsigned char)(value >> 8);
        p[2] = (unsigned char)(value >> 16);
        p[3] = (unsigned char)(value >> 24);
    }
    """
    object rw_new_tuple(PyTypeObject *kind, Py_ssize_t size)
    void rw_store32(unsigned char *p, int32_t value) noexcept

cdef enum:
    TEXT = 0  # the kind of a key
    PAYLOAD_PLAIN = 1 << 20  # what is not longer needs no further check of its size
    ID_PLAIN = 1000
    KEY_PLAIN = 4096
    FRAME = 13  # the kind of the key, and the sizes of id, key and headers
    SPARE = 1024


cdef class _Scratch:
    """Bytes that grow."""
    cdef unsigned char *data
    cdef size_t room

    def __dealloc__(self):
        free(self.data)

    cdef int need(self, size_t size) except -1:
        cdef unsigned char *data
        if size > self.room:
            data = <unsigned char *>realloc(self.data, size + SPARE)
            if data == NULL:
                raise MemoryError
            self.data, self.room = data, size + SPARE
        return 0


cdef struct Part:
    const char *data
    Py_ssize_t size


cdef Part utf8(str text) except *:
    cdef Part part
    part.data = PyUnicode_AsUTF8AndSize(text, &part.size)
    return part


cdef Part raw(bytes data):
    return Part(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef uint64_t body_digest(_Scratch scratch, int kind, bytes key, object id, bytes payload, str headers,
                          uint64_t seed) except? 0:
    """The digest of `ringward.events.stream.body_of` of an event."""
    if key is None or payload is None:
        raise TypeError("key and payload must be bytes")
    cdef Part tag = Part(NULL, 0)
    cdef Part text = Part(NULL, 0)
    cdef Part name = raw(key)
    cdef Part content = raw(payload)
    cdef char mark = 0
    cdef size_t size
    cdef unsigned char *p
    cdef unsigned char[SECRET_SIZE] derived
    if id is None:
        pass
    elif isinstance(id, str):
        mark, tag = c's', utf8(<str>id)
    elif isinstance(id, bytes):
        mark, tag = c'b', raw(<bytes>id)
    else:
        id = str(id)
        mark, tag = c'i', utf8(<str>id)
    if headers is not None:
        text = utf8(headers)
    size = FRAME + (mark != 0) + tag.size + name.size + text.size + content.size
    scratch.need(size)
    p = scratch.data
    p[0] = <unsigned char>kind
    rw_store32(p + 1, <int32_t>(tag.size + (mark != 0)))
    rw_store32(p + 5, <int32_t>name.size)
    rw_store32(p + 9, <int32_t>text.size)
    p += FRAME
    if mark:
        p[0] = <unsigned char>mark
        memcpy(p + 1, tag.data, tag.size)
        p += 1 + tag.size
    memcpy(p, name.data, name.size)
    p += name.size
    if text.size:
        memcpy(p, text.data, text.size)
        p += text.size
    memcpy(p, content.data, content.size)
    if size > LONG:
        derive_secret(derived, seed)
    return xxh3_bytes(scratch.data, size, seed, derived)


cdef int refuse_other(type receipt) except -1:
    if not issubclass(receipt, tuple):
        raise TypeError("receipt must be a subclass of tuple")
    return 0


cdef inline void set_item(object made, Py_ssize_t place, object item) noexcept:
    Py_INCREF(item)
    PyTuple_SET_ITEM(made, place, item)


cdef inline object usual_entry(object partition, object key, object payload, object id, object header):
    """An entry of text and bytes, as nearly all are; None for others, and for what is so long that its size is to be checked."""
    cdef bytes data
    if type(key) is not str or type(payload) is not bytes or header is not None:
        return None
    if PyBytes_GET_SIZE(payload) > PAYLOAD_PLAIN:
        return None
    if id is not None and not (
        type(id) is str and PyUnicode_IS_ASCII(id) and 0 < PyUnicode_GET_LENGTH(id) <= ID_PLAIN
    ):
        return None
    if PyUnicode_GET_LENGTH(key) > KEY_PLAIN:
        return None
    try:
        data = PyUnicode_AsUTF8String(key)
    except UnicodeEncodeError:  # a lone surrogate
        return None
    return partition, TEXT, data, id, payload, None


def log_entry(object partition, object key, object payload, object id, object headers, object otherwise):
    """An event as it is appended; `otherwise`, called with the same, makes those that are not text and bytes.

    Returns
    -------
    tuple
        (partition, kind, key, id, payload, headers)
    """
    entry = usual_entry(partition, key, payload, id, headers)
    return otherwise(partition, key, payload, id, headers) if entry is None else entry


def log_entries(list made, list partitions, object keys, object payloads, object ids, object headers, object otherwise):
    """Append the entries of many events to a list, as `log_entry`; where one is refused, those before it are there."""
    cdef object entry
    for partition, key, payload, id, header in zip(partitions, keys, payloads, ids, headers):
        entry = usual_entry(partition, key, payload, id, header)
        made.append(otherwise(partition, key, payload, id, header) if entry is None else entry)


def event_digest(int kind, bytes key, object id, bytes payload, str headers or None):
    """What is kept of an event to tell whether a repeat is one: 8 bytes."""
    cdef uint64_t digest = body_digest(_Scratch(), kind, key, id, payload, headers, 0)
    return (<object>digest).to_bytes(8, "big")


def log_rows(object entries, type receipt, int64_t producer, int64_t seq, int64_t at, int64_t volume, uint64_t chain):
    """The rows that are stored for entries, which go on from a seq, a volume and a chain; and their receipts.

    Parameters
    ----------
    entries : sequence of tuple
        (partition, kind, key, id, payload, headers) of each event, checked.
    receipt : type
        A subclass of tuple: of (seq, partition, False).
    """
    cdef _Scratch scratch = _Scratch()
    cdef list rows = []
    cdef list receipts = []
    cdef object number, made
    cdef tuple entry
    cdef bytes key, payload
    refuse_other(receipt)
    for entry in entries:
        partition, kind, key, id, payload, headers = entry
        if payload is None:
            raise TypeError("payload must be bytes")
        seq += 1
        volume += PyBytes_GET_SIZE(payload)
        chain = body_digest(scratch, kind, key, id, payload, headers, chain)
        number = seq
        rows.append((number, partition, kind, producer, at, volume, <int64_t>chain, key, id, headers, payload))
        made = rw_new_tuple(<PyTypeObject *>receipt, 3)
        set_item(made, 0, number)
        set_item(made, 1, partition)
        set_item(made, 2, False)
        receipts.append(made)
    return rows, receipts


def read_rows(object entries, int64_t seq, object at):
    """The rows of entries that go on from a seq, as they are read from the log.

    Returns
    -------
    list of tuple
        (seq, partition, kind, key, id, payload, headers, at) of each event.
    """
    cdef list rows = []
    cdef tuple entry
    for entry in entries:
        partition, kind, key, id, payload, headers = entry
        seq += 1
        rows.append((seq, partition, kind, key, id, payload, headers, at))
    return rows


def rows_up_to(object rows, Py_ssize_t size):
    """Take rows, as they are read from the log, until their payloads reach so many bytes."""
    cdef list found = []
    cdef tuple row
    for row in rows:
        found.append(row)
        payload = row[5]
        size -= PyBytes_GET_SIZE(payload) if type(payload) is bytes else size  # whoever decodes it says what is wrong
        if size <= 0:
            break
    return found


def rows_by_partition(object rows, dict among=None):
    """Rows of the log by partition, each in the order in which they come.

    Parameters
    ----------
    rows : iterable of tuple
        (seq, partition, ...).
    among : dict, optional
        Takes out of it the seqs of the rows, and leaves out rows that are not there.
    """
    cdef dict parts = {}
    cdef list part
    cdef tuple row
    for row in rows:
        if among is not None and among.pop(row[0], None) is None:
            continue
        part = <list>parts.get(row[1])
        if part is None:
            parts[row[1]] = [row]
        else:
            part.append(row)
    return parts


def size_of(object rows):
    """Payload bytes of rows, as they are read from the log."""
    cdef Py_ssize_t size = 0
    cdef tuple row
    for row in rows:
        size += len(row[5])
    return size


def append_rows(object entries, type receipt, object digest, int64_t seq, object at, list log, list lanes, dict ids,
                dict highest, str producer, list volume):
    """Append the rows of entries to a log in memory, all or none: nothing can come between, as it can in bytecode.

    Parameters
    ----------
    entries, receipt
        As `log_rows`.
    digest : callable
        Of (kind, key, id, payload, headers), for what has an id.
    seq : int
        Of the last row.
    at : int
    log : list of tuple
    lanes : list
        Of each partition an object with the lists `seqs` and `rows`.
    ids : dict
        id → seq, digest, at.
    highest : dict
        The highest int of the producer's ids is kept there.
    producer : str
    volume : list of int
        One: the sum of the sizes of payloads, which rises.

    Returns
    -------
    list of receipt
    """
    cdef list rows = []
    cdef list receipts = []
    cdef list known = []
    cdef object number, made, lane, most = None
    cdef int64_t size = 0
    cdef tuple entry, row
    cdef Py_ssize_t before = len(log)
    refuse_other(receipt)
    for entry in entries:
        partition, kind, key, id, payload, headers = entry
        if type(payload) is not bytes:
            raise TypeError("payload must be bytes")
        seq += 1
        size += PyBytes_GET_SIZE(payload)
        number = seq
        rows.append((number, partition, kind, key, id, payload, headers, at))
        if id is not None:
            known.append((id, (number, digest(kind, key, id, payload, headers), at)))
            if type(id) is int:
                most = id
        made = rw_new_tuple(<PyTypeObject *>receipt, 3)
        set_item(made, 0, number)
        set_item(made, 1, partition)
        set_item(made, 2, False)
        receipts.append(made)
    if len(log) != before:  # a finalizer has appended: objects that are made may call the garbage collector
        return append_rows(entries, receipt, digest, seq - len(rows) + len(log) - before, at, log, lanes, ids, highest,
                           producer, volume)
    for row in rows:
        lane = lanes[row[1]]
        (<list>lane.seqs).append(row[0])
        (<list>lane.rows).append(row)
    for made in known:
        ids[(<tuple>made)[0]] = (<tuple>made)[1]
    if most is not None:
        highest[producer] = most
    volume[0] += size
    log.extend(rows)
    return receipts


def untracked(list items):
    """Hide a list from the garbage collector, and return it.

    Every full collection would look through it, so what is added to a long one would cost the more the longer it is.
    Nothing in it may lead back to it: such a ring would never be freed.
    """
    PyObject_GC_UnTrack(items)
    return items


cdef inline bint is_int(object value) noexcept:
    return type(value) is int


def first_faulty(list rows, object after):
    """Where the first row is that cannot be one of the log, or is not past the one before; -1 when all are sound.

    Parameters
    ----------
    rows : list of tuple
        (seq, partition), or (seq, partition, kind, key, id, payload, headers, at), as they were read from a file.
    after : int
        The seq that the first has to be past.
    """
    cdef Py_ssize_t at = 0
    cdef tuple row
    cdef object seq, id
    cdef int64_t before, number, stamp
    if not is_int(after) or not -(1 << 62) <= after <= 1 << 62:
        return 0 if rows else -1
    before = after
    for row in rows:
        seq = row[0]
        if not is_int(seq) or not is_int(row[1]) or not seq <= 1 << 62 or not 0 <= row[1] <= 1 << 16:
            return at
        number = seq
        if number <= before or number <= 0:
            return at
        before = number
        if len(row) > 2:
            id = row[4]
            if not is_int(row[2]) or not 0 <= row[2] <= 3 or type(row[3]) is not bytes or type(row[5]) is not bytes:
                return at
            if row[6] is not None and type(row[6]) is not str:
                return at
            if id is not None and type(id) is not str and type(id) is not bytes and not is_int(id):
                return at
            if not is_int(row[7]) or not 0 <= row[7] <= 253402300799999:
                return at
        at += 1
    return -1
