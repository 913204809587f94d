"""Failure detectors by name, those of other systems among them: all real ones of `ringward.health`, but for `perfect`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from ringward.checks import checked_float
from ringward.errors import ArgumentError
from ringward.health import Deadline, Detector, LocalHealth, Outlier, PhiAccrual, Status
from ringward.health.status import fine, suspicion
from ringward.simulation.naming import Spec, known, spec_of
from ringward.simulation.traces import Trace
from ringward.simulation.watching import Sightings, Watch, perfect_sightings

__all__ = ["BASELINES", "DETECTORS", "Watcher", "watcher"]

PERFECT = "perfect"
BASELINES = (PERFECT, "deadline", "phi", "lifeguard", "envoy", "redis")
_COMPANIONS = 8  # of who compares the figures of nodes,
_FEW = 3  # and of who counts how many are late


class Checks:
    """A check in so many seconds suspects a node when it fails; a suspicion lasts for a grace at least.

    That is redis-py's `MultiDBClient`, as it comes: checks every 5 s, a grace of 60 s. Its other way to a failover, by 1,000
    failed commands in 2 s, takes more requests than heartbeats are.
    """

    def __init__(self, *, every_s: float = 5.0, grace_s: float = 60.0) -> None:
        self._every_s = checked_float("every_s", every_s, zero=False)
        self._grace_s = checked_float("grace_s", grace_s, zero=True)
        self._ok: dict[str, bool] = {}
        self._checked_s: dict[str, float] = {}
        self._since_s: dict[str, float] = {}

    def heard(self, node: str, now_s: float) -> None:
        """A heartbeat is no check."""

    def failed(self, node: str, now_s: float) -> None:
        """The last request failed."""
        self._ok[node] = False

    def answered(self, node: str, now_s: float, latency_s: float) -> None:
        """The last request was answered."""
        self._ok[node] = True

    def status(self, node: str, now_s: float) -> Status:
        """Suspected since the last check that failed, until one after the grace does not."""
        if now_s - self._checked_s.get(node, -math.inf) >= self._every_s:
            self._checked_s[node] = now_s
            ok = self._ok.get(node, True)
            if not ok:
                self._since_s.setdefault(node, now_s)
            elif now_s - self._since_s.get(node, -math.inf) >= self._grace_s:
                self._since_s.pop(node, None)
        if node in self._since_s:
            return suspicion(1.0, "a check failed", "failing")
        return fine(0.0)

    def forget(self, node: str) -> None:
        """The node left."""
        for known_of in (self._ok, self._checked_s, self._since_s):
            known_of.pop(node, None)


class _Kind(NamedTuple):
    """How a detector is built: from the number of nodes and options, which are those of these classes."""

    build: Callable[..., Detector]
    classes: tuple[type, ...]
    companions: int = 0

    @property
    def options(self) -> list[str]:
        return [option for each in self.classes for option in _constructor(each).__kwdefaults__ or {}]


def _constructor(cls: Any) -> Any:
    return cls.__init__


def _lifeguard(nodes: int, **options: Any) -> Detector:
    # memberlist's settings for a LAN: a suspicion lasts 4 × log10(nodes) intervals of 1 s.
    return LocalHealth(Deadline(after_s=4 * max(1.0, math.log10(nodes))), **options)


def _local(_nodes: int, **options: Any) -> Detector:
    mine = {name: options.pop(name) for name in _constructor(LocalHealth).__kwdefaults__ if name in options}
    return LocalHealth(PhiAccrual(**options), **mine)


DETECTORS = {
    "deadline": _Kind(lambda _nodes, **options: Deadline(**options), (Deadline,)),
    "phi": _Kind(lambda _nodes, **options: PhiAccrual(**options), (PhiAccrual,)),
    "local": _Kind(_local, (PhiAccrual, LocalHealth), _FEW),
    "outlier": _Kind(lambda _nodes, **options: Outlier(**options), (Outlier,), _COMPANIONS),
    "lifeguard": _Kind(_lifeguard, (LocalHealth,), _FEW),
    # Held for its base ejection time; here the requests go on meanwhile, so longer ones are not needed. It would compare success
    # rates from 100 requests in 10 s on, which heartbeats never are: so it needs no companions.
    "envoy": _Kind(lambda _nodes, **options: Outlier(**{"hold_s": 30.0, **options}), (Outlier,)),
    "redis": _Kind(lambda _nodes, **options: Checks(**options), (Checks,)),
}


@dataclass(frozen=True, slots=True)
class Watcher:
    """A detector as it was asked for.

    Attributes
    ----------
    spec : Spec
    """

    spec: Spec

    @property
    def certain(self) -> bool:
        """Whether it says the same whatever the seed is."""
        return self.spec.name == PERFECT

    def sightings(self, trace: Trace, seed: int, interval_s: float, timeout_s: float) -> Sightings:
        """What it says of a trace."""
        if self.spec.name == PERFECT:
            return perfect_sightings(trace)
        kind, nodes = DETECTORS[self.spec.name], len(trace.nodes)
        detector = kind.build(nodes, **self.spec.options)
        companions = min(kind.companions, nodes)
        return Watch(trace, detector, seed, interval_s=interval_s, timeout_s=timeout_s, companions=companions).run()


def watcher(text: str) -> Watcher:
    """A detector by its name and options, or an ArgumentError that says which there are."""
    spec = spec_of("detector", text)
    known("detector", [spec.name], (PERFECT, *DETECTORS))
    if spec.words:
        raise ArgumentError("detector", "NAME or NAME:option=value,option=value", text)
    known(f"an option of {spec.name}", spec.options, DETECTORS[spec.name].options if spec.name != PERFECT else ["none"])
    if spec.name != PERFECT:
        DETECTORS[spec.name].build(2, **spec.options)  # values out of their bounds are told before anything runs
    return Watcher(spec)
