"""The recipes of docs/with-others.md, as they stand there, with real servers."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest

import ringward as rw

PAGE = Path(__file__).resolve().parents[1] / "docs" / "with-others.md"
BLOCKS = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
FILES = {match[1]: block for block in BLOCKS if (match := re.match(r'"""(\w+\.py): ', block))}
PASTED = [block for block in BLOCKS if block not in FILES.values()]
MEMCACHED = shutil.which("memcached")
SECONDS_MOST = 20


def module(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Save a file of the page and import it."""
    (folder / f"{name}.py").write_text(FILES[f"{name}.py"], encoding="utf-8")
    made = ModuleType(name)
    monkeypatch.setitem(sys.modules, name, made)
    exec(compile(FILES[f"{name}.py"], str(folder / f"{name}.py"), "exec"), made.__dict__)  # noqa: S102 - our own page
    return made


def until(done: Callable[[], Any]) -> Any:
    """What `done` returns once that is true; errors of connections are waited out."""
    end = time.monotonic() + SECONDS_MOST
    while time.monotonic() < end:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if result := done():
                return result
        time.sleep(0.01)
    pytest.fail("it took too long")


def test_every_file_and_every_block_of_the_page_is_known() -> None:
    """A recipe that is added gets a test, too."""
    assert set(FILES) == {"cache.py", "placement.py", "app.py"}
    assert len(PASTED) == 2


@contextlib.contextmanager
def memcached(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A server of its own on a port of this machine."""
    user = ["-u", "nobody"] if os.getuid() == 0 else []
    with subprocess.Popen([str(MEMCACHED), "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-m", "8", *user]) as server:
        try:
            until(lambda: socket.create_connection(("127.0.0.1", port), 1).close() is None)
            yield server
        finally:
            server.kill()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


@pytest.mark.skipif(MEMCACHED is None, reason="there is no memcached")
def test_pymemcache_places_keys_by_a_ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are where the ring says; a server that dies loses its own alone, and has them again when it is back."""
    from pymemcache.client.base import Client  # noqa: PLC0415 - where there is no memcached, it need not be there

    cache = module("cache", tmp_path, monkeypatch)
    ports = free_ports(3)
    with contextlib.ExitStack() as stack:
        servers = {f"127.0.0.1:{port}": stack.enter_context(memcached(port)) for port in ports}
        client = stack.enter_context(contextlib.closing(cache.connected([("127.0.0.1", port) for port in ports])))
        ring = client.hasher.ring
        keys = [f"user:{i}" for i in range(200)]
        assert not client.set_many({key: key.encode() for key in keys})
        assert client.get_many(keys) == {key: key.encode() for key in keys}
        for name in ring:
            with contextlib.closing(Client(name)) as one:
                there = one.get_many(keys)
            assert sorted(there) == sorted(key for key in keys if ring.route(key) == name)

        dead = ring.route(keys[0])
        before = {key: ring.route(key) for key in keys}
        servers[dead].kill()
        servers[dead].wait()
        until(lambda: client.get(keys[0]) or ring.down)  # the connection ends, then there is none: the hasher is told
        assert set(ring.down) == {dead}
        kept = {key: key.encode() for key in keys if before[key] != dead}
        assert client.get_many(keys) == kept
        assert client.set(keys[0], b"again")
        assert client.get(keys[0]) == b"again"

        client.dead_timeout = 0
        stack.enter_context(memcached(int(dead.rpartition(":")[2])))
        client.get(keys[0])
        assert not ring.down
        assert {key: ring.route(key) for key in keys} == before

        for name in ring:
            client.hasher.remove_node(name)
        assert client.get(keys[0]) is None  # all are down, and nothing is raised


def test_the_page_names_the_server_that_the_ring_gives() -> None:
    """It named another one."""
    servers = re.findall(r'"(10\.0\.0\.\d)", (11211)', PASTED[0])
    ring = rw.HashRing([f"{host}:{port}" for host, port in servers])
    assert len(ring) == 3
    assert f'# the server it is on, "{ring.route("user:42")}"' in PASTED[0]


@pytest.mark.skipif(MEMCACHED is None, reason="there is no memcached")
def test_the_lines_to_paste_use_three_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run as they stand, but for the addresses."""
    cache = module("cache", tmp_path, monkeypatch)
    ports = free_ports(3)
    lines = PASTED[0]
    for i, port in enumerate(ports, 1):
        lines = lines.replace(f'("10.0.0.{i}", 11211)', f'("127.0.0.1", {port})')
    assert "10.0.0" not in lines.partition("#")[0]
    globs = {"connected": cache.connected}
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(memcached(port))
        exec(lines, globs)  # noqa: S102 - our own page
        stack.callback(globs["client"].close)
        assert globs["client"].get("user:42") == b"Ada"


def test_workers_of_gunicorn_follow_the_router(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --preload; every worker sees a change in its next request, also one that began before it."""
    pytest.importorskip("gunicorn")
    monkeypatch.setenv("PLACEMENT", str(tmp_path / "placement.ringward"))
    placement = module("placement", tmp_path, monkeypatch)
    told = "import os\nfrom app import app as inner\ndef app(environ, start):\n    return [*inner(environ, start), b' %d' % os.getpid()]\n"
    (tmp_path / "app.py").write_text(FILES["app.py"], encoding="utf-8")
    (tmp_path / "outer.py").write_text(told, encoding="utf-8")
    first, change = PASTED[1].split('ring.mark_down("node2")')
    globs: dict[str, Any] = {}
    exec(first, globs)  # noqa: S102 - our own page
    ring = globs["ring"]
    key = next(f"ключ{i}" for i in range(100) if ring.route(f"ключ{i}") == "node2")
    (port,) = free_ports(1)

    def answer() -> tuple[str, int, int]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/" + quote(key))
            response = connection.getresponse()
            owner, pid = response.read().decode().split()
            return owner, int(pid), int(response.headers["X-Epoch"])

    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--preload",
        "--workers",
        "2",
        "--bind",
        f"127.0.0.1:{port}",
        "outer:app",
    ]
    with subprocess.Popen([*command, "--log-level", "error", "--no-control-socket"], cwd=tmp_path) as server:
        try:
            until(answer)
            pids: set[int] = set()
            until(lambda: pids.add(answer()[1]) or len(pids) == 2)
            assert answer()[::2] == ("node2", 0)
            exec('ring.mark_down("node2")' + change, globs)  # noqa: S102 - our own page
            after: set[tuple[str, int, int]] = set()
            until(lambda: after.add(answer()) or {pid for _, pid, _ in after} == pids)
            assert {(owner, epoch) for owner, _, epoch in after} == {(ring.route(key), 1)}
        finally:
            server.terminate()
    assert placement.owned("node1").epoch == 1  # a restart of the owner goes on, marks included
    assert set(placement.owned("node1").down) == {"node2"}


def test_threads_that_follow_never_go_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers with threads share one reader."""
    monkeypatch.setenv("PLACEMENT", str(tmp_path / "placement.ringward"))
    placement = module("placement", tmp_path, monkeypatch)
    ring = placement.owned("a", "b")
    placement.publish(ring)
    follow = placement.Follower()
    seen: list[list[int]] = [[], [], []]
    done = threading.Event()

    def read(epochs: list[int]) -> None:
        while not done.is_set():
            epochs.append(follow().epoch)

    readers = [threading.Thread(target=read, args=(epochs,)) for epochs in seen]
    for reader in readers:
        reader.start()
    for i in range(20):
        ring.add(f"n{i}")
        placement.publish(ring)
    done.set()
    for reader in readers:
        reader.join()
    assert all(epochs == sorted(epochs) for epochs in seen)
    assert follow().epoch == 20


def test_a_reader_never_goes_back_and_bears_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older snapshot, a damaged file and no file leave what it has; changes within one tick of the clock are seen."""
    monkeypatch.setenv("PLACEMENT", str(tmp_path / "placement.ringward"))
    placement = module("placement", tmp_path, monkeypatch)
    ring = placement.owned("a", "b")
    placement.publish(ring)
    old = placement.PATH.read_bytes()
    follow = placement.Follower()
    for i in range(20):
        ring.add(f"n{i}")
        placement.publish(ring)
        assert follow().epoch == ring.epoch
    for data in (old, b"", old[:-1]):
        placement.PATH.write_bytes(data)
        assert follow().epoch == 20
    placement.PATH.unlink()
    assert follow().epoch == 20
    target = tmp_path / "other"
    target.write_bytes(b"untouched")
    placement.PATH.with_suffix(".partial").symlink_to(target)
    placement.publish(ring)
    assert target.read_bytes() == b"untouched"
    assert rw.Snapshot.from_bytes(placement.PATH.read_bytes()).epoch == 20
