"""What kind of callable a handler is, and what its result tells: whether it has run at all."""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, get_type_hints

from ringward.errors import ArgumentTypeError

__all__ = ["check_coroutine_handler", "check_handler", "is_interrupt", "never_ran"]

_AWAITABLES = ("Awaitable", "Coroutine", "Future", "Task")
_MOCKS = ("unittest.mock", "mock")
_UNCALLED = (types.FunctionType, types.MethodType, functools.partial)
_UNENTERED = (contextlib._GeneratorContextManager, contextlib._AsyncGeneratorContextManager)
_PLAIN = frozenset((bool, int, float, str, bytes))
_LOOKED_AT = 1000  # values of a collection


def check_handler(handler: object) -> None:
    """Refuse what a thread cannot run as a handler, as far as that can be seen.

    A function that hides its kind is let through; `never_ran` looks at its result.

    Raises
    ------
    ArgumentTypeError
        For what is not callable with one event; for classes, coroutine functions and generators.
    """
    kind = _kind_of(_checked(handler))
    if kind == "coroutine":
        raise ArgumentTypeError(
            "handler", "a plain function: a coroutine function needs ringward.events.aio.Processor", handler
        )
    _refuse_generators(kind, handler)


def check_coroutine_handler(handler: object) -> None:
    """Refuse what asyncio cannot run as a handler, as far as that can be seen.

    Functions that return an awaitable without being `async def` pass when they say so: by `functools.wraps`, by their
    return type, by `inspect.markcoroutinefunction`, or as a lambda, which cannot be `async`.

    Raises
    ------
    ArgumentTypeError
        For what is not callable with one event; for classes, generators and plain functions.
    """
    kind = _kind_of(_checked(handler))
    _refuse_generators(kind, handler)
    if kind == "function" and not _says_awaitable(handler):
        raise ArgumentTypeError(
            "handler",
            "a coroutine function (async def): a plain one needs ringward.events.Processor, or asyncio.to_thread inside",
            handler,
        )


def _checked(handler: object) -> Callable[..., Any]:
    if isinstance(handler, type):
        raise ArgumentTypeError("handler", "a function: calling a class makes an object and handles nothing", handler)
    if not callable(handler):
        raise ArgumentTypeError("handler", "callable", handler)
    try:
        signature = inspect.signature(handler)
    except Exception:  # noqa: BLE001 - a built-in, or annotations that cannot be evaluated: nothing can be seen
        return handler
    try:
        signature.bind(object())
    except TypeError as error:
        raise ArgumentTypeError("handler", f"callable with one argument, the event ({error})", handler) from None
    return handler


def _refuse_generators(kind: str, handler: object) -> None:
    if kind == "generator":
        raise ArgumentTypeError(
            "handler", "a function without yield: calling a generator function runs nothing", handler
        )


def _kind_of(handler: object) -> str:
    """coroutine, generator, function, or unknown: lambdas, mocks, built-ins."""
    function = _innermost(handler)
    if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(handler):
        return "coroutine"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        return "generator"
    if inspect.isfunction(function) and function.__name__ != "<lambda>" and function.__module__ not in _MOCKS:
        return "function"
    return "unknown"


def _innermost(handler: Any) -> object:
    """The function that runs: behind partials, methods and `__call__`."""
    for _ in range(32):  # partials of partials; a chain that never ends is not followed
        if isinstance(handler, functools.partial | functools.partialmethod):
            handler = handler.func
        elif inspect.ismethod(handler):
            handler = handler.__func__
        elif inspect.isfunction(handler) or isinstance(handler, type) or inspect.isbuiltin(handler):
            break
        elif isinstance(call := getattr(type(handler), "__call__", None), _FOLLOWED):  # noqa: B004 - what it is
            handler = call
        else:
            break
    return handler


_FOLLOWED = (type(check_handler), functools.partial, functools.partialmethod)


def _says_awaitable(handler: object) -> bool:
    function = _innermost(handler)
    with suppress(Exception):  # a chain of wrappers that is a circle
        if inspect.iscoroutinefunction(inspect.unwrap(function)):  # type: ignore[arg-type]
            return True
    returned: object = ""
    with suppress(Exception):  # names that are there for type checkers only, which newer versions look up here
        returned = getattr(function, "__annotations__", {}).get("return", "")
    with suppress(Exception):
        returned = get_type_hints(function).get("return", "")
    return any(name in str(returned) for name in _AWAITABLES)


def never_ran(result: object, remedy: str = "a coroutine function needs ringward.events.aio.Processor") -> str | None:
    """Why a result shows that its handler has not run, or not to its end; None when it does not.

    A coroutine or generator is closed, so that no warning follows. Cursors and files are iterators whose work is done.
    Of collections, the values are looked at that nobody has awaited.

    Parameters
    ----------
    result : object
        What the handler returned; in asyncio, what awaiting that gave.
    remedy : str
        What is to be done about something that nobody awaited.
    """
    kind = type(result)
    if kind in _PLAIN or kind.__module__ in _MOCKS:
        return None
    if isinstance(result, list | tuple | set | frozenset | dict):
        values = islice(result.values() if isinstance(result, dict) else result, _LOOKED_AT)
        reasons = [reason for value in values if _has_work(value) and (reason := _unawaited(value, remedy))]
        return f"a {kind.__name__} with {reasons[0]}" if reasons else None
    if isinstance(result, Generator):
        _close(result)
    return _unawaited(result, remedy) or _unused(result)


def _close(result: Coroutine[Any, Any, Any] | Generator[Any, Any, Any]) -> None:
    with suppress(BaseException):  # one that has begun may raise
        result.close()


def _has_work(value: object) -> bool:
    """Whether a value in a collection may be work that nobody waits for; clients can be awaited, too, to connect."""
    kind = type(value)
    if kind in _PLAIN or kind.__module__ in _MOCKS:
        return False
    return isinstance(value, Coroutine) or hasattr(kind, "add_done_callback")


def _unawaited(result: object, remedy: str) -> str | None:
    if isinstance(result, Coroutine):
        _close(result)
        return f"a coroutine that nobody awaited: {remedy}"
    if callable(getattr(type(result), "add_done_callback", None)):
        return None if _has_ended(result) else "a future that nobody waited for: return when its work is done"
    if isinstance(result, Awaitable):
        return f"an awaitable that nobody awaited: {remedy}"
    if isinstance(result, threading.Thread) and result.ident is None:
        return "a thread that nobody started"
    return None


def _has_ended(future: Any) -> bool:
    """Whether a future's work is done, and well."""
    with suppress(BaseException):  # of somebody else's class
        return bool(future.done() and not future.cancelled() and future.exception() is None)
    return False


def _unused(result: object) -> str | None:
    if isinstance(result, AsyncIterator | Iterator) and not any(
        hasattr(type(result), name) for name in ("fetchone", "read")
    ):
        if isinstance(result, AsyncIterator):
            return "an asynchronous iterator that nobody iterated: it has run nothing"
        what = "a generator" if isinstance(result, Generator) else "an iterator"
        return f"{what} that nobody iterated: it has run nothing"
    if isinstance(result, _UNENTERED):
        return "a context manager that nobody entered: it has run nothing"
    if isinstance(result, _UNCALLED):
        return "a function that nobody called, as a decorator without its parentheses does"
    return None


def is_interrupt(error: BaseException) -> bool:
    """Whether an error may be somebody's Ctrl-C, which only the main thread gets, and which is to go through."""
    return isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread()
