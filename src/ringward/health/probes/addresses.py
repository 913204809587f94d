"""`Address`: where a node answers, from text; and a connection to it."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from ringward.checks import checked_text
from ringward.errors import ArgumentError, UnsupportedError
from ringward.health.probes.calls import Calls

__all__ = ["Address", "connected"]

_UNIX = "unix:"
_FORMS = "host:port, [IPv6]:port, unix:/path or a (host, port)"
_PORT_MOST = 65_535
_LINE_BYTES_MOST = 8_192
_RESOLVING_MOST = 100
_resolving = Calls(_RESOLVING_MOST)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node answers: a host and a port, or the path of a socket.

    Attributes
    ----------
    host : str
        A name or an IP address; "" for a path.
    port : int
    path : str
        Of a Unix socket; "" for a host.
    """

    host: str
    port: int
    path: str = ""

    @classmethod
    def of(cls, target: object, port: int | None = None) -> Address:
        """The address that a target names; one without a port has this one.

        Raises
        ------
        ArgumentError
            For what is no address.
        """
        if isinstance(target, tuple) and len(target) == 2 and isinstance(target[0], str):
            host, number = target
            if isinstance(number, int) and not isinstance(number, bool):
                return cls._checked(host, number, target)
        text = checked_text("target", target)
        if text.startswith((_UNIX, "/")):
            return cls._at(text.removeprefix(_UNIX), target)
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ArgumentError("target", _FORMS, target)
            rest = rest.removeprefix(":")
        elif text.count(":") > 1:  # a bare IPv6 address
            host, rest = text, ""
        else:
            host, _, rest = text.partition(":")
        if rest and not (rest.isascii() and rest.isdigit()):
            raise ArgumentError("target", _FORMS, target)
        if not rest and port is None:
            raise ArgumentError("target", f"{_FORMS}: there is no port", target)
        return cls._checked(host, int(rest or port or 0), target)

    @classmethod
    def _at(cls, path: str, target: object) -> Address:
        if sys.platform == "win32":
            raise UnsupportedError("asyncio has no Unix sockets on Windows: give a host and a port")
        if not path:
            raise ArgumentError("target", _FORMS, target)
        return cls("", 0, path)

    @classmethod
    def _checked(cls, host: str, port: int, target: object) -> Address:
        if not host or not host.isprintable() or " " in host:
            raise ArgumentError("target", _FORMS, target)
        if not 1 <= port <= _PORT_MOST:
            raise ArgumentError("target", f"of a port of at least 1 and at most {_PORT_MOST}", target)
        return cls(host, port)

    def __str__(self) -> str:
        if self.path:
            return f"{_UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@asynccontextmanager
async def connected(
    address: Address, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, whose socket is closed at the end whatever happens.

    Raises
    ------
    OSError
        Where nobody answers, of the last of the host's addresses that was tried.
    """
    reader, writer = await _opened(address, tls)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()  # to close in good manners may take as long as the other side likes


async def _opened(address: Address, tls: ssl.SSLContext | None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    more: dict[str, Any] = {"limit": _LINE_BYTES_MOST}
    if tls is not None:
        more |= {"ssl": tls, "server_hostname": address.host}
    if address.path:
        return await asyncio.open_unix_connection(address.path, **more)
    failure: OSError | None = None
    for host in await _numeric(address):
        try:
            return await asyncio.open_connection(host, address.port, **more)
        except OSError as error:
            failure = error
    raise failure or ConnectionError(f"{address.host} has no address")


async def _numeric(address: Address) -> list[str]:
    """The IP addresses of a host. A name is looked up in a thread that may be left behind: nothing can interrupt that."""
    with suppress(ValueError):
        ipaddress.ip_address(address.host)
        return [address.host]
    found = await _resolving.result(address, socket.getaddrinfo, address.host, address.port, 0, socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]
