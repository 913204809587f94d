"""Arrow columns made by hand, whole or broken, which count how often they are released."""

from __future__ import annotations

import ctypes as c
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Schema(c.Structure):
    """`struct ArrowSchema`."""


class Array(c.Structure):
    """`struct ArrowArray`."""


class Stream(c.Structure):
    """`struct ArrowArrayStream`."""


RELEASE_SCHEMA = c.CFUNCTYPE(None, c.POINTER(Schema))
RELEASE_ARRAY = c.CFUNCTYPE(None, c.POINTER(Array))
RELEASE_STREAM = c.CFUNCTYPE(None, c.POINTER(Stream))
GET_SCHEMA = c.CFUNCTYPE(c.c_int, c.POINTER(Stream), c.POINTER(Schema))
GET_NEXT = c.CFUNCTYPE(c.c_int, c.POINTER(Stream), c.POINTER(Array))
GET_LAST_ERROR = c.CFUNCTYPE(c.c_void_p, c.POINTER(Stream))

Schema._fields_ = [
    ("format", c.c_char_p),
    ("name", c.c_char_p),
    ("metadata", c.c_char_p),
    ("flags", c.c_int64),
    ("n_children", c.c_int64),
    ("children", c.POINTER(c.POINTER(Schema))),
    ("dictionary", c.POINTER(Schema)),
    ("release", RELEASE_SCHEMA),
    ("private_data", c.c_void_p),
]
Array._fields_ = [
    ("length", c.c_int64),
    ("null_count", c.c_int64),
    ("offset", c.c_int64),
    ("n_buffers", c.c_int64),
    ("n_children", c.c_int64),
    ("buffers", c.POINTER(c.c_void_p)),
    ("children", c.POINTER(c.POINTER(Array))),
    ("dictionary", c.POINTER(Array)),
    ("release", RELEASE_ARRAY),
    ("private_data", c.c_void_p),
]
Stream._fields_ = [
    ("get_schema", GET_SCHEMA),
    ("get_next", GET_NEXT),
    ("get_last_error", GET_LAST_ERROR),
    ("release", RELEASE_STREAM),
    ("private_data", c.c_void_p),
]

_new_capsule = c.pythonapi.PyCapsule_New
_new_capsule.restype = c.py_object
_new_capsule.argtypes = [c.c_void_p, c.c_char_p, c.c_void_p]
_names: dict[bytes, bytes] = {}  # a capsule does not copy its name


def capsule(target: c.Structure, name: bytes) -> Any:
    """Return a capsule without a destructor: what its consumer leaves, the test sees."""
    return _new_capsule(c.addressof(target), _names.setdefault(name, name), None)


def bits(flags: Sequence[bool], offset: int = 0) -> bytes:
    """Return a validity bitmap, with set bits before `offset`."""
    padded = [True] * offset + list(flags)
    return bytes(
        sum(flag << i for i, flag in enumerate(padded[start : start + 8])) for start in range(0, len(padded), 8)
    )


def view(size: int, buffer: int = 0, start: int = 0, inline: bytes = b"") -> bytes:
    """Return one view: of `inline` bytes, or of bytes in a buffer."""
    return struct.pack("<i12s", size, inline) if inline else struct.pack("<i4sii", size, b"", buffer, start)


def metadata(*pairs: tuple[bytes, bytes]) -> bytes:
    """Return the metadata of a schema: their number, then the size of each text before it."""
    texts = [text for pair in pairs for text in pair]
    return struct.pack("=i", len(pairs)) + b"".join(struct.pack("=i", len(text)) + text for text in texts)


@dataclass(eq=False)
class Made:
    """One column of one array. `buffers` are bytes or None; the rest is as the ABI has it.

    It exports `__arrow_c_array__`, always the same two structs, so that a second consumer gets what the first left.
    """

    format: bytes | None
    buffers: Sequence[bytes | None] | None
    length: int
    null_count: int = 0
    offset: int = 0
    n_buffers: int | None = None
    n_children: int = 0
    names: Sequence[bytes | None] = ()
    dictionary: Made | None = None
    with_dictionary: bool = True
    metadata: bytes | None = None
    released: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.schema, self.array = Schema(), Array()
        self._kept: list[Any] = []
        self.fill_schema(self.schema)
        self.fill_array(self.array)

    def fill_schema(self, schema: Schema) -> None:
        """Write the schema into a struct."""
        schema.format, schema.metadata, schema.n_children = self.format, self.metadata, len(self.names)
        children = (c.POINTER(Schema) * len(self.names))(*(c.pointer(Schema(b"l", name)) for name in self.names))
        schema.children = c.cast(children, c.POINTER(c.POINTER(Schema)))
        if self.dictionary is not None:
            schema.dictionary = c.pointer(self.dictionary.schema)
        schema.release = self._callback(RELEASE_SCHEMA, "schema")
        self._kept.append(children)

    def fill_array(self, array: Array) -> None:
        """Write the array into a struct."""
        array.length, array.null_count, array.offset = self.length, self.null_count, self.offset
        array.n_children = self.n_children
        if self.buffers is not None:
            # Without the NUL that ctypes would add, so that whoever looks for overruns can see them.
            held = [None if b is None else (c.c_char * len(b)).from_buffer_copy(b) for b in self.buffers]
            pointers = (c.c_void_p * len(held))(*(None if b is None else c.addressof(b) for b in held))
            array.buffers = c.cast(pointers, c.POINTER(c.c_void_p))
            self._kept.append((held, pointers))
        array.n_buffers = self.n_buffers if self.n_buffers is not None else len(self.buffers or ())
        if self.dictionary is not None and self.with_dictionary:
            array.dictionary = c.pointer(self.dictionary.array)
        array.release = self._callback(RELEASE_ARRAY, "array")

    def _callback(self, kind: Any, what: str) -> Any:
        def release(target: Any) -> None:
            self.released.append(what)
            target.contents.release = kind()

        made = kind(release)
        self._kept.append(made)
        return made

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[Any, Any]:
        """Export the two structs."""
        return capsule(self.schema, b"arrow_schema"), capsule(self.array, b"arrow_array")


@dataclass(eq=False)
class MadeStream:
    """A stream of arrays, which may fail instead of giving its schema or the array of a number."""

    arrays: Sequence[Made]
    schema: Made | None = None
    fails_at: int | None = None  # -1 for the schema
    says: bytes | None = b"the disk is gone"
    released: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next = 0
        self._said = None if self.says is None else c.create_string_buffer(self.says)
        self.struct = Stream(
            GET_SCHEMA(self._get_schema),
            GET_NEXT(self._get_next),
            GET_LAST_ERROR(lambda _: None if self._said is None else c.addressof(self._said)),
            RELEASE_STREAM(self._release),
        )

    def _get_schema(self, _: Any, out: Any) -> int:
        if self.fails_at == -1:
            return 5
        (self.schema or self.arrays[0]).fill_schema(out.contents)
        return 0

    def _get_next(self, _: Any, out: Any) -> int:
        if self._next == self.fails_at:
            return 5
        if self._next == len(self.arrays):
            out.contents.release = RELEASE_ARRAY()
        else:
            self.arrays[self._next].fill_array(out.contents)
        self._next += 1
        return 0

    def _release(self, target: Any) -> None:
        self.released.append("stream")
        target.contents.release = RELEASE_STREAM()

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Export the struct."""
        return capsule(self.struct, b"arrow_array_stream")


@dataclass(eq=False)
class Exports:
    """An object whose `__arrow_c_array__` gives what it was made with."""

    given: Any

    def __arrow_c_array__(self, requested_schema: object = None) -> Any:
        """Export anything."""
        return self.given


@dataclass(eq=False)
class ExportsStream:
    """An object whose `__arrow_c_stream__` gives, or raises, what it was made with."""

    given: Any

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        """Export anything."""
        if isinstance(self.given, BaseException):
            raise self.given
        return self.given
