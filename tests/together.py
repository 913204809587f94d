"""Threads that read one router while another changes it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from oracle import Member

import ringward as rw

START = {f"node{i}": Member(1.0 + i % 2, "xyz"[i % 3]) for i in range(6)} | {"guest": Member(2.0, "x")}


def change_number(router: rw.Router, i: int) -> None:
    """Make the i-th change of a history without end, of every sort; each is one epoch."""
    name = f"node{i // 10 % 6}"
    step = i % 10
    if step == 0:
        router.mark_down(name)
    elif step == 1:
        router.add(rw.Node(f"extra{i // 10}", weight=2.0, zone="w"))
    elif step == 2:
        router.mark_up(name)
    elif step == 3:
        router.reweigh(name, 3.0)
    elif step == 4:
        with router.change() as change:
            change.mark_down(name)
            change.reweigh(name, 1.0)
            change.add(f"other{i // 10}")
    elif step == 5:
        router.mark_down(f"extra{i // 10}")
    elif step == 6:
        router.remove(f"extra{i // 10}", f"other{i // 10}")
    elif step == 7:
        router.mark_up(name)
    elif step == 8:
        router.remove("guest")
    else:
        router.add("guest")  # its name, and maybe its points, are still known


def run_together(work: list[Callable[[], None]]) -> None:
    """Run functions in threads of their own, and raise what any of them raised."""
    failures: list[BaseException] = []
    gate = threading.Barrier(len(work))

    def guarded(function: Callable[[], None]) -> None:
        try:
            gate.wait(timeout=30)
            function()
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]
