"""Arguments within their bounds, or an error that names argument, bound and value."""

from __future__ import annotations

import math
from collections.abc import Callable
from operator import index
from typing import TypeVar, cast

import numpy as np

from ringward.errors import ArgumentError, ArgumentTypeError

__all__ = ["checked_callable", "checked_float", "checked_int", "checked_text", "checked_type", "text_of"]

F = TypeVar("F", bound=Callable[..., object])
T = TypeVar("T")
_POWERS = {2**64 - 1: "2**64 - 1"}
_BOOLS = bool, np.bool_
_NUMBERS = int, float, np.integer, np.floating


def checked_int(argument: str, value: object, least: int, most: int) -> int:
    """`value` as an int from `least` to `most`; anything with `__index__` but a bool will do."""
    if isinstance(value, _BOOLS) or not hasattr(value, "__index__"):
        raise ArgumentTypeError(argument, "an int", value)
    try:
        number = index(value)
    except TypeError:  # an array of floats has the method, too
        raise ArgumentTypeError(argument, "an int", value) from None
    if not least <= number <= most:
        raise ArgumentError(argument, f"at least {least} and at most {_POWERS.get(most, most)}", number)
    return number


def checked_float(argument: str, value: object, *, zero: bool) -> float:
    """`value` as a finite float above 0, or at least 0 where `zero` is allowed."""
    if isinstance(value, _BOOLS) or not isinstance(value, _NUMBERS):
        raise ArgumentTypeError(argument, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ArgumentError(argument, f"finite and {'at least' if zero else 'above'} 0", value)
    return number


def text_of(value: object) -> str | None:
    """The text that a str holds, as a plain str; None for what is no str.

    An object of a subclass, such as a member of a `(str, Enum)`, is the text it was made of: what its own
    `__str__`, `__eq__` or `__hash__` say does not count. So keys are read too.
    """
    if type(value) is str:
        return value
    if issubclass(type(value), str):  # `isinstance` would believe what `__class__` says
        return str.__str__(cast("str", value))
    return None


def checked_text(argument: str, value: object) -> str:
    """`value` as a non-empty plain str that has a UTF-8 form."""
    text = text_of(value)
    if text is None:
        raise ArgumentTypeError(argument, "a str", value)
    if not text:
        raise ArgumentError(argument, "a non-empty str", value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentError(argument, "text without lone surrogates", value) from None
    return text


def checked_type(argument: str, value: object, kind: type[T]) -> T:
    """`value`, which is an object of a class."""
    if not isinstance(value, kind):
        raise ArgumentTypeError(argument, f"of type {kind.__name__}", value)
    return value


def checked_callable(argument: str, value: F) -> F:
    """`value`, which can be called."""
    if not callable(value):
        raise ArgumentTypeError(argument, "callable", value)
    return value
