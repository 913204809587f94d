"""`Stream`: how keys become partitions, and events entries of the log."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt

from ringward._core import log_entries, log_entry
from ringward.checks import checked_int, checked_text
from ringward.errors import ArgumentError, ArgumentTypeError, KeyValueError, RingwardError
from ringward.events.model.event import ADDED, Entry, EventId, EventKey, key_to_bytes
from ringward.keys import XXH3, Family, hash_keys

__all__ = ["PARTITIONS", "PAYLOAD_BYTES_MAX", "Stream", "added_headers", "body_of", "identity_of"]

PARTITIONS = 256
PARTITIONS_MAX = 1 << 16
PAYLOAD_BYTES_MAX = 256 << 20
_ID_MAX = 2**63 - 1
_ID_SIZE_MAX = 1024
_KEY_BYTES_MAX = 1 << 16
_SHIFT = 64
_NONE: Iterable[Any] = repeat(None)
_FRAME = struct.Struct("<Biii").pack


class Stream:
    """A fixed number of partitions and a fixed hash of keys.

    Parameters
    ----------
    partitions : int
        1 to 65,536; a key belongs to partition (hash × partitions) >> 64, for the life of the stream.
    hash : XXH3, SipHash or Multiplicative

    Examples
    --------
    >>> from ringward.events import Stream
    >>> Stream(partitions=256).partition_of("user:42")
    159
    """

    __slots__ = ("hash", "partitions")

    def __init__(self, partitions: int = PARTITIONS, hash: Family = XXH3()) -> None:
        if not isinstance(hash, Family):
            raise ArgumentTypeError("hash", "XXH3, SipHash or Multiplicative", hash)
        self.partitions = checked_int("partitions", partitions, 1, PARTITIONS_MAX)
        self.hash = hash

    def partition_of(self, key: EventKey) -> int:
        """The partition of a key."""
        return (self.hash(key) * self.partitions) >> _SHIFT

    def partitions_of(self, keys: Sequence[EventKey] | npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """The partitions of many keys, shape (n,)."""
        hashes = hash_keys(keys, self.hash)
        # (hash × partitions) >> 64 in two halves of 32 bits, since NumPy has no 128-bit product.
        high, low = hashes >> np.uint64(32), hashes & np.uint64(0xFFFFFFFF)
        count = np.uint64(self.partitions)
        return ((high * count + ((low * count) >> np.uint64(32))) >> np.uint64(32)).astype(np.uint32)

    def middles(self) -> npt.NDArray[np.uint64]:
        """The hash in the middle of each partition's arc, where a router is asked for its owner; shape (partitions,)."""
        count = self.partitions
        return np.array([((2 * partition + 1) << _SHIFT) // (2 * count) for partition in range(count)], np.uint64)

    def describe(self) -> dict[str, Any]:
        """What a store keeps of it; of a secret hash only the fingerprint."""
        return {"partitions": self.partitions, "hash": self.hash.describe()}

    def entry(self, key: EventKey, payload: bytes, id: EventId | None, headers: Mapping[str, str] | None) -> Entry:
        """An event as it is appended."""
        return log_entry((self.hash(key) * self.partitions) >> _SHIFT, key, payload, id, headers, _entry)

    def entries(
        self,
        keys: Sequence[EventKey],
        payloads: Sequence[bytes],
        ids: Sequence[EventId | None] | None,
        headers: Sequence[Mapping[str, str] | None] | None,
    ) -> list[Entry]:
        """Many events as they are appended; one bulk routing."""
        partitions = self.partitions_of(keys).tolist()
        count = len(partitions)
        for name, column in (("payloads", payloads), ("ids", ids), ("headers", headers)):
            if name == "payloads" or column is not None:
                _check_column(name, column)
            if column is not None and len(column) != count:
                raise ArgumentError(name, f"as many as the keys, {count}", len(column))
        entries: list[Entry] = []
        try:
            log_entries(entries, partitions, keys, payloads, ids or _NONE, headers or _NONE, _entry)
        except RingwardError as error:
            error.add_note(f"in the event at position {len(entries)}")
            raise
        return entries

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash((self.partitions, self.hash))

    def __repr__(self) -> str:
        return f"Stream(partitions={self.partitions}, hash={self.hash!r})"


def _entry(
    partition: int, key: EventKey, payload: bytes, id: EventId | None, headers: Mapping[str, str] | None
) -> Entry:
    """What `log_entry` leaves to this: all checks, one by one."""
    kind, data = key_to_bytes(key)
    if len(data) > _KEY_BYTES_MAX:
        raise KeyValueError(f"key must be at most {_KEY_BYTES_MAX} bytes long (was {len(data)})")
    body = payload if type(payload) is bytes and len(payload) <= PAYLOAD_BYTES_MAX else _checked_payload(payload)
    tag = None if id is None else _checked_id(id)
    return partition, kind, data, tag, body, (None if headers is None else _own_headers(headers))


def identity_of(kind: int, key: bytes, id: EventId | None, payload: bytes, headers: str | None) -> bytes:
    """What makes an event the same event, as bytes: all of it but added headers; no two events have the same."""
    return body_of(kind, key, id, payload, headers and headers.partition(ADDED)[0])


def added_headers(headers: Mapping[str, str]) -> str:
    """Headers that are no part of an event's identity, as text to put behind its own."""
    return ADDED + _checked_headers(headers)


def body_of(kind: int, key: bytes, id: EventId | None, payload: bytes, headers: str | None) -> bytes:
    """All of an event, as bytes; no two events have the same."""
    if id is None:
        tag = b""
    elif type(id) is str:
        tag = b"s" + id.encode()
    else:
        tag = b"b" + id if isinstance(id, bytes) else b"i" + str(id).encode()
    text = b"" if headers is None else headers.encode()
    return b"".join((_FRAME(kind, len(tag), len(key), len(text)), tag, key, text, payload))


def _check_column(name: str, column: object) -> None:
    """Refuse what is one thing, or none, in place of many."""
    if isinstance(column, str | bytes | bytearray | Mapping) or not hasattr(column, "__len__"):
        raise ArgumentTypeError(name, "a sequence with one for each key", column)


def _checked_payload(payload: object) -> bytes:
    if not isinstance(payload, bytes | bytearray | memoryview):
        hint = "payload.encode()" if isinstance(payload, str) else "Processor(..., codec='json')"
        raise ArgumentTypeError("payload", f"bytes: for a {type(payload).__name__} use {hint}", type(payload).__name__)
    if len(bytes(payload)) > PAYLOAD_BYTES_MAX:
        raise ArgumentError("payload", f"at most {PAYLOAD_BYTES_MAX} bytes long", len(bytes(payload)))
    return bytes(payload)


def _checked_id(id: EventId) -> EventId:
    if not isinstance(id, str | bytes):
        return checked_int("id", id, 0, _ID_MAX)
    if isinstance(id, str) and type(id) is not str:
        id = checked_text("id", id)
    if not 0 < len(id) <= _ID_SIZE_MAX:
        raise ArgumentError("id", f"at least 1 and at most {_ID_SIZE_MAX} long", len(id))
    if isinstance(id, str) and not id.isascii():
        checked_text("id", id)
    return id


def _own_headers(headers: Mapping[str, str]) -> str | None:
    return _checked_headers(headers) if headers or not isinstance(headers, Mapping) else None  # none is as good as {}


def _checked_headers(headers: Mapping[str, str]) -> str:
    if not isinstance(headers, Mapping):
        raise ArgumentTypeError("headers", "a mapping of str to str", type(headers).__name__)
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ArgumentTypeError("headers", "a mapping of str to str", {name: value})
    return json.dumps(dict(headers), sort_keys=True)
