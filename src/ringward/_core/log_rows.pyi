from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

_T = TypeVar("_T", bound=tuple[Any, ...])
_Item = TypeVar("_Item")
_E = TypeVar("_E")
_K = TypeVar("_K")
_P = TypeVar("_P")
_I = TypeVar("_I")
_H = TypeVar("_H")

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
def log_entry(
    partition: int, key: _K, payload: _P, id: _I, headers: _H, otherwise: Callable[[int, _K, _P, _I, _H], _E]
) -> _E: ...
def log_entries(
    made: list[_E],
    partitions: list[int],
    keys: Iterable[_K],
    payloads: Iterable[_P],
    ids: Iterable[_I],
    headers: Iterable[_H],
    otherwise: Callable[[int, _K, _P, _I, _H], _E],
) -> None: ...
def first_faulty(rows: list[Any], after: int) -> int: ...
def rows_by_partition(rows: Iterable[_T], among: dict[int, _T] | None = None) -> dict[int, list[_T]]: ...
def rows_up_to(rows: Iterable[_T], size: int) -> list[_T]: ...
def size_of(rows: Sequence[tuple[Any, ...]]) -> int: ...
def log_rows(
    entries: Sequence[tuple[int, int, bytes, str | bytes | int | None, bytes, str | None]],
    receipt: type[_T],
    producer: int,
    seq: int,
    at: int,
    volume: int,
    chain: int,
) -> tuple[list[tuple[Any, ...]], list[_T]]: ...
def read_rows(
    entries: Sequence[tuple[int, int, bytes, str | bytes | int | None, bytes, str | None]], seq: int, at: int
) -> list[tuple[int, int, int, bytes, str | bytes | int | None, bytes, str | None, int]]: ...
def untracked(items: list[_Item]) -> list[_Item]: ...
