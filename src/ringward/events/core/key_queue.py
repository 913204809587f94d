"""`KeyQueue`: a key with something in its way."""

from __future__ import annotations

from collections import deque
from typing import TypeAlias

__all__ = ["ASKED", "BACKOFF", "BUSY", "DEAD", "FREE", "QUEUED", "KeyQueue", "QueueKey"]

FREE, ASKED, QUEUED, BUSY, BACKOFF, DEAD = "free", "asked", "queued", "busy", "backoff", "dead"

# A key; or, where a dead event does not park its key, the key in a tuple: that queue holds up nobody.
QueueKey: TypeAlias = bytes | tuple[bytes]


class KeyQueue:
    """A key with something in its way, and the seqs of its waiting events in order; no payloads.

    Attributes
    ----------
    state : str
        free: the first can be asked for; asked: their rows are being read; queued: the first waits to be taken;
        busy: some are with handlers; backoff: it waits until `due`; dead: its key is parked behind a dead event.
    dead_letters : bool
        Whether the seqs are those of dead-letter entries. The first stays in the queue until it is resolved.
    busy : int
        How many events of the key are with handlers.
    """

    __slots__ = ("busy", "dead_letters", "due", "seqs", "state")

    def __init__(self, *, dead_letters: bool = False) -> None:
        self.seqs: deque[int] = deque()
        self.state = FREE
        self.dead_letters = dead_letters
        self.due = 0.0
        self.busy = 0

    def insert(self, seq: int) -> None:
        """Put an event in its place."""
        if self.seqs and seq < self.seqs[-1]:
            self.seqs = deque(sorted((*self.seqs, seq)))
        else:
            self.seqs.append(seq)
