"""`Pace`: how long the batches of a group are."""

from __future__ import annotations

from ringward.events.core.batch import Batch
from ringward.events.core.options import Options

__all__ = ["Pace"]


class Pace:
    """Batches are as long as handlers take about `slow_s` for, so that few events are in flight of slow ones.

    It begins with `batch_least` events, doubles while whole batches take less than half of `slow_s`, and shrinks as soon
    as one takes longer.

    Attributes
    ----------
    events : int
        How many events the next batch may have; where keys are handled at once, how many of one key.
    """

    __slots__ = ("_options", "events")

    def __init__(self, options: Options) -> None:
        self._options = options
        self.events = options.batch_least

    def after(self, batch: Batch, now: float) -> None:
        """A batch is over."""
        if batch.began is None or batch.slow or batch.alone:
            return
        ended = now if batch.ended is None else batch.ended
        lasted, slow_s = ended - batch.began - batch.waited_s, self._options.slow_s
        if lasted > slow_s:
            self._shrink(int(min(self.events, batch.count) * slow_s / lasted))
        elif 2 * lasted <= slow_s and batch.count >= self.events:
            self.events = min(self._options.batch, 2 * self.events)

    def slow(self, batch: Batch) -> None:
        """A batch is stuck at one of its events."""
        if batch.began is not None and not (batch.waits or batch.alone):
            self._shrink(self.events // 2)

    def _shrink(self, events: int) -> None:
        self.events = max(self._options.batch_least, events)
