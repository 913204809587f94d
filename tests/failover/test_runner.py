"""`Adaptive.start`: ticks and probes in a thread."""

from __future__ import annotations

import threading
import time

import pytest
from failover.told import Told

import ringward as rw
from ringward.failover import Adaptive, Policy
from ringward.health import Deadline


def until(true, within_s=20.0):
    """Wait for it."""
    end_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.005)


def test_a_probe_takes_a_node_down_and_brings_it_back() -> None:
    """Who joins is probed too, who left no more; the thread ends with stop."""
    dead: set[str] = {"b"}
    asked: list[str] = []

    def probe(target: str) -> bool:
        asked.append(target)
        return target.removeprefix("at ") not in dead

    router = Adaptive(
        rw.HashRing(["a", "b", "c"]), detector=Deadline(after_s=0.3), policy=Policy(hold_down_s=0.2, moved_a_minute=100)
    )
    assert router.start(probe, targets={"a": "at a"}, every_s=0.02) is router
    with pytest.raises(rw.ChangeError, match="runs already"):
        router.start()
    until(lambda: router.down == {"b"})
    dead.clear()
    until(lambda: not router.down)
    router.add("d")
    until(lambda: "d" in asked)
    router.remove("b")
    until(lambda: router._runner._probed == {"a", "c", "d"})
    router.stop()
    router.stop()
    assert {"at a", "b", "c", "d"} == {*asked}
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ringward-adaptive")]
    assert router.start().epoch == router.epoch
    router.stop()


def test_an_error_in_a_tick_is_told_and_ends_nothing() -> None:
    """A thread that ended would leave dead nodes in use."""

    class Broken(Adaptive):
        __slots__ = ()

        def tick(self, now_s):
            raise RuntimeError("no")

    router = Broken(rw.HashRing(["a", "b", "c"]), detector=Told())
    router.start(every_s=0.01)
    until(router.log)
    time.sleep(0.05)
    router.stop()
    assert [(each.kind, each.reason) for each in router.log()] == [("error", "a tick raised RuntimeError: no")]


class UnspeakableError(Exception):
    """Its message cannot be had."""

    def __str__(self):
        raise ValueError("no message")


@pytest.mark.parametrize(
    ("error", "told"),
    [(SystemExit(3), "SystemExit: 3"), (UnspeakableError(), "UnspeakableError, whose message raises ValueError")],
)
def test_no_error_of_a_detector_or_of_a_hook_ends_the_thread(error, told) -> None:
    """A detector that calls `sys.exit`, and an error without a message, ended it without a word."""

    class Broken(Told):
        asked = 0

        def status(self, node, now_s):
            Broken.asked += 1
            raise error

    router = Adaptive(rw.HashRing(["a"]), detector=Broken())
    router.start(every_s=0.01)
    until(lambda: Broken.asked > 3)
    router.stop()
    assert [each.reason.partition("raised ")[2] for each in router.log()] == [told]

    called = []

    def hook(decision):
        called.append(decision)
        raise error

    detector = Told()
    router = Adaptive(
        rw.HashRing(["a", "b"]), detector=detector, hooks=[hook], policy=Policy(hold_down_s=0.01, moved_a_minute=100)
    )
    router.start(every_s=0.01)
    detector.failed("a", 0.0)
    until(lambda: router.down)
    detector.heard("a", 0.0)
    until(lambda: not router.down)
    router.stop()
    assert told in {each.reason.partition("raised ")[2] for each in router.log()}
    assert called


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"every_s": 0}, "every_s must be finite and above 0"),
        ({"targets": ["a"]}, "targets must be a mapping"),
        ({"probe": 1}, "probe must be callable"),
    ],
)
def test_wrong_arguments_are_refused(more, text) -> None:
    """And nothing runs then."""
    router = Adaptive(rw.HashRing(["a"]), detector=Told())
    with pytest.raises(rw.RingwardError, match=text):
        router.start(**more)
    assert router._runner is None
