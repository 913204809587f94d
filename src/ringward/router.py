"""`Router`: the seam between a membership that changes and tables that don't."""

from __future__ import annotations

import os
import threading
from abc import ABCMeta, abstractmethod
from typing import Any, Protocol, Self
from weakref import WeakSet, WeakValueDictionary

import numpy as np
import numpy.typing as npt

from ringward._core import Hasher, Reader, State
from ringward.change import Change, Operation, adding, marking, removing, reweighing
from ringward.checks import checked_text
from ringward.cluster import Cluster, Node, Nodes, as_nodes
from ringward.errors import ArgumentError, ArgumentTypeError, ChangeError, RingwardError, SnapshotError
from ringward.mutex import Mutex
from ringward.snapshot import Snapshot
from ringward.transfer import Transfer
from ringward.view import Placed, View, effective_table

__all__ = ["Change", "Placed", "Router"]

_KINDS: WeakValueDictionary[str, type[Router]] = WeakValueDictionary()  # the placements, by what snapshots call them


class Follower(Protocol):
    """A router over a router: it is told when the one inside has changed."""

    def _follow(self) -> None: ...


_NO_FOLLOWERS: WeakSet[Follower] = WeakSet()  # for all routers that have none; nothing is added to it


class Router(View, metaclass=ABCMeta):
    """Maps keys to nodes, and says what a change moves.

    A placement is a subclass with one method, `_place`. Everything that reads (`route`, `[]`,
    `candidates`, `assign`) is compiled, takes no lock, and sees one epoch from start to end.
    Changes are serialised; one that raises changes nothing.
    """

    # No instance dictionary: it would cost a look-up in it before each method call.
    __slots__ = ("__weakref__", "_changing", "_followers", "_lock", "_options")

    ordered = False  # whether the order in which nodes are given means something

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        # A class that is defined once more, as in a notebook, takes the place of the one before; never of one of ours.
        if (known := _KINDS.get(cls.__name__)) is None or not known.__module__.startswith("ringward."):
            _KINDS[cls.__name__] = cls

    @staticmethod
    def named(strategy: str) -> type[Router] | None:
        """The router class of a strategy; None if no class of that name is defined.

        Parameters
        ----------
        strategy : str
            As in `Snapshot.strategy`: the name of a subclass, from any module.

        Examples
        --------
        >>> import ringward as rw
        >>> snapshot = rw.HashRing(["node1", "node2"]).snapshot()
        >>> rw.Router.named(snapshot.strategy).resume(snapshot)
        <HashRing of 2 nodes, 0 down, epoch 0>
        """
        if not isinstance(strategy, str):
            raise ArgumentTypeError("strategy", "a str", strategy)
        return _KINDS.get(strategy)

    def __init__(self, nodes: Nodes, options: dict[str, Any], hash: Hasher, on_empty: str | None) -> None:
        if not isinstance(hash, Hasher):
            raise ArgumentTypeError("hash", "XXH3, SipHash or Multiplicative", hash)
        if on_empty is not None:
            on_empty = checked_text("on_empty", on_empty)
        if self.ordered and isinstance(nodes, set | frozenset):
            raise ArgumentTypeError("nodes", "in an order, which is their priority: a list, say", nodes)
        self._begin({**self._checked(options), "on_empty": on_empty})
        empty = Cluster()
        cluster = empty.add(as_nodes(nodes)).sealed(empty, ordered=self.ordered)
        super().__init__(self._state_of(cluster, None, hash, 0))

    def _begin(self, options: dict[str, Any]) -> None:
        self._options = options
        self._lock = Mutex()
        self._changing: set[int] = set()  # threads inside a change() of this router
        self._followers: WeakSet[Follower] = _NO_FOLLOWERS  # routers over this one
        _ROUTERS[id(self)] = self

    @staticmethod
    def _checked(options: dict[str, Any]) -> dict[str, Any]:
        """The placement's options, each within its bounds, or an ArgumentError; from a constructor or a snapshot."""
        return options

    def _fits(self, state: State) -> bool:
        """Whether a state from a snapshot is one that this placement makes with its options."""
        return True

    def _touched(self, before: Cluster, after: Cluster) -> npt.NDArray[np.uint64] | None:
        """The hashes of all points by which two rings differ, one a change after the other; None: not known."""
        return None

    @abstractmethod
    def _place(self, cluster: Cluster, before: State | None, epoch: int) -> Placed:
        """Compile a cluster into a table.

        Parameters
        ----------
        cluster : Cluster
        before : State or None
            The state so far, to start from: `before.cluster` and `before.own`, the `Placed` of then.
        epoch : int
            The epoch that the result will have.
        """

    def _state_of(self, cluster: Cluster, before: State | None, hash: Hasher, epoch: int) -> State:
        on_empty = self._options["on_empty"]
        if on_empty is not None and on_empty not in cluster.members:
            raise ArgumentError("on_empty", "the name of a member", on_empty)
        placed = self._place(cluster, before, epoch)
        table = effective_table(placed, cluster, on_empty)
        return State(cluster.names, table, hash, epoch, cluster, placed, None if cluster.forgot else before)

    def _change(self, operation: Operation) -> Transfer:
        if threading.get_ident() in self._changing:
            raise ChangeError("this router is inside a change() of this thread: use what that returned")
        with self._lock:
            before = self._state
            cluster = operation(before.cluster).sealed(before.cluster, ordered=self.ordered)
            after = before
            if cluster is not before.cluster:
                after = self._state_of(cluster, before, before.hasher, before.epoch + 1)
                self._swap(after)
        if self._followers and after is not before:
            self._tell_followers()
        return Transfer(before, after, self._touched)

    def _tell_followers(self) -> None:
        """Outside of the lock: a follower takes its own, and under that it changes this router."""
        for follower in list(self._followers):
            follower._follow()

    def _add_follower(self, follower: Follower) -> None:
        with self._lock:
            if self._followers is _NO_FOLLOWERS:
                self._followers = WeakSet()
            self._followers.add(follower)

    def mark_down(self, *names: str) -> Transfer:
        """Mark nodes down: their keys go to the next candidates until the nodes are marked up again.

        Parameters
        ----------
        *names : str
            Members; one epoch for all. Members that are already down stay down.

        Returns
        -------
        Transfer
            Empty, and the epoch unchanged, when nothing changed.

        Raises
        ------
        UnknownNodeError
            When a name is not a member's; nothing is marked then.
        ArgumentError
            When no name is given.

        Examples
        --------
        >>> import ringward as rw
        >>> ring = rw.HashRing(["node1", "node2", "node3"])
        >>> ring.route("event1"), ring.mark_down("node2").share, ring.route("event1")
        ('node2', 0.3502328843141868, 'node3')
        """
        return self._change(marking(names, down=True))

    def mark_up(self, *names: str) -> Transfer:
        """Mark nodes live again: exactly the keys that left them come back.

        Parameters
        ----------
        *names : str
            Members; one epoch for all.

        Returns
        -------
        Transfer

        Raises
        ------
        UnknownNodeError, ArgumentError
            As `mark_down`.
        """
        return self._change(marking(names, down=False))

    def add(self, *nodes: Node | str) -> Transfer:
        """Add new members. They are live.

        Parameters
        ----------
        *nodes : Node or str
            One epoch for all. A former member gets its old id, unless its name was forgotten.

        Returns
        -------
        Transfer

        Raises
        ------
        DuplicateNodeError
            When a name is already a member.
        """
        return self._change(adding(nodes))

    def remove(self, *names: str) -> Transfer:
        """Remove members for good.

        Parameters
        ----------
        *names : str
            One epoch for all.

        Returns
        -------
        Transfer

        Raises
        ------
        UnknownNodeError
            When a name is not a member's.
        """
        return self._change(removing(names))

    def reweigh(self, name: str, weight: float) -> Transfer:
        """Give a member another weight; 0 drains it.

        Parameters
        ----------
        name : str
        weight : float
            Finite, at least 0.

        Returns
        -------
        Transfer

        Raises
        ------
        UnknownNodeError, ArgumentError
            When the name is not a member's, or the weight is not valid.
        """
        return self._change(reweighing(name, weight))

    def change(self) -> Change:
        """Make several changes as one: one epoch, one Transfer, all or nothing.

        Examples
        --------
        >>> import ringward as rw
        >>> ring = rw.HashRing(["node1", "node2", "node3"])
        >>> with ring.change() as change:
        ...     change.add("node4")
        ...     change.remove("node1")
        >>> ring.epoch, change.transfer.departures.keys() >= {"node1"}
        (1, True)
        """
        return Change(self)

    def snapshot(self) -> Snapshot:
        """Return the present state for good: later changes of the router do not affect it. O(1)."""
        return Snapshot(self._state, type(self).__name__, self._options)

    def _moment(self) -> tuple[State, str]:
        return self._state, type(self).__name__

    @classmethod
    def resume(cls, snapshot: Snapshot, hash: Hasher | None = None) -> Self:
        """Return a router that continues from a snapshot, with its epochs and ids.

        Parameters
        ----------
        snapshot : Snapshot
            Of a router of this class.
        hash : XXH3, SipHash or Multiplicative, optional
            Only to check: it must equal the snapshot's.

        Raises
        ------
        ArgumentError
            When the snapshot is of another strategy, or hashed differently.
        SnapshotError
            When its options, table or memory cannot be a router's: its bytes were made up.
        """
        strategy = getattr(snapshot, "strategy", None)
        if strategy is None:
            raise ArgumentTypeError("snapshot", "a Snapshot: Snapshot.from_bytes(data) makes one of bytes", snapshot)
        if strategy != cls.__name__:
            raise ArgumentError("snapshot", f"of {cls.__name__}: a router goes on by its own class", strategy)
        if hash is not None and hash != snapshot.hash:
            raise ArgumentError("hash", f"{snapshot.hash!r}, the snapshot's", hash)
        router = cls.__new__(cls)
        router._begin(snapshot.options)
        Reader.__init__(router, snapshot._state)
        own = {name: value for name, value in snapshot.options.items() if name != "on_empty"}
        try:
            fits = cls._checked(own) == own and router._fits(snapshot._state)
        except (LookupError, TypeError, RingwardError) as error:
            raise SnapshotError(f"the snapshot is of no {cls.__name__}: {error}") from error
        if not fits:
            raise SnapshotError(
                f"the snapshot is of no {cls.__name__}: its options, table and memory do not fit together"
            )
        return router

    def copy(self) -> Self:
        """An independent router in the same state: for a dry run."""
        return self.resume(self.snapshot())

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).resume, (self.snapshot(),)

    def __repr__(self) -> str:
        state = self._state
        cluster: Cluster = state.cluster
        return f"<{type(self).__name__} of {len(cluster)} nodes, {len(cluster.down)} down, epoch {state.epoch}>"


_ROUTERS: WeakValueDictionary[int, Router] = WeakValueDictionary()  # by address: a subclass may not be hashable


def _forked() -> None:
    """In the child of a fork there is one thread: no other will ever leave its change, or let go of a lock."""
    for router in list(_ROUTERS.values()):
        router._lock = Mutex()
        router._changing &= {threading.get_ident()}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
