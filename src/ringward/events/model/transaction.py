"""`Transaction`: what a handler writes with, together with its acknowledgement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Transaction"]


class Transaction(Protocol):
    """What `event.transaction` is: the store's own connection, within bounds."""

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and return all its rows."""
        ...

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any] | Mapping[str, Any]]) -> None:
        """Run one statement for each of the parameters."""
        ...
