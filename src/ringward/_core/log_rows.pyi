from collections.abc import Sequence
from typing import Any, TypeVar

_T = TypeVar("_T", bound=tuple[Any, ...])
_Item = TypeVar("_Item")

def event_digest(kind: int, key: bytes, id: str | bytes | int | None, payload: bytes, headers: str | None) -> bytes: ...
def log_rows(
    entries: Sequence[tuple[int, int, bytes, str | bytes | int | None, bytes, str | None]],
    receipt: type[_T],
    producer: int,
    seq: int,
    at: int,
    volume: int,
    chain: int,
) -> tuple[list[tuple[Any, ...]], list[_T]]: ...
def untracked(items: list[_Item]) -> list[_Item]: ...
