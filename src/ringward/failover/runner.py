"""`Runner`: ticks in a thread, for those who have no loop of their own."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ringward.checks import checked_float
from ringward.errors import ArgumentTypeError
from ringward.health import Detector
from ringward.health.probes import Prober
from ringward.texts import error_text

__all__ = ["EVERY_S", "Runner"]

EVERY_S = 1.0
_JOIN_S = 10.0


class Ticking(Protocol):
    """What is run: an Adaptive."""

    def tick(self, now_s: float) -> object:
        """Decide what is due."""

    def __iter__(self) -> Iterator[str]:
        """Who is to be probed."""

    def _note_error(self, now_s: float, text: str) -> None: ...


class Runner:
    """Ticks every `every_s` by `time.monotonic` in a daemon thread; a prober beside it, where there is a probe.

    The prober follows the membership: who joins is probed from the next tick on, who left no more.
    """

    def __init__(
        self,
        ticking: Ticking,
        detector: Detector,
        probe: Callable[[Any], Any] | None,
        *,
        targets: Mapping[str, Any] | None,
        every_s: float,
        options: Mapping[str, Any],
    ) -> None:
        self._ticking = ticking
        self._every_s = checked_float("every_s", every_s, zero=False)
        if targets is not None and not isinstance(targets, Mapping):
            raise ArgumentTypeError("targets", "a mapping of node to what the probe is called with", targets)
        self._targets = dict(targets or {})
        self._prober = None if probe is None else Prober([], probe, detector=detector, every_s=every_s, **options)
        self._probed: set[str] = set()
        self._stopped = threading.Event()
        self._process = os.getpid()
        self._follow()
        self._thread = threading.Thread(target=self._run, name="ringward-adaptive", daemon=True)

    @property
    def runs(self) -> bool:
        """Whether its thread runs in this process: no thread survives a fork."""
        return self._process == os.getpid() and self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        if self._prober is not None:
            self._prober.start()
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for a tick that runs; from inside of one, without waiting."""
        self._stopped.set()
        if self._prober is not None:
            self._prober.close()
        if self.runs and threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    def _follow(self) -> None:
        """Probe who is a member now."""
        if self._prober is None:
            return
        names = set(self._ticking)
        for name in sorted(names - self._probed):
            self._prober.add(name, self._targets.get(name))
        for name in self._probed - names:
            self._prober.remove(name)
        self._probed = names

    def _run(self) -> None:
        last = ""
        while not self._stopped.wait(self._every_s):
            now_s = time.monotonic()
            try:
                self._follow()
                self._ticking.tick(now_s)
                last = ""
            except BaseException as error:  # noqa: BLE001 - a thread that ended, even by SystemExit, would leave dead nodes in use
                text = f"a tick raised {error_text(error)}"
                if text != last:
                    self._ticking._note_error(now_s, text)
                last = text
