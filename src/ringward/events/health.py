"""`Health`: whether a processor does its work and, if not, why; `health_of` says what a store knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, NamedTuple

from ringward.events.model.event import AT
from ringward.events.model.membership import lease_of
from ringward.events.model.store import Store
from ringward.events.texts import Texts
from ringward.texts import neutral, shortened

__all__ = ["GroupHealth", "Health", "Reason", "State", "health_of", "stored_of"]

State = Literal["ok", "degraded", "failed", "stopped"]

_TEXT_MOST = 500
_ORDER: tuple[State, ...] = ("ok", "degraded", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is wrong.

    Attributes
    ----------
    text : str
    since_ms : int or None
        Since when, in milliseconds since 1970, if that is known.
    """

    text: str
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GroupHealth:
    """How one group is.

    Attributes
    ----------
    waiting_since_ms : int or None
        When the oldest unresolved event was accepted, in milliseconds since 1970; None when none waits.
    lag_s : float
        How long that event has waited.
    lowest : int
        Its seq; tail + 1 when none waits.
    dead, parked : int
        Entries of the dead-letter queue.
    members : tuple of str
        The members that are up, in all processes.
    damped : tuple of str
        Members of this process that died often and wait before they rejoin.
    unowned : int
        Partitions that no live member owns.
    hung : int
        Handlers of this process that were left behind.
    """

    waiting_since_ms: int | None = None
    lag_s: float = 0.0
    lowest: int = 1
    dead: int = 0
    parked: int = 0
    members: tuple[str, ...] = ()
    damped: tuple[str, ...] = ()
    unowned: int = 0
    hung: int = 0


@dataclass(frozen=True, slots=True)
class Health:
    """How a processor is; `Processor.health` gives it, `to_dict` is fit for JSON.

    Attributes
    ----------
    state : "ok", "degraded", "failed" or "stopped"
        Degraded: something is wrong that may pass, and it is tried again. Failed: an error stopped the processor.
        Stopped: the processor has consumers and does not run, or is closed.
    reasons : tuple of Reason
        Why; the first for the state itself. Empty when it is "ok".
    groups : dict of str to GroupHealth
    error : str or None
        The last error, whether or not it has passed.
    error_ms : int or None
        When that was, in milliseconds since 1970.
    store_failed : bool
        Whether nothing can be written to the store until it is opened anew.
    committed_ms : int or None
        When this process last stored something, in milliseconds since 1970.
    clock : tuple of str
        What is wrong with the clock (the state is then "degraded"), and what was wrong, so that time stamps are corrected.

    Examples
    --------
    >>> from ringward.events import Processor
    >>> p = Processor()
    >>> p.health().state
    'ok'
    >>> p.close()
    >>> health = p.health()
    >>> health.state, health.reasons[0].text
    ('stopped', 'the processor is closed')
    """

    state: State = "ok"
    reasons: tuple[Reason, ...] = ()
    groups: Mapping[str, GroupHealth] = field(default_factory=dict)
    error: str | None = None
    error_ms: int | None = None
    store_failed: bool = False
    committed_ms: int | None = None
    clock: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, numbers and texts."""
        return {**asdict(self), "reasons": [asdict(reason) for reason in self.reasons]}

    def with_reason(self, state: State, text: str, since_ms: int | None = None) -> Health:
        """The same with one more reason, in at least this state."""
        reason = Reason(shortened(neutral(text), _TEXT_MOST), since_ms)
        if _ORDER.index(state) > _ORDER.index(self.state):
            return replace(self, state=state, reasons=(reason, *self.reasons))
        return replace(self, reasons=(*self.reasons, reason))


def health_of(store: Store, said: Callable[[BaseException], str] = Texts().line, *, group: str | None = None) -> Health:
    """How a store and its groups are, as far as the store knows. It never raises.

    A group is degraded when events wait in partitions that no member owns.

    Parameters
    ----------
    store : Store
    said : callable
        A function from an error to what may be shown of it.
    group : str, optional
        The only group to check; by default all.
    """
    health = Health()
    failure = store.failure
    if failure is not None:
        health = replace(health, store_failed=True).with_reason("failed", f"the store has failed: {said(failure)}")
    try:
        names = [state.name for state in store.groups() if group in (None, state.name)]
        tail = store.totals().tail
        groups = {name: _group_health(store, name, tail) for name in names}
        doubts = store.clock_doubts()
        allowances = store.clock_allowances()
    except Exception as error:  # noqa: BLE001 - it is told, not raised
        return replace(health, error=said(error), error_ms=_now_ms()).with_reason(
            "failed", f"the store cannot be read: {said(error)}"
        )
    health = replace(health, groups=groups, clock=(*doubts, *allowances))
    for name, about in groups.items():
        if about.waiting_since_ms is not None and about.unowned:
            text = f"group {name}: events wait, and {about.unowned} partitions have no member that is up"
            health = health.with_reason("degraded", text, about.waiting_since_ms)
    for text in doubts:
        health = health.with_reason("degraded", text)
    return health


def _now_ms() -> int:
    return int(time.time() * 1000)


def _group_health(store: Store, name: str, tail: int) -> GroupHealth:
    dead, parked, lowest, since, up = stored_of(store, name, tail)
    owners = [state.owner for state in store.states(name).values()]
    return GroupHealth(
        waiting_since_ms=since,
        lag_s=0.0 if since is None else max(0.0, (_now_ms() - since) / 1000),
        lowest=lowest,
        dead=dead,
        parked=parked,
        members=tuple(up.values()),
        unowned=sum(owner not in up for owner in owners),
    )


class _Stored(NamedTuple):
    """What a store has of a group: dead letters, the lowest unresolved seq and its time, and lease → name of who is up."""

    dead: int
    parked: int
    lowest: int
    since_ms: int | None
    up: dict[str | None, str]


def stored_of(store: Store, name: str, tail: int) -> _Stored:
    """How a group is, as far as the store can tell."""
    membership, dead_letters, lowest = store.membership(name), store.dead_letters(name), store.lowest_unresolved(name)
    # What waits behind dead letters only is below the cursor.
    since = next((row[AT] for row in store.rows([lowest])), None) if lowest <= tail else None
    members = () if membership is None else membership.members
    up: dict[str | None, str] = {lease_of(name, member.incarnation): name for name, member in members if member.up}
    dead = sum(dead_letter.state == "dead" for dead_letter in dead_letters)
    return _Stored(dead, len(dead_letters) - dead, lowest, since, up)
