"""`PrimaryBackup`: one node owns everything, backups stand by, and a fence keeps the old primary out."""

from __future__ import annotations

from operator import index
from typing import Any

import numpy as np

from ringward._core import Hasher, ListTable, State
from ringward.checks import checked_int
from ringward.cluster import Cluster, Nodes
from ringward.errors import ArgumentTypeError, StaleEpochError
from ringward.keys import XXH3
from ringward.router import Placed, Router

__all__ = ["PrimaryBackup"]


class PrimaryBackup(Router):
    """Every key belongs to the first live node of a list.

    Parameters
    ----------
    nodes : iterable of str or Node, or mapping of name to weight
        In the order of their priority. A node of weight 0 never becomes primary.
    failback : bool
        Whether a recovered node of higher priority takes over again; otherwise the primary
        stays until it fails.
    hash : XXH3, SipHash or Multiplicative
    on_empty : str, optional
        The member that is primary while nobody is live.

    Examples
    --------
    >>> import ringward as rw
    >>> pair = rw.PrimaryBackup(["main", "backup"])
    >>> token = pair.epoch  # main notes the epoch in which it became primary
    >>> _ = pair.mark_down("main")
    >>> pair.primary, pair.term
    ('backup', 1)
    >>> pair.check(token)
    Traceback (most recent call last):
        ...
    ringward.errors.StaleEpochError: token must be at least 1, the term, and at most 1, the epoch (was 0)
    """

    __slots__ = ()

    ordered = True

    def __init__(
        self, nodes: Nodes = (), *, failback: bool = True, hash: Hasher = XXH3(), on_empty: str | None = None
    ) -> None:
        super().__init__(nodes, {"failback": failback}, hash, on_empty)

    @staticmethod
    def _checked(options: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(options["failback"], bool):
            raise ArgumentTypeError("failback", "a bool", options["failback"])
        return {"failback": options["failback"]}

    def _fits(self, state: State) -> bool:
        table, memory = state.own
        again: Any = self._place(state.cluster, state, state.epoch)  # nothing changes: it places what is there
        checked_int("term", memory["term"], 0, state.epoch)
        return (
            isinstance(table, ListTable) and np.array_equal(table.order, again.table.order) and memory == again.memory
        )

    def _place(self, cluster: Cluster, before: State | None, epoch: int) -> Placed:
        able = [node.name for node in cluster if cluster.can_own(node)]
        last = before.own.memory if before is not None else {"primary": None, "term": epoch}
        if not self._options["failback"] and last["primary"] in able:
            able.remove(last["primary"])
            able.insert(0, last["primary"])
        primary = able[0] if able else self._options["on_empty"]
        term = last["term"] if primary == last["primary"] else epoch
        order = np.array([cluster.ids[name] for name in able], np.uint32)
        return Placed(ListTable(order), {"primary": primary, "term": term})

    @property
    def primary(self) -> str | None:
        """The node that owns every key now; None when there is none."""
        primary: str | None = self._state.own.memory["primary"]
        return primary

    @property
    def term(self) -> int:
        """The epoch of the last change of primary."""
        return int(self._state.own.memory["term"])

    def check(self, token: int) -> None:
        """Accept the token of the current primary, and refuse older ones.

        Parameters
        ----------
        token : int
            The epoch at which the caller saw itself as primary.

        Raises
        ------
        StaleEpochError
            When the primary has changed since, or the token is above the current epoch.
            (A backup's failure raises the epoch but not the term: it fences nobody.)
        """
        if isinstance(token, bool) or not hasattr(token, "__index__"):
            raise ArgumentTypeError("token", "an int", token)
        state, number = self._state, index(token)
        term = state.own.memory["term"]
        if not term <= number <= state.epoch:
            raise StaleEpochError(number, term, state.epoch)
