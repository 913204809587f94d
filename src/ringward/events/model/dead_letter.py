"""`DeadLetter`: an event that was given up, or one that is parked behind it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ERROR_MOST", "DeadLetter"]

ERROR_MOST = 2000  # characters of an error in a dead letter


class DeadLetter(NamedTuple):
    """A dead event, or one that is parked behind it.

    Attributes
    ----------
    seq, partition : int
    key : bytes
        As it is hashed.
    state : str
        "dead", "parked", or "redrive" for a dead event that is being delivered again.
    error : str
        Why it is dead.
    attempts : int
        How often it was delivered.
    """

    seq: int
    partition: int
    key: bytes
    state: str
    error: str = ""
    attempts: int = 0
