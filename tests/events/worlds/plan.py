"""What a seed decides before anything happens."""

from __future__ import annotations

from dataclasses import dataclass

import ringward as rw
from ringward.events import Options, Retry

# What can become of an event at its handler, and of how many in a hundred.
FATES = {"fails": 8, "poison": 4, "kills": 3, "slow": 12, "hangs": 2, "publishes": 3}
ROUTERS = {
    "default": None,
    "ring": rw.HashRing,
    "primary": rw.PrimaryBackup,
    "table": lambda names: rw.PartitionTable(names, partitions=8),
}


@dataclass(frozen=True)
class Plan:
    """The circumstances of one run."""

    partitions: int
    keys: int
    publishes: int
    hosts: int
    members: int | tuple[str, ...]
    groups: tuple[str, ...]
    options: Options
    router: str
    locks: bool  # whether the death of a process shows at once
    fates: dict[str, int]
    eagerness: float
    tick_s: float
    trouble: float  # how likely a write meets an error or a death
    chaos: float  # how many things happen a second, from outside
    seconds: float
    id_window_s: float
    disk: float = 0.0  # how likely a write to a file fails or tears
    transactional: bool = False


def draw(random, **fixed):
    """The plan that a source of random numbers gives."""
    quiet = random.random() < 0.1
    mild = random.random() < 0.3
    drawn = {
        "partitions": random.choice((1, 2, 4, 8)),
        "keys": random.choice((1, 3, 6)),
        "publishes": random.randint(4, 12),
        "hosts": random.choice((1, 2, 2, 3)),
        "members": random.choice((1, 1, 2, ("a",), ("a", "b"))),
        "groups": random.choice((("g",), ("g",), ("g",), ("g", "h"))),
        "options": options(random),
        "router": random.choice(("primary", "primary", *ROUTERS)),
        "locks": random.random() < 0.5,
        "fates": {name: 0 if quiet else share // (1 + mild) for name, share in FATES.items()},
        "eagerness": random.choice((0.0, 0.05, 0.3, 0.8)),
        "tick_s": random.choice((0.2, 0.4, 0.6)),
        "trouble": 0.0 if quiet else random.choice((0.0, 0.005, 0.02, 0.05)),
        "chaos": 0.0 if quiet else random.choice((0.3, 1.0, 3.0)),
        "seconds": random.choice((3.0, 6.0, 10.0)),
        "id_window_s": random.choice((1e6, 3.0)),
    }
    return Plan(**{**drawn, **fixed})


def options(random):
    """The options of the groups: short times, small sizes, so that all bounds are met."""
    batch = random.choice((1, 3, 8, 20))
    return Options(
        retry=Retry(attempts=random.choice((1, 2, 3, 4)), base_s=random.choice((0.05, 0.3)), wait_s_max=0.6),
        on_dead=random.choice(("park", "park", "park", "skip")),
        lease_s=2.4,
        heartbeat_s=0.75,
        handler_timeout_s=3.0,
        slow_s=0.15,
        batch=batch,
        window=random.choice((batch, 4 * batch, 1000)),
        dead_letters_max=random.choice((3, 1000, 1000, 1000)),
        batch_least=random.choice((1, batch)),
        prefetch_bytes=random.choice((1, 5, 1000, 1000)),
    )
