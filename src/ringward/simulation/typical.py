"""Typical failures, for those who have no trace of their own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ringward.cluster import Node
from ringward.simulation.traces import OutageRecord, Trace, trace_of_outages

__all__ = ["typical_trace"]

_SPAN_S = 90 * 86_400.0
_BEFORE_S = 365 * 86_400.0  # drawn and left out: nobody begins with all nodes new
_BETWEEN_S = 30 * 86_400.0  # a node fails about once in a month
_SHAPE = 0.7  # of the Weibull distribution of the times between: failures come in clusters
_MEAN_OF_SHAPE = 1.2658  # gamma(1 + 1 / 0.7): its mean where its scale is 1
_REPAIR_MEDIAN_S, _REPAIR_SIGMA = (
    3_240.0,
    1.9,
)  # of the lognormal distribution of repairs: median 54 minutes, mean 5.5 h
_ZONE_LOSS_S = 3_600.0


def typical_trace(nodes: Sequence[Node], seed: int) -> Trace:
    """Ninety days of outages, drawn from what was found in nine years of 22 systems.

    Times between the failures of a node follow a Weibull distribution of shape 0.7, repairs a lognormal one with the median
    of 54 minutes. Where nodes have zones, one zone fails for an hour.

    References
    ----------
    Schroeder and Gibson: A large-scale study of failures in high-performance computing systems, DSN 2006.
    """
    random = np.random.default_rng([seed, 4])
    scale = _BETWEEN_S / _MEAN_OF_SHAPE
    records = [OutageRecord(nodes[0].name, moment, moment) for moment in (0.0, _SPAN_S)]  # where it begins and ends
    for node in sorted(nodes, key=lambda each: each.name):
        now = -_BEFORE_S
        while (now := now + scale * float(random.weibull(_SHAPE))) < _SPAN_S:
            end = now + float(random.lognormal(np.log(_REPAIR_MEDIAN_S), _REPAIR_SIGMA))
            if now >= 0:
                records.append(OutageRecord(node.name, now, min(end, _SPAN_S)))
            now = end
    zones = sorted({node.zone for node in nodes if node.zone is not None})
    if len(zones) > 1:
        lost, start = zones[int(random.integers(len(zones)))], float(random.random()) * (_SPAN_S - _ZONE_LOSS_S)
        records += [OutageRecord(node.name, start, start + _ZONE_LOSS_S) for node in nodes if node.zone == lost]
    return trace_of_outages("typical failures", records, nodes=[node.name for node in nodes])
