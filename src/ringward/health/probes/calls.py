"""`Calls`: what blocks, called in threads that nobody waits for longer than he likes."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any

from ringward.checks import checked_int
from ringward.mutex import Mutex

__all__ = ["Calls"]

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[tuple[Any, BaseException | None]]"]


class Calls:
    """Calls of functions that block, each in a daemon thread, so that neither a time-out nor the end waits for them.

    Of one key there is one call at a time: who asks while it runs gets the result of that one. So a call that never
    returns is not made again, and takes one thread.

    Parameters
    ----------
    most : int
        How many may run at once.
    """

    def __init__(self, most: int) -> None:
        self._most = checked_int("most", most, 1, 1 << 20)
        self._begin()

    def _begin(self) -> None:
        self._process = os.getpid()
        self._lock = Mutex()
        self._waiting: dict[Hashable, list[_Waiter]] = {}

    async def result(self, key: Hashable, function: Callable[..., Any], *args: Any) -> Any:
        """What the function returns, or the call of this key that runs already. What it raises is raised, whatever it is."""
        if self._process != os.getpid():  # the threads are not in a child, and the lock may be held for ever
            self._begin()
        loop = asyncio.get_running_loop()
        waiter: _Waiter = (loop, loop.create_future())
        with self._lock:
            running = self._waiting.get(key)
            if running is not None:
                running.append(waiter)
            elif len(self._waiting) >= self._most:
                raise OSError(errno.ENOBUFS, f"{self._most} calls have not returned yet: no more are made")
            else:
                self._waiting[key] = [waiter]
        if running is None:
            try:
                threading.Thread(
                    target=self._call, args=(key, function, args), name="ringward-call", daemon=True
                ).start()
            except RuntimeError as error:
                with self._lock:
                    self._waiting.pop(key, None)
                raise OSError(errno.ENOMEM, str(error)) from error
        value, raised = await waiter[1]
        if raised is not None:
            raise raised
        return value

    def _call(self, key: Hashable, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = function(*args), None
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            outcome = None, error
        with self._lock:
            waiting = self._waiting.pop(key, [])
        for loop, future in waiting:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(_deliver, future, outcome)


def _deliver(
    future: asyncio.Future[tuple[Any, BaseException | None]], outcome: tuple[Any, BaseException | None]
) -> None:
    if not future.done():
        future.set_result(outcome)
