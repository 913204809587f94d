"""What a store takes in one call, by its `Abilities`: what can be cut is cut, and what cannot is refused before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TypeAlias, TypeVar

from ringward.errors import ArgumentError, RingwardError
from ringward.events.model.event import Entry, Receipt
from ringward.events.model.store import Abilities

__all__ = ["cut", "cut_dict", "limited", "resumable"]

T = TypeVar("T")
K = TypeVar("K")
Append: TypeAlias = Callable[[Sequence[Entry]], list[Receipt]]


def limited(append: Append, abilities: Abilities) -> Append:
    """`append`, if need be with a look before it at how many events there are and how large."""
    most, largest = abilities.max_batch, abilities.max_payload
    if most is None and largest is None:
        return append

    def checked(entries: Sequence[Entry]) -> list[Receipt]:
        if most is not None and len(entries) > most:  # all or none: to cut them would break that
            raise ArgumentError("keys", f"at most {most} in one call, as this store has it", len(entries))
        size = max((len(payload) for _, _, _, _, payload, _ in entries), default=0)
        if largest is not None and size > largest:
            raise ArgumentError("payload", f"at most {largest} bytes long, as this store has it", size)
        return append(entries)

    return checked


@contextmanager
def resumable(abilities: Abilities) -> Iterator[None]:
    """Around a call that changes a whole group: where that is not done at once, an error says that the rest can still be done."""
    try:
        yield
    except RingwardError as error:
        if not abilities.atomic_admin:
            error.add_note("a part of it may be done: call it again for the rest")
        raise


def cut(items: Sequence[T], most: int | None) -> Iterator[Sequence[T]]:
    """The items, so many at a time; all at once where there is no bound."""
    step = most or len(items) or 1
    return (items[at : at + step] for at in range(0, len(items), step))


def cut_dict(items: Mapping[K, T], most: int | None) -> Iterator[Mapping[K, T]]:
    """As `cut`."""
    left = iter(items.items())
    return iter(lambda: dict(islice(left, most)), {})
