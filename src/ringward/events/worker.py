"""`work`: a process that handles the events of one group, beside others on the same file."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Literal

from ringward.errors import ArgumentError, StopTimeoutError
from ringward.events.engine.handlers import Handler
from ringward.events.processor import Processor

__all__ = ["WORK_STOP_S", "handle", "load_handler", "outstanding", "until_told", "work"]

WORK_STOP_S = 25.0  # Kubernetes kills 30 s after SIGTERM: before that, what was cut off has been told


def load_handler(name: str, folders: Sequence[str | os.PathLike[str]] = ()) -> Handler:
    """The function that "package.module:function" names.

    Parameters
    ----------
    name : str
    folders : sequence of str or path
        Where modules are searched first. The working directory is searched only if it is given.

    Raises
    ------
    ArgumentError
        When there is no such function, its module cannot be imported, or it is not callable.
    """
    module, _, function = name.partition(":")
    if not module or not function or "/" in module or "\\" in module or module.endswith(".py"):
        raise ArgumentError("handler", f"of the form package.module:function{_meant(name)}", name)
    for folder in reversed(folders):
        where = os.path.abspath(folder)  # noqa: PTH100 - Path.absolute keeps the ".."
        if not os.path.isdir(where):  # noqa: PTH112 - as above
            raise ArgumentError("folders", "a folder", os.fspath(folder))
        sys.path.insert(0, where)
    found: Any = _imported(module, name)
    for part in function.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            where = getattr(sys.modules[module], "__file__", None) or "the interpreter"
            raise ArgumentError("handler", f"the name of a function: {module} of {where} has no {part}", name) from None
    if not callable(found):
        raise ArgumentError("handler", "the name of something callable", name)
    handler: Handler = found
    return handler


def _meant(name: str) -> str:
    """What somebody may have meant who gave a file, or dots all through."""
    path, colon, function = name.partition(":")
    path, dot, last = (path, "", function) if colon else path.rpartition(".")
    stem = path.removesuffix(".py").replace("\\", "/").rpartition("/")[2]
    if path.endswith(".py") or "/" in path or "\\" in path:
        return f": names of modules have no .py and no folder; did you mean {stem}:{last}?" if stem and last else ""
    return f"; did you mean {path}:{last}?" if dot and path and last and last != "py" else ""


def _imported(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise ArgumentError("handler", f"in a module that can be found: there is no {error.name}", name) from error
        raise ArgumentError("handler", f"in a module that can be imported: {_told(error)}", name) from error
    except (Exception, SystemExit) as error:  # a module may raise anything, or be a script that ends itself
        raise ArgumentError("handler", f"in a module that can be imported: {_told(error)}", name) from error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def work(
    path: str | os.PathLike[str],
    group: str,
    handler: Handler | str,
    *,
    members: int = 1,
    until: Literal["idle"] | None = None,
    timeout_s: float | None = None,
    stop_timeout_s: float = WORK_STOP_S,
    create: bool = False,
    **options: Any,
) -> bool:
    """Handle the events of a group in this process until SIGTERM or SIGINT.

    Processes that open the same file share the group's partitions. When one is killed, the others take over.

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
    stop_timeout_s : float
        How long events in flight may take after it was told to end.
    create : bool
        Whether a missing file is created; otherwise a mistyped path is an error.
    **options
        As `Processor.consumer`.

    Returns
    -------
    bool
        False when the time was up and events of the group still wait.

    Raises
    ------
    StoreNotFoundError
        When there is no such file.
    StopTimeoutError
        When a handler was cut off at the end; its event is delivered again.
    """
    run = load_handler(handler) if isinstance(handler, str) else handler
    with Processor(path, create=create) as processor:
        processor.consumer(group, members=members, **options)(run)
        with until_told(processor.ask_to_stop):
            return handle(processor, group, until, timeout_s, stop_timeout_s) == 0


def handle(
    processor: Processor,
    group: str,
    until: Literal["idle"] | None = None,
    timeout_s: float | None = None,
    stop_timeout_s: float = WORK_STOP_S,
) -> int:
    """Run a processor with one group to its end.

    Returns
    -------
    int
        How many events of the group still waited when the time was up; 0 also when it was told to end.

    Raises
    ------
    StopTimeoutError
        As `work`.
    """
    over = processor.run(until, timeout_s, stop_timeout_s=stop_timeout_s)
    if not processor.stop() and ((running := processor.running()) or processor.stats().groups[group].hung):
        raise StopTimeoutError(stop_timeout_s, running)
    return 0 if over else outstanding(processor, group)


def outstanding(processor: Processor, group: str) -> int:
    """How many events of a group still have to be handled: those that wait, and dead letters that are on their way back."""
    store = processor.store
    count = sum(store.unresolved(group).values())
    dead: set[tuple[int, bytes]] = set()
    for dead_letter in store.dead_letters(group):
        name = (dead_letter.partition, dead_letter.key)
        if dead_letter.state == "dead":
            dead.add(name)
        elif name not in dead:
            count += 1
    return count


@contextmanager
def until_told(leave: Callable[[], None], *, last: Any = None) -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP (and on Windows SIGBREAK) call `leave`.

    The next one does what it did before, or, if `last` is given, that: `signal.SIG_DFL` ends the process at once.
    SIGHUP stays ignored where it was, as `nohup` has it.
    """
    names = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP") if hasattr(signal, name)]
    before: dict[signal.Signals, Any] = {}

    def told(_number: int, _frame: FrameType | None) -> None:
        for name, previous in before.items():
            signal.signal(name, previous if last is None else last)
        leave()

    if threading.current_thread() is threading.main_thread():
        for name in names:
            if name.name != "SIGHUP" or signal.getsignal(name) is not signal.SIG_IGN:
                before[name] = signal.signal(name, told)
    try:
        yield
    finally:
        for name, previous in before.items():
            signal.signal(name, previous)
