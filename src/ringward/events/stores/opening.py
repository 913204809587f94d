"""`open_store`: the store that is meant by a path or an address. Each kind is imported when it is asked for."""

from __future__ import annotations

import os
import re
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from ringward.checks import checked_callable, checked_text, checked_type
from ringward.errors import ArgumentError, ArgumentTypeError, UnsupportedError
from ringward.events.model.store import Store, lacking
from ringward.events.model.stream import Stream
from ringward.events.stores.memory.store import MemoryStore

if TYPE_CHECKING:
    from ringward.events.stores.sqlite.store import SqliteStore

__all__ = ["Opener", "open_store", "register_scheme", "sqlite_store"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
_FILES = ("file", "sqlite", "sqlite3")  # of which a `SqliteStore` says what path is meant


class Opener(Protocol):
    """What opens the store of an address."""

    def __call__(self, url: str, stream: Stream | None, *, create: bool) -> Store:
        """Open it; with `create`, make it where there is none."""
        ...


_openers: dict[str, Opener | str] = {}


def register_scheme(scheme: str, opener: Opener | str) -> None:
    """Let `Processor("scheme://...")` and `open_store` open stores of another kind.

    Parameters
    ----------
    scheme : str
        In small letters: what stands before "://". If it is registered already, the new opener takes its place.
    opener : callable or str
        Called as `opener(url, stream, create=create)`; or "package.module:function", which is imported for the first address.

    Raises
    ------
    ArgumentError
        When it is a scheme of files.

    Examples
    --------
    >>> from ringward.events import MemoryStore, Processor, register_scheme
    >>> register_scheme("ram", lambda url, stream, create: MemoryStore(stream))
    >>> with Processor("ram://orders") as p:
    ...     p.publish("user:42", b"19.90").seq
    1
    """
    if not _SCHEME.fullmatch(checked_text("scheme", scheme)):
        raise ArgumentError("scheme", "two or more of a-z, 0-9, '+', '.' and '-', a letter first", scheme)
    if scheme in _FILES:
        raise ArgumentError("scheme", "another than those of files", scheme)
    if not isinstance(opener, str):
        checked_callable("opener", opener)
    elif not all(opener.partition(":")):
        raise ArgumentError("opener", "a function, or of the form package.module:function", opener)
    _openers[scheme] = opener


def open_store(
    store: str | os.PathLike[str] | Store | None, stream: Stream | None = None, *, create: bool = True
) -> Store:
    """Open a store, as `Processor` does.

    Parameters
    ----------
    store : str, path, Store or None
        A file's path, for a `SqliteStore`; an address whose scheme is registered; a store, which is given back; None for a
        `MemoryStore`.
    stream : Stream, optional
        How many partitions, and how keys are hashed, in a new store. That of another must be the same.
    create : bool
        Whether it is made where there is none.

    Raises
    ------
    UnsupportedError
        For an address of a scheme that is not registered.

    Examples
    --------
    >>> from ringward.events import open_store
    >>> open_store(None).abilities.durable
    False
    """
    checked_type("create", create, bool)
    if store is None:
        return MemoryStore(stream)
    if isinstance(store, str) and (opener := _opener_of(store)) is not None:
        return opener(store, stream, create=create)
    if isinstance(store, str | os.PathLike):
        return sqlite_store()(store, stream, create=create)
    if isinstance(store, type) or "settle" in (missing := lacking(store)):
        raise ArgumentTypeError("store", "a path, a Store or None", store)
    if missing:
        raise ArgumentTypeError("store", f"a Store, which also has {', '.join(missing)}", store)
    if stream is not None and stream != store.stream:
        raise ArgumentError("stream", f"the store's, {store.stream!r}", stream)
    return store


def _opener_of(url: str) -> Opener | None:
    """What opens an address; None for what is none."""
    scheme, slashes, _ = url.partition("://")
    scheme = scheme.lower()
    if not slashes or not _SCHEME.fullmatch(scheme) or scheme.partition("+")[0] in _FILES:
        return None
    opener = _openers.get(scheme)
    if opener is None:
        known = "".join(f", or begin with {known}://" for known in sorted(_openers))
        raise UnsupportedError(
            f"there is no store for {scheme}:// yet: path must be that of a file{known} (was {url!r})"
        )
    if isinstance(opener, str):
        module, _, function = opener.partition(":")
        found: Opener = getattr(import_module(module), function)
        return found
    return opener


def sqlite_store() -> type[SqliteStore]:
    """`SqliteStore`, which apsw is needed for: the rest works without the extra."""
    try:
        from ringward.events.stores.sqlite.store import SqliteStore  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise ImportError("SqliteStore needs apsw: pip install 'ringward[events]'") from error
    return SqliteStore
