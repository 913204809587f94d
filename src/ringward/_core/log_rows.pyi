from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T", bound=tuple[Any, ...])
_Item = TypeVar("_Item")

class _Lane(Protocol):
    seqs: list[int]
    rows: list[Any]

def append_rows(
    entries: Sequence[tuple[int, int, bytes, str | bytes | int | None, bytes, str | None]],
    receipt: type[_T],
    digest: Callable[..., bytes],
    seq: int,
    at: int,
    log: list[Any],
    lanes: Sequence[_Lane],
    ids: dict[Any, tuple[int, bytes, int]],
    highest: dict[str, int],
    producer: str,
    volume: list[int],
) -> list[_T]: ...
def event_digest(kind: int, key: bytes, id: str | bytes | int | None, payload: bytes, headers: str | None) -> bytes: ...
def first_faulty(rows: list[Any], after: int) -> int: ...
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
