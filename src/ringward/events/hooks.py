"""`Hooks`: what a processor calls when something happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from ringward.events.model.event import Event, Receipt
from ringward.events.model.notifications import Claimed, Died, Fenced, Released, Retried

__all__ = ["Hooks"]


class Hooks(Protocol):
    """What a processor calls when something happens. Derive from it, and write the methods that you need.

    Hooks are called outside of all locks, by the threads of the processor or by the publishing thread, so several
    threads may call them at once. They should be quick, because publishing and handling wait for them. An exception
    in a hook is logged and changes nothing.

    `publishing`, `published` and `handling` are called at once, and `failed` when the processor stops. The others are
    called at the next tick, at most 25 ms later. After a commit whose outcome is unknown, a call may be repeated.

    Examples
    --------
    >>> from ringward.events import Hooks, Processor, Retry
    >>> class Alarm(Hooks):
    ...     def dead(self, told):
    ...         print(f"seq {told.seq} is dead after {told.attempts} attempts: {told.error}")
    >>> with Processor(hooks=Alarm()) as p:
    ...     @p.consumer("billing", retry=Retry(attempts=2, base_s=0.01))
    ...     def bill(event):
    ...         raise ValueError("no such user")
    ...     receipt = p.publish("user:42", b"19.90")
    ...     idle = p.run(until="idle")
    seq 1 is dead after 2 attempts: ValueError: no such user
    """

    # Each has a `return`: mypy takes a method of a Protocol that is empty for one that must be written.

    def publishing(self, count: int) -> AbstractContextManager[Mapping[str, str] | None]:
        """Runs around the storing of this many events; yields headers to add to each, or None.

        Added headers are not compared when an id is published again: with other added headers the event is still a
        repeat. A header of the same name that the producer gave is kept.
        """
        return nullcontext()

    def published(self, receipts: Sequence[Receipt]) -> None:
        """Events are stored, or, inside a handler's transaction, will be when it commits."""
        return

    def handling(self, event: Event) -> AbstractContextManager[object]:
        """Runs around the handler of an event, in its thread or task; exceptions of the handler pass through."""
        return nullcontext()

    def retried(self, told: Retried) -> None:
        """An attempt failed, and the event waits for the next."""
        return

    def dead(self, told: Died) -> None:
        """An event went to the dead-letter queue."""
        return

    def claimed(self, told: Claimed) -> None:
        """A member of this process claimed partitions; `taken_over` are those that their owner had not given back."""
        return

    def released(self, told: Released) -> None:
        """This process gave partitions back in an orderly way."""
        return

    def fenced(self, told: Fenced) -> None:
        """This process lost partitions: they were taken over, or their epoch was raised."""
        return

    def failed(self, error: BaseException) -> None:
        """The processor stops: `run` and `drain` raise this error."""
        return
