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
        Type and text of what the handler raised.
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
        Why; of a handler, type and text of what it raised last.
    """

    group: str
    partition: int
    seq: int
    attempts: int
    error: str


class Claimed(NamedTuple):
    """A member of this process owns partitions now.

    Attributes
    ----------
    group, member : str
    partitions : tuple of int
    taken_over : tuple of int
        Those among them whose owner had died or fallen silent without giving them back.
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
    """Partitions that this process held are no longer its own, and what was in flight counts no more.

    They were taken over, or their epoch was raised by a redrive, drop or reset.

    Attributes
    ----------
    group : str
    partitions : tuple of int
    """

    group: str
    partitions: tuple[int, ...]


Notification: TypeAlias = Retried | Died | Claimed | Released | Fenced
