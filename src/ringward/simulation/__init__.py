"""Failover on a virtual clock: real routers, detectors and policies, driven by what really failed.

Time enters as an argument and randomness as a seed, so the same call gives the same figures.
"""

from ringward.simulation.choosing import choose
from ringward.simulation.comparison import simulate
from ringward.simulation.traces import Trace, TraceError, parse_trace, read_trace
from ringward.simulation.workload import Workload

__all__ = ["Trace", "TraceError", "Workload", "choose", "parse_trace", "read_trace", "simulate"]
