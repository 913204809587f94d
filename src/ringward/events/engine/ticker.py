"""`Ticker`: the thread that keeps time for the groups of a processor. It sleeps until something is due, or is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

from ringward.events.engine.driver import GroupDriver
from ringward.events.engine.troubles import Troubles, passes
from ringward.events.model.store import Store

__all__ = ["LONGEST_S", "TICK_S", "Ticker"]

TICK_S = 0.025  # between two rounds while there is something to do
LONGEST_S = 1.0  # between two rounds while there is nothing
LOOK_S = 0.06  # between two looks at whether other processes live
LOOKS = 16  # other processes, at most, that are looked at so often
GAP_S = 0.01  # between two rounds for the sake of news


class Ticker:
    """Calls each group's `tick` when it is due, or when there is news, in a thread of its own.

    A round ticks all groups. While any has work under way, a round follows each `TICK_S`, whatever happens. Otherwise the
    thread sleeps on the store's news until the first of the groups is due, and lets nobody wait who rouses it.

    Parameters
    ----------
    store : Store
    now : callable
        Monotonic seconds.
    troubles : Troubles
    upkeep : callable
        Called in each round with the time.
    ticked : callable
        Called with each driver after its tick, well or not.
    rounded : callable
        Called after each round.
    failed : callable
        Called with the error that ends the thread.
    works : callable
        Whether those who handle events can; while not, nothing is ticked, so that others take over in the end.
    """

    def __init__(
        self,
        store: Store,
        now: Callable[[], float],
        troubles: Troubles,
        *,
        upkeep: Callable[[float], None],
        ticked: Callable[[GroupDriver], None],
        rounded: Callable[[], None],
        failed: Callable[[BaseException], None],
        works: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = store
        self._now = now
        self._troubles = troubles
        self._upkeep = upkeep
        self._ticked = ticked
        self._rounded = rounded
        self._failed = failed
        self._works = works
        self._drivers: tuple[GroupDriver, ...] = ()
        self._paused: dict[str, float] = {}  # who is in trouble → until when
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._dozing = False  # whether the thread sleeps for long, or is about to
        self._stirred = False  # whether a batch has begun or ended since the round began
        self._asked = False  # whether there is to be a round at once
        self.begun = self.ended = 0  # rounds
        self._others: tuple[str, ...] = ()

    # --- for others

    def add(self, driver: GroupDriver) -> None:
        """Tick a group, too."""
        self._drivers = (*self._drivers, driver)
        self.rouse()

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Start the thread."""
        self._stopping = threading.Event()
        self._paused.clear()
        self._thread = threading.Thread(target=self._run, args=(self._stopping,), name="ringward-ticker", daemon=True)
        self._thread.start()

    def past(self, begun: int) -> bool:
        """Whether a round is over that began after this many: what came before the question is stored, or never will be."""
        return self.ended > begun or not self.running

    def stop(self) -> None:
        """Let the thread end soon; `join` waits for it."""
        self._stopping.set()
        self._wake()

    def join(self, timeout_s: float | None) -> bool:
        """Wait until the thread has ended; whether it has."""
        thread = self._thread
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def stir(self) -> None:
        """A batch has begun or ended: there is to be a round within `TICK_S`. Costs next to nothing if there is anyway."""
        self._stirred = True
        if self._dozing:
            self._dozing = False
            self._wake()

    def rouse(self) -> None:
        """There is to be a round at once."""
        self._asked = True
        self._wake()

    def _wake(self) -> None:
        self._store.news.rouse()

    # --- the thread

    def _run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                if not self._works():
                    stopping.wait(TICK_S)
                    continue
                began = self._now()
                seen = self._store.news.count
                self._stirred = self._asked = False
                slept_from = time.monotonic()  # whatever clock the groups have
                self.begun += 1
                due = self._round(began)
                self._sleep(stopping, slept_from, slept_from + due - began, seen)
        except BaseException as error:  # noqa: BLE001 - a thread's error is shown to whoever waits
            self._failed(error)

    def _round(self, now: float) -> float:
        """Tick all groups; when the next round is due."""
        due = now + LONGEST_S
        for driver in self._drivers:
            due = min(due, self._tick(driver, now))
        self._guarded("the upkeep", now, lambda: self._upkeep(now))
        self.ended = self.begun
        self._rounded()
        self._others = _others(self._drivers)
        return due

    def _tick(self, driver: GroupDriver, now: float) -> float:
        """Tick one group; when it is due again. What may pass is waited for, and the other groups do not notice."""
        who = f"group {driver.group.name}"
        if not self._guarded(who, now, lambda: driver.tick(now)):
            self._ticked(driver)
            return self._paused[who]
        self._ticked(driver)
        return driver.due(now)

    def _guarded(self, who: str, now: float, act: Callable[[], None]) -> bool:
        """Do something, unless what it met lately is to be waited for; whether it was done."""
        if now < self._paused.get(who, now):
            return False
        try:
            act()
        except Exception as error:
            if not passes(error):
                raise
            self._paused[who] = now + self._troubles.met(who, error)
            return False
        if self._paused.pop(who, None) is not None:
            self._troubles.over(who)
        return True

    def _sleep(self, stopping: threading.Event, began: float, due: float, seen: int) -> None:
        """Sleep until the next round."""
        soon = began + TICK_S
        if due <= soon:
            stopping.wait(max(0.0, due - time.monotonic(), soon - time.monotonic()))
            return
        self._dozing = True
        look = began + self._look_s()
        while not (stopping.is_set() or self._asked):
            now = time.monotonic()
            if self._stirred:
                due = min(due, soon)
            if now >= due:
                break
            if self._stirred:
                stopping.wait(due - now)
                continue
            if self._listen(seen, min(due, look) - now):
                if not self._stirred:
                    stopping.wait(max(0.0, began + GAP_S - time.monotonic()))
                    break
            elif time.monotonic() >= look:
                look = time.monotonic() + self._look_s()
                if self._somebody_died():
                    break
        self._dozing = False

    def _listen(self, seen: int, seconds: float) -> bool:
        """Wait for news; whether there is any. Where others can't tell of theirs, they are looked for again and again."""
        hears = self._store.hears_others
        heard = self._store.news.wait(seen, seconds if hears else min(seconds, TICK_S)) != seen
        return heard or not hears

    def _look_s(self) -> float:
        """How long until others are looked at."""
        return LOOK_S * max(1.0, len(self._others) / LOOKS) if self._others else float("inf")

    def _somebody_died(self) -> bool:
        """Whether the process of another member is gone. It is no proof: the round looks again."""
        with suppress(Exception):  # a look that fails tells nothing
            return any(self._store.hint(process) == "gone" for process in self._others)
        return False


def _others(drivers: Iterable[GroupDriver]) -> tuple[str, ...]:
    return tuple(sorted({process for driver in drivers for process in driver.group.members.others}))
