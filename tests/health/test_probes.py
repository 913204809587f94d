"""Probes and the prober, with real servers."""

from __future__ import annotations

import asyncio
import errno
import functools
import logging
import os
import pickle
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from health.servers import Server, closed_port

import ringward as rw
from ringward.health import Agreed, Deadline, LocalHealth, Outlier, PhiAccrual
from ringward.health.probes import Http, Memcached, Prober, Redis, Result, Tcp
from ringward.health.probes.addresses import Address

SECRET = "secret"  # noqa: S105 - of servers that live for a test
FAST: dict[str, Any] = {"every_s": 0.02, "timeout_s": 0.5}


def found(probe: Any, target: Any, timeout_s: float = 0.5) -> str | None:
    """What is wrong with one target, by one probe."""
    (result,) = asyncio.run(Prober({"node": target}, probe, timeout_s=timeout_s).once())
    assert result.node == "node"
    assert result.latency_s >= 0
    return result.error


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def later(condition: Callable[[], bool]) -> None:
    """As `until`, in a loop."""
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in time")


def until(condition: Any, within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("probe", "mode"), [(Tcp(), "hang"), (Http(), "http"), (Redis(), "redis"), (Memcached(), "memcached")]
)
def test_a_server_that_is_well_is_found_so(probe: Any, mode: str) -> None:
    """For a connection, one that hangs is."""
    with Server(mode) as server:
        assert found(probe, server.target) is None
        host, _, port = server.target.rpartition(":")
        assert found(probe, (host, int(port))) is None


@pytest.mark.parametrize("probe", [Http(), Redis(), Memcached()], ids=lambda probe: type(probe).__name__)
@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("garbage", r"\\x00\\xff\\x1b\[2J<html>"),
        ("half", "closed after 3 bytes"),
        ("closing", "closed after 0 bytes|ConnectionResetError"),
        ("endless", "a line that does not end|ConnectionResetError"),
        ("hang", "no answer within 0.5 s"),
    ],
)
def test_a_server_that_is_not_well_is_found_so(probe: Any, mode: str, told: str) -> None:
    """Whatever it says, it is told on one line, and acts on no terminal."""
    with Server(mode) as server:
        error = found(probe, server.target)
    assert error is not None
    assert error.isprintable()
    assert re.search(told, error), error


@pytest.mark.parametrize("probe", [Tcp(), Http(), Redis(), Memcached()], ids=lambda probe: type(probe).__name__)
def test_where_nobody_listens_a_probe_fails(probe: Any) -> None:
    with closed_port() as target:
        assert "ConnectionRefusedError" in str(found(probe, target))


def test_statuses_and_answers_of_redis_are_told_apart() -> None:
    """A server that asks for a password is alive; one that loads its data does no work yet."""
    with Server("unavailable") as server:
        assert found(Http(), server.target) == "ConnectionError: status 503"
        assert found(Http("/health?full=1", statuses={503}), server.target) is None
    with Server("noauth") as server:
        assert found(Redis(), server.target) is None
        assert "AUTH" in str(found(Redis(password=SECRET), server.target))
    with Server("loading") as server:
        assert "LOADING" in str(found(Redis(), server.target))
    assert SECRET not in repr(Redis(password=SECRET))


def test_a_slow_server_is_within_time_or_not() -> None:
    with Server("slow") as server:
        assert found(Redis(), server.target, timeout_s=5) is None
        assert found(Redis(), server.target, timeout_s=0.05) == "no answer within 0.05 s"


def test_addresses_of_all_kinds_are_reached(tmp_path_factory: pytest.TempPathFactory) -> None:
    """IPv6, Unix sockets and names that are looked up."""
    with Server("redis") as server:
        port = server.target.rpartition(":")[2]
        assert found(Redis(), f"localhost:{port}", timeout_s=5) is None
        assert found(Redis(port=int(port)), "127.0.0.1") is None
    assert "gaierror" in str(found(Redis(), "no-such-host.invalid", timeout_s=20))
    if hasattr(socket, "AF_UNIX") and sys.platform != "win32":
        with tempfile.TemporaryDirectory() as folder, Server("redis", path=f"{folder}/s") as server:
            assert found(Redis(), server.target) is None
            assert found(Http(), server.target) is not None
            assert "FileNotFoundError" in str(found(Redis(), f"{folder}/none"))
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        return
    with Server("redis", host="::1") as server:
        assert server.target.startswith("[::1]:")
        assert found(Redis(), server.target) is None


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("cache1:80", Address("cache1", 80)),
        ("cache1", Address("cache1", 7)),
        ("[::1]:80", Address("::1", 80)),
        ("[::1]", Address("::1", 7)),
        ("fe80::1", Address("fe80::1", 7)),
        ("unix:/run/s", Address("", 0, "/run/s")),
        ("/run/s", Address("", 0, "/run/s")),
        (("cache1", 80), Address("cache1", 80)),
    ],
)
def test_addresses_are_read(text: object, address: Address) -> None:
    assert Address.of(text, 7) == address
    assert Address.of(str(address), 7) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a:",
        "a:b",
        "a:0",
        "a:65536",
        "a:８0",
        "[::1",
        "[::1]80",
        ":80",
        "a b:80",
        "a\n:80",
        ("a", "80"),
        ("a", True),
        "unix:",
        80,
        None,
    ],
)
def test_what_is_no_address_is_refused_at_once(text: object) -> None:
    """Before any probe is made, and the node is not taken in."""
    prober = Prober([], Tcp())
    for probe in (Tcp(),):
        with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match="target"):
            Prober({"node": text if text is not None else ""}, probe)
    with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError)):
        prober.add("node", text if text is not None else "")
    assert asyncio.run(prober.once()) == []


@pytest.mark.parametrize(
    ("path", "host"), [("", None), ("health", None), ("/a b", None), ("/a\r\nX: 1", None), ("/", "a\r\nb"), ("/", "")]
)
def test_no_request_can_be_smuggled_in(path: str, host: str | None) -> None:
    with pytest.raises(rw.errors.ArgumentError):
        Http(path, host=host)


def test_a_detector_is_told_and_finds_a_server_that_dies_and_comes_back() -> None:
    """It is a silence for one detector, failures for the other."""
    detector = Agreed(1, PhiAccrual(interval_s=0.02), Outlier(failures=3))
    with ExitStack() as stack:
        servers = {f"node{i}": stack.enter_context(Server("redis")) for i in range(3)}
        targets = {node: server.target for node, server in servers.items()}
        with Prober(targets, Redis(), detector=detector, every_s=0.02, timeout_s=0.2):
            until(lambda: all(server.seen > 5 for server in servers.values()))
            assert not any(detector.status(node, time.monotonic()).suspected for node in targets)
            servers["node1"].mode = "closing"
            until(lambda: detector.status("node1", time.monotonic()).suspected)
            assert detector.status("node1", time.monotonic()).trouble in {"failing", "silent"}
            assert not detector.status("node0", time.monotonic()).suspected
            servers["node1"].mode = "redis"
            until(lambda: not detector.status("node1", time.monotonic()).suspected)


def test_thousands_of_targets_are_probed_in_one_thread_at_most_so_many_at_once() -> None:
    """Each about every half second, without a burst."""
    running, most, times = 0, 0, Counter[str]()

    async def probe(node: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1
        times[node] += 1

    before = threading.active_count()
    nodes = [f"node{i}" for i in range(2_000)]
    with Prober(nodes, probe, every_s=0.5, timeout_s=5, at_once=50):
        until(lambda: len(times) == len(nodes), 20)
        assert threading.active_count() == before + 1
    assert 1 < most <= 50
    assert max(times.values()) - min(times.values()) <= 3


def test_nodes_that_hang_hold_up_others_only_as_far_as_places_go() -> None:
    results: list[Result] = []

    async def probe(node: str) -> None:
        if node.startswith("bad"):
            await asyncio.sleep(60)

    nodes = [*(f"bad{i}" for i in range(20)), *(f"good{i}" for i in range(20))]
    with Prober(nodes, probe, every_s=0.05, timeout_s=0.1, at_once=30, on_result=results.append):
        until(lambda: len({result.node for result in results}) == 40)
        until(lambda: sum(result.error is None for result in results) > 100)
    assert {result.node for result in results if result.error} == {node for node in nodes if node.startswith("bad")}


def test_a_probe_that_blocks_is_left_behind_and_not_called_again() -> None:
    """Neither the other nodes nor the end wait for it; one thread a node is all that it takes."""
    calls: Counter[str] = Counter()
    over = threading.Event()

    def probe(node: str) -> None:
        calls[node] += 1
        if node == "bad":
            over.wait(60)

    results: list[Result] = []
    prober = Prober(["bad", "good"], probe, every_s=0.02, timeout_s=0.05, on_result=results.append).start()
    try:
        until(lambda: sum(result.node == "bad" for result in results) >= 3)
        began = time.monotonic()
        prober.close()
        assert time.monotonic() - began < 2
    finally:
        over.set()
    assert calls["bad"] == 1
    assert calls["good"] > 1
    assert {result.error for result in results if result.node == "bad"} == {"no answer within 0.05 s"}


class Fatal(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x\x1b[2J"),
        Fatal("fatal"),
        SystemExit(3),
        KeyboardInterrupt(),
        StopIteration(),
        asyncio.CancelledError(),
        GeneratorExit(),
    ],
)
@pytest.mark.parametrize("blocking", [False, True])
def test_whatever_a_probe_raises_is_a_failure_of_the_node(error: BaseException, blocking: bool) -> None:
    """It ends neither the thread nor the probes of other nodes."""

    def probe(node: str) -> None:
        if node == "bad":
            raise error

    async def awaited(node: str) -> None:
        probe(node)

    results: list[Result] = []
    with Prober(["bad", "good"], probe if blocking else awaited, **FAST, on_result=results.append):
        until(lambda: Counter(result.node for result in results).total() > 6)
    assert {result.error is None for result in results if result.node == "good"} == {True}
    told = {result.error for result in results if result.node == "bad"}
    assert told
    assert None not in told
    assert all(text.isprintable() for text in told if text)


def test_any_callable_is_a_probe() -> None:
    """Of clients, coroutine functions, partials, and lambdas that return a coroutine."""

    async def alive(answer: object) -> object:
        return answer

    for probe in (alive, lambda answer: answer, lambda answer: alive(*[answer]), functools.partial(alive)):
        assert found(probe, True) is None
        assert found(probe, False) == "the probe returned False"
        assert found(probe, 0) is None


def test_errors_of_detectors_and_callbacks_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Deadline):
        def answered(self, node: str, now_s: float, latency_s: float) -> None:
            raise ZeroDivisionError("mine")

    calls: Counter[str] = Counter()

    async def probe(node: str) -> None:
        calls[node] += 1

    with caplog.at_level(logging.ERROR, "ringward.health"), Prober(["a"], probe, detector=Broken(), **FAST):
        until(lambda: calls["a"] > 5)
    assert len(caplog.records) == 1
    assert "mine" in str(caplog.records[0].exc_info)


class UnspeakableError(Exception):
    """Its message cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no message")


@pytest.mark.parametrize("blocking", [False, True])
def test_an_error_without_a_message_is_a_failure_like_any_other(blocking: bool) -> None:
    """That node was probed no more, and nobody was told."""

    def probe(node: str) -> None:
        raise UnspeakableError

    async def awaited(node: str) -> None:
        raise UnspeakableError

    results: list[Result] = []
    with Prober(["a"], probe if blocking else awaited, **FAST, on_result=results.append):
        until(lambda: len(results) > 3)
    assert {result.error for result in results} == {"UnspeakableError, whose message raises ValueError"}


@pytest.mark.parametrize(
    "error", [Fatal(), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
)
@pytest.mark.parametrize("where", ["detector", "on_result"])
def test_whatever_a_detector_or_a_callback_raises_probing_goes_on(
    error: BaseException, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A `SystemExit` ended the thread, and others the probes of a node, without a word."""

    class Broken(Deadline):
        def answered(self, node: str, now_s: float, latency_s: float) -> None:
            raise error

    def note(_: Result) -> None:
        raise error

    calls: Counter[str] = Counter()

    async def probe(node: str) -> None:
        calls[node] += 1

    broken = {"detector": Broken()} if where == "detector" else {"on_result": note}
    with caplog.at_level(logging.ERROR, "ringward.health"), Prober(["a", "b"], probe, **broken, **FAST):
        until(lambda: min(calls["a"], calls["b"]) > 3)
    assert len(caplog.records) == 1


def test_a_probe_that_only_makes_a_generator_is_refused() -> None:
    """It asked no node, and each was found well."""

    def yields(node: str) -> Iterator[int]:
        yield 1

    async def yields_too(node: str) -> AsyncIterator[int]:
        yield 1

    class Yields:
        def __call__(self, node: str) -> Iterator[int]:
            yield 1

    for probe in (yields, yields_too, functools.partial(yields), Yields()):
        with pytest.raises(rw.errors.ArgumentTypeError, match="probe must be a function that returns"):
            Prober(["a"], probe)


def test_a_machine_without_descriptors_blames_no_node() -> None:
    """What fails then is the watcher."""

    async def probe(node: str) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    detector = Outlier(failures=1)
    results: list[Result] = []
    with Prober(["a"], probe, detector=detector, **FAST, on_result=results.append):
        until(lambda: len(results) > 3)
    assert not detector.status("a", time.monotonic()).suspected
    assert not any(result.counts for result in results)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors where the system tells them")
@pytest.mark.parametrize("mode", ["redis", "hang", "closing", "endless", "half"])
def test_no_socket_is_left_open(mode: str) -> None:
    with Server(mode) as server:
        before = descriptors()
        with Prober({f"node{i}": server.target for i in range(20)}, Redis(), every_s=0.02, timeout_s=0.05):
            until(lambda: server.seen > 100)
        until(lambda: descriptors() <= before)


def test_close_ends_at_once_and_it_can_begin_again() -> None:
    calls: Counter[str] = Counter()

    async def probe(node: str) -> None:
        calls[node] += 1
        await asyncio.sleep(60)

    prober = Prober([f"node{i}" for i in range(100)], probe, every_s=0.01, timeout_s=60)
    prober.close()
    for _ in range(3):
        before = threading.active_count()
        assert prober.start() is prober.start()
        until(lambda: len(calls) == 100)
        began = time.monotonic()
        prober.close()
        prober.close()
        assert time.monotonic() - began < 1
        assert threading.active_count() == before - 0
        calls.clear()


def test_it_can_be_closed_by_its_own_callback() -> None:
    closed = threading.Event()

    def on_result(_result: Result) -> None:
        prober.close()
        closed.set()

    prober = Prober(["a"], lambda node: None, **FAST, on_result=on_result).start()
    assert closed.wait(10)
    until(lambda: prober._running is None)


def test_nodes_come_and_go_while_it_runs() -> None:
    results: list[Result] = []
    with Prober([], lambda target: None, **FAST, on_result=results.append) as prober:
        prober.add("a")
        until(lambda: any(result.node == "a" for result in results))
        prober.add("b", "somewhere")
        until(lambda: any(result.node == "b" for result in results))
        prober.remove("a")
        prober.remove("nobody")
        time.sleep(0.1)
        results.clear()
        until(lambda: len(results) > 3)
        assert {result.node for result in results} == {"b"}


def test_it_runs_in_a_loop_that_is_there() -> None:
    results: list[Result] = []

    async def main() -> None:
        prober = Prober(["a", "b"], lambda target: None, **FAST, on_result=results.append)
        task = asyncio.create_task(prober.run())
        await later(lambda: len(results) >= 6)
        with pytest.raises(rw.LoopError, match="runs already"):
            await prober.run()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}
        results.clear()
        task = asyncio.create_task(prober.run())
        await later(lambda: bool(results))
        prober.close()
        await asyncio.wait_for(task, 5)

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_a_fork_has_no_prober_and_may_have_its_own() -> None:
    """In the child, the lock of the calls may be held by a thread that is not there."""
    with Prober(["a"], lambda target: time.sleep(0.001), every_s=0.001) as prober:
        time.sleep(0.05)
        prober._calls._lock.acquire()
        child = os.fork()
        if not child:
            code = 1
            try:
                signal.alarm(20)
                prober.close()
                results: list[Result] = []
                prober._on_result = results.append
                with prober:
                    until(lambda: len(results) > 3)
                code = 0
            finally:
                os._exit(code)
        prober._calls._lock.release()
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_program_that_ends_does_not_wait_for_it() -> None:
    """Nor for a probe that blocks, nor for a name that is looked up."""
    code = (
        "import time; from ringward.health.probes import Prober\n"
        "Prober(['a'], lambda target: time.sleep(60), every_s=0.01).start(); time.sleep(0.1)"
    )
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_a_watcher_that_doubts_itself_goes_with_probes() -> None:
    """All detectors take what a prober tells them."""
    detector = LocalHealth(Agreed(1, Deadline(after_s=5), Outlier()))
    with Server("redis") as server, Prober({"a": server.target}, Redis(), detector=detector, **FAST):
        until(lambda: server.seen > 5)
        assert not detector.status("a", time.monotonic()).suspected


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"probe": "tcp"}, "probe must be callable"),
        ({"detector": "phi"}, "detector must be a detector"),
        ({"every_s": 0}, "every_s"),
        ({"timeout_s": float("inf")}, "timeout_s"),
        ({"at_once": 0}, "at_once"),
        ({"jitter": 1}, "jitter must be at least 0 and below 1"),
        ({"on_result": 1}, "on_result must be callable"),
        ({"targets": "node1"}, "targets must be a mapping"),
        ({"targets": [1]}, "node must be a str"),
    ],
)
def test_settings_are_checked(options: dict[str, Any], told: str) -> None:
    targets = options.pop("targets", ["a:1"])
    with pytest.raises((rw.errors.ArgumentError, rw.errors.ArgumentTypeError), match=told):
        Prober(targets, **options)


def test_results_and_probes_pickle() -> None:
    """They go into logs and between processes."""
    for value in (Result("a", 1.0, 0.1, None), Tcp(80), Http("/x"), Redis(password=SECRET), Memcached()):
        assert pickle.loads(pickle.dumps(value)) == value


def test_https_is_checked_by_the_context() -> None:
    """A server that speaks no TLS fails, and its socket is closed."""
    with Server("http") as server:
        error = found(Http(tls=ssl.create_default_context()), server.target, timeout_s=5)
    assert error is not None


@pytest.fixture
def memcached() -> Iterator[str]:
    program = shutil.which("memcached")
    if program is None:
        pytest.skip("memcached is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen([program, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-u", "nobody"])
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def test_a_real_memcached_is_alive_and_speaks_no_redis(memcached: str) -> None:
    until(lambda: found(Memcached(), memcached) is None)
    assert found(Tcp(), memcached) is None
    assert found(Redis(), memcached) is not None


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_a_real_redis_is_alive(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [str(shutil.which("redis-server")), "--port", str(port), "--requirepass", SECRET],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: found(Redis(password=SECRET), f"127.0.0.1:{port}") is None)
        assert found(Redis(), f"127.0.0.1:{port}") is None
        assert "WRONGPASS" in str(found(Redis(password=SECRET * 2), f"127.0.0.1:{port}"))
    finally:
        server.kill()
        server.wait()
