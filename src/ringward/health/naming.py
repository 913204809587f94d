"""`detector_named`: a detector from text, as command lines and files of settings have it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ringward.checks import checked_text
from ringward.errors import ArgumentError
from ringward.health.deadline import Deadline
from ringward.health.phi_accrual import PhiAccrual
from ringward.health.status import Detector

__all__ = ["DETECTORS", "detector_named"]

DETECTORS: dict[str, Callable[..., Detector]] = {"deadline": Deadline, "phi": PhiAccrual}


def detector_named(text: str) -> Detector:
    """A new detector from `NAME` or `NAME:option=value,option=value`.

    Parameters
    ----------
    text : str
        A name of `DETECTORS` and arguments of its constructor.

    Returns
    -------
    Detector

    Raises
    ------
    ArgumentError
        For a name or an option that there is not, or a value out of its bounds.

    Examples
    --------
    >>> from ringward.health import detector_named
    >>> detector_named("phi:threshold=5,form=exponential")
    PhiAccrual(threshold=5, form='exponential', pause_s=0)
    """
    name, _, rest = checked_text("detector", text).partition(":")
    given: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        option, equals, value = part.partition("=")
        if not equals or option in given:
            raise ArgumentError("detector", "NAME or NAME:option=value,…, each option once", text)
        given[option] = _value(value)
    return _made(name, given)


def _made(name: str, given: dict[str, Any]) -> Detector:
    if name not in DETECTORS:
        raise ArgumentError("detector", f"one of {', '.join(DETECTORS)}", name)
    options = inspect.signature(DETECTORS[name]).parameters
    for option in given:
        if option not in options:
            raise ArgumentError("detector", f"{name} with options of {', '.join(options)}", option)
    return DETECTORS[name](**given)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
