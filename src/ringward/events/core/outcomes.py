"""How a handler's attempt can end otherwise than well or with an error: the event given back, or no attempt can go better."""

from __future__ import annotations

__all__ = ["GiveBack", "Hopeless"]


class GiveBack(Exception):  # noqa: N818 - a wish, not an error
    """What a handler raises to give its event back, and the rest of its batch, as if they had not been delivered.

    They are delivered again at once: it is for handlers whose processor was asked to stop. The attempt is not counted.
    """

    def __init__(self, *args: object) -> None:  # as of `RingwardError`
        super().__init__(*args)


class Hopeless(str):
    """Why an attempt failed, where no other one can go better: the handler asks for what there is not."""

    __slots__ = ()
