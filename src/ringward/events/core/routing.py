"""`Routing`: which member a router gives each partition of a group to, and the router that follows a change of members."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ringward.cluster import Node
from ringward.errors import ArgumentError, ArgumentTypeError, NoNodeError, RingwardError
from ringward.placement import HashRing
from ringward.router import Router
from ringward.snapshot import Snapshot

__all__ = ["NAMES_MOST", "RouterLike", "Routing"]

RouterLike: TypeAlias = Router | Callable[[Sequence[str]], Router]

NAMES_MOST = 1000  # members that are remembered, though they are gone: where names are never used again, they get more


def _check_router(router: object) -> None:
    if not isinstance(router, Router) and not callable(router):
        raise ArgumentTypeError("router", "a Router or a function of names", router)


class Routing:
    """The router of a group, as it is stored, and as this process was given it.

    Parameters
    ----------
    middles : ndarray of uint64, shape (partitions,)
        The hash that a router is asked for, for each partition.
    given : Router, callable or None
        A router, or a function that makes one of names. None: the stored one, or a `HashRing`.

    Attributes
    ----------
    owners : list of str or None
        The member of each partition.
    unowned : bool
        Whether the router leaves partitions without an owner.
    rerouting : bool
        Whether the router that was given is to be stored.
    """

    def __init__(self, middles: npt.NDArray[np.uint64], given: RouterLike | None) -> None:
        if given is not None:
            _check_router(given)
        self.owners: list[str | None] = []
        self.unowned = False
        self.rerouting = given is not None
        self._middles = middles
        self._given = given
        self._router: Router | None = None

    def reroute(self, given: RouterLike) -> None:
        """The group is to be routed by another router."""
        _check_router(given)
        self._given = given
        self.rerouting = True

    def rerouted(self) -> None:
        """The router that was given is stored."""
        self.rerouting = False

    def adopt(self, stored: bytes) -> None:
        """Go by the router that is stored, if any."""
        self._router = self._resumed(stored) if stored else None
        self.owners = [None] * len(self._middles) if self._router is None else self._routed(self._router)
        self.unowned = None in self.owners

    def next(self, up: Sequence[str], leaving: Sequence[str]) -> bytes:
        """The router for these members, to be stored; those that leave may still be in the present one."""
        router = self._next(up)
        self._follow(router, up, leaving)
        return router.snapshot().to_bytes()

    def _resumed(self, data: bytes) -> Router:
        hash = self._given.hash if isinstance(self._given, Router) else None
        snapshot = Snapshot.from_bytes(data, hash)
        mine = type(self._given) if isinstance(self._given, Router) else None
        kind = mine if mine is not None and mine.__name__ == snapshot.strategy else Router.named(snapshot.strategy)
        if kind is None:
            raise ArgumentError("router", f"a {snapshot.strategy}, as the group has one", self._given)
        return kind.resume(snapshot)

    def _routed(self, router: Router) -> list[str | None]:
        try:
            return [str(name) for name in router.names[router.assign_hashes(self._middles)]]
        except NoNodeError:
            return [None] * len(self._middles)

    def _rerouted(self, up: Sequence[str]) -> Router:
        """The router that was given, for these members; the stored one where it is of the same kind and options."""
        if self._given is None:
            made: Router = HashRing(up)
        else:
            made = self._given.copy() if isinstance(self._given, Router) else self._made(self._given, up)
        stored = self._router
        if stored is not None and type(stored) is type(made) and stored._options == made._options:
            return stored.copy()
        return made

    def _next(self, up: Sequence[str]) -> Router:
        """The router to go on with, for these members."""
        if self.rerouting or self._router is None:
            return self._rerouted(up)
        plain = self._given is None and type(self._router) is HashRing
        if plain and len(self._router.names) > 4 * NAMES_MOST and self._router._options == HashRing()._options:
            return HashRing(up)  # it routes alike, without the names of all who ever were there
        return self._router.copy()

    def _made(self, make: Callable[[Sequence[str]], Router], up: Sequence[str]) -> Router:
        """What a user's function makes of names. What it raises stops nobody: it is asked again."""
        error: RingwardError
        try:
            made: object = make(up)
        except (Exception, SystemExit, GeneratorExit) as raised:
            error = ArgumentError("router", f"a function that makes a router of names ({raised!r})", make)
            error.transient = True
            raise error from raised
        if not isinstance(made, Router):
            error = ArgumentTypeError("router", "a Router or a function of names that makes one", made)
            error.transient = True
            raise error
        return made

    def _follow(self, router: Router, up: Sequence[str], leaving: Sequence[str]) -> None:
        """Let a router know who is there: who died is down, who left is gone, unless the order has a place for it."""
        with router.change() as change:
            fresh = [Node(name) for name in up if name not in router]
            if fresh:
                change.add(*fresh)
            gone = [name for name in leaving if name in router and name not in up and not router.ordered]
            if gone:
                change.remove(*gone)
            back = [name for name in up if name in router.down]
            if back:
                change.mark_up(*back)
            down = [name for name in router if name not in up and name not in gone and name not in router.down]
            if down:
                change.mark_down(*down)
