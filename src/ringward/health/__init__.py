"""Failure detectors: told how nodes fare, they say which of them are suspected.

They are pure: they read no clock, start no thread and do no I/O. `ringward.health.probes` feeds them.
"""

from ringward.health.agreed import Agreed
from ringward.health.deadline import Deadline
from ringward.health.local_health import LocalHealth
from ringward.health.naming import detector_named
from ringward.health.outlier import Outlier
from ringward.health.phi_accrual import PhiAccrual
from ringward.health.status import Detector, Status

__all__ = ["Agreed", "Deadline", "Detector", "LocalHealth", "Outlier", "PhiAccrual", "Status", "detector_named"]
