"""`opened`: the store that a processor was given, or the path of one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ringward.errors import ArgumentError, ArgumentTypeError
from ringward.events.model.store import Store
from ringward.events.model.stream import Stream
from ringward.events.stores.memory.store import MemoryStore

if TYPE_CHECKING:
    from ringward.events.stores.sqlite.store import SqliteStore

__all__ = ["opened", "sqlite_store"]


def sqlite_store() -> type[SqliteStore]:
    """The class of stores in a file: it needs the extra, and everything else works without."""
    try:
        from ringward.events.stores.sqlite.store import SqliteStore  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise ImportError("SqliteStore needs apsw: pip install 'ringward[events]'") from error
    return SqliteStore


def opened(store: str | os.PathLike[str] | Store | None, stream: Stream | None, *, create: bool) -> Store:
    """A store in memory, in the file of a path, or the one that was given."""
    if store is None:
        return MemoryStore(stream)
    if isinstance(store, str | os.PathLike):
        return sqlite_store()(store, stream, create=create)
    if isinstance(store, type) or not hasattr(store, "abilities"):
        raise ArgumentTypeError("store", "a path, a Store or None", store)
    if stream is not None and stream != store.stream:
        raise ArgumentError("stream", f"the store's, {store.stream!r}", stream)
    return store
