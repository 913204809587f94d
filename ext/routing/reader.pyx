"""The compiled half of routers and snapshots: one immutable state, and the calls that read it.

Every call takes a strong reference to the state before anything else, so a change can swap
in another one at any moment without taking a lock.
"""
import numpy as np

from ringward.errors import ArgumentError, ArgumentTypeError, NoNodeError

from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.number cimport PyNumber_Index
from cpython.object cimport PyObject, PyTypeObject
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from .columns cimport key_source
from .hashing cimport HashSpec, Hasher, hash_scalar
from .loops cimport HashSource, candidates_into, checked_hashes, is_small, owners_into, refuse_nulls
from .parallel cimport checked_threads
from .sources cimport ArraySource, KeySource, plain_array
from .table cimport NO_NODE, ListTable, Table

cdef extern from "Python.h":
    PyObject *PyTuple_GET_ITEM(PyObject *, Py_ssize_t)
    ctypedef struct PyMethodDef:
        pass
    ctypedef struct PyMethodDescrObject:
        PyMethodDef *d_method
    object PyDescr_NewMethod(PyTypeObject *, PyMethodDef *)


COUNT_MOST = 1 << 16  # candidates a key that are asked for in bulk, where there are no more members


cdef class State:
    """Names, table, epoch and all else that belongs to one moment of a router.

    Parameters
    ----------
    names : ndarray of object, shape (ids,)
        node id → name, read-only.
    table : Table
    hasher : Hasher
    epoch : int
    cluster : Cluster
        The membership the table was compiled from.
    own : object
        What the placement itself has to remember.
    before : State, optional
        Of the same router: its names are not copied once more.
    """

    def __init__(self, names, Table table not None, Hasher hasher not None, epoch, cluster, own, State before=None):
        self.names = names
        if before is None:
            self.name_tuple = tuple(names.tolist())
        elif before.names is names:
            self.name_tuple = before.name_tuple
        else:
            self.name_tuple = before.name_tuple + tuple(names[len(before.name_tuple):].tolist())
        self.table = table
        self.hasher = hasher
        self.epoch = epoch
        self.cluster = cluster
        self.own = own


def adopt_methods(cls):
    """Give a subclass of `Reader` the compiled methods that it inherits as its own.

    CPython's fast call of a C method wants an object of the very class that the method was
    defined in; with a descriptor of its own each subclass gets it, at half the cost a call.
    """
    cdef PyMethodDef *method
    for name in ("route", "candidates", "assign", "assign_hashes"):
        compiled, found = Reader.__dict__[name], getattr(cls, name)
        method = (<PyMethodDescrObject *>compiled).d_method
        if type(found) is type(compiled) and (<PyMethodDescrObject *>found).d_method == method:
            setattr(cls, name, PyDescr_NewMethod(<PyTypeObject *>cls, method))


cdef int refuse_empty() except -1:
    raise NoNodeError("no node can own a key: none is both live and of a weight above 0")


cdef State NOBODY = State(
    np.empty(0, object), ListTable(np.empty(0, np.uint32)), Hasher(0), 0, cluster=(), own=None)


cdef class Reader:
    """Routes keys by its current state."""

    def __cinit__(self, *args, **kwargs):
        self.state = NOBODY  # a reader whose __init__ never ran has no nodes, and crashes nothing

    def __init__(self, State state not None):
        self.state = state

    @property
    def _state(self):
        return self.state

    def _swap(self, State state not None):
        """Make `state` what all later calls read."""
        self.state = state

    def __getitem__(self, key):
        """The name of the node that owns `key`; the same as `route`."""
        cdef State state = self.state
        cdef uint32_t node = state.table.lookup(hash_scalar(&state.hasher.spec, <PyObject *>key))
        if node == NO_NODE:
            refuse_empty()
        return <object>PyTuple_GET_ITEM(<PyObject *>state.name_tuple, node)

    def route(self, key, /):
        """The name of the node that owns a key now.

        Parameters
        ----------
        key : str, bytes, bytearray, memoryview, int, NumPy integer or UUID

        Returns
        -------
        str

        Raises
        ------
        NoNodeError
            When no node is live and of a weight above 0, and `on_empty` is not set.
        KeyTypeError, KeyValueError
            When `key` has a wrong type or value.

        Examples
        --------
        >>> import ringward as rw
        >>> ring = rw.HashRing(["node1", "node2", "node3"])
        >>> ring.route("event1")
        'node2'
        >>> ring["event1"]
        'node2'
        """
        cdef State state = self.state
        cdef uint32_t node = state.table.lookup(hash_scalar(&state.hasher.spec, <PyObject *>key))
        if node == NO_NODE:
            refuse_empty()
        return <object>PyTuple_GET_ITEM(<PyObject *>state.name_tuple, node)

    def candidates(self, key, /, count=None):
        """The owner of a key, then the nodes that take over after it, in failover order.

        Parameters
        ----------
        key : str, bytes, bytearray, memoryview, int, NumPy integer or UUID
        count : int, optional
            The largest number of nodes, at least 1; all by default.

        Returns
        -------
        list of str
            Distinct live nodes. There are fewer than `count` if fewer are live, and none when nobody is.

        Raises
        ------
        KeyTypeError, KeyValueError
            As `route`.
        ArgumentError
            When `count` is below 1.

        Examples
        --------
        >>> import ringward as rw
        >>> rw.HashRing(["node1", "node2", "node3"]).candidates("event1", 2)
        ['node2', 'node3']
        """
        cdef State state = self.state
        cdef uint64_t h = hash_scalar(&state.hasher.spec, <PyObject *>key)
        cdef Py_ssize_t wanted = most_candidates(state, count), found, i
        cdef uint32_t *ids
        cdef uint8_t *scratch
        state.table.prepare_walks(1, wanted)
        ids = <uint32_t *>PyMem_Calloc(<size_t>max(1, wanted), sizeof(uint32_t))
        scratch = <uint8_t *>PyMem_Calloc(<size_t>max(1, state.table.scratch_size()), 1)
        try:
            if ids == NULL or scratch == NULL:
                raise MemoryError
            found = state.table.walk(h, wanted, ids, scratch)
            return [state.name_tuple[ids[i]] for i in range(found)]
        finally:
            PyMem_Free(ids)
            PyMem_Free(scratch)

    def assign(self, keys, *, count=None, out=None, threads=None, nulls="raise"):
        """The owners of a column of keys, as node ids.

        Parameters
        ----------
        keys : list, tuple, ndarray or Arrow column, shape (n,)
            Arrays of integers, `S`, `U`, `StringDType` or objects, strided and of any byte order;
            columns of pyarrow, Polars, pandas, nanoarrow and other libraries that export Arrow.
        count : int, optional
            How many candidates of each key, in failover order; without it, only the owner. From 1 to
            65,536, or to the number of members if that is larger.
        out : ndarray of uint16, uint32 or int64, shape (n,) or (n, count), optional
            Where to write the ids; unchanged if `keys` are refused.
        threads : int, optional
            The largest number of threads, from 1 to 1024. By default one below 131,072 keys;
            above, one for each core that this process may run on, with at least 65,536 keys
            each. Lists, tuples and object arrays are read by one thread.
        nulls : {"raise", "skip"}
            Whether a missing key in an Arrow or `StringDType` column is an error,
            or gets NO_NODE in place of an owner and candidates.

        Returns
        -------
        ndarray of uint32 (or `out`), shape (n,) or (n, count)
            `router.owner_names(ids)` gives the names. With `count`, places without a live node
            hold NO_NODE, the dtype's maximum. The same for any number of threads.

        Raises
        ------
        NoNodeError
            As `route`, whatever the keys are. Not with `count`: then all places hold NO_NODE.
        KeyTypeError, KeyValueError
            With the position of the first bad key.
        ArgumentError, ArgumentTypeError
            When `count`, `out`, `threads` or `nulls` does not fit.

        Examples
        --------
        >>> import numpy as np, ringward as rw
        >>> ring = rw.HashRing(["node1", "node2", "node3"])
        >>> ring.assign(np.arange(5))
        array([0, 1, 2, 1, 0], dtype=uint32)
        >>> ring.owner_names(ring.assign(["event1", "event2"]))
        array(['node2', 'node3'], dtype=object)
        """
        cdef State state = self.state
        return assign_source(state, key_source(keys), keys, count, out, threads, nulls)

    def assign_hashes(self, hashes, *, count=None, out=None, threads=None):
        """As `assign`, for keys that `router.hash` has already hashed.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (n,)
            As `hash_keys` returns them.
        count, out, threads
            As for `assign`.

        Returns
        -------
        ndarray of uint32 (or `out`), shape (n,) or (n, count)

        Examples
        --------
        >>> import ringward as rw
        >>> ring = rw.HashRing(["node1", "node2", "node3"])
        >>> hashes = rw.hash_keys(["event1", "event2"], ring.hash)
        >>> ring.assign_hashes(hashes, count=2)
        array([[1, 2],
               [2, 1]], dtype=uint32)
        """
        cdef State state = self.state
        plain = checked_hashes(hashes)
        return assign_source(state, HashSource(plain), plain, count, out, threads, "raise")


cdef object checked_count(count):
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise ArgumentTypeError("count", "an int", count)
    number = PyNumber_Index(count)
    if number < 1:
        raise ArgumentError("count", "at least 1", number)
    return number


cdef Py_ssize_t most_candidates(State state, count) except -1:
    """How many candidates there can be at most: members that left count no more than those that are down."""
    cdef Py_ssize_t members = len(state.cluster)
    if count is None:
        return members
    number = checked_count(count)
    return members if number > members else number


cdef Py_ssize_t checked_width(State state, count) except -1:
    """How many candidates a row has room for: more than there are members is no mistake, beyond reason it is one."""
    number = checked_count(count)
    most = max(COUNT_MOST, len(state.cluster))
    if number > most:
        raise ArgumentError("count", f"at most {most}", number)
    return number


cdef object checked_out(State state, given, tuple shape):
    """`out` as an array of its own over the same memory: whatever the given one says of itself, or comes to say."""
    out = plain_array(given)
    if out is None or out.dtype not in (np.uint16, np.uint32, np.int64):
        shown = out.dtype if out is not None else type(given).__name__
        raise ArgumentTypeError("out", "a NumPy array of uint16, uint32 or int64", shown)
    if out.shape != shape:
        raise ArgumentError("out", f"of shape {shape}", out.shape)
    if not out.flags.writeable:
        raise ArgumentError("out", "writeable", "read-only")
    most = np.iinfo(out.dtype).max - 1
    if len(state.name_tuple) - 1 > most:
        raise ArgumentError("out", f"wide enough for node id {len(state.name_tuple) - 1}", out.dtype)
    return out


cdef object assign_source(State state, KeySource source, keys, count, given, threads, nulls):
    cdef Py_ssize_t wanted = 0 if count is None else checked_width(state, count)
    cdef Py_ssize_t shared = checked_threads(threads, source.size)
    cdef const HashSpec *spec = &state.hasher.spec
    cdef tuple shape = (source.size,)
    if not isinstance(nulls, str) or nulls not in ("raise", "skip"):
        raise ArgumentError("nulls", "'raise' or 'skip'", nulls)
    if count is not None:
        shape = (source.size, wanted)
    out = None if given is None else checked_out(state, given, shape)
    if state.table.live == 0 and count is None:
        refuse_empty()
    if nulls == "raise":
        refuse_nulls(source)
    source.prepare(spec)
    # Straight into `out` only where nothing can go wrong half-way, no key is overwritten unread, and signals can wait.
    read = plain_array((<ArraySource>source).array) if isinstance(source, ArraySource) else keys
    direct = (out is not None and count is None and not source.fallible and out.flags.carray and is_small(source.size)
              and not np.may_share_memory(out, read))
    if direct:
        result = out
    else:
        result = np.empty(shape, np.uint32 if out is None or count is not None else out.dtype)
    if count is None:
        owners_into(state.table, spec, source, result, shared, direct)
    else:
        # Where nobody can own a key there are no candidates either, of whatever placement.
        candidates_into(state.table if state.table.live else NOBODY.table, spec, source, wanted, result, shared)
    if out is None or direct:
        return result if out is None else given
    np.copyto(out, result, casting="unsafe")
    if count is not None and out.dtype.itemsize == 8:  # in narrower types, NO_NODE has become the maximum by itself
        out[result == NO_NODE] = np.iinfo(out.dtype).max
    return given
