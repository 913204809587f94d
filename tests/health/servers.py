"""Servers that answer as they should, or not: in one thread, for tests of probes."""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

ANSWERS = {
    "redis": b"+PONG\r\n",
    "http": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "unavailable": b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
    "memcached": b"VERSION 1.6.18\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "noauth": b"-NOAUTH Authentication required.\r\n",
    "garbage": b"\x00\xff\x1b[2J<html>\r\n",
    "half": b"HTT",
    "endless": b"x" * 100_000,
}


class Server:
    """Answers each request as `mode` says; "hang" never does, "slow" after 0.2 s, "closing" closes at once."""

    def __init__(self, mode: str, *, host: str = "127.0.0.1", path: str | None = None) -> None:
        self.mode, self._host, self._path = mode, host, path
        self.connections = itertools.count()
        self.seen = 0
        self.target = ""
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        if self._path is None:
            server = await asyncio.start_server(self._handle, self._host, 0, backlog=1_000)
            host, port = server.sockets[0].getsockname()[:2]
            self.target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        else:
            server = await asyncio.start_unix_server(self._handle, self._path)
            self.target = f"unix:{self._path}"
        self._ready.set()
        await self._over.wait()
        for listening in server.sockets:  # what is being accepted when a server closes leaves its socket open
            self._loop.remove_reader(listening.fileno())
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            if not (await asyncio.wait(tasks, timeout=2))[0]:
                for task in tasks:
                    task.cancel()
        server.close()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen = next(self.connections) + 1
        try:
            while self.mode != "closing" and await reader.readline():
                if self.mode == "hang":
                    await reader.read()  # until the other side gives up
                if self.mode == "slow":
                    await asyncio.sleep(0.2)
                writer.write(ANSWERS.get(self.mode, ANSWERS["redis"]))
                await writer.drain()
                if self.mode == "half":
                    break
        except (ConnectionError, asyncio.CancelledError, ValueError):
            pass
        finally:
            writer.transport.abort() if self.mode == "endless" else writer.close()


@contextmanager
def closed_port() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"
