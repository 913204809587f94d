"""Ctrl-C at any moment of a call: nothing is lost, and everybody goes on."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Self

import pytest

from ringward.events import Processor
from ringward.events.stores import interrupts
from ringward.events.stores.interrupts import Uninterrupted

ROUNDS = 300


class Interrupts:
    """Raises `KeyboardInterrupt` in this thread when it is armed and a SIGINT comes; a thread sends them all the time."""

    def __init__(self) -> None:
        self.armed = False
        self._over = threading.Event()
        self._sender = threading.Thread(target=self._send, args=(threading.get_ident(),))

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt

    def _send(self, thread: int) -> None:
        chance = random.Random(1)
        while not self._over.wait(chance.random() / 1000):
            signal.pthread_kill(thread, signal.SIGINT)

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._handle)
        self._sender.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._sender.join()
        assert signal.signal(signal.SIGINT, self._before) == self._handle


@pytest.mark.skipif(sys.platform == "win32", reason="there are no signals for threads")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # where one hits a callback of a weakref
@pytest.mark.parametrize("durable", [True, False])
def test_interrupts_of_publish_lose_nothing(durable: bool, tmp_path: Path) -> None:
    """What was accepted is handled, by whoever publishes it, and other threads can publish afterwards."""
    seen: list[int] = []
    with Processor(tmp_path / "store.db" if durable else None) as p:
        p.consumer("g", members=2)(lambda event: seen.append(event.seq))
        p.start()
        interrupted = 0
        with Interrupts() as sent:
            while interrupted < ROUNDS:
                try:
                    sent.armed = True
                    p.publish(f"key{interrupted % 7}", b"x")
                    sent.armed = False
                except KeyboardInterrupt:
                    interrupted += 1
        other = threading.Thread(target=p.publish, args=("key", b"y"))
        other.start()
        other.join(10)
        assert not other.is_alive()
        assert p.drain(timeout_s=30)
        assert sorted(seen) == list(range(1, p.store.totals().tail + 1))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Where the tests run in the background, SIGINT is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def held_back(reached: list[str], *, enough_s: float) -> None:
    """Two signals inside of two blocks, the second one after so long."""
    with Uninterrupted():
        with Uninterrupted():
            signal.raise_signal(signal.SIGINT)
        reached.append("first")
        time.sleep(enough_s)
        signal.raise_signal(signal.SIGINT)
        reached.append("second")


@pytest.mark.usefixtures("interruptible")
def test_a_first_signal_waits_for_the_end_and_another_one_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "ENOUGH_S", 0.05)
    reached: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        held_back(reached, enough_s=0.0)
    assert reached == ["first", "second"]
    with pytest.raises(KeyboardInterrupt):
        held_back(reached, enough_s=0.06)
    assert reached == ["first", "second", "first"]
