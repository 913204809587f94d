"""`Settings`: kept in the store; every process that opens it obeys them and may change them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ringward.checks import checked_float, checked_int
from ringward.errors import ArgumentError, ArgumentTypeError

__all__ = ["ID_WINDOW_S", "Retention", "Settings", "retention_from", "settled"]

ID_WINDOW_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True)
class Retention:
    """How long resolved events are kept, for replay. Events beyond any of the limits can be pruned.

    Attributes
    ----------
    age_s : float or None
    bytes : int or None
        Payload bytes.
    count : int or None
    """

    age_s: float | None = 7 * 86_400.0
    bytes: int | None = None
    count: int | None = None

    def __post_init__(self) -> None:
        if self.age_s is not None:
            checked_float("age_s", self.age_s, zero=True)
        for name in ("bytes", "count"):
            if getattr(self, name) is not None:
                checked_int(name, getattr(self, name), 0, 2**62)


class Settings(NamedTuple):
    """How long a store keeps events and remembers ids.

    Attributes
    ----------
    retention : Retention
        How long events that all groups are past are kept.
    id_window_s : float
        How long ids are remembered, at least.
    """

    retention: Retention = Retention()
    id_window_s: float = ID_WINDOW_S


def settled(
    stored: dict[str, Any],
    retention: Retention | None,
    id_window_s: float | None,
    *,
    initial: bool,
    window_most_s: float | None = None,
) -> dict[str, Any]:
    """What of the given settings is to be stored; `initial` ones must be those that are stored, if any are.

    `stored` holds, by name, those that somebody has set; `window_most_s` is `Abilities.id_window_most_s`.
    """
    if retention is not None and not isinstance(retention, Retention):
        raise ArgumentTypeError("retention", "a Retention", retention)
    window = None if id_window_s is None else checked_float("id_window_s", id_window_s, zero=True)
    if window is not None and window_most_s is not None and window > window_most_s:
        raise ArgumentError("id_window_s", f"at most {window_most_s}, as this store has it", window)
    given = {name: value for name, value in (("retention", retention), ("id_window_s", window)) if value is not None}
    changes = {name: value for name, value in given.items() if stored.get(name) != value}
    for name, value in changes.items():
        if initial and name in stored:
            raise ArgumentError(
                name, f"what the store is set to, {stored[name]!r}, or be changed by configure()", value
            )
    return changes


def retention_from(value: Any) -> Retention:
    """The retention that `dataclasses.asdict` took apart; `ValueError` or `TypeError` if it is none."""
    if not isinstance(value, dict):
        raise TypeError(type(value).__name__)
    return Retention(**value)


def retention_fields(retention: Retention) -> dict[str, Any]:
    """What is stored of a retention."""
    return asdict(retention)
