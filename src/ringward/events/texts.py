"""`Texts`: keys, ids, payloads and errors as they may be told: redacted, short, neutral."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import ParamSpec, TypeVar

from ringward.errors import ArgumentTypeError, RingwardError
from ringward.events.model.dead_letter import ERROR_MOST
from ringward.texts import neutral, shortened, shown

__all__ = ["Redact", "Texts"]

Redact = Callable[[str], str]
P = ParamSpec("P")
T = TypeVar("T")

_REDACTED_MOST = 65_536  # characters of a text that are looked at, and can be told
_TRACEBACK_MOST = 10_000
_NAME_MOST = 200
_MARK_MOST = 40
_KEPT = "\n\t"


class Texts:
    """Makes text of what users and handlers bring along, where it is to leave the processor.

    Nothing that is called here can fail, whatever an exception or a function to redact does.

    Parameters
    ----------
    redact : callable or None
        From a text to what may be told of it.
    """

    def __init__(self, redact: Redact | None = None) -> None:
        if redact is not None and not callable(redact):
            raise ArgumentTypeError("redact", "a function of a text, or None", redact)
        self.redact = redact

    def redacted(self, text: str) -> str:
        """What may be told of a text; `[redacted]` when the function fails."""
        if self.redact is None:
            return text
        try:
            told = self.redact(text)
        except BaseException:  # noqa: BLE001 - nothing of the text may leave, whatever happens
            return "[redacted]"
        return str(told) if isinstance(told, str) else "[redacted]"

    def value(self, value: object) -> str:
        """A key, an id or a payload, on one line."""
        return shown(value) if self.redact is None else shown(self.redacted(_plain(value)))

    def hiding(self, work: Callable[P, T]) -> Callable[P, T]:
        """What lets errors of ours tell of their values only what may be told; itself, where all may be."""
        if self.redact is None:
            return work

        def hidden(*args: P.args, **options: P.kwargs) -> T:
            try:
                return work(*args, **options)
            except RingwardError as error:
                self._hide(error)
                raise

        return hidden

    def _hide(self, error: RingwardError) -> None:
        """Change what an error says; what it carries as data stays as it is."""
        for name in ("id", "value"):
            value = error.__dict__.get(name)
            if value is not None and error.args:
                text = str(error.args[0]).replace(shown(value), self.value(value))
                error.args = (text, *error.args[1:])

    def error(self, error: BaseException) -> str:
        """Type and text of an error: valid UTF-8, at most `ERROR_MOST` characters, with a mark where some were left out."""
        name, text = _name_of(error), _text_of(error)
        most = ERROR_MOST - len(name) - _MARK_MOST
        told = neutral(self._redacted_start(text, most), keep=_KEPT)
        if len(text) > most or len(told) > most:
            told = f"{told[:most]}… ({len(text):,} characters)"
        return f"{name}: {told}"

    def _redacted_start(self, text: str, most: int) -> str:
        """What may be told of the beginning of a text. It is cut after it is redacted: half a secret is not recognised."""
        if self.redact is None:
            return text[:most]
        told = self.redacted(text[:_REDACTED_MOST])
        if len(text) > _REDACTED_MOST and len(told) <= most:
            return "[redacted]"  # its end may be half a secret
        return told

    def line(self, error: BaseException) -> str:
        """As `error`, on one line, for a log or a terminal."""
        return neutral(self.error(error))

    def trace(self, error: BaseException) -> str:
        """The traceback of an error; redacted, only where it was raised, since a traceback has the texts of all its causes."""
        try:
            if self.redact is None:
                text = "".join(traceback.format_exception(error))
            else:
                text = "".join(traceback.format_tb(error.__traceback__))
                text = f"Traceback (most recent call last):\n{text}{self.error(error)}"
        except BaseException as failed:  # noqa: BLE001 - an error can be made so that it cannot be formatted
            text = f"{self.error(error)} (its traceback cannot be formatted: {_name_of(failed)})"
        return neutral(_middle_left_out(text, _TRACEBACK_MOST).rstrip("\n"), keep=_KEPT)


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return value if isinstance(value, str) else shown(value, _REDACTED_MOST)


def _name_of(error: BaseException) -> str:
    with suppress(BaseException):  # a metaclass may do anything
        return neutral(shortened(str(type.__dict__["__name__"].__get__(type(error))), _NAME_MOST))
    return "an error without a name"


def _text_of(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except BaseException as failed:  # noqa: BLE001 - its own `__str__`, which raises or returns no str
        return f"(its text raises {_name_of(failed)})"


def _middle_left_out(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}\n… ({len(text):,} characters)\n{text[-most // 2 :]}"
