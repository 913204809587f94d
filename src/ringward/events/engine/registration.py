"""`Registration`: what a consumer is registered with; and what is checked of arguments."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, TypeAlias

from ringward.checks import checked_float, checked_int, checked_text
from ringward.errors import ArgumentError, ArgumentTypeError
from ringward.events.core.options import Options
from ringward.events.core.routing import RouterLike

__all__ = ["MEMBERS_MOST", "Registration", "Start", "checked_seqs", "checked_wait", "member_names", "options_from"]

MEMBERS_MOST = 10_000
SEQ_MOST = 2**63 - 1

Start: TypeAlias = Literal["beginning", "end"] | int | datetime


class Registration(NamedTuple):
    """What a consumer is registered with.

    Attributes
    ----------
    group : str
    names : list of str or None
        Of these members, where they have any.
    members : int
        How many there are in this process.
    router : Router, callable or None
    start : Start
        Where a group that is new begins.
    options : Options
    """

    group: str
    names: list[str] | None
    members: int
    router: RouterLike | None
    start: Start
    options: Options


def options_from(options: Options | None, fields: Mapping[str, Any]) -> Options:
    """The options of a group, given as a whole or by single fields.

    Raises
    ------
    ArgumentError
        When both are given.
    ArgumentTypeError
        For what is no `Options`, and for a field that there is not.
    """
    known = [field.name for field in dataclasses.fields(Options)]
    for name in fields:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, "members", "router", "start"], 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ArgumentTypeError("consumer", f"given fields of Options: {', '.join(known)}{hint}", name)
    if options is None:
        return Options(**fields)
    if not isinstance(options, Options):
        raise ArgumentTypeError("options", "an Options or None", options)
    if fields:
        raise ArgumentError("options", "given as a whole or by fields", sorted(fields))
    return options


def member_names(members: int | Sequence[str]) -> tuple[list[str] | None, int]:
    """The names of members, None where they have none; and how many there are."""
    if hasattr(members, "__index__") and not hasattr(members, "__iter__"):  # an array has both
        return None, checked_int("members", members, 1, MEMBERS_MOST)
    if isinstance(members, str | bytes | Mapping) or not isinstance(members, Iterable):
        raise ArgumentTypeError("members", "an int or a sequence of names", members)
    names = [checked_text("members", name) for name in members]
    if len(set(names)) != len(names):
        raise ArgumentError("members", "names that are given once", names)
    return names, checked_int("members", len(names), 1, MEMBERS_MOST)


def checked_seqs(seqs: Iterable[int]) -> list[int]:
    """Sequence numbers, as ints."""
    if isinstance(seqs, str | bytes | Mapping) or not isinstance(seqs, Iterable):
        raise ArgumentTypeError("seqs", "a sequence of ints", seqs)
    return [checked_int("seqs", seq, 0, SEQ_MOST) for seq in seqs]


def checked_wait(timeout_s: float | None) -> None:
    """Refuse what is neither None nor so many seconds."""
    if timeout_s is not None:
        checked_float("timeout_s", timeout_s, zero=True)
