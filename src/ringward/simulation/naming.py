"""Names with options as a command line takes them: `partitioned:part_size=8`, `phi:threshold=12,form=exponential`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ringward.errors import ArgumentError

__all__ = ["Spec", "known", "spec_of"]


@dataclass(frozen=True, slots=True)
class Spec:
    """A name, and what is said after its colon.

    Attributes
    ----------
    text : str
        As given.
    name : str
    words : tuple of str
        What has no equals sign.
    options : dict of str to int, float or str
    """

    text: str
    name: str
    words: tuple[str, ...]
    options: dict[str, Any]


def spec_of(argument: str, text: str) -> Spec:
    """Read `NAME[:word,option=value,...]`."""
    name, colon, rest = text.strip().partition(":")
    parts = [part.strip() for part in rest.split(",")] if colon else []
    if not name or "" in parts:
        raise ArgumentError(argument, "NAME or NAME:option=value,option=value", text)
    options: dict[str, Any] = {}
    words = []
    for part in parts:
        option, equals, value = (each.strip() for each in part.partition("="))
        if not equals:
            words.append(part)
            continue
        if not option or not value or option in options:
            raise ArgumentError(argument, "NAME:option=value,option=value, each option once", text)
        options[option] = _value(value)
    return Spec(text.strip(), name, tuple(words), options)


def known(argument: str, given: Iterable[str], names: Iterable[str]) -> None:
    """Refuse what is none of these names."""
    names = list(names)
    for each in given:
        if each not in names:
            raise ArgumentError(argument, f"one of {', '.join(names)}", each)


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
