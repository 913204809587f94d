"""Slow, readable reference of every routing rule, written from the rules and from nothing of the package."""

from __future__ import annotations

import math
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
import xxhash

RING = 2**64
"""Hashes are 0 .. RING - 1."""

LAST = RING - 1

COLLIDING = (
    "collide-!\u1000!!!!!@!!@`\xa0\u07f0!@!!!!!@!!@`\xa6" + "-" * 40,
    'collide-(\u1575|"\u0112+\u0294\u05d7\u031e$\u05b04u|"\u0112+\u0294\u05d7\u031e"' + "-" * 40,
)
"""Two names whose points collide, all of them.

XXH3 adds up one product for each 16 bytes of a label of 96 bytes. Bytes 16..31 and 32..47 of the
second label are those of the first, swapped and XORed with the difference of the two pieces of the
secret that they meet there, so the same two products are added.
"""


# ---- keys and hashes -----------------------------------------------------------------------------


def key_bytes(key: Any) -> bytes:
    """Return the bytes that a key is hashed as."""
    if isinstance(key, str):
        return key.encode("utf-8")
    if isinstance(key, (bytes, bytearray, memoryview)):
        return bytes(key)
    if isinstance(key, uuid.UUID):
        return key.bytes
    if not -(2**63) <= int(key) < 2**64:
        raise ValueError(key)
    return (int(key) % RING).to_bytes(8, "little")


def is_integer(key: Any) -> bool:
    """Tell whether a key is one of the integer kinds."""
    return isinstance(key, (int, np.integer))


def xxh3(data: bytes, seed: int = 0) -> int:
    """Return XXH3-64 of some bytes."""
    return xxhash.xxh3_64_intdigest(data, seed)


def siphash(key16: bytes, data: bytes, rounds: tuple[int, int] = (1, 3)) -> int:
    """Return SipHash-c-d of some bytes (Aumasson and Bernstein 2012, section 2)."""
    k0, k1 = (int.from_bytes(key16[i : i + 8], "little") for i in (0, 8))
    magic = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    v0, v1, v2, v3 = (m ^ k for m, k in zip(magic, (k0, k1, k0, k1), strict=True))

    def rotate(value: int, bits: int) -> int:
        return (value << bits | value >> (64 - bits)) % RING

    def sip_rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0, v2 = (v0 + v1) % RING, (v2 + v3) % RING
            v1, v3 = rotate(v1, 13) ^ v0, rotate(v3, 16) ^ v2
            v0 = rotate(v0, 32)
            v2, v0 = (v2 + v1) % RING, (v0 + v3) % RING
            v1, v3 = rotate(v1, 17) ^ v2, rotate(v3, 21) ^ v0
            v2 = rotate(v2, 32)

    padding = bytes(-(len(data) + 1) % 8)
    padded = data + padding + bytes([len(data) % 256])
    for i in range(0, len(padded), 8):
        word = int.from_bytes(padded[i : i + 8], "little")
        v3 ^= word
        sip_rounds(rounds[0])
        v0 ^= word
    v2 ^= 0xFF
    sip_rounds(rounds[1])
    return v0 ^ v1 ^ v2 ^ v3


def multiplicative_position(key: Any, m: int, p: int) -> int:
    """Return (k * m) mod p; k is an integer key modulo 2^64, or XXH3-64 of another key's bytes."""
    k = int(key) % RING if is_integer(key) else xxh3(key_bytes(key))
    return k * m % p


def multiplicative(key: Any, m: int, p: int) -> int:
    """Return the position scaled from [0, p) to [0, 2^64)."""
    return multiplicative_position(key, m, p) * RING // p


# ---- membership ----------------------------------------------------------------------------------


class Member(NamedTuple):
    """What a membership says of one name."""

    weight: float = 1.0
    zone: str | None = None


Members = Mapping[str, Member]


def can_own(members: Members, down: Iterable[str]) -> set[str]:
    """Return the names that may own keys: of positive weight and not down."""
    return {name for name, member in members.items() if member.weight > 0} - set(down)


class Model:
    """A membership after a history: priority order, weights, zones, down marks, ids, epoch, primary."""

    def __init__(self, members: Members, *, failback: bool = True) -> None:
        self.members = dict(members)
        self.down: set[str] = set()
        self.names = sorted(members)
        self.epoch = self.term = 0
        self.failback = failback
        self.primary = self.next_primary(None)

    def next_primary(self, previous: str | None) -> str | None:
        """Return the first of the list that can own, unless the previous primary may stay."""
        able = can_own(self.members, self.down)
        if previous in able and not self.failback:
            return previous
        return next((name for name in self.members if name in able), None)

    def apply(self, operations: Sequence[tuple]) -> bool:
        """Apply one change, made of operations like ("add", name, weight, zone); tell if it was one."""
        members, down = dict(self.members), set(self.down)
        for operation, name, *rest in operations:
            if operation == "add":
                members[name] = Member(*rest)
            elif operation == "reweigh":
                members[name] = members[name]._replace(weight=rest[0])
            elif operation == "remove":
                del members[name]
                down.discard(name)
            else:
                (down.add if operation == "mark_down" else down.discard)(name)
        if (list(members.items()), down) == (list(self.members.items()), self.down):
            return False
        self.names += sorted(set(members) - set(self.names))
        self.members, self.down, self.epoch = members, down, self.epoch + 1
        before, self.primary = self.primary, self.next_primary(self.primary)
        self.term = self.term if before == self.primary else self.epoch
        return True


# ---- placements: ends() are the last hashes of the arcs, candidates(h) the names in failover order --


class Placement:
    """What every reference placement has in common."""

    def ends(self) -> list[int]:
        """Return the last hash of every range within which nothing changes, ascending."""
        raise NotImplementedError

    def candidates(self, h: int) -> list[str]:
        """Return the names that may own a hash, in failover order."""
        raise NotImplementedError

    def owner(self, h: int) -> str | None:
        """Return the name that owns a hash, None if nobody can."""
        return next(iter(self.candidates(h)), None)


def ring_points(members: Members, points_per_node: int, weight_unit: float) -> list[tuple]:
    """Return (hash, UTF-8 name, name) of every point, in ring order."""
    points = []
    for name, member in members.items():
        utf8 = name.encode()
        for index in range(math.floor(points_per_node * member.weight / weight_unit + 0.5)):
            label = len(utf8).to_bytes(8, "little") + utf8 + index.to_bytes(8, "little")
            points.append((xxh3(label), utf8, name))
    return sorted(points)


class HashRing(Placement):
    """The owner is the first live node at or after the hash."""

    def __init__(self, members: Members, down: Iterable[str] = (), *, points_per_node: int,
                 weight_unit: float = 1.0, spread: str | None = None,
                 on_empty: str | None = None) -> None:  # fmt: skip
        self.members = members
        self.able = can_own(members, down)
        self.points = ring_points(members, points_per_node, weight_unit)
        self.hashes = [point[0] for point in self.points]
        self.spread = spread
        self.on_empty = on_empty

    def ends(self) -> list[int]:
        """Return the last hash of every range within which nothing changes, ascending."""
        return sorted({*self.hashes, LAST})

    def walk(self, h: int) -> list[str]:
        """Return all names that have points, live or not, in the order the ring meets them from h on."""
        first = bisect_left(self.hashes, h)
        return list(dict.fromkeys(name for *_, name in self.points[first:] + self.points[:first]))

    def candidates(self, h: int) -> list[str]:
        """Return the names that may own a hash, in failover order."""
        order = [name for name in self.walk(h) if name in self.able]
        if not order and self.on_empty is not None:
            return [self.on_empty]
        if self.spread == "zone":
            zones = {name: self.members[name].zone for name in order}
            seen = [zones[name] for name in order]
            fresh = [n for i, n in enumerate(order) if zones[n] is None or zones[n] not in seen[:i]]
            return fresh + [name for name in order if name not in fresh]
        return order

    def owner(self, h: int) -> str | None:
        """Return the name that owns a hash, None if nobody can."""
        first = bisect_left(self.hashes, h)
        for *_, name in self.points[first:] + self.points[:first]:
            if name in self.able:
                return name
        return self.on_empty


def first_cut(names: Iterable[str], part_size: int) -> list[list[str]]:
    """Cut names, ordered by (XXH3-64, name), into ceil(n / k) pieces; the first ones are larger."""
    order = sorted(names, key=lambda name: (xxh3(name.encode()), name.encode()))
    count = math.ceil(len(order) / part_size)
    sizes = [len(order) // count + (i < len(order) % count) for i in range(count)]
    starts = [sum(sizes[:i]) for i in range(count)]
    return [order[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def fewest_part_changes(before: Sequence[Iterable[str]], after: Sequence[Iterable[str]]) -> int:
    """Return the fewest surviving nodes that must change part to reach the sizes of `after`."""
    staying = {name for part in after for name in part}
    survivors = sorted((len(set(part) & staying) for part in before), reverse=True)
    sizes = sorted((len(list(part)) for part in after), reverse=True)
    # The largest groups of survivors stay together in the largest parts.
    return sum(survivors) - sum(min(pair) for pair in zip(survivors, sizes, strict=False))


def heaviest_matching(weights: Sequence[Sequence[int]]) -> int:
    """Return the largest sum of entries of a matrix, at most one from each row and column."""
    size = max([len(weights), *map(len, weights)], default=0)
    cost = [[0] * size for _ in range(size)]
    for i, row in enumerate(weights):
        for j, weight in enumerate(row):
            cost[i][j] = -weight
    # The Hungarian method with potentials u, v; row_of[j] is the row matched to column j, size: none.
    u, v, row_of = [0] * (size + 1), [0] * (size + 1), [size] * (size + 1)
    for i in range(size):
        row_of[size], column = i, size
        least, came_from, done = [math.inf] * size, [size] * size, set()
        while row_of[column] != size or column == size:
            done.add(column)
            row = row_of[column]
            for j in set(range(size)) - done:
                reduced = cost[row][j] - u[row] - v[j]
                if reduced < least[j]:
                    least[j], came_from[j] = reduced, column
            following = min(set(range(size)) - done, key=lambda j: least[j])
            delta = least[following]
            for j in done:
                u[row_of[j]] += delta
                v[j] -= delta
            for j in set(range(size)) - done:
                least[j] -= delta
            column = following
        while column != size:
            row_of[column], column = row_of[came_from[column]], came_from[column]
    return -sum(cost[row_of[j]][j] for j in range(size))


class PartitionedRing(Placement):
    """A key's part is that of the first point at or after it; its part's live nodes come first."""

    def __init__(self, members: Members, down: Iterable[str] = (), *, parts: Mapping[str, int],
                 points_per_node: int, weight_unit: float = 1.0,
                 on_empty: str | None = None) -> None:  # fmt: skip
        self.ring = HashRing(members, points_per_node=points_per_node, weight_unit=weight_unit)
        self.able = can_own(members, down)
        self.parts = parts
        self.on_empty = on_empty

    def ends(self) -> list[int]:
        """Return the last hash of every range within which nothing changes, ascending."""
        return self.ring.ends()

    def candidates(self, h: int) -> list[str]:
        """Return the names that may own a hash, in failover order."""
        everybody = self.ring.walk(h)
        order = [name for name in everybody if name in self.able]
        if not order:
            return [] if self.on_empty is None else [self.on_empty]
        home = self.parts[everybody[0]]
        inside = [name for name in order if self.parts[name] == home]
        return inside + [name for name in order if name not in inside]


FEW_NAMES = DRAWS = 128


def splitmix64(x: int) -> int:
    """Return the x-th output of splitmix64 seeded with 0."""
    x = x * 0x9E3779B97F4A7C15 % RING
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % RING
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB % RING
    return x ^ (x >> 31)


class PartitionTable(Placement):
    """The live nodes of the partition's row in rank order, then stand-ins: drawn, then by weighted rendezvous.

    `names` is every name there ever was, by id; who is drawn depends on it where there are many.
    """

    def __init__(self, members: Members, down: Iterable[str] = (), *, rows: Sequence[Sequence[str]],
                 names: Sequence[str] = (), on_empty: str | None = None) -> None:  # fmt: skip
        self.members = members
        self.able = can_own(members, down)
        self.rows = rows
        self.names = names
        self.on_empty = on_empty
        self.known: dict[int, list[str]] = {}

    def ends(self) -> list[int]:
        """Return the last hash of every range within which nothing changes, ascending."""
        return [-(-(p + 1) * RING // len(self.rows)) - 1 for p in range(len(self.rows))]

    def partition_of(self, h: int) -> int:
        """Return the partition of a hash."""
        return (h * len(self.rows)) >> 64

    def score(self, partition: int, name: str) -> tuple[float, bytes]:
        """Return what the weighted rendezvous orders by, lowest first."""
        utf8 = name.encode()
        pair = partition.to_bytes(8, "little") + xxh3(utf8).to_bytes(8, "little")
        uniform = ((xxh3(pair) >> 11) + 0.5) / 2**53
        return -math.log(uniform) / self.members[name].weight, utf8

    def drawn(self, partition: int) -> list[str]:
        """Return the live nodes that the partition draws, in the order of the draws."""
        if len(self.names) <= FEW_NAMES:
            return []
        heaviest = max(member.weight for member in self.members.values())
        unit = 2.0 ** math.ceil(math.log2(heaviest))
        found = []
        for number in range(DRAWS):
            x = splitmix64(partition * DRAWS + number + 1)
            node = x >> (64 - (len(self.names) - 1).bit_length())
            name = self.names[node] if node < len(self.names) else None
            if name in self.able:
                below = min(math.floor(self.members[name].weight / unit * 2**32), 2**32 - 1)
                found += [name] if x % 2**32 < below else []
        return list(dict.fromkeys(found))

    def candidates(self, h: int) -> list[str]:
        """Return the names that may own a hash, in failover order."""
        partition = self.partition_of(h)
        if partition not in self.known:
            row = self.rows[partition]
            order = [name for name in row if name in self.able]
            drawn = [name for name in self.drawn(partition) if name not in order]
            waiting = drawn + sorted(self.able - {*order, *drawn}, key=lambda name: self.score(partition, name))
            in_zone = Counter(self.zone_of(name) for name in order)
            while waiting:
                # Who completes the row is of a zone with the fewest of its nodes; who follows, of any.
                fewest = min(in_zone[self.zone_of(name)] for name in waiting)
                fits = [n for n in waiting if in_zone[self.zone_of(n)] == fewest or len(order) >= len(row)]
                waiting.remove(fits[0])
                order.append(fits[0])
                in_zone[self.zone_of(fits[0])] += 1
            nobody = [] if self.on_empty is None else [self.on_empty]
            self.known[partition] = order or nobody
        return self.known[partition]

    def zone_of(self, name: str) -> str | tuple[str]:
        """Return a node's zone; one without is a zone of its own."""
        return self.members[name].zone or (name,)


class PrimaryBackup(Placement):
    """The primary owns every key; the others follow in the order of the list."""

    def __init__(self, members: Members, down: Iterable[str] = (), *, primary: str | None = None,
                 on_empty: str | None = None) -> None:  # fmt: skip
        able = can_own(members, down)
        self.order = [name for name in members if name in able]
        if primary is not None:
            self.order.sort(key=lambda name: name != primary)
        if not self.order and on_empty is not None:
            self.order = [on_empty]

    def ends(self) -> list[int]:
        """Return the last hash of every range within which nothing changes, ascending."""
        return [LAST]

    def candidates(self, h: int) -> list[str]:
        """Return the names that may own a hash, in failover order."""
        return self.order


# ---- arcs and differences ------------------------------------------------------------------------


class Arc(NamedTuple):
    """What one range of hashes, both ends included, had as owner and has now."""

    start: int
    end: int
    source: str | None
    target: str | None


def merged(arcs: Iterable[Arc]) -> list[Arc]:
    """Join neighbours that moved alike, so that equal differences compare equal."""
    result: list[Arc] = []
    for arc in arcs:
        if result and result[-1].end + 1 == arc.start and result[-1][2:] == arc[2:]:
            result[-1] = result[-1]._replace(end=arc.end)
        else:
            result.append(arc)
    return result


def difference(before: Placement, after: Placement) -> list[Arc]:
    """Return the arcs whose owner differs."""
    arcs, start = [], 0
    for end in sorted({*before.ends(), *after.ends()}):
        arc = Arc(start, end, before.owner(end), after.owner(end))
        start = end + 1
        if arc.source != arc.target:
            arcs.append(arc)
    return merged(arcs)


def share(arcs: Iterable[Arc]) -> float:
    """Return the share of the hash space that arcs cover."""
    return float(Fraction(sum(arc.end - arc.start + 1 for arc in arcs), RING))


def shares_by(arcs: Iterable[Arc], side: Callable[[Arc], str | None]) -> dict[str, float]:
    """Return name -> share of the hash space that left it (side: source) or came to it (target)."""
    covered: Counter[str] = Counter()
    for arc in arcs:
        if side(arc) is not None:
            covered[side(arc)] += arc.end - arc.start + 1
    return {name: float(Fraction(hashes, RING)) for name, hashes in covered.items()}


# ---- fair shares of a partition table --------------------------------------------------------------


def fair_shares(weights: Mapping[str, float], total: int, cap: int) -> dict[str, Fraction]:
    """Divide `total` by weight, nobody above `cap`; what is capped off goes to the others."""
    shares: dict[str, Fraction] = {}
    open_weights = {name: Fraction(weight) for name, weight in weights.items() if weight > 0}
    while open_weights:
        left = total - sum(shares.values())
        unit = left / sum(open_weights.values())
        capped = [name for name, weight in open_weights.items() if weight * unit > cap]
        if not capped:
            return shares | {name: weight * unit for name, weight in open_weights.items()}
        for name in capped:
            shares[name] = Fraction(cap)
            del open_weights[name]
    return shares


def zone_bounds(sizes: Mapping[Any, int], width: int) -> dict[Any, tuple[int, int]]:
    """Return zone -> (least, most) entries of a row: as even as the zones' sizes allow."""
    counts = dict.fromkeys(sizes, 0)
    for _ in range(width):
        counts[min((z for z in sizes if counts[z] < sizes[z]), key=lambda z: counts[z])] += 1
    level = min((counts[z] for z in sizes if counts[z] < sizes[z]), default=max(counts.values()))
    return {z: (min(size, level), min(size, level + 1)) for z, size in sizes.items()}


def fewest_moves(before: Mapping[str, int], shares: Mapping[str, Fraction], total: int) -> int:
    """Return the fewest of `total` partitions that must move to reach floor or ceil of each share."""
    floors = {name: math.floor(fair) for name, fair in shares.items()}
    to_hand_out = total - sum(floors.values())
    forced = sum(max(0, floor - before.get(name, 0)) for name, floor in floors.items())
    free = sum(before.get(n, 0) > floors[n] and fair > floors[n] for n, fair in shares.items())
    return forced + max(0, to_hand_out - free)
