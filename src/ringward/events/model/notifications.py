"""What a group has to tell beside its work: failed attempts, dead events, partitions that come and go."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

__all__ = ["Claimed", "Died", "Fenced", "Notification", "Released", "Retried"]


class Retried(NamedTuple):
    """An attempt failed, and the event waits for its next.

    Attributes
    ----------
    group : str
    partition, seq : int
    attempts : int
        Deliveries that count, so far.
    error : str
        Type and text of the handler's exception.
    """

    group: str
    partition: int
    seq: int
    attempts: int
    error: str


class Died(NamedTuple):
    """An event went to the dead-letter queue.

    Attributes
    ----------
    group : str
    partition, seq : int
    attempts : int
        Deliveries that counted.
    error : str
        Why: for a handler, type and text of the last exception.
    """

    group: str
    partition: int
    seq: int
    attempts: int
    error: str


class Claimed(NamedTuple):
    """A member of this process claimed partitions.

    Attributes
    ----------
    group, member : str
    partitions : tuple of int
    taken_over : tuple of int
        Those whose owner died or fell silent without giving them back.
    """

    group: str
    member: str
    partitions: tuple[int, ...]
    taken_over: tuple[int, ...]


class Released(NamedTuple):
    """This process gave partitions back in an orderly way.

    Attributes
    ----------
    group : str
    partitions : tuple of int
    """

    group: str
    partitions: tuple[int, ...]


class Fenced(NamedTuple):
    """This process lost partitions, and work in flight on them is discarded.

    They were taken over, or their epoch was raised by a redrive, drop or reset.

    Attributes
    ----------
    group : str
    partitions : tuple of int
    """

    group: str
    partitions: tuple[int, ...]


Notification: TypeAlias = Retried | Died | Claimed | Released | Fenced
