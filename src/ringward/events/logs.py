"""`log`: the log of the event processor; nothing that is wrong with logging stops what is logged."""

from __future__ import annotations

import logging
from contextlib import suppress

from ringward.texts import neutral

__all__ = ["log"]

_log = logging.getLogger("ringward.events")
_TRACE = "ringward_trace"


def log(
    level: int, text: str, *, event: str, trace: str = "", raised: BaseException | None = None, **about: object
) -> None:
    """Write a line.

    Parameters
    ----------
    level : int
    text : str
        The line; it is made neutral.
    event : str
        What happened, as a word that does not change: `record.event`.
    trace : str
        A traceback as it may be shown, for formatters to put below.
    raised : BaseException, optional
        The error itself, for handlers that look at `record.exc_info`.
    **about
        Further attributes of the record.
    """
    with suppress(Exception):  # a filter or a handler of the program's logging may raise anything
        if _log.isEnabledFor(level):
            _log.log(
                level,
                "%s",
                neutral(text),
                exc_info=raised,
                extra={"event": event, _TRACE: trace, **about},
                stacklevel=2,
            )


def _with_trace(record: logging.LogRecord) -> bool:
    """Let formatters show the traceback that was given, in place of one that they would make."""
    trace = record.__dict__.pop(_TRACE, "")
    if trace:
        record.exc_text = trace
    return True


_log.addFilter(_with_trace)
