"""`ringward watch`, with servers that answer or not."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from command import fails, run, run_json
from health.servers import Server, closed_port
from terminal import shown_on_terminal

QUICK = ("--every", "0.02", "--probe-timeout", "0.2")


def listed(folder: Path, *targets: str) -> Path:
    path = folder / "nodes.txt"
    path.write_text("".join(f"{target}\n" for target in targets), encoding="utf-8")
    return path


def test_once_tells_who_answers(tmp_path: Path) -> None:
    """In the order of the list; exit code 1 where one does not answer."""
    with Server("redis") as server, closed_port() as closed:
        path = listed(tmp_path, closed, server.target)
        text = run("watch", path, "--probe", "redis", "--once", code=1, silent=True)
        assert re.fullmatch(
            rf"node +latency +found\n{closed} +[\d.]+ ms +ConnectionRefusedError: .*\n{server.target} +[\d.]+ ms +answered\n"
            r"1 of 2 nodes answer\n",
            text,
        )
        told = run_json("watch", path, "--probe", "redis", "--once", code=1, silent=True)
        assert [(node["node"], node["error"] is None) for node in told["nodes"]] == [
            (closed, False),
            (server.target, True),
        ]
        assert told["failed"] == 1
        assert run("watch", listed(tmp_path, server.target), "--once").endswith("1 of 1 nodes answer\n")


def test_once_blames_no_node_for_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without free file descriptors nobody was asked."""

    async def exhausted(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio, "open_connection", exhausted)
    path = listed(tmp_path, "127.0.0.1:1", "127.0.0.1:2")
    text = run("watch", path, "--once", code=1, silent=True)
    assert "2 were not asked, for reasons of this machine: OSError" in text
    assert run_json("watch", path, "--once", code=1, silent=True)["unasked"] == 2


def test_each_probe_has_its_own_question(tmp_path: Path) -> None:
    for kind in ("http", "redis", "memcached", "tcp"):
        with Server(kind) as server:
            port = server.target.rpartition(":")[2]
            path = listed(tmp_path, "127.0.0.1")
            assert "1 of 1" in run("watch", path, "--probe", kind, "--port", port, "--once")
    with Server("unavailable") as server:
        text = run(
            "watch",
            listed(tmp_path, server.target),
            "--probe",
            "http",
            "--path",
            "/health",
            "--once",
            code=1,
            silent=True,
        )
        assert "status 503" in text


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_changes_are_lines_of_json(tmp_path: Path) -> None:
    """Each node when it is first known, and whenever it is suspected or trusted again."""
    with ExitStack() as stack:
        well, ill = stack.enter_context(Server("redis")), stack.enter_context(Server("redis"))
        path = listed(tmp_path, well.target, ill.target)
        command = [sys.executable, "-m", "ringward", "watch", str(path), "--probe", "redis", *QUICK]
        command += ["--detector", "outlier:failures=3"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            first = [json.loads(running.stdout.readline()) for _ in range(2)]
            assert {line["node"] for line in first} == {well.target, ill.target}
            assert {line["suspected"] for line in first} == {False}
            ill.mode = "closing"
            line: dict[str, Any] = json.loads(running.stdout.readline())
            assert (line["node"], line["suspected"], line["trouble"]) == (ill.target, True, "failing")
            assert line["reason"].endswith("failures in a row")
            assert "closed after 0 bytes" in line["error"] or "reset" in line["error"].lower()
            ill.mode = "redis"
            line = json.loads(running.stdout.readline())
            assert (line["node"], line["suspected"], line["reason"]) == (ill.target, False, "")
            running.send_signal(signal.SIGINT)
            assert running.wait(10) == 130
        assert set(line) == {
            "time_ms", "node", "suspected", "level", "trouble", "reason", "answered", "failed", "latency_ms", "error",
        }  # fmt: skip


def test_the_time_is_up_and_the_code_tells(tmp_path: Path) -> None:
    with Server("http") as server, closed_port() as closed:
        began = time.monotonic()
        text = run("watch", listed(tmp_path, server.target), "--probe", "http", *QUICK, "--timeout", "0.6")
        assert time.monotonic() - began < 5
        assert [json.loads(line)["suspected"] for line in text.splitlines()] == [False]
        text = run(
            "watch", listed(tmp_path, server.target, closed), *QUICK, "--timeout", "1.5", "--json", code=1, silent=True
        )
        assert {(line["node"], line["suspected"]) for line in map(json.loads, text.splitlines())} >= {(closed, True)}


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pseudo-terminal")
@pytest.mark.parametrize("width", [40, 120])
def test_on_a_terminal_it_is_a_table(tmp_path: Path, width: int) -> None:
    """As wide as the terminal, and no higher."""
    with Server("redis") as server, closed_port() as closed:
        path = listed(tmp_path, server.target, closed, *(f"127.0.0.1:{port}" for port in range(1, 20)))
        command = [sys.executable, "-m", "ringward", "watch", str(path), "--probe", "redis", *QUICK, "--timeout", "2"]
        code, shown = shown_on_terminal(command, width=width, height=12, TERM="xterm")
    assert code == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert "suspected" in text
    assert "21 nodes, 20 suspected; those that are worst" in " ".join(text.split()) or width < 60
    assert max(len(line) for line in re.split(r"[\r\n]+", text)) <= width
    last = shown.rpartition("\x1b[2K")[2]
    assert last.count("\n") <= 12


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = listed(tmp_path, "cache1")
    assert "there is no port" in fails("watch", path, "--once")
    assert "--detector: detector must be one of" in fails("watch", path, "--port", "80", "--detector", "psi", code=2)
    assert "--path needs --probe http" in fails("watch", path, "--path", "/", code=2)
    assert "--once takes neither" in fails("watch", path, "--once", "--timeout", "1", code=2)
    assert "No such file" in fails("watch", tmp_path / "none", "--once")
    assert "every" in fails("watch", path, "--every", "0", code=2)
    assert "path must be" in fails("watch", path, "--probe", "http", "--path", "health", "--once")


def test_other_commands_do_not_wait_for_its_imports() -> None:
    code = "import sys; import ringward.cli.group; print([name for name in ('asyncio', 'ringward.health.probes') if name in sys.modules])"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == "[]"


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    """As of `ringward watch nodes.txt | head -1`."""
    with ExitStack() as stack:
        servers = [stack.enter_context(Server("redis")) for _ in range(2)]
        path = listed(tmp_path, *(server.target for server in servers))
        command = [sys.executable, "-m", "ringward", "watch", str(path), "--probe", "redis", *QUICK]
        command += ["--detector", "outlier:failures=2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout is not None
            assert running.stderr is not None
            running.stdout.readline()
            running.stdout.close()
            servers[0].mode = servers[1].mode = "closing"
            assert running.wait(10) == 0
            assert running.stderr.read() == b""
