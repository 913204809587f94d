"""Codecs: payloads as something other than bytes."""

from __future__ import annotations

import json
from typing import Any, Literal, Protocol, TypeAlias

from ringward.errors import ArgumentError, ArgumentTypeError

__all__ = ["Codec", "CodecLike", "JsonCodec", "MsgspecCodec", "codec_from", "encoded"]


class Codec(Protocol):
    """Payloads as something other than bytes."""

    def encode(self, value: Any) -> bytes:
        """The bytes to publish."""
        ...

    def decode(self, payload: bytes) -> Any:
        """What `event.payload` is."""
        ...


CodecLike: TypeAlias = Literal["json", "msgspec"] | Codec


class JsonCodec:
    """Payloads are JSON; values that JSON cannot hold (NaN, bytes, sets) are refused."""

    def encode(self, value: Any) -> bytes:
        """The value as UTF-8.

        Raises
        ------
        ArgumentTypeError, ArgumentError
            For values that JSON cannot hold.
        """
        try:
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
        except TypeError as error:
            raise ArgumentTypeError("payload", f"what JSON can hold ({error})", value) from error
        except (ValueError, RecursionError) as error:
            raise ArgumentError("payload", f"what JSON can hold ({_reason(error)})", value) from error

    def decode(self, payload: bytes) -> Any:
        """The value again."""
        return json.loads(payload)


class MsgspecCodec:
    """Payloads are JSON or MessagePack, by msgspec: quicker, and checked against a type.

    A payload that does not fit the type raises when the handler reads `event.payload`, so the attempt fails.

    Parameters
    ----------
    type : type
        The type of payloads: a `msgspec.Struct`, a dataclass, a `TypedDict` ...
    format : "json" or "msgpack"

    Raises
    ------
    ImportError
        Without msgspec.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> from ringward.events import MsgspecCodec
    >>> @dataclass
    ... class Order:
    ...     user: str
    ...     cents: int
    >>> codec = MsgspecCodec(Order)
    >>> codec.encode(Order("user:42", 1990))
    b'{"user":"user:42","cents":1990}'
    >>> codec.decode(b'{"user":"user:42","cents":1990}')
    Order(user='user:42', cents=1990)
    """

    def __init__(self, type: Any = Any, format: Literal["json", "msgpack"] = "json") -> None:
        try:
            import msgspec  # noqa: PLC0415 - only where it is asked for
        except ModuleNotFoundError as error:
            raise ImportError("MsgspecCodec needs msgspec: pip install 'ringward[msgspec]'") from error
        if format not in ("json", "msgpack"):
            raise ArgumentError("format", "'json' or 'msgpack'", format)
        self._decoder: Any
        if format == "json":
            self._encode = msgspec.json.Encoder().encode
            self._decoder = msgspec.json.Decoder(type)
        else:
            self._encode = msgspec.msgpack.Encoder().encode
            self._decoder = msgspec.msgpack.Decoder(type)

        self._format = format

    def encode(self, value: Any) -> bytes:
        """The bytes to publish. As msgspec has it, NaN is null in JSON.

        Raises
        ------
        ArgumentTypeError, ArgumentError
            For values that the format cannot hold.
        """
        try:
            body: bytes = self._encode(value)
        except (TypeError, NotImplementedError) as error:
            raise ArgumentTypeError("payload", f"what {self._format} can hold ({error})", value) from error
        except (ValueError, OverflowError, RecursionError) as error:
            raise ArgumentError("payload", f"what {self._format} can hold ({_reason(error)})", value) from error
        return body

    def decode(self, payload: bytes) -> Any:
        """The value again, of the type."""
        return self._decoder.decode(payload)


def _reason(error: Exception) -> str:
    """Why, without the value: that is shown beside it, or may not be."""
    return error.reason if isinstance(error, UnicodeEncodeError) else str(error)


def codec_from(codec: CodecLike | None) -> Codec | None:
    """The codec of a name, or the given one."""
    if codec == "json":
        return JsonCodec()
    if codec == "msgspec":
        return MsgspecCodec()
    if codec is None:
        return None
    usable = all(callable(getattr(codec, name, None)) for name in ("encode", "decode"))
    if isinstance(codec, str | type) or not usable:
        raise ArgumentTypeError("codec", "'json', 'msgspec' or an object that encodes and decodes", codec)
    return codec


def encoded(codec: Codec | None, payload: Any) -> Any:
    """A payload as bytes, or as it is without a codec.

    Raises
    ------
    ArgumentTypeError
        When a codec gives no bytes. What it raises itself comes through.
    """
    if codec is None:
        return payload
    body = codec.encode(payload)
    if not isinstance(body, bytes):
        raise ArgumentTypeError("codec", "one whose encode gives bytes", type(body).__name__)
    return body
