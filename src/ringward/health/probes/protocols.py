"""What a probe asks of a node: `Tcp`, `Http`, `Redis`, `Memcached`. Each is called with a target, and raises where it fails."""

from __future__ import annotations

import re
import ssl
from collections.abc import Container
from dataclasses import dataclass, field

from ringward.errors import ArgumentError
from ringward.health.probes.addresses import Address, connected
from ringward.texts import brief

__all__ = ["Http", "Memcached", "Redis", "Tcp"]

_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})\b")
_REQUEST_PATH = re.compile(r"/[!-~]*")
_HOST_HEADER = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Tcp:
    """A connection is accepted. A process that hangs still accepts some: its kernel does.

    Parameters
    ----------
    port : int, optional
        The port of targets that name none.
    """

    port: int | None = None

    def check(self, target: object) -> None:
        """Refuse what is no address."""
        Address.of(target, self.port)

    async def __call__(self, target: object) -> None:
        """Connect."""
        async with connected(Address.of(target, self.port)):
            pass


@dataclass(frozen=True)
class Http:
    """A GET is answered with one of these statuses. The body is not read.

    Parameters
    ----------
    path : str
    statuses : container of int
    port : int, optional
        The port of targets that name none; by default 443 with `tls`, else 80.
    host : str, optional
        The header `Host`; by default the host of the target.
    tls : ssl.SSLContext, optional
        `ssl.create_default_context()` for https.
    """

    path: str = "/"
    statuses: Container[int] = range(200, 400)
    port: int | None = None
    host: str | None = None
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not _REQUEST_PATH.fullmatch(self.path):
            raise ArgumentError("path", "/ and printable ASCII without blanks", self.path)
        if self.host is not None and not _HOST_HEADER.fullmatch(self.host):
            raise ArgumentError("host", "printable ASCII without blanks", self.host)

    def _address(self, target: object) -> Address:
        return Address.of(target, self.port or (80 if self.tls is None else 443))

    def check(self, target: object) -> None:
        """Refuse what is no address."""
        self._address(target)

    async def __call__(self, target: object) -> None:
        """Ask, and look at the status."""
        address = self._address(target)
        host = self.host or ("localhost" if address.path else str(address))
        async with connected(address, self.tls) as (reader, writer):
            writer.write(
                f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: ringward\r\nConnection: close\r\n\r\n".encode()
            )
            line = await _line(reader.readline())
        status = _STATUS_LINE.match(line)
        if status is None:
            raise ConnectionError(f"no HTTP: {_quoted(line)}")
        if int(status[1]) not in self.statuses:
            raise ConnectionError(f"status {int(status[1])}")


@dataclass(frozen=True)
class Redis:
    """A PING is answered. A server that wants a password first is alive; one that loads its data, or lost its primary, fails.

    Parameters
    ----------
    username, password : str, optional
    port : int
        The port of targets that name none.
    tls : ssl.SSLContext, optional
    """

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    port: int = 6379
    tls: ssl.SSLContext | None = None

    def check(self, target: object) -> None:
        """Refuse what is no address."""
        Address.of(target, self.port)

    async def __call__(self, target: object) -> None:
        """Log in where there is a password, and ping."""
        async with connected(Address.of(target, self.port), self.tls) as (reader, writer):
            if self.password is not None:
                writer.write(_command("AUTH", *([self.username] if self.username else []), self.password))
                line = await _line(reader.readline())
                if line.rstrip() != b"+OK":
                    raise ConnectionError(f"AUTH: {_quoted(line)}")
            writer.write(_command("PING"))
            line = await _line(reader.readline())
        if line.rstrip() != b"+PONG" and not line.startswith((b"-NOAUTH", b"-NOPERM")):
            raise ConnectionError(f"PING: {_quoted(line)}")


@dataclass(frozen=True)
class Memcached:
    """`version` is answered.

    Parameters
    ----------
    port : int
        The port of targets that name none.
    """

    port: int = 11211

    def check(self, target: object) -> None:
        """Refuse what is no address."""
        Address.of(target, self.port)

    async def __call__(self, target: object) -> None:
        """Ask for the version."""
        async with connected(Address.of(target, self.port)) as (reader, writer):
            writer.write(b"version\r\n")
            line = await _line(reader.readline())
        if not line.startswith(b"VERSION "):
            raise ConnectionError(f"version: {_quoted(line)}")


def _command(*words: str) -> bytes:
    """A command of Redis, in its own protocol."""
    texts = [word.encode() for word in words]
    return b"*%d\r\n" % len(texts) + b"".join(b"$%d\r\n%s\r\n" % (len(text), text) for text in texts)


async def _line(read: object) -> bytes:
    try:
        line: bytes = await read  # type: ignore[misc]
    except ValueError:
        raise ConnectionError("a line that does not end") from None
    if not line.endswith(b"\n"):
        raise ConnectionError(f"the connection was closed after {len(line):,} bytes")
    return line


def _quoted(line: bytes) -> str:
    return brief(line.decode("ascii", "backslashreplace").rstrip("\r\n"))
