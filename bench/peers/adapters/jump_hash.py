"""jump-consistent-hash: the jump hash of Lamping and Veach, in C."""

from __future__ import annotations

import xxhash

from peers.peer import NOTHING_BUILT, Cannot, Peer


class JumpHash(Peer):
    """Integers to bucket numbers. Hashing texts and naming buckets is left to the caller."""

    label = "jump-consistent-hash"
    packages = ("jump-consistent-hash", "xxhash")
    algorithm = "jump hash, XXH3 of texts by xxhash; only the last node can be removed"
    changes_uncounted = NOTHING_BUILT

    def build(self, names):
        import jump

        self._names = names = list(names)
        digest, jump_hash = xxhash.xxh3_64_intdigest, jump.hash

        def route(key):
            return names[jump_hash(digest(key.encode()), len(names))]

        self.route, self._hash = route, jump_hash

    def add(self, name):
        self._names.append(name)

    def remove(self, name):
        if name != self._names[-1]:
            raise Cannot("removes only the last node")
        self._names.pop()

    def route_integers(self, keys):
        jump_hash, count = self._hash, len(self._names)
        return [jump_hash(key, count) for key in keys.tolist()]
