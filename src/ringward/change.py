"""What can be changed of a membership, and `Change`: several changes as one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from ringward.cluster import Cluster, Node, as_nodes
from ringward.errors import ArgumentError, ChangeError
from ringward.transfer import Transfer

__all__ = ["Change", "Operation", "adding", "marking", "removing", "reweighing"]

Operation = Callable[[Cluster], Cluster]


def _some(argument: str, given: tuple[Any, ...]) -> None:
    if not given:
        raise ArgumentError(argument, "at least one", given)


def marking(names: tuple[str, ...], *, down: bool) -> Operation:
    """Mark members down, or up again."""
    _some("names", names)
    return lambda cluster: cluster.mark(names, down=down)


def adding(nodes: tuple[Node | str, ...]) -> Operation:
    """Take in new members."""
    _some("nodes", nodes)
    fresh = as_nodes(nodes)
    return lambda cluster: cluster.add(fresh)


def removing(names: tuple[str, ...]) -> Operation:
    """Let members go."""
    _some("names", names)
    return lambda cluster: cluster.remove(names)


def reweighing(name: str, weight: float) -> Operation:
    """Give a member another weight."""
    checked = Node("weight", weight).weight  # the bound is the node's
    return lambda cluster: cluster.reweigh(name, checked)


class Changing(Protocol):
    """A router, as far as a change of it goes."""

    _changing: set[int]

    def _change(self, operation: Operation) -> Transfer: ...


class Change:
    """Changes that are recorded and applied together at the end of a `with` block.

    Attributes
    ----------
    transfer : Transfer
        What they moved; available after the block.
    """

    def __init__(self, router: Changing) -> None:
        self._router = router
        self._operations: list[Operation] = []
        self._thread: int | None = None  # that entered it; another one may leave it
        self._open = False
        self.transfer: Transfer

    def __enter__(self) -> Self:
        thread = threading.get_ident()
        if thread in self._router._changing:
            raise ChangeError("a change() of this router is open in this thread already")
        if self._thread is not None:
            raise ChangeError("a change() serves one with block")
        self._thread = thread
        self._open = True
        self._router._changing.add(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        self._router._changing -= {self._thread}
        if kind is None:
            self.transfer = self._router._change(self._all)

    def _all(self, cluster: Cluster) -> Cluster:
        for operation in self._operations:
            cluster = operation(cluster)
        return cluster

    def _record(self, operation: Operation) -> None:
        if not self._open:  # it would be recorded, and never applied
            raise ChangeError("a change() takes operations inside its with block, and applies them at its end")
        self._operations.append(operation)

    def mark_down(self, *names: str) -> None:
        """As `Router.mark_down`."""
        self._record(marking(names, down=True))

    def mark_up(self, *names: str) -> None:
        """As `Router.mark_up`."""
        self._record(marking(names, down=False))

    def add(self, *nodes: Node | str) -> None:
        """As `Router.add`."""
        self._record(adding(nodes))

    def remove(self, *names: str) -> None:
        """As `Router.remove`."""
        self._record(removing(names))

    def reweigh(self, name: str, weight: float) -> None:
        """As `Router.reweigh`."""
        self._record(reweighing(name, weight))
