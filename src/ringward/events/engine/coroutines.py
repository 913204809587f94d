"""`KeyRunner`: runs coroutines, the events of one key one after the other, in the task that calls it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

from ringward.errors import ArgumentTypeError, InsideHandlerError, UnsupportedError
from ringward.events.core.batch import Batch
from ringward.events.core.outcomes import GiveBack
from ringward.events.engine.callables import is_interrupt, never_ran
from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.engine import Engine
from ringward.events.engine.handlers import failure, misfit
from ringward.events.model.event import Delivery, Event, Row

__all__ = ["AsyncHandler", "KeyRunner", "refuse_inside"]

AsyncHandler = Callable[[Event], Awaitable[Any]]


class _HandlerTask:
    """A task that runs handlers; what they start knows of it by its context."""

    __slots__ = ("engine", "running")

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.running = True


_handler_task: contextvars.ContextVar[_HandlerTask | None] = contextvars.ContextVar(
    "ringward_handler_task", default=None
)


def refuse_inside(engine: Engine, call: str) -> None:
    """Refuse what waits for handlers where one waits for it, also by a task of its own."""
    mine = _handler_task.get()
    if mine is not None and mine.running and mine.engine is engine:
        raise InsideHandlerError(call)


class KeyRunner:
    """Runs the events of one group.

    Parameters
    ----------
    engine : Engine
    driver : GroupDriver
    handler : callable
        Takes an `Event`, and gives what is awaited. What it raises is a failed attempt.
    cancelled : callable
        Whether tasks are cancelled since the program is ending, or the processor.
    failed : callable
        Called with the error that ends all.
    """

    def __init__(
        self,
        engine: Engine,
        driver: GroupDriver,
        handler: AsyncHandler,
        cancelled: Callable[[], bool],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._engine = engine
        self._driver = driver
        self._handler = handler
        self._cancelled = cancelled
        self._failed = failed
        self._proved = False  # whether the handler has ever given something to await

    def delivery(self, batch: Batch) -> Delivery:
        """What the events of a batch have in common."""
        return Delivery(self._driver.group.name, batch.epochs, _no_transaction, self._engine.codec)

    async def run(
        self, batch: Batch, delivery: Delivery, events: Sequence[tuple[Row, int]], noted: asyncio.Event
    ) -> None:
        """Handle events of a batch that have one key, until one fails or is taken back; say when there is an outcome."""
        mine = _HandlerTask(self._engine)
        _handler_task.set(mine)  # in this task's own context
        try:
            for row, attempt in events:
                try:
                    batch.events.remove((row, attempt))
                except ValueError:  # taken back meanwhile
                    return
                try:
                    error = await self._attempt(Event((row, attempt, delivery)))
                except GiveBack:
                    return
                batch.note(row, error)
                noted.set()
                if error is not None:
                    batch.stop_key(row)
                    return
        finally:
            mine.running = False
            noted.set()

    async def _attempt(self, event: Event) -> str | None:
        """Run the handler; why it failed."""
        try:
            with self._engine.observer.around(event):
                result: object = self._handler(event)
                if not isinstance(result, Awaitable):
                    return self._not_awaitable(event, result)
                self._proved = True
                told = await result
            if told is not None and (reason := never_ran(told, "await it in the handler")) is not None:
                return misfit(event, reason)
        except GiveBack:
            raise
        except BaseException as error:
            if self._comes_from_outside(error):
                raise
            return failure(event, error, self._engine.texts)
        return None

    def _not_awaitable(self, event: Event, result: object) -> str:
        """Count a failed attempt; where no event ever gave something to await, stop all, since each would have its effect."""
        if self._proved:
            return misfit(event, f"{type(result).__name__}, which cannot be awaited")
        self._failed(ArgumentTypeError(f"the handler of group {event.group}", "a coroutine function", self._handler))
        raise GiveBack

    def _comes_from_outside(self, error: BaseException) -> bool:
        """Whether the program is ending, or this processor: then it was no attempt."""
        if isinstance(error, asyncio.CancelledError):
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                return False
            if self._cancelled():
                return True
            task.uncancel()  # the handler has cancelled its own task
            return False
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        return (
            is_interrupt(error) and frame is not None and frame.tb_frame.f_globals.get("__name__") == "asyncio.runners"
        )


def _no_transaction(_event: Event) -> NoReturn:
    raise UnsupportedError(
        "event.transaction is not available in coroutines, since all writers would wait for their awaits: handle this group"
        " with a plain function of ringward.events.Processor, or write elsewhere by event.seq"
    )
