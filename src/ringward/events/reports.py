"""What a processor tells: dead events, figures; and payloads that are JSON."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from ringward.events.document import Letter
from ringward.events.event import EventId, EventKey, Row, key_from_bytes

__all__ = ["DeadEvent", "GroupStats", "JsonCodec", "Stats"]


class JsonCodec:
    """Payloads are JSON."""

    def encode(self, value: Any) -> bytes:
        """The value as UTF-8."""
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()

    def decode(self, payload: bytes) -> Any:
        """The value again."""
        return json.loads(payload)


class DeadEvent(NamedTuple):
    """An event in a group's dead-letter queue.

    Attributes
    ----------
    state : str
        "dead"; "parked" behind a dead event of its key; or "redrive" when it is to be delivered again.
    """

    seq: int
    key: EventKey
    id: EventId | None
    payload: bytes
    headers: dict[str, str]
    state: str
    error: str
    attempts: int

    @classmethod
    def of(cls, letter: Letter, row: Row) -> DeadEvent:
        """A letter together with its body."""
        seq, _, kind, key, id, payload, headers, _ = row
        told = json.loads(headers) if headers else {}
        return cls(seq, key_from_bytes(kind, key), id, payload, told, letter.state, letter.error, letter.attempts)


class GroupStats(NamedTuple):
    """A group, as the store and this process know it.

    Attributes
    ----------
    lag : dict of int to int
        partition → unresolved events; those without any are left out.
    dead, parked : int
    members : tuple of str
        Those that are up, in all processes.
    held : int
        Partitions that this process holds.
    handled, retries, deaths, takeovers, hung : int
        What happened in this process.
    """

    lag: dict[int, int]
    dead: int
    parked: int
    members: tuple[str, ...]
    held: int
    handled: int
    retries: int
    deaths: int
    takeovers: int
    hung: int


class Stats(NamedTuple):
    """What a processor's store holds, and how far its groups are.

    Attributes
    ----------
    tail, first : int
        The highest seq, and the lowest that is not pruned.
    bytes : int
        Payload bytes from `first` on.
    groups : dict of str to GroupStats
    """

    tail: int
    first: int
    bytes: int
    groups: dict[str, GroupStats]
