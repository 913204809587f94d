"""`ClusterRing`: the routers of several clusters as one ring, by who serves whose keys. It decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ringward._core import NO_NODE, PointTable, Reader, State, checked_hashes, plain_array
from ringward.change import Operation
from ringward.checks import checked_int
from ringward.cluster import Cluster, Node
from ringward.errors import (
    ArgumentError,
    ArgumentTypeError,
    DuplicateNodeError,
    NoNodeError,
    RingwardError,
    UnknownNodeError,
    UnsupportedError,
)
from ringward.failover.composed import Segments, composed, segments
from ringward.failover.decision import Decision
from ringward.failover.handover import Standing
from ringward.failover.journal import Journal
from ringward.failover.loss_transfer import LossTransfer
from ringward.failover.over import Over
from ringward.failover.overlay import overlaid
from ringward.keys import Key, hash_keys
from ringward.router import Router
from ringward.snapshot import Snapshot
from ringward.transfer import Transfer
from ringward.view import Placed

__all__ = ["ClusterRing"]


class ClusterRing(Over):
    """The routers of several clusters as one ring of arcs: each key is served by its home or by who stands in for that."""

    __slots__ = (
        "_agreed", "_home", "_journal", "_losses", "_names", "_parts", "_resident", "_routers", "_seen", "_standby", "_standing",
        "_time_s",
    )  # fmt: skip

    _home: Router
    _routers: dict[str, Router]
    _names: list[str]
    _standby: dict[str, tuple[str, ...]]
    _resident: frozenset[str]
    _parts: Segments
    _seen: tuple[State, ...]
    _losses: frozenset[int]  # the nodes that stand for nobody

    def _begin_over(
        self,
        standing: dict[str, Standing],
        journal: Journal,
        state: State | None,
        losses: frozenset[int] = frozenset(),
    ) -> None:
        self._begin({"on_empty": None})
        self._standing, self._journal = standing, journal
        self._by_hand, self._time_s = False, 0.0
        self._agreed = 0  # the latest epoch that a witness was asked for and agreed to
        self._losses = losses
        if state is None:
            empty = np.empty(0, np.uint32)
            table = PointTable(np.empty(0, np.uint64), empty, np.empty(0, np.uint8), members=0)
            state = State(np.empty(0, object), table, self._home._state.hasher, -1, Cluster(), Placed(table))
        Reader.__init__(self, state)
        self._compiled()
        for router in (self._home, *self._routers.values()):
            router._add_follower(self)

    # --- compiling

    def _is_stale(self) -> bool:
        return self._seen != tuple(router._state for router in (self._home, *self._routers.values()))

    def _renew(self) -> None:
        """What cannot be compiled is told, and everything stays as it was: the change was one of a router inside."""
        try:
            self._compiled()
        except RingwardError as error:
            self._journal.note(Decision(self._time_s, "error", (), f"the clusters do not fit together: {error}"))

    def _compiled(self) -> Transfer:
        """Bring the table up to date with the routers inside and with who serves whose keys; swap it in."""
        before = self._state
        self._seen = (self._home._state, *(router._state for router in self._routers.values()))
        home, *states = self._seen
        if not home.table.live:
            raise NoNodeError("no cluster is live in the router of homes")
        members: dict[str, Node] = {}
        for state in states:
            for node in state.cluster:
                if node.name in members:
                    raise DuplicateNodeError(node.name)
                members[node.name] = node
        numbers = {name: number for number, name in enumerate(self._names)}
        number_of = np.array([numbers.get(name, 0) for name in home.name_tuple], np.int64)
        given = [self._standing[name].given for name in self._names]
        to = [numbers.get(self._standing[name].to, number) for name, number in numbers.items()]
        parts = segments(home, number_of, given, to)
        nobody = self._nobody(parts, states, members)
        base = Cluster(members)
        known = overlaid(before.cluster, base, frozenset(), {}).sealed(before.cluster, ordered=False)
        ids = [np.array([*map(known.ids.get, state.name_tuple, [NO_NODE] * len(state.names)), NO_NODE], np.uint32)
               for state in states]  # fmt: skip
        for number, name in nobody.items():
            ids[number][-1] = known.ids[name]
        losses = frozenset(known.ids[name] for name in nobody.values())
        for name, state in zip(self._names, states, strict=True):
            self._standing[name].capacity = _capacity(state.cluster)
        ends, owners = composed(parts, states, ids)
        owning = np.unique(owners)
        idle = dict.fromkeys(members.keys() - set(known.names[owning].tolist()), 0.0)
        cluster = overlaid(known, base, frozenset(), idle).sealed(known, ordered=False)
        alive = np.zeros(len(known.ids), np.uint8)
        alive[owning] = 1
        table: Any = before.table
        same = cluster.members == before.cluster.members and np.array_equal(table.hashes, ends)
        same = same and np.array_equal(table.nodes, owners) and losses == self._losses
        after = before
        if not same or self._agreed > before.epoch:
            table = PointTable(ends, owners, alive, members=len(owning))
            epoch = max(before.epoch + 1, self._agreed)
            past = None if known.forgot or cluster.forgot else before
            after = State(cluster.names, table, home.hasher, epoch, cluster, Placed(table), past)
        self._parts = parts
        lost = self._losses
        self._swap_in(after, losses)
        return LossTransfer(before, after, lost, losses) if lost or losses else Transfer(before, after)

    def _nobody(self, parts: Segments, states: Sequence[State], members: dict[str, Node]) -> dict[int, str]:
        """Number of a cluster that serves keys and has no live node → one of its nodes, which stands for nobody.

        Where all of them have left, one of those that were there is a member for as long as it does.
        """
        found = {}
        for number in np.unique(parts.serving).tolist():
            state = states[number]
            if not state.table.live:
                names = sorted(node.name for node in state.cluster) or [
                    name for name in state.name_tuple if name not in members
                ]
                if not names:
                    raise ArgumentError(f"cluster {self._names[number]}", "of at least one node", 0)
                found[number] = names[0]
                members.setdefault(names[0], Node(names[0]))
        return found

    def _swap_in(self, state: State, losses: frozenset[int]) -> None:
        """While there are keys that nobody can own, each read has to look whether its key is one of them."""
        if losses:
            self._losses = losses
            self.__class__ = self._variants()[1]
        if state is not self._state:
            self._swap(state)
        if not losses:
            self.__class__ = self._variants()[0]
            self._losses = losses

    @staticmethod
    def _variants() -> tuple[type[ClusterRing], type[ClusterRing]]:
        """The class of one in which each key has an owner, and of one in which some have none."""
        raise NotImplementedError

    def _place(self, cluster: Cluster, before: State | None, epoch: int) -> Placed:
        raise NotImplementedError

    def _change(self, operation: Operation) -> Transfer:
        raise UnsupportedError(
            "nodes are changed in the router of their cluster, as clusters.routers[name].mark_down(node)"
        )

    # --- what is known

    @property
    def routers(self) -> dict[str, Router]:
        """The routers inside, by cluster."""
        return dict(self._routers)

    @property
    def home(self) -> Router:
        """The router that gives each key its home."""
        return self._home

    @property
    def down(self) -> frozenset[str]:
        """The nodes that are marked down in their clusters."""
        return frozenset().union(*(router.down for router in self._routers.values()))

    def home_of(self, key: Key) -> str:
        """The home cluster of a key."""
        home: str = self._home.route(key)
        return home

    def serving(self, key: Key) -> str:
        """The cluster that serves a key now."""
        return str(self._names[self._parts.serving[self._segment(key)]])

    def _segment(self, key: Key) -> int:
        return int(self._parts.at(np.array([self._state.hasher(key)], np.uint64))[0])

    def cluster_of(self, node: str) -> str:
        """The cluster that a node belongs to.

        Raises
        ------
        UnknownNodeError
        """
        for name, router in self._routers.items():
            if node in router:
                return name
        raise UnknownNodeError(node)

    # --- reading

    def candidates(self, key: Key, /, count: int | None = None) -> list[str]:
        """The owner of a key, then who takes over after it: in the cluster that serves it, then in the standby order.

        Parameters
        ----------
        key : str, bytes, bytearray, memoryview, int, NumPy integer or UUID
        count : int, optional
            The largest number of nodes, at least 1; all by default.

        Returns
        -------
        list of str
        """
        home = self._names[self._parts.home[self._segment(key)]]
        found: list[str] = []
        for name in self._order(home, self.serving(key)):
            found += self._routers[name].candidates(key, count)
        return found if count is None else found[:count]

    def _order(self, home: str, serving: str) -> list[str]:
        """Clusters in the order in which they serve keys of a home."""
        if home in self._resident:
            return [home]
        return [*dict.fromkeys([serving, home, *self._standby[home]])]

    def assign(self, keys: Any, *, count: int | None = None, out: Any = None, threads: int | None = None,
               nulls: Any = "raise") -> npt.NDArray[Any]:  # fmt: skip
        """As `Router.assign`: the owners of a column of keys, as node ids; with `count`, candidates as `candidates` has them.

        Parameters
        ----------
        keys : list, tuple, ndarray or Arrow column, shape (n,)
        count : int, optional
        out : ndarray of uint16, uint32 or int64, optional
        threads : int, optional
        nulls : {"raise", "skip"}
            With `count`, "raise" alone.

        Returns
        -------
        ndarray of uint32 (or `out`), shape (n,) or (n, count)
        """
        if count is None:
            return super().assign(keys, out=out, threads=threads, nulls=nulls)
        if nulls != "raise":
            raise UnsupportedError("candidates of several clusters are not there for columns with missing keys")
        return self.assign_hashes(hash_keys(keys, self.hash, threads=threads), count=count, out=out, threads=threads)

    def assign_hashes(self, hashes: npt.NDArray[np.uint64], *, count: int | None = None, out: Any = None,
                      threads: int | None = None) -> npt.NDArray[Any]:  # fmt: skip
        """As `assign`, for keys that `router.hash` has already hashed.

        Parameters
        ----------
        hashes : ndarray of uint64, shape (n,)
        count, out, threads
            As for `assign`.

        Returns
        -------
        ndarray of uint32 (or `out`), shape (n,) or (n, count)
        """
        if count is None:
            return super().assign_hashes(hashes, out=out, threads=threads)
        width = checked_int("count", count, 1, 1 << 16)
        hashes = checked_hashes(hashes)
        state, at = self._state, self._parts.at(hashes)
        target = None if out is None else _checked_out(out, (len(hashes), width), len(state.names))
        rows = np.full((len(hashes), width), NO_NODE, np.uint32)
        pairs = self._parts.home[at] * len(self._names) + self._parts.serving[at]
        for pair in np.unique(pairs).tolist():
            home, serving = (self._names[number] for number in divmod(pair, len(self._names)))
            mine = np.flatnonzero(pairs == pair)
            filled = 0
            for name in self._order(home, serving):
                inside = self._routers[name]._state
                room = min(width - filled, inside.table.live)
                if room <= 0:
                    continue
                found = Reader(inside).assign_hashes(hashes[mine], count=room, threads=threads)
                ids = np.array(
                    [*map(state.cluster.ids.get, inside.name_tuple, [NO_NODE] * len(inside.names)), NO_NODE], np.uint32
                )
                rows[mine, filled : filled + room] = ids[np.minimum(found, len(ids) - 1)]
                filled += room
        return rows if target is None else _into(target, rows)

    def _moment(self) -> tuple[State, str]:
        return self._state, "Clusters"

    def snapshot(self) -> Snapshot:
        """Return who owns what now, for good. It routes as this does now; its candidates are the owners of the arcs after it.

        Keys that nobody can own go to a node that is down there: a snapshot has no way to say that some keys have no owner.
        """
        return Snapshot(self._state, "Clusters", self._options)


def _capacity(cluster: Cluster) -> float:
    """The share of a cluster's weight that is live; what a policy has lowered counts as it is."""
    total = sum(node.weight for node in cluster)
    return sum(node.weight for node in cluster if cluster.can_own(node)) / total if total else 0.0


def _checked_out(given: object, shape: tuple[int, int], ids: int) -> npt.NDArray[Any]:
    out = plain_array(given)
    if out is None or out.dtype not in (np.uint16, np.uint32, np.int64):
        shown = type(given).__name__ if out is None else out.dtype
        raise ArgumentTypeError("out", "a NumPy array of uint16, uint32 or int64", shown)
    if out.shape != shape:
        raise ArgumentError("out", f"of shape {shape}", out.shape)
    if not out.flags.writeable:
        raise ArgumentError("out", "writeable", "read-only")
    if ids > np.iinfo(out.dtype).max:
        raise ArgumentError("out", f"wide enough for node id {ids - 1}", out.dtype)
    return out


def _into(out: npt.NDArray[Any], rows: npt.NDArray[np.uint32]) -> npt.NDArray[Any]:
    np.copyto(out, rows, casting="unsafe")
    out[rows == NO_NODE] = np.iinfo(out.dtype).max
    return out
