"""The client of docs/adaptive.md over three memcached: one is killed, slowed down by a proxy, or flaps."""

from __future__ import annotations

import os
import re
import select
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ringward.failover import Policy

LONG = pytest.mark.skipif("RINGWARD_LONG" not in os.environ, reason="one of the long runs")
PAGE = Path(__file__).parents[2] / "docs" / "adaptive.md"
QUICK = Policy(hold_down_s=1, slow_after_s=0.3, slow_every_s=0.3, half_life_s=60, moved_a_minute=100, suppress_at=1.5)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Proxy:
    """Forwards to a server, after a delay."""

    def __init__(self, target: int) -> None:
        self.target, self.delay_s, self.port = target, 0.0, free_port()
        self.listening = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._forward, args=(near,), daemon=True).start()

    def _forward(self, near: socket.socket) -> None:
        with near:
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return  # the server is dead: who asked finds the connection closed
            self._between(near, far)

    def _between(self, near: socket.socket, far: socket.socket) -> None:
        with far:
            while True:
                for ready in select.select([near, far], [], [])[0]:
                    try:
                        data = ready.recv(65536)
                        if not data:
                            return
                        time.sleep(self.delay_s if ready is near else 0)
                        (far if ready is near else near).sendall(data)
                    except OSError:
                        return


class Servers:
    """Three memcached, each behind a proxy: one that forwards is slower than one that does not."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.ports = [free_port() for _ in range(3)]
        self.running: dict[int, subprocess.Popen] = {}
        for number in range(3):
            self.start(number)
        self.proxies = [Proxy(port) for port in self.ports]
        self.names = [f"127.0.0.1:{proxy.port}" for proxy in self.proxies]

    def start(self, number: int) -> None:
        """Start one, and wait until it answers."""
        command = [self.program, "-l", "127.0.0.1", "-p", str(self.ports[number]), "-U", "0", "-u", "nobody", "-t", "1"]
        self.running[number] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.ports[number]), 1).close()
            except OSError:
                assert time.monotonic() < end_s, "memcached does not start"
                time.sleep(0.01)
            else:
                return

    def kill(self, number: int) -> None:
        """Kill one."""
        self.running[number].kill()
        self.running[number].wait()

    def close(self) -> None:
        """End all of them."""
        for process in self.running.values():
            process.kill()
            process.wait()
        for proxy in self.proxies:
            proxy.listening.close()


@pytest.fixture
def servers():
    """Three of them, or none."""
    program = shutil.which("memcached")
    if program is None:
        pytest.skip("memcached is not installed")
    made = Servers(program)
    yield made
    made.close()


@pytest.fixture
def caches(servers):
    """The client of the page."""
    (block,) = [
        text for text in re.findall(r"```py\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL) if "class Caches" in text
    ]
    names: dict = {}
    exec(block, names)  # noqa: S102 - our own page
    made = names["Caches"](servers.names, policy=QUICK, every_s=0.1)
    yield made
    made.router.stop()
    made.prober.close()
    for client in made.clients.values():
        client.close()


def asked_for(caches, span_s, until=None):
    """Requests without a pause: how many, how many failed, when the last one failed, and how long all of them took."""
    began_s = time.monotonic()
    requests = failed = 0
    last_s, took = 0.0, []
    while time.monotonic() - began_s < span_s and not (until and until()):
        start_s = time.monotonic()
        try:
            caches.ask("get", f"user{requests % 500}")
        except Exception:  # noqa: BLE001 - whatever an application would have to see
            failed += 1
            last_s = time.monotonic() - began_s
        took.append(time.monotonic() - start_s)
        requests += 1
    return requests, failed, last_s, sorted(took), time.monotonic() - began_s


def test_a_killed_server_is_left_within_a_second(servers, caches) -> None:
    """And comes back once it is well for the hold-down."""
    asked_for(caches, 0.5)
    servers.kill(0)
    requests, failed, last_s, *_ = asked_for(caches, 1.5)
    print(f"\nkilled: {failed} of {requests} requests failed, the last one after {last_s:.2f} s")  # noqa: T201 - the figures of the page
    assert caches.router.down == {servers.names[0]}
    assert last_s < 1.4
    servers.start(0)
    *_, back_s = asked_for(caches, 20, lambda: not caches.router.down)
    print(f"started again: it serves its keys again after {back_s:.2f} s")  # noqa: T201 - the figures of the page
    assert not caches.router.down


@pytest.mark.slow
@LONG
def test_a_slow_server_loses_its_share_and_gets_it_back(servers, caches) -> None:
    """Requests wait for it less and less."""
    asked_for(caches, 1.0)
    servers.proxies[2].delay_s = 0.03
    weight = lambda: {node.name: node.weight for node in caches.router.nodes}[servers.names[2]]  # noqa: E731
    *_, before, _ = asked_for(caches, 20, lambda: weight() < 1)
    *_, lowered_s = asked_for(caches, 20, lambda: weight() == QUICK.slow_least)
    *_, after, _ = asked_for(caches, 1.5)
    mean = [1000 * sum(took) / len(took) for took in (before, after)]
    print(f"\nslow: {mean[0]:.1f} ms a request, {mean[1]:.1f} ms after {lowered_s:.1f} s more")  # noqa: T201 - the figures of the page
    assert mean[1] < mean[0]
    assert not caches.router.down
    servers.proxies[2].delay_s = 0.0
    asked_for(caches, 30, lambda: weight() == 1)
    assert weight() == 1


@pytest.mark.slow
@LONG
def test_a_flapping_server_is_held_down(servers, caches) -> None:
    """After its second outage the application sees no more of it."""
    counts = []
    for _ in range(3):
        servers.kill(1)
        counts.append(asked_for(caches, 1.0)[1])
        servers.start(1)
        asked_for(caches, 2.5)
    kinds = [decision.kind for decision in caches.router.log()]
    print(f"\nflapping: {counts} requests failed in its outages; {kinds}")  # noqa: T201 - the figures of the page
    assert kinds.count("up") == 1
    assert "hold" in kinds
    assert counts[-1] == 0
