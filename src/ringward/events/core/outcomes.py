"""How an attempt can end besides success and failure: the event is given back, or no further attempt can succeed."""

from __future__ import annotations

__all__ = ["GiveBack", "Hopeless"]


class GiveBack(Exception):  # noqa: N818 - a wish, not an error
    """A handler raises this to give back its event, and the rest of its batch, as if they had not been delivered.

    They are delivered again at once, and the attempt is not counted. Use it when the processor was asked to stop.
    """

    def __init__(self, *args: object) -> None:  # as of `RingwardError`
        super().__init__(*args)


class Hopeless(str):
    """Why an attempt failed, where no other one can go better: the handler asks for what there is not."""

    __slots__ = ()
