"""`detector_named`: a detector from text, as command lines and files of settings have it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ringward.checks import checked_text
from ringward.errors import ArgumentError
from ringward.health.deadline import Deadline
from ringward.health.local_health import LocalHealth
from ringward.health.outlier import Outlier
from ringward.health.phi_accrual import PhiAccrual
from ringward.health.status import Detector

__all__ = ["DETECTORS", "detector_named"]

DETECTORS: dict[str, Callable[..., Detector]] = {
    "deadline": Deadline,
    "phi": PhiAccrual,
    "local": LocalHealth,
    "outlier": Outlier,
}
_INSIDE = "phi"


def detector_named(text: str) -> Detector:
    """A new detector from `NAME` or `NAME:option=value,option=value`.

    Parameters
    ----------
    text : str
        `deadline`, `phi`, `outlier` or `local`, and arguments of their constructors. `local` takes `inside=NAME`, by default
        `phi`, and the arguments of that one too.

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
    PhiAccrual(threshold=5, form='exponential', pause_s=3)
    >>> detector_named("local:inside=deadline,after_s=3,every_s=0.5")
    LocalHealth(Deadline(after_s=3), every_s=0.5, doubts_most=8)
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
    options = {*inspect.signature(DETECTORS[name]).parameters}
    if name == "local":
        inside = _made(
            given.pop("inside", _INSIDE), {each: given.pop(each) for each in [*given] if each not in options}
        )
        return LocalHealth(inside, **given)
    for option in given:
        if option not in options:
            raise ArgumentError("detector", f"{name} with options of {', '.join(sorted(options))}", option)
    return DETECTORS[name](**given)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text
