"""`Observer`: calls the hooks of a processor, and keeps its log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

from ringward.errors import ArgumentTypeError
from ringward.events.engine.callables import is_interrupt
from ringward.events.hooks import Hooks
from ringward.events.logs import log
from ringward.events.model.event import Entry, Event, Receipt
from ringward.events.model.notifications import Claimed, Died, Fenced, Notification, Released, Retried
from ringward.events.model.stream import added_headers
from ringward.events.texts import Texts
from ringward.texts import shown

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Observer"]

Append: TypeAlias = Callable[[Sequence[Entry]], list[Receipt]]
_NAMES = ("publishing", "published", "handling", "retried", "dead", "claimed", "released", "fenced", "failed")
_NOTHING = nullcontext()


class Observer:
    """Writes the log, and calls the hooks; what a hook raises is logged and goes no further.

    Parameters
    ----------
    hooks : Hooks or None
    texts : Texts
    """

    def __init__(self, hooks: Hooks | None, texts: Texts = Texts()) -> None:
        self.hooks = _checked(hooks)
        self._texts = texts
        own: Any = hooks
        if texts.redact is not None and getattr(own, "redact", texts.redact) is None:
            own.redact = texts.redact  # hooks that tell of errors themselves

    def notify(self, notification: Notification) -> None:
        """Tell what happened to a group."""
        level, event, text = _said(notification)
        log(level, text, event=event, **notification._asdict())
        if self.hooks is not None:
            self._guarded(getattr(self.hooks, event), notification)

    def failed(self, error: BaseException) -> None:
        """Tell that the processor stops."""
        text = self._texts.line(error)
        log(logging.ERROR, f"the event processor stops: {text}", event="failed", error=text)
        if self.hooks is not None:
            self._guarded(self.hooks.failed, error)

    def idles(self, failure: BaseException | None) -> None:
        """Tell that events are stored while the processor has stopped."""
        text = "" if failure is None else self._texts.line(failure)
        line = f"events are stored, and not handled here: the processor has stopped: {text}"
        log(logging.WARNING, line, event="idles", error=text)

    def append(self, append: Append) -> Append:
        """What stores events, with the hooks around it and the headers that they add; itself, without hooks."""
        hooks = self.hooks
        if hooks is None:
            return append

        def appended(entries: Sequence[Entry]) -> list[Receipt]:
            with _Around(hooks.publishing, len(entries), self._broken) as headers:
                receipts = append(self._with_headers(entries, headers) if headers else entries)
                self._guarded(hooks.published, receipts)
                return receipts

        return appended

    def handler(self, handler: Callable[[Event], Any]) -> Callable[[Event], Any]:
        """A handler with the hooks around it; itself, without hooks."""
        hooks = self.hooks
        if hooks is None:
            return handler

        def handle(event: Event) -> Any:
            with _Around(hooks.handling, event, self._broken):
                return handler(event)

        return handle

    def around(self, event: Event) -> AbstractContextManager[Any]:
        """What stands around the handling of an event, for asyncio."""
        return _NOTHING if self.hooks is None else _Around(self.hooks.handling, event, self._broken)

    def _guarded(self, hook: Callable[..., Any], *arguments: object) -> None:
        try:
            hook(*arguments)
        except BaseException as error:  # noqa: BLE001 - whatever a hook raises
            self._broken(hook, error)

    def _broken(self, hook: object, error: BaseException) -> None:
        if is_interrupt(error):
            raise error
        self._log_broken(f"a hook failed: {shown(hook)}", error)

    def _log_broken(self, text: str, error: BaseException) -> None:
        texts = self._texts
        raised = None if texts.redact else error
        text = f"{text}: {texts.line(error)}"
        log(logging.ERROR, text, event="hook_failed", trace=texts.trace(error), raised=raised)

    def _with_headers(self, entries: Sequence[Entry], headers: Mapping[str, str]) -> Sequence[Entry]:
        try:
            added = added_headers(headers)
        except Exception as error:  # noqa: BLE001 - a mapping may raise anything
            self._log_broken("a hook gave something that is not headers", error)
            return entries
        return [(*entry[:-1], (entry[-1] or "") + added) for entry in entries]


class _Around(AbstractContextManager[Any]):
    """A hook's context manager, which can neither fail nor swallow anything."""

    __slots__ = ("_argument", "_broken", "_hook", "_manager")

    def __init__(
        self,
        hook: Callable[[Any], AbstractContextManager[Any]],
        argument: object,
        broken: Callable[[object, BaseException], None],
    ) -> None:
        self._hook = hook
        self._argument = argument
        self._broken = broken
        self._manager: AbstractContextManager[Any] | None = None

    def __enter__(self) -> Any:
        try:
            manager = self._hook(self._argument)
            given = manager.__enter__()
        except BaseException as error:  # noqa: BLE001 - whatever a hook raises
            self._broken(self._hook, error)
            return None
        self._manager = manager
        return given

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._manager is not None:
            try:
                self._manager.__exit__(kind, error, traceback)
            except BaseException as raised:  # noqa: BLE001 - also what it lets through of the handler's own
                if raised is not error:
                    self._broken(self._hook, raised)


def _said(notification: Notification) -> tuple[int, str, str]:
    """Level, name of the hook and text of a notification."""
    match notification:
        case Retried(group, _, seq, attempts, error):
            return (
                logging.DEBUG,
                "retried",
                f"group {group}: seq {seq} is tried again after attempt {attempts}: {error}",
            )
        case Died(group, _, seq, attempts, error):
            return logging.ERROR, "dead", f"group {group}: seq {seq} is dead after {attempts} attempts: {error}"
        case Claimed(group, member, partitions, taken):
            text = f"group {group}: {member} claimed {len(partitions)} partitions, {len(taken)} of them taken over"
            return logging.WARNING if taken else logging.INFO, "claimed", text
        case Released(group, partitions):
            return logging.INFO, "released", f"group {group}: released {len(partitions)} partitions"
        case Fenced(group, partitions):
            return (
                logging.WARNING,
                "fenced",
                f"group {group}: lost {len(partitions)} partitions: taken over, redriven, dropped or reset",
            )


def _checked(hooks: Hooks | None) -> Hooks | None:
    if hooks is not None and (
        isinstance(hooks, type) or not all(callable(getattr(hooks, name, None)) for name in _NAMES)
    ):
        raise ArgumentTypeError("hooks", "an object of a class that derives from Hooks, or None", hooks)
    return hooks
