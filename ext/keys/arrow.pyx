"""The Arrow PyCapsule interface, as a consumer: schema and arrays are moved out of their capsules.

What was moved is released once, when its owner here is let go, whatever went wrong before. The
capsule's own struct is marked as released, so that neither its destructor nor a second reader touches the data.
"""
from ringward.errors import KeyTypeError, KeyValueError

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid
from .arrow_abi cimport ArrowArray, ArrowArrayStream, ArrowSchema


cdef class OwnedSchema:
    """The type of a column."""

    def __dealloc__(self):
        if self.schema.release != NULL:
            self.schema.release(&self.schema)


cdef class OwnedArray:
    """One array with its buffers, and its dictionary where it has one."""

    def __dealloc__(self):
        if self.array.release != NULL:
            self.array.release(&self.array)


cdef class OwnedStream:
    """A stream of arrays of one type."""

    cdef ArrowArrayStream stream

    def __cinit__(self, capsule):
        cdef ArrowArrayStream *given = <ArrowArrayStream *>contents(capsule, "arrow_array_stream")
        if given.release == NULL:
            refuse_released("stream")
        self.stream = given[0]
        given.release = NULL
        if self.stream.get_schema == NULL or self.stream.get_next == NULL:
            raise KeyValueError("keys must be an Arrow stream with get_schema and get_next")

    def __dealloc__(self):
        if self.stream.release != NULL:
            self.stream.release(&self.stream)

    cdef OwnedSchema read_schema(self):
        cdef OwnedSchema owned = OwnedSchema()
        cdef int status
        with nogil:  # a producer may wait for a thread that runs Python
            status = self.stream.get_schema(&self.stream, &owned.schema)
        self.check(status)
        if owned.schema.release == NULL:
            refuse_released("schema")
        return owned

    cdef OwnedArray read_array(self):
        """The next array, or None at the end."""
        cdef OwnedArray owned = OwnedArray()
        cdef int status
        with nogil:
            status = self.stream.get_next(&self.stream, &owned.array)
        self.check(status)
        return owned if owned.array.release != NULL else None

    cdef int check(self, int status) except -1:
        cdef const char *said = NULL
        if status == 0:
            return 0
        if self.stream.get_last_error != NULL:
            said = self.stream.get_last_error(&self.stream)
        text = "no reason given" if said == NULL else (<bytes>said).decode("utf-8", "replace")
        raise KeyValueError(f"keys must come from a stream that can be read (error {status}: {text})")


cdef void *contents(capsule, const char *name) except NULL:
    if not PyCapsule_IsValid(capsule, name):
        raise KeyTypeError(f"keys must export a capsule named {name.decode()} (was {capsule!r:.60})")
    return PyCapsule_GetPointer(capsule, name)


cdef int refuse_released(str what) except -1:
    raise KeyValueError(f"keys must be unread: the Arrow {what} is released already")


cdef OwnedSchema moved_schema(capsule):
    cdef OwnedSchema owned = OwnedSchema()
    cdef ArrowSchema *given = <ArrowSchema *>contents(capsule, "arrow_schema")
    if given.release == NULL:
        refuse_released("schema")
    owned.schema = given[0]
    given.release = NULL
    return owned


cdef OwnedArray moved_array(capsule):
    cdef OwnedArray owned = OwnedArray()
    cdef ArrowArray *given = <ArrowArray *>contents(capsule, "arrow_array")
    if given.release == NULL:
        refuse_released("array")
    owned.array = given[0]
    given.release = NULL
    return owned


def open_stream(capsule):
    """The `OwnedSchema` of a stream, and an iterator over its arrays."""
    cdef OwnedStream stream = OwnedStream(capsule)
    return stream.read_schema(), iter(stream.read_array, None)


def open_array(capsules):
    """The `OwnedSchema` of an array, and an iterator over it alone."""
    if not isinstance(capsules, tuple) or len(capsules) != 2:
        raise KeyTypeError(f"keys must export a tuple of two capsules (was {capsules!r:.60})")
    schema, array = capsules
    return moved_schema(schema), iter((moved_array(array),))
