"""Failover that decides: routers over routers, which answer trouble by a policy.

>>> import ringward as rw
>>> from ringward.failover import Adaptive
>>> from ringward.health import Deadline
>>> detector = Deadline(after_s=5.0)
>>> router = Adaptive(rw.HashRing(["node1", "node2", "node3"]), detector=detector)
>>> for name in router:
...     detector.heard(name, 0.0)
>>> detector.heard("node1", 6.0)
>>> detector.heard("node3", 6.0)
>>> for decision in router.tick(6.0):
...     print(decision.kind, decision.nodes)
down ('node2',)
>>> router.route("event1")
'node3'
"""

from ringward.failover.adaptive import Adaptive
from ringward.failover.clusters import Clusters
from ringward.failover.decision import Decision
from ringward.failover.handover import Handover
from ringward.failover.policy import Policy

__all__ = ["Adaptive", "Clusters", "Decision", "Handover", "Policy"]
