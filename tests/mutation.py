"""Deliberate bugs: each replaces something real by something that is nearly right, for as long as a test wants it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch


class Mutant(NamedTuple):
    """A bug, and the circumstances that bring it out."""

    owner: Any
    attribute: str
    wrong: object
    says: str
    plan: dict[str, Any]


class Mutants(dict[str, Mutant]):
    """Bugs by name."""

    def of(self, owner: Any, attribute: str, **plan: Any) -> Callable[[Callable[[Any], object]], Any]:
        """Register a bug: a function of the right one that makes the wrong one."""

        def register(make: Callable[[Any], object]) -> Any:
            self[make.__name__] = Mutant(owner, attribute, make(vars(owner)[attribute]), make.__doc__ or "", plan)
            return make

        return register

    @contextmanager
    def switched_on(self, name: str) -> Iterator[Mutant]:
        """Let a bug be there."""
        bug = self[name]
        with patch.object(bug.owner, bug.attribute, bug.wrong):
            yield bug
