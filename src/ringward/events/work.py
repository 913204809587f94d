"""`work`: a process that handles the events of one group, beside others on the same file."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from ringward.errors import ArgumentError
from ringward.events.processor import Processor
from ringward.events.runner import Handler

__all__ = ["load_handler", "until_told", "work"]


def load_handler(name: str) -> Handler:
    """The function that "package.module:function" names; modules of the working directory are found too.

    Raises
    ------
    ArgumentError
        When there is none of this name, or it is not callable.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise ArgumentError("handler", "of the form package.module:function", name)
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ArgumentError("handler", f"the name of a function ({error})", name) from error
    if not callable(found):
        raise ArgumentError("handler", "the name of something callable", name)
    handler: Handler = found
    return handler


def work(
    path: str | os.PathLike[str],
    group: str,
    handler: Handler | str,
    *,
    members: int = 1,
    until: Literal["idle"] | None = None,
    timeout_s: float | None = None,
    **options: Any,
) -> bool:
    """Handle the events of a group in this process, until it is told to end by SIGTERM or SIGINT.

    Processes that open the same file share the group's partitions. One that is killed is taken over by the others.

    Parameters
    ----------
    path : str or path
        The file.
    group : str
    handler : callable or str
        A function, or "package.module:function".
    members : int
    until : "idle" or None
    timeout_s : float, optional
    **options
        As `Processor.consumer`.

    Returns
    -------
    bool
        False when the time was up before the group was idle.
    """
    run = load_handler(handler) if isinstance(handler, str) else handler
    with Processor(path) as processor:
        processor.consumer(group, members=members, **options)(run)
        with until_told(processor.ask_to_stop):
            return processor.run(until=until, timeout_s=timeout_s)


@contextmanager
def until_told(leave: Callable[[], None]) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM (and on Windows SIGBREAK) call `leave`; the next one does what it always does."""
    names = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    before: dict[signal.Signals, Any] = {}

    def restore() -> None:
        while before:
            signal.signal(*before.popitem())

    def told(_number: int, _frame: FrameType | None) -> None:
        restore()
        leave()

    if threading.current_thread() is threading.main_thread():
        before.update({name: signal.signal(name, told) for name in names})
    try:
        yield
    finally:
        restore()
