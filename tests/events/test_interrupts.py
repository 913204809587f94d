"""Ctrl-C at any moment of a call: nothing is lost, and everybody goes on."""

from __future__ import annotations

import random
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Self

import pytest

from ringward.events import Processor, SqliteStore
from ringward.events.stores.sqlite.locks import StoreWriteLock
from ringward.events.stores.sqlite.news import Board
from ringward.events.stores.sqlite.transactions import Watchdog
from ringward.events.stores.sqlite.wal_preallocation import WalPreallocation
from ringward.events.stores.sqlite.writer import Writer

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
@pytest.mark.parametrize("together", [1, 3])
def test_interrupts_of_publish_lose_nothing(durable: bool, together: int, tmp_path: Path) -> None:
    """What was accepted is handled, by whoever publishes it, and other threads can publish afterwards."""
    seen: list[tuple[int, bytes]] = []
    with Processor(tmp_path / "store.db" if durable else None) as p:
        p.consumer("g", members=2)(lambda event: seen.append((event.seq, event.payload)))
        p.start()
        interrupted = published = 0
        with Interrupts() as sent:
            while interrupted < ROUNDS:
                published += 1
                payload = str(published).encode()
                try:
                    sent.armed = True
                    if together == 1:
                        p.publish(f"key{interrupted % 7}", payload)
                    else:
                        p.publish_many([f"key{n}" for n in range(together)], [payload] * together)
                    sent.armed = False
                except KeyboardInterrupt:
                    interrupted += 1
        other = threading.Thread(target=p.publish, args=("key", b"y"), daemon=True)
        other.start()
        other.join(10)
        assert not other.is_alive()
        assert p.drain(timeout_s=30)
        assert sorted(seq for seq, _ in seen) == list(range(1, p.store.totals().tail + 1))
        counts = Counter(payload for _, payload in seen)
        assert counts.pop(b"y") == 1
        assert set(counts.values()) == {together}  # all or none of a batch


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="there, nobody counts descriptors")
@pytest.mark.parametrize("kind", [Watchdog, Board, StoreWriteLock, WalPreallocation, Writer])
def test_an_interrupted_close_of_a_store_closes_all(
    kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was said to be closed, and for good kept its files and the lock that tells others that it is alive."""
    close: Any = vars(kind).get("close") or kind.close  # type: ignore[attr-defined]
    armed = threading.Event()

    def interrupted(self: Any, *about: Any) -> None:
        close(self, *about)
        if armed.is_set():
            armed.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(kind, "close", interrupted)
    before = len(list(Path("/proc/self/fd").iterdir()))
    store = SqliteStore(tmp_path / "store.db")
    armed.set()
    with pytest.raises(KeyboardInterrupt):
        store.close()
    store.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert not list((tmp_path / "store.db-locks").glob("alive-*"))
