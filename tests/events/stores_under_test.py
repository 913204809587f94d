"""The stores that the suites run on: ours, and each that a folder beside this file or an environment variable adds.

A store is added by a module `under_test`, in a folder here or named by RINGWARD_STORE_UNDER_TEST, with

- `maker(folder)`: returns a function that opens a store, `make(stream, *, id_window_s, clock, now, faults)`; what it stores goes
  into the empty folder, or anywhere that is as new;
- `SHARED`: whether what it opens each time is a process of its own on the same events. Else the suites let one store stand for several.

`clock` is where stamps come from. A store calls `faults("settle")` in `settle`, or `faults("settled")`, before anything of it is
durable; and other points of its own wherever it likes.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from ringward.events import MemoryStore, SqliteStore

__all__ = ["STORES", "UnderTest"]


class UnderTest(NamedTuple):
    """One kind of store."""

    maker: Callable[[Path], Callable[..., Any]]
    shared: bool


def _sqlite(folder: Path) -> Callable[..., Any]:
    return lambda stream, **options: SqliteStore(folder / "store.db", stream, **options)


STORES = {"memory": UnderTest(lambda _: MemoryStore, shared=False), "sqlite": UnderTest(_sqlite, shared=True)}

_found = [f"events.{path.parent.name}.under_test" for path in sorted(Path(__file__).parent.glob("*/under_test.py"))]
for _name in [*_found, *filter(None, [os.environ.get("RINGWARD_STORE_UNDER_TEST")])]:
    _module = import_module(_name)
    STORES[_name.removesuffix(".under_test").rpartition(".")[2]] = UnderTest(_module.maker, _module.SHARED)
