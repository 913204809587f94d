"""`Event` and `Receipt`: what handlers get and producers keep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from ringward._core import rows_by_partition, size_of
from ringward.errors import ArgumentTypeError, KeyTypeError, KeyValueError, StoreFormatError, UnsupportedError
from ringward.events.model.transaction import Transaction

__all__ = [
    "ADDED",
    "AT",
    "ENTRY_ID",
    "ENTRY_PARTITION",
    "HEADERS",
    "ID",
    "KEY",
    "KIND",
    "OVER",
    "PARTITION",
    "PAYLOAD",
    "ROW",
    "SEQ",
    "TEXT",
    "Delivery",
    "Entry",
    "Event",
    "EventId",
    "EventKey",
    "Receipt",
    "Receipts",
    "Row",
    "body_of_entry",
    "entry_payload_of",
    "headers_from",
    "key_from_bytes",
    "key_to_bytes",
    "payload_of",
    "rows_by_partition",
    "seq_of",
    "size_of",
]

EventKey: TypeAlias = str | bytes | int
EventId: TypeAlias = str | bytes | int

# A row of the log: seq, partition, kind of the key, key as bytes, id, payload, headers as JSON, milliseconds since 1970.
# A plain tuple: a batch has hundreds of them, and most are looked at once.
Row: TypeAlias = tuple[int, int, int, bytes, EventId | None, bytes, str | None, int]

SEQ: Final = 0
PARTITION: Final = 1
KIND: Final = 2
KEY: Final = 3
ID: Final = 4
PAYLOAD: Final = 5
HEADERS: Final = 6
AT: Final = 7
seq_of, payload_of = itemgetter(SEQ), itemgetter(PAYLOAD)

# What is appended: a row without its seq and time.
Entry: TypeAlias = tuple[int, int, bytes, EventId | None, bytes, str | None]

ENTRY_PARTITION: Final = 0
ENTRY_ID: Final = 3
entry_payload_of = itemgetter(PAYLOAD - 1)


def body_of_entry(entry: Entry) -> tuple[int, bytes, EventId | None, bytes, str | None]:
    """Of what is appended: all that tells it from other events, wherever it goes."""
    return entry[1:]


# What is to be done about a transaction that is asked for too late, or by somebody else.
OVER = (
    "event.transaction belongs to its event's handler and ends with it: write before the handler returns; afterwards use"
    " p.query to read, and p.publish to pass on work"
)
ADDED = "\n"  # between the producer's headers and those that hooks added; JSON text has none
TEXT, _BYTES, _POSITIVE, _NEGATIVE = range(4)
ROW: Final = 0  # of an `Event`, as the next two
_ATTEMPT: Final = 1
_DELIVERY: Final = 2
_LEAST, _MOST = -(2**63), 2**64 - 1


def key_to_bytes(key: EventKey) -> tuple[int, bytes]:
    """The kind of a key, and the bytes that it is hashed as; keys with the same bytes are one key."""
    if isinstance(key, str):
        try:
            return TEXT, str.encode(key)  # the text it holds, whatever a subclass makes of it
        except UnicodeEncodeError:
            raise KeyValueError("key must be text without lone surrogates") from None
    if isinstance(key, bytes | bytearray | memoryview):
        return _BYTES, bytes(key)
    if isinstance(key, bool | np.bool_) or not isinstance(key, int | np.integer):
        raise KeyTypeError(f"key must be str, bytes or int (was {type(key).__name__})")
    number = int(key)
    if not _LEAST <= number <= _MOST:
        raise KeyValueError(f"key must be at least -2**63 and at most 2**64 - 1 (was int {number})")
    return (_POSITIVE if number >= 0 else _NEGATIVE), (number & _MOST).to_bytes(8, "little")


def key_from_bytes(kind: int, data: bytes) -> EventKey:
    """The key that `key_to_bytes` took apart."""
    if kind == TEXT:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise StoreFormatError("a stored key that is text must be UTF-8: the file is damaged") from None
    if kind == _BYTES:
        return data
    return int.from_bytes(data, "little", signed=kind == _NEGATIVE)


def headers_from(text: str | None) -> dict[str, str]:
    """The headers of a row; the producer's own win over added ones."""
    if not text:
        return {}
    own, _, added = text.partition(ADDED)
    try:
        headers: dict[str, str] = json.loads(added) if added else {}
        headers.update(json.loads(own) if own else {})
    except (ValueError, TypeError, AttributeError, RecursionError):
        headers = {"": None}  # type: ignore[dict-item]
    for value in headers.values():
        if type(value) is not str:
            raise StoreFormatError("stored headers must be a JSON object of texts: the file is damaged")
    return headers


class Receipt(NamedTuple):
    """Says that an event is stored, and where.

    Attributes
    ----------
    seq : int
        Its number in the stream: dense, from 1.
    partition : int
    duplicate : bool
        Whether this id was published before; `seq` is then that event's.
    """

    seq: int
    partition: int
    duplicate: bool = False


class Receipts(list[Receipt]):
    """What a store says of events that it has appended and that are all new: the receipts, and the rows, if they are at hand."""

    __slots__ = ("rows",)

    def __init__(self, receipts: Iterable[Receipt], *rows: Row) -> None:
        list.__init__(self, receipts)
        self.rows: Sequence[Row] = rows

    @property
    def row(self) -> Row | None:
        """The row of a single event."""
        return self.rows[0] if len(self.rows) == 1 else None


class Delivery:
    """What the events of one delivery have in common; a store's driver sets `transaction`."""

    __slots__ = ("codec", "epochs", "group", "transaction_of")

    def __init__(self, group: str, epochs: Mapping[int, int], transaction_of: Any = None, codec: Any = None) -> None:
        self.group = group
        self.epochs = epochs  # partition → epoch
        self.transaction_of = transaction_of
        self.codec = codec


class Event(tuple[Any, ...]):
    """One event, as a handler gets it. Immutable.

    An event that a handler gets carries the fencing token `(group, partition, epoch, seq)`. An outside
    system should keep the highest epoch that it saw for (group, partition) and refuse lower ones. Then
    a consumer that has lost its partition can no longer write to it.

    Examples
    --------
    >>> from ringward.events import Processor
    >>> with Processor() as p:
    ...     @p.consumer("billing")
    ...     def bill(event):
    ...         print(event.seq, event.key, event.payload, event.attempt)
    ...     receipt = p.publish("user:42", b"19.90", id="order-1")
    ...     idle = p.run(until="idle")
    1 user:42 b'19.90' 1
    """

    # A tuple of (row, attempt, delivery): as quick to make as can be, and nothing can be set.
    __slots__ = ()

    @property
    def seq(self) -> int:
        """Its number in the stream."""
        seq: int = self[ROW][SEQ]
        return seq

    @property
    def partition(self) -> int:
        """The partition of its key."""
        partition: int = self[ROW][PARTITION]
        return partition

    @property
    def key(self) -> EventKey:
        """The key, as it was published."""
        return key_from_bytes(self[ROW][KIND], self[ROW][KEY])

    @property
    def id(self) -> EventId | None:
        """The producer's id, if it gave one."""
        name: EventId | None = self[ROW][ID]
        return name

    @property
    def payload(self) -> Any:
        """The payload: bytes, or what the codec makes of them."""
        codec = self[_DELIVERY].codec
        return self[ROW][PAYLOAD] if codec is None else codec.decode(self[ROW][PAYLOAD])

    @property
    def headers(self) -> dict[str, str]:
        """The headers."""
        return headers_from(self[ROW][HEADERS])

    @property
    def at_ms(self) -> int:
        """When it was accepted, in milliseconds since 1970 by the store's clock; never falls."""
        at_ms: int = self[ROW][AT]
        return at_ms

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        attempt: int = self[_ATTEMPT]
        return attempt

    @property
    def group(self) -> str:
        """The group that it is delivered to."""
        group: str = self[_DELIVERY].group
        return group

    @property
    def epoch(self) -> int:
        """The epoch under which its partition is owned; part of the fencing token."""
        epoch: int = self[_DELIVERY].epochs[self[ROW][PARTITION]]
        return epoch

    @property
    def transaction(self) -> Transaction:
        """Writes to the store's own file; these writes commit together with the acknowledgement.

        Raises
        ------
        UnsupportedError
            When the store has no transactions, and in coroutines. The event is then dead without another attempt.
        TransactionError
            When the event's handler is over.
        """
        if self[_DELIVERY].transaction_of is None:
            raise UnsupportedError(
                "this store has no transactions: give the Processor a file's path, or write elsewhere, by event.seq"
            )
        transaction: Transaction = self[_DELIVERY].transaction_of(self)
        return transaction

    def __repr__(self) -> str:
        return f"<Event seq={self.seq} partition={self.partition} attempt={self.attempt} group={self.group!r}>"

    def __reduce__(self) -> Any:
        raise ArgumentTypeError("event", "used where it is delivered; pickle its payload", self)
