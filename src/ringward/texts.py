"""Text from outside, as it may stand in a log, in an error or on a terminal: short, on one line, without control characters."""

from __future__ import annotations

__all__ = ["bounded", "brief", "error_text", "neutral", "percent", "shortened", "shown"]

SHOWN_MOST = 200
_MESSAGE_MOST = 2_000
_NAME_MOST = 80


def neutral(text: str, *, keep: str = "") -> str:
    r"""Text without characters that a terminal or a reader of logs would act on, but for those to `keep`.

    Control characters, line breaks, marks that turn the direction of writing and lone surrogates become escapes such as
    `\x1b` and `\u202e`.
    """
    if text.isprintable():
        return text
    return "".join([char if char.isprintable() or char in keep else _escaped(char) for char in text])


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def shortened(text: str, most: int) -> str:
    """The beginning of a text, so many characters, and how many it had."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def percent(share: float) -> str:
    """A share of 0 to 1 as it is told to people."""
    return f"{100 * share:.2f} %"


def bounded(message: str, most: int = _MESSAGE_MOST) -> str:
    """A message that is neutral and no longer than that: its beginning and its end, which often says what was wrong."""
    if len(message) > most:
        message = f"{message[: most // 2]} … {message[-most // 2 :]}"
    told = neutral(message)
    return told if len(told) <= 2 * most else f"{told[:most]} … {told[-most:]}"


def brief(name: str) -> str:
    """A name as it may stand in a line of text."""
    return neutral(shortened(name, _NAME_MOST))


def error_text(error: BaseException) -> str:
    """What somebody else's code raised: its kind and its message, also where the message cannot be had."""
    kind = type(error).__name__
    try:
        message = str(error)
    except BaseException as another:  # noqa: BLE001 - it is somebody else's code too
        return f"{kind}, whose message raises {type(another).__name__}"
    return f"{kind}: {message}" if message else kind


def shown(value: object, most: int = SHOWN_MOST) -> str:
    """A value as `repr` shows it, short and neutral, also where its `repr` raises."""
    if isinstance(value, str | bytes) and issubclass(type(value), str | bytes) and len(value) > most:
        unit = "characters" if isinstance(value, str) else "bytes"
        return f"{neutral(repr(value[:most]))[:most]}… ({len(value):,} {unit})"
    try:
        text = repr(value)
    except BaseException as error:  # noqa: BLE001 - it is somebody else's code; recursion, too many digits, anything
        return f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    told = neutral(text[: most + 1])
    return told if len(told) <= most else f"{told[:most]}… ({len(text):,} characters)"
