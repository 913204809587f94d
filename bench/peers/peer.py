"""`Peer`: what every adapter answers, and the list of adapters."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version

# In the order of the tables: module in `adapters` → class.
ADAPTERS = {
    "ringward_ring": "RingwardRing",
    "ringward_table": "RingwardTable",
    "fastring_ring": "FastringRing",
    "uhashring_ring": "UhashringRing",
    "uhashring_xxh3": "UhashringXXH3",
    "hashring_ring": "HashringRing",
    "tooz_ring": "ToozRing",
    "jump_hash": "JumpHash",
    "clandestined_rendezvous": "ClandestinedRendezvous",
    "pymemcache_rendezvous": "PymemcacheRendezvous",
    "numpy_ring": "NumpyRing",
    "numba_ring": "NumbaRing",
    "numba_table": "NumbaTable",
    "polars_table": "PolarsTable",
}
OURS = RING, TABLE = "ringward_ring", "ringward_table"
NOTHING_BUILT = "keeps a list of names: nothing is built, every lookup pays"


class Cannot(Exception):  # noqa: N818 - no error: a fact that the tables report
    """The peer has no such operation; the message says what it has."""


class Peer:
    """One package in the way its own documentation recommends for speed.

    `build` sets `self.route`, str → name, to the cheapest callable that the package offers, so
    that no adapter stands between the timed loop and the peer. Names are those given to `build`.

    Attributes
    ----------
    label : str
        The name in tables and plots.
    packages : tuple of str
        The distributions it needs; the version of the first is printed.
    algorithm : str
        What it computes, and with how many points.
    beside : str
        The adapter of ringward that does the same kind of work: `RING` or `TABLE`.
    changes_uncounted : str
        Why its builds and changes are shown but do not count as beaten or not, if they don't.
    """

    label = ""
    packages = ()
    algorithm = ""
    beside = RING
    changes_uncounted = ""

    def build(self, names):
        """Take the nodes and set `self.route`."""
        raise NotImplementedError

    def add(self, name):
        """One node more."""
        raise NotImplementedError

    def remove(self, name):
        """One node fewer."""
        raise NotImplementedError

    def route_many(self, keys):
        """A list of str → a node a key: names, or ids where the peer has them."""
        route = self.route
        return [route(key) for key in keys]

    def names_many(self, keys):
        """A list of str → a name a key."""
        return self.route_many(keys)

    def route_integers(self, keys):
        """An array of uint64 → a node a key. Most packages take one text at a time."""
        route = self.route
        return [route(str(key)) for key in keys.tolist()]

    def route_hashes(self, hashes):
        """An array of hashes → a node each, for those who keep hashes."""
        raise Cannot("takes keys, not hashes")

    def column(self, keys):
        """The keys, a list of str, in the container of texts that suits the peer best; not timed."""
        raise Cannot("has no column of texts")

    def route_column(self, column):
        """What `column` made → a node a key."""
        raise NotImplementedError


def installed(module):
    """The version of an adapter's package, or None when something it needs is not installed."""
    try:
        first, *_others = [version(package) for package in adapter(module).packages]
    except (PackageNotFoundError, ModuleNotFoundError):
        return None
    return first


def adapter(module):
    """The class of an adapter. Its package is imported by `build`, not here."""
    return getattr(importlib.import_module(f"peers.adapters.{module}"), ADAPTERS[module])
