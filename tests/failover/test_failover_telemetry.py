"""`OpenTelemetry`: what is decided arrives in the metrics."""

from __future__ import annotations

from failover.told import Told
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

import ringward as rw
from ringward.failover import Adaptive
from ringward.failover.telemetry import OpenTelemetry


def test_decisions_and_what_is_held_are_in_the_metrics() -> None:
    """By kind, with what they moved."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    telemetry = OpenTelemetry(provider, router="caches")
    told = Told()
    router = Adaptive(rw.HashRing([f"n{i}" for i in range(6)]), detector=told, hooks=[telemetry])
    telemetry.observe(router)
    told.say("n1")
    (decision,) = router.tick(0.0)
    (resource,) = reader.get_metrics_data().resource_metrics
    found = {
        (metric.name, point.attributes.get("ringward.failover.kind")): point
        for metric in resource.scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    assert found["ringward.failover.decisions", "down"].value == 1
    assert found["ringward.failover.moved", "down"].value == decision.moved
    assert found["ringward.failover.held", None].value == 1
    assert found["ringward.failover.waiting", None].value == 0
    assert found["ringward.failover.down", None].value == 1
    assert found["ringward.failover.down", None].attributes["ringward.router"] == "caches"
    provider.shutdown()
