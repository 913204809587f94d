"""What a detector says of the members, whatever it does: it is somebody else's code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from ringward.errors import ArgumentTypeError
from ringward.failover.record import Record
from ringward.health import Detector, Status
from ringward.texts import error_text

__all__ = ["asked"]


def asked(
    detector: Detector, members: Collection[str], records: Mapping[str, Record], now_s: float
) -> tuple[dict[str, Status], dict[str, str]]:
    """What it says of whom, and what went wrong with whom. Of those, nothing is new, and the other nodes go on."""
    statuses: dict[str, Status] = {}
    troubles: dict[str, str] = {}
    for name in _about(detector, members, records, now_s, troubles):
        try:
            statuses[name] = _checked(detector.status(name, now_s))
        except Exception as error:  # noqa: BLE001 - see above
            troubles[name] = _told(error)
    return statuses, troubles


def _about(
    detector: Detector, members: Collection[str], records: Mapping[str, Record], now_s: float, troubles: dict[str, str]
) -> Iterable[str]:
    """All members; of a detector that lists its suspects, these and who gave trouble before."""
    suspects = getattr(detector, "suspects", None)
    if suspects is None:
        return members
    try:
        listed = dict.fromkeys([*records, *suspects(now_s)])
    except Exception as error:  # noqa: BLE001 - each is asked about then
        troubles["every node"] = _told(error)
        return members
    return [name for name in listed if name in members]


def _checked(status: object) -> Status:
    if not isinstance(status, Status) or not isinstance(status.reason, str) or status.suspected not in {True, False}:
        raise ArgumentTypeError("status", "a Status with a reason of type str", status)
    return status


def _told(error: Exception) -> str:
    return f"the detector raised {error_text(error)}"
