"""`OpenTelemetry`: a hook that keeps metrics of decisions by the OpenTelemetry API, for whatever SDK is configured."""

from __future__ import annotations

from collections.abc import Callable, Iterable

try:
    from opentelemetry import metrics
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
except ModuleNotFoundError as error:
    raise ImportError("OpenTelemetry hooks need opentelemetry-api: pip install 'ringward[otel]'") from error

import ringward
from ringward.failover.adaptive import Adaptive
from ringward.failover.decision import Decision

__all__ = ["OpenTelemetry"]

_SCOPE = "ringward.failover"


class OpenTelemetry:
    """Counts decisions by kind, and sums up what they moved; `observe` adds what is held and what waits.

    Parameters
    ----------
    meter_provider : MeterProvider, optional
        By default the global one.
    router : str
        The name of the router in metrics.

    Raises
    ------
    ImportError
        When this module is imported without the `otel` extra.

    Examples
    --------
    >>> import ringward as rw
    >>> from ringward.failover import Adaptive
    >>> from ringward.failover.telemetry import OpenTelemetry
    >>> from ringward.health import Deadline
    >>> telemetry = OpenTelemetry(router="caches")
    >>> router = Adaptive(rw.HashRing(["node1", "node2"]), detector=Deadline(), hooks=[telemetry])
    >>> telemetry.observe(router)
    """

    def __init__(self, meter_provider: MeterProvider | None = None, *, router: str = "router") -> None:
        self._meter = metrics.get_meter(_SCOPE, ringward.__version__, meter_provider)
        self._always = {"ringward.router": router}
        self._decisions = self._meter.create_counter("ringward.failover.decisions", "{decision}", "Decisions, by kind.")
        self._moved = self._meter.create_counter("ringward.failover.moved", "1", "Shares of the key space that moved.")

    def __call__(self, decision: Decision) -> None:
        """Count a decision."""
        about = {**self._always, "ringward.failover.kind": decision.kind}
        self._decisions.add(1, about)
        if decision.moved:
            self._moved.add(decision.moved, about)

    def observe(self, router: Adaptive) -> None:
        """At each collection, read how many nodes are down or have another weight by policy, and how many wait."""
        figures: dict[str, tuple[str, Callable[[], int]]] = {
            "held": ("Nodes that are out, or whose share is lowered.", lambda: len(router.held)),
            "waiting": ("Nodes for which something is due that waits.", lambda: len(router.waiting)),
            "down": ("Nodes that are down, by policy or by hand.", lambda: len(router.down)),
        }
        for name, (text, figure) in figures.items():
            self._meter.create_observable_gauge(f"ringward.failover.{name}", [self._observer(figure)], "{node}", text)

    def _observer(self, figure: Callable[[], int]) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _options: [Observation(figure(), self._always)]
