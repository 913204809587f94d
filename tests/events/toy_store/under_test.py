"""How the suites open toy stores."""

from __future__ import annotations

from events.toy_store.lines import Lines
from events.toy_store.store import ToyStore

SHARED = True  # each store is a process of its own, on the same lines


def maker(_folder):
    """What opens stores of one place."""
    lines = Lines()

    def make(stream, *, now=None, **options):
        return ToyStore(lines, stream, **options)

    return make
