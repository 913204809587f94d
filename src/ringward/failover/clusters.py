"""`Clusters`: a router over the routers of several clusters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Self

import numpy as np
import numpy.typing as npt

from ringward._core import Hasher
from ringward.checks import checked_callable, checked_float, checked_int, checked_text, checked_type
from ringward.errors import (
    ArgumentError,
    ArgumentTypeError,
    NoNodeError,
    PromotionError,
    ResidencyError,
    RingwardError,
    StaleEpochError,
)
from ringward.explanation import Explanation, Step
from ringward.failover.cluster_ring import ClusterRing
from ringward.failover.decision import Decision
from ringward.failover.handover import Handover, Standing
from ringward.failover.journal import Journal
from ringward.keys import Key
from ringward.placement import PartitionTable
from ringward.router import Router
from ringward.snapshot import Snapshot
from ringward.texts import bounded, error_text, percent, shown
from ringward.transfer import Transfer

__all__ = ["Clusters"]

Hook = Callable[[Decision], object]
Witness = Callable[[str, str, int], object]  # cluster, who takes its keys over, epoch → whether it may


class Clusters(ClusterRing):
    """A router over the routers of several clusters: each key has a home cluster, and others serve it when that fails.

    It compiles to one table of who owns what, so reads cost what they cost in a ring. It follows the routers inside: what
    is changed there, by hand or by an `Adaptive`, holds here at once. `tick` decides which cluster serves whose keys.

    Parameters
    ----------
    clusters : mapping of str to Router
        Name → router of the cluster's nodes. All hash alike, and no node belongs to two.
    home : Router, optional
        A router over the clusters' names, which gives each key its home; by default a `PartitionTable` of equal weights.
    standby : mapping of str to sequence of str, optional
        Cluster → who takes over its keys, in this order. By default all others, by name, from the cluster on.
    resident : iterable of str
        Clusters whose keys must never leave. While no node of such a cluster is live, they raise `ResidencyError` or, in
        columns, get NO_NODE.
    policy : Handover
    witness : callable, optional
        `witness(cluster, to, epoch)` is asked before keys change their cluster, also when they return; outside of all locks,
        so a second thread may ask it at the same time. It says yes (a true value) to one only, however many processes ask: a compare-and-set in a store that outlives the clusters.
    hooks : iterable of callable
        Called with each `Decision` of `tick`, outside of all locks.

    Raises
    ------
    ArgumentError, ArgumentTypeError, DuplicateNodeError

    Notes
    -----
    Membership and marks of nodes are changed in the routers inside: `clusters.routers["eu"].add("node9")`. A node that owns
    nothing at the moment has weight 0 here.

    Examples
    --------
    >>> import ringward as rw
    >>> from ringward.failover import Clusters
    >>> eu, us = rw.HashRing(["eu1", "eu2"]), rw.HashRing(["us1", "us2"])
    >>> router = Clusters({"eu": eu, "us": us})
    >>> router.home_of("event1"), router.route("event1")
    ('us', 'us2')
    >>> _ = us.mark_down("us1", "us2")
    >>> for decision in router.tick(0.0):
    ...     print(decision.kind, decision.nodes, decision.reason)
    promote ('us', 'eu') no node of it is live; eu serves 100.00 % of its keys
    >>> router.route("event1")
    'eu2'
    """

    __slots__ = ("_policy", "_witness")

    def __init__(
        self,
        clusters: Mapping[str, Router],
        *,
        home: Router | None = None,
        standby: Mapping[str, Sequence[str]] | None = None,
        resident: Iterable[str] = (),
        policy: Handover = Handover(),
        witness: Witness | None = None,
        hooks: Iterable[Hook] = (),
    ) -> None:
        if not isinstance(clusters, Mapping) or not clusters:
            raise ArgumentTypeError("clusters", "a mapping of at least one name to its router", clusters)
        routers = {checked_text("cluster", name): _router(name, router) for name, router in clusters.items()}
        hasher = next(iter(routers.values())).hash
        home = PartitionTable([*routers], hash=hasher) if home is None else _router("home", home)
        checked_type("policy", policy, Handover)
        if {*home} != {*routers}:
            raise ArgumentError("home", f"a router over the clusters {sorted(routers)}", sorted(home))
        for name, router in (("home", home), *routers.items()):
            if router.hash != hasher:
                raise ArgumentError(f"router of {name}", f"hashed by {hasher!r}, as the others are", router.hash)
        self._routers, self._home, self._policy = routers, home, policy
        self._names = [*routers]
        self._standby = _standbys(self._names, standby or {})
        if isinstance(resident, str) or not isinstance(resident, Iterable):
            raise ArgumentTypeError("resident", "a list of names of clusters", resident)
        self._resident = frozenset(_known(self._names, "resident", name) for name in resident)
        self._witness = None if witness is None else checked_callable("witness", witness)
        self._begin_over({name: Standing() for name in routers}, Journal(), None)
        self._journal.hooks = tuple(checked_callable("hooks", hook) for hook in hooks)

    @staticmethod
    def _variants() -> tuple[type[ClusterRing], type[ClusterRing]]:
        return Clusters, _Losing

    # --- who serves whose keys

    def tick(self, now_s: float) -> list[Decision]:
        """Decide what is due at a time: who hands keys over, and who gets them back.

        Returns
        -------
        list of Decision
            Their `nodes` are the cluster whose keys they are about, and the one that serves them then.
        """
        now_s = checked_float("now_s", now_s, zero=True)
        with self._lock:
            self._time_s = now_s
            if self._is_stale():
                self._renew()
        decisions = [decision for name in self._names for decision in self._due(name, now_s)]
        self._follow()
        return decisions + self._journal.call_hooks(decisions, now_s)

    def _due(self, name: str, now_s: float) -> list[Decision]:
        """Do what is due of one cluster's keys."""
        standing = self._standing[name]
        wanted, reason = standing.wanted(now_s, self._policy)
        back = standing.may_return(now_s, self._policy)
        stranded = standing.given > 0 and self._standing[standing.to].capacity <= 0
        if name in self._resident:
            return []
        if standing.given and not standing.by_hand and back and (not wanted or self._failed_before(standing, now_s)):
            return self._moved("return", name, name, 0.0, f"{percent(standing.capacity)} of its weight is live again")
        if stranded or (wanted > standing.given and not standing.by_hand):
            to = self._stand_in(name, now_s)
            if to is None and stranded and standing.capacity > 0:
                return self._moved("return", name, name, 0.0, f"{standing.to} is down, and no other cluster can serve")
            if to is None:
                return self._told(
                    name, "wait", f"{reason or 'its stand-in is down'}, and no cluster in its standby order can serve"
                )
            return self._moved("promote", name, to, max(wanted, standing.given), reason or f"{standing.to} is down")
        return []

    def _failed_before(self, standing: Standing, now_s: float) -> bool:
        """Whether it wants to hand over by requests alone that failed before it was sound for long."""
        return standing.capacity >= self._policy.return_at

    def _stand_in(self, name: str, now_s: float) -> str | None:
        """The first in the standby order that has its own keys and capacity; else the first that has any node."""
        able = [other for other in self._standby[name] if self._standing[other].capacity > 0]
        sound = [
            o for o in able if not self._standing[o].given and not self._standing[o].wanted(now_s, self._policy)[0]
        ]
        return next(iter([*sound, *able]), None)

    def _moved(self, kind: str, name: str, to: str, given: float, reason: str) -> list[Decision]:
        try:
            transfer = self._hand(name, to, given, reason)
        except PromotionError as error:
            return self._told(name, "refused", str(error))
        except RingwardError as error:
            return self._told(name, "error", f"{kind} could not be carried out: {error}")
        served = f"{to} serves {percent(given)} of its keys" if given else "it has all its keys again"
        nodes = (name,) if kind == "return" else (name, to)
        decision = Decision(self._time_s, kind, nodes, bounded(f"{reason}; {served}"), transfer, transfer.share)
        self._journal.note(decision)
        return [decision]

    def _told(self, name: str, kind: str, reason: str) -> list[Decision]:
        """Why nothing happens, once for as long as it does not."""
        if self._standing[name].told == reason:
            return []
        self._standing[name].told = reason
        decision = Decision(self._time_s, kind, (name,), bounded(reason))
        self._journal.note(decision)
        return [decision]

    def _hand(self, name: str, to: str, given: float, reason: str, *, by_hand: bool = False) -> Transfer:
        """Let a cluster serve a share of another's keys, if the witness agrees.

        It is asked outside of the lock: while its store hangs, this one follows the routers inside. The epoch that it agreed
        to is used up, whatever comes of it: it would refuse it the next time.
        """
        standing = self._standing[name]
        with self._lock:
            term, epoch = standing.term, max(self.epoch, self._agreed) + 1
        if self._witness is not None:
            self._ask(self._witness, name, to, epoch)
        with self._lock:
            self._agreed = max(self._agreed, epoch)
            if standing.term != term:
                raise PromotionError(name, to, "who serves these keys changed while the witness was asked")
            before = standing.copy()
            if given:
                fresh, standing.given, standing.to, standing.reason = not standing.given, given, to, reason
                standing.handed_over(self._time_s, self._policy, fresh=fresh, by_hand=by_hand)
            else:
                standing.returned(self._time_s)
            try:
                transfer = self._compiled()
            except RingwardError:
                self._standing[name] = before
                raise
            standing.term = transfer.epoch
        return transfer

    @staticmethod
    def _ask(witness: Witness, name: str, to: str, epoch: int) -> None:
        try:
            agreed = bool(witness(name, to, epoch))
        except Exception as error:
            raise PromotionError(name, to, f"the witness raised {error_text(error)}") from error
        if not agreed:
            raise PromotionError(name, to, f"the witness refuses it for epoch {epoch}")

    def promote(self, cluster: str, to: str) -> Transfer:
        """Let another cluster serve all keys of a cluster, until `give_back`.

        Where it serves them by hand already, nothing happens, and the witness is not asked.

        Raises
        ------
        PromotionError
            When there is no witness, it refuses, or `to` has no live node.
        ResidencyError
            When the keys must not leave their cluster.
        ArgumentError
            When there are no such clusters.
        """
        cluster, to = _known(self._names, "cluster", cluster), _known(self._names, "to", to)
        if cluster in self._resident:
            raise ResidencyError(cluster)
        if to == cluster:
            raise ArgumentError("to", "another cluster", to)
        with self._lock:
            if self._witness is None:
                raise PromotionError(cluster, to, "a promotion needs a witness, and there is none")
            if self._standing[to].capacity <= 0:
                raise PromotionError(cluster, to, "no node of it is live")
            if self._standing[cluster].by_hand and self._standing[cluster].to == to:
                return Transfer(self._state, self._state)
        return self._by_hand_to(cluster, to, 1.0, "promoted by hand")

    def give_back(self, cluster: str) -> Transfer:
        """Let a cluster serve its own keys again. Where it does, nothing happens, and the witness is not asked.

        Raises
        ------
        PromotionError
            When the witness refuses.
        """
        cluster = _known(self._names, "cluster", cluster)
        with self._lock:
            if not self._standing[cluster].given:
                return Transfer(self._state, self._state)
        return self._by_hand_to(cluster, cluster, 0.0, "given back by hand")

    def _by_hand_to(self, cluster: str, to: str, given: float, reason: str) -> Transfer:
        transfer = self._hand(cluster, to, given, reason, by_hand=True)
        kind, nodes = ("promote", (cluster, to)) if given else ("return", (cluster,))
        self._journal.note(Decision(self._time_s, kind, nodes, reason, transfer, transfer.share))
        self._follow()
        return transfer

    def failed(self, cluster: str, now_s: float) -> None:
        """A request to a cluster failed, whichever of its nodes it went to. `tick` draws the conclusion."""
        self._outcome(cluster, now_s, failed=True)

    def answered(self, cluster: str, now_s: float) -> None:
        """A request to a cluster was answered."""
        self._outcome(cluster, now_s, failed=False)

    def _outcome(self, cluster: str, now_s: float, *, failed: bool) -> None:
        name = _known(self._names, "cluster", cluster)
        self._standing[name].outcome(checked_float("now_s", now_s, zero=True), failed=failed)

    def term(self, cluster: str) -> int:
        """The epoch of the last change of who serves the keys of a cluster: the fencing token of who serves them now."""
        return self._standing[_known(self._names, "cluster", cluster)].term

    def check(self, cluster: str, token: int) -> None:
        """Accept the token of who serves the keys of a cluster now, and refuse older ones.

        Parameters
        ----------
        cluster : str
        token : int
            `term(cluster)`, or a later epoch, as the caller saw it.

        Raises
        ------
        StaleEpochError
        """
        term, epoch = self.term(cluster), self.epoch
        number = checked_int("token", token, 0, 2**64 - 1)
        if not term <= number <= epoch:
            raise StaleEpochError(number, term, epoch)

    def log(self) -> list[Decision]:
        """The latest 1,000 decisions, the oldest first; the latest 16 of them with their transfers."""
        return self._journal.entries()

    def explain(self, key: Key, count: int = 3) -> Explanation:
        """The whole way of a key: its home, why it is not there, where it is, and when it returns.

        Parameters
        ----------
        key : str, bytes, bytearray, memoryview, int, NumPy integer or UUID
        count : int
            The largest number of candidates to explain, at least 1.
        """
        self.route(key)  # raises where nobody can own it
        home, serving = self.home_of(key), self.serving(key)
        told = self._routers[serving].explain(key, count)
        standing = self._standing[home]
        why = "its home"
        if serving != home:
            returns = standing.returns_in(self._time_s, self._policy)
            why = f"its home, which has handed over {percent(standing.given)} of its keys: {standing.reason}; {returns}"
        steps = [Step(home, taken=serving == home, reason=why)]
        if serving != home:
            steps.append(Step(serving, taken=True, reason=f"stands in for {home}"))
        order = tuple(self.candidates(key, count))
        return replace(told, place=f"home cluster {home}; {told.place}", candidates=order, steps=(*steps, *told.steps))

    # --- copies

    @classmethod
    def resume(cls, snapshot: Snapshot, hash: Hasher | None = None) -> NoReturn:  # noqa: ARG003 - as in `Router`
        """Not to be had: a snapshot knows no clusters."""
        raise ArgumentError("snapshot", "of a router inside: Clusters are made of those", snapshot)

    def copy(self) -> Self:
        """An independent one in the same state, with copies of the routers inside, without witness and hooks."""
        return _again(*self._in_parts())  # type: ignore[return-value] # of this very class

    __copy__ = copy

    def _in_parts(self) -> tuple[Any, ...]:
        with self._lock:
            routers = {name: router.copy() for name, router in self._routers.items()}
            about = (
                self._home.copy(),
                self._standby,
                self._resident,
                self._policy,
                {name: each.copy() for name, each in self._standing.items()},
                self._losses,
            )
            snapshot, journal = self.snapshot(), self._journal.copy()
        self._follow()
        return routers, about, snapshot, journal, self._time_s

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._in_parts()

    def __repr__(self) -> str:
        away = [name for name in self._names if self._standing[name].given]
        told = f", of {', '.join(away)} elsewhere" if away else ""
        return (
            f"<Clusters {', '.join(self._names)}: {len(self)} nodes, {len(self.down)} down, epoch {self.epoch}{told}>"
        )


class _Losing(Clusters):
    """While there are keys that nobody can own: reads look whether theirs is one of them."""

    __slots__ = ()

    def route(self, key: Key, /) -> str:
        """As `Clusters.route`."""
        name = super().route(key)
        if self._state.cluster.ids[name] in self._losses:
            home = self.home_of(key)
            if home in self._resident:
                raise ResidencyError(home)
            raise NoNodeError(f"no node can own a key of cluster {shown(home)}: none is live where it may be served")
        return name

    def __getitem__(self, key: Key) -> str:
        return self.route(key)

    def assign(self, keys: Any, *, count: int | None = None, out: Any = None, threads: int | None = None,
               nulls: Any = "raise") -> npt.NDArray[Any]:  # fmt: skip
        """As `Clusters.assign`."""
        ids = super().assign(keys, count=count, out=out, threads=threads, nulls=nulls)
        return ids if count is not None else self._without_losses(ids)

    def assign_hashes(self, hashes: npt.NDArray[np.uint64], *, count: int | None = None, out: Any = None,
                      threads: int | None = None) -> npt.NDArray[Any]:  # fmt: skip
        """As `Clusters.assign_hashes`."""
        ids = super().assign_hashes(hashes, count=count, out=out, threads=threads)
        return ids if count is not None else self._without_losses(ids)

    def _without_losses(self, ids: npt.NDArray[Any]) -> npt.NDArray[Any]:
        ids[np.isin(ids, [*self._losses])] = np.iinfo(ids.dtype).max
        return ids


def _again(
    routers: dict[str, Router], about: tuple[Any, ...], snapshot: Snapshot, journal: Journal, time_s: float
) -> Clusters:
    clusters = Clusters.__new__(Clusters)
    clusters._routers, clusters._names, clusters._witness = routers, [*routers], None
    clusters._home, clusters._standby, clusters._resident, clusters._policy, standing, losses = about
    clusters._begin_over(standing, journal, snapshot._state, losses)
    clusters._time_s = time_s
    return clusters


def _router(name: str, router: object) -> Router:
    if not isinstance(router, Router):
        raise ArgumentTypeError(f"router of {name}", "a Router", router)
    return router


def _known(names: Sequence[str], argument: str, name: object) -> str:
    if name not in names:
        raise ArgumentError(argument, f"one of {', '.join(names)}", name)
    return next(each for each in names if each == name)


def _standbys(names: Sequence[str], given: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Of each cluster, who takes over, in order."""
    if not isinstance(given, Mapping):
        raise ArgumentTypeError("standby", "a mapping of a cluster to a list of clusters", given)
    for name, order in given.items():
        _known(names, "standby", name)
        if isinstance(order, str) or not isinstance(order, Sequence) or len({*order}) != len(order) or name in order:
            raise ArgumentError(f"standby of {name}", "a list of other clusters, each once", order)
        for other in order:
            _known(names, f"standby of {name}", other)
    ordered = sorted(names)
    rounds = {name: [*ordered[i + 1 :], *ordered[:i]] for i, name in enumerate(ordered)}
    return {name: tuple(given.get(name, rounds[name])) for name in names}
