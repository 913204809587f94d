"""Moments as traces write them → seconds since 1970."""

from __future__ import annotations

import math
from datetime import UTC, datetime

__all__ = ["time_of"]

_YEAR_9999_S = 253_402_300_799.0
_FORMS = ("%m/%d/%Y %H:%M", "%m/%d/%y %H:%M", "%m/%d/%Y %H:%M:%S", "%Y%m%d")
_MILLISECONDS = 1e11  # numbers above this are milliseconds: in seconds they would lie beyond the year 5138


def time_of(text: str) -> float | None:
    """The seconds since 1970 of a moment; None for what is none.

    Read are ISO 8601, with an offset or in UTC without one, also with a comma before the fraction; seconds or
    milliseconds since 1970; `m/d/Y H:M`; and days as `YYYYMMDD`.
    """
    text = text.strip()
    if len(text) == 8 and text.isdecimal():
        return _formed(text, "%Y%m%d")
    try:
        number = float(text)
    except ValueError:
        return _dated(text)
    if not math.isfinite(number):
        return None
    seconds = number / 1000 if abs(number) >= _MILLISECONDS else number
    return seconds if abs(seconds) <= _YEAR_9999_S else None


def _dated(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text.replace(",", "."))
    except ValueError:
        found = (_formed(text, form) for form in _FORMS)
        return next((each for each in found if each is not None), None)
    return _seconds(moment)


def _formed(text: str, form: str) -> float | None:
    try:
        return _seconds(datetime.strptime(text, form))  # noqa: DTZ007 - `_seconds` gives it UTC
    except ValueError:
        return None


def _seconds(moment: datetime) -> float | None:
    try:
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except OverflowError:
        return None
