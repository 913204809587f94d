"""What stores keep, as JSON and back: for those that have no columns, or keep a part of it as text.

What is decoded is looked at: a value that cannot have been encoded here is a `ValueError` that says what it must be. A store adds
where it was found.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from ringward.events.model.dead_letter import DeadLetter
from ringward.events.model.event import Entry, EventId
from ringward.events.model.membership import Member, Membership
from ringward.events.model.partition_state import PartitionState
from ringward.events.model.store import Settlement

__all__ = [
    "LETTER_STATES",
    "NUMBER_MOST",
    "dead_letter_from",
    "dead_letter_to",
    "entry_from",
    "entry_to",
    "is_number",
    "json_from",
    "members_from",
    "membership_from",
    "membership_to",
    "pairs_from",
    "rising",
    "settlement_from",
    "settlement_to",
    "state_from",
    "state_to",
]

NUMBER_MOST = 1 << 62  # so that what is added to one is still an integer of 64 bits
LETTER_STATES = frozenset(("dead", "parked", "redrive"))

_PAIRS = "pairs of integers"
_MEMBERS = "names and members"


def json_from(text: object) -> Any:
    """What a JSON text holds."""
    if type(text) is not str:
        raise ValueError("a text")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("JSON") from None


def is_number(value: object) -> bool:
    """Whether it is a count, a seq, an epoch ...: an int from 0."""
    return type(value) is int and 0 <= value <= NUMBER_MOST


def pairs_from(found: object) -> tuple[tuple[int, int], ...]:
    """Pairs of seqs, or of a seq and a count, as JSON has them."""
    if not isinstance(found, list):
        raise ValueError(_PAIRS)
    for pair in found:
        if type(pair) is not list or len(pair) != 2 or not all(map(is_number, pair)):
            raise ValueError(_PAIRS)
    return tuple((a, b) for a, b in found)


def rising(ranges: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Ranges of seqs, both ends inclusive, if each is above the one before."""
    before = 0
    for low, high in ranges:
        if low > high or high <= before:
            raise ValueError("ranges of seqs that rise")
        before = high
    return ranges


def members_from(found: object) -> tuple[tuple[str, Member], ...]:
    """The members of a membership."""
    try:
        made = tuple((name, Member(*member)) for name, member in found)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ValueError(_MEMBERS) from None
    for name, (incarnation, process, up, deaths) in made:
        kinds = (type(name), type(process), type(up))
        if kinds != (str, str, bool) or not is_number(incarnation) or not is_number(deaths):
            raise ValueError(_MEMBERS)
    return made


def state_to(state: PartitionState) -> list[Any]:
    """A state."""
    return list(state)


def state_from(found: object) -> PartitionState:
    """A state."""
    if not isinstance(found, list) or len(found) != len(PartitionState._fields):
        raise ValueError("a state")
    epoch, revision, owner, cursor, done, attempts, in_flight, generation = found
    if not all(map(is_number, (epoch, revision, cursor, generation))) or not isinstance(owner, str | None):
        raise ValueError("a state of integers, with a text or null for its owner")
    return PartitionState(
        *(
            epoch,
            revision,
            owner,
            cursor,
            rising(pairs_from(done)),
            pairs_from(attempts),
            rising(pairs_from(in_flight)),
            generation,
        )
    )


def dead_letter_to(dead_letter: DeadLetter) -> list[Any]:
    """A dead letter, without the event's body."""
    return list(dead_letter._replace(key=_bytes_to(dead_letter.key)))  # type: ignore[arg-type]


def dead_letter_from(found: object) -> DeadLetter:
    """A dead letter, without the event's body."""
    if not isinstance(found, list) or len(found) != len(DeadLetter._fields):
        raise ValueError("a dead letter")
    seq, partition, key, state, error, attempts = found
    if not all(map(is_number, (seq, partition, attempts))) or state not in LETTER_STATES or type(error) is not str:
        raise ValueError("a dead letter of integers and texts, that is dead, parked or redrive")
    return DeadLetter(seq, partition, _bytes_from(key), state, error, attempts)


def settlement_to(settlement: Settlement) -> list[Any]:
    """A settlement."""
    partition, state, dead, parked, drained = settlement
    return [partition, state_to(state), [*map(dead_letter_to, dead)], [*map(dead_letter_to, parked)], list(drained)]


def settlement_from(found: object) -> Settlement:
    """A settlement."""
    if not isinstance(found, list) or len(found) != len(Settlement._fields):
        raise ValueError("a settlement")
    partition, state, dead, parked, drained = found
    if not all(map(is_number, (partition, *drained))):
        raise ValueError("a settlement of integers")
    return Settlement(
        partition,
        state_from(state),
        tuple(map(dead_letter_from, dead)),
        tuple(map(dead_letter_from, parked)),
        tuple(drained),
    )


def membership_to(membership: Membership) -> list[Any]:
    """A membership."""
    return [
        membership.number,
        [[name, list(member)] for name, member in membership.members],
        _bytes_to(membership.router),
    ]


def membership_from(found: object) -> Membership:
    """A membership; its router is not looked at."""
    if not isinstance(found, list) or len(found) != len(Membership._fields) or not is_number(found[0]):
        raise ValueError("a membership")
    number, members, router = found
    return Membership(number, members_from(members), _bytes_from(router))


def entry_to(entry: Entry) -> list[Any]:
    """An entry of the log."""
    partition, kind, key, id, payload, headers = entry
    tag = [_bytes_to(id)] if isinstance(id, bytes) else id
    return [partition, kind, _bytes_to(key), tag, _bytes_to(payload), headers]


def entry_from(found: object) -> Entry:
    """An entry of the log."""
    if not isinstance(found, list) or len(found) != 6:
        raise ValueError("an event")
    partition, kind, key, tag, payload, headers = found
    id: EventId | None = _bytes_from(tag[0]) if isinstance(tag, list) and len(tag) == 1 else tag
    right = is_number(partition) and kind in range(4) and isinstance(id, str | bytes | int | None)
    if not right or not isinstance(headers, str | None):
        raise ValueError("an event of integers, bytes and texts")
    return partition, kind, _bytes_from(key), id, _bytes_from(payload), headers


def _bytes_to(data: bytes) -> str:
    return b64encode(data).decode()


def _bytes_from(text: object) -> bytes:
    if type(text) is not str:
        raise ValueError("a text of base64")
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise ValueError("a text of base64") from None
