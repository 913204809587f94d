"""What feeds failure detectors: probes over the network, of thousands of nodes in one thread.

This is the one room of `ringward.health` that reads a clock, starts a thread and does I/O.
"""

from ringward.health.probes.prober import Prober, Result
from ringward.health.probes.protocols import Http, Memcached, Redis, Tcp

__all__ = ["Http", "Memcached", "Prober", "Redis", "Result", "Tcp"]
