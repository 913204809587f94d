"""Hash families for keys, and columns of keys → hashes."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ringward._core import Hasher, hash_column
from ringward.checks import checked_int
from ringward.errors import ArgumentError, ArgumentTypeError

__all__ = ["XXH3", "Family", "Key", "Keys", "Multiplicative", "SipHash", "family_from", "hash_keys"]

Key: TypeAlias = str | bytes | bytearray | memoryview | int | np.integer[Any] | uuid.UUID


class ArrowArray(Protocol):
    """Exports one array by the Arrow PyCapsule interface: `pyarrow.Array`."""

    def __arrow_c_array__(self, requested_schema: Any = ..., /) -> tuple[Any, Any]:
        """Two capsules: the schema and the array."""


class ArrowStream(Protocol):
    """Exports chunks by the Arrow PyCapsule interface: `pyarrow.ChunkedArray`, Series of Polars and pandas."""

    def __arrow_c_stream__(self, requested_schema: Any = ..., /) -> Any:
        """One capsule: the stream."""


Keys: TypeAlias = Sequence[Key] | npt.NDArray[Any] | ArrowArray | ArrowStream

_XXH3, _SIPHASH, _MULTIPLICATIVE = range(3)
_UINT64_MAX = 2**64 - 1
_ROUNDS = (1, 3), (2, 4)
_FINGERPRINT_LABEL = b"ringward fingerprint"


class Family(Hasher):
    """What the families share: equality, pickling and a form without secrets, by their arguments."""

    _args: tuple[Any, ...]
    _described: dict[str, Any]

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._args == other._args

    def __hash__(self) -> int:
        return hash((type(self), self._args))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._args

    def describe(self) -> dict[str, Any]:
        """What a snapshot says of the hash: enough to rebuild it or to recognise it, never a secret."""
        return dict(self._described)


class XXH3(Family):
    """XXH3-64, the default: fast and well mixed, for keys that no attacker chooses.

    A seed does not help against attackers: they can aim keys at one node. Use `SipHash` for such keys.

    Parameters
    ----------
    seed : int
        0 to 2^64 - 1.

    References
    ----------
    The xxHash specification, "XXH3 Algorithm Overview".

    Examples
    --------
    >>> import ringward as rw
    >>> rw.XXH3()("event1")
    17846185603872263335
    """

    def __init__(self, seed: int = 0) -> None:
        self._args = (checked_int("seed", seed, 0, _UINT64_MAX),)
        self._described = {"family": "XXH3", "seed": self._args[0]}
        super().__init__(_XXH3, seed=self._args[0])

    @property
    def seed(self) -> int:
        """The seed, 0 to 2^64 - 1."""
        return int(self._args[0])

    def __repr__(self) -> str:
        return f"XXH3(seed={self.seed})"


class SipHash(Family):
    """SipHash with a secret key: for keys that strangers may choose.

    Without the 16-byte key nobody can compute where a key goes. A stranger who can see which node served a key
    can still try keys and keep those of one node: with n nodes, one try in n hits it. If that
    matters, hide which node served, and limit what one sender may send. Keep the key secret, and the same
    on every machine that routes. Pickles of a router hold it; the bytes of snapshots never do.

    Parameters
    ----------
    key : bytes
        16 bytes, best from `secrets.token_bytes(16)`.
    rounds : tuple of int
        Compression and finalisation rounds: (1, 3) or (2, 4).

    References
    ----------
    Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012).

    Examples
    --------
    >>> import ringward as rw
    >>> rw.SipHash(bytes(range(16)), rounds=(2, 4))(bytes(range(15))) == 0xA129CA6149BE45E5
    True
    >>> rw.SipHash(bytes(16))
    SipHash(key=<secret>, rounds=(1, 3))
    """

    def __init__(self, key: bytes, rounds: tuple[int, int] = (1, 3)) -> None:
        if not isinstance(key, bytes | bytearray):
            raise ArgumentTypeError("key", "bytes", type(key).__name__)
        key = bytes(memoryview(key))  # what it holds, whatever methods a subclass has
        if len(key) != 16:
            raise ArgumentError("key", "16 bytes long", f"{len(key)} bytes")
        if type(rounds) is not tuple or any(type(each) is not int for each in rounds) or rounds not in _ROUNDS:
            raise ArgumentError("rounds", "(1, 3) or (2, 4)", rounds)
        self._args = (key, rounds)
        halves = {"k0": int.from_bytes(key[:8], "little"), "k1": int.from_bytes(key[8:], "little")}
        # A fixed text hashed under the key: it tells whether two keys are equal, and nothing of either.
        fingerprint = Hasher(_SIPHASH, **halves, c_rounds=2, d_rounds=4)(_FINGERPRINT_LABEL)
        self._described = {"family": "SipHash", "rounds": list(rounds), "fingerprint": fingerprint}
        super().__init__(_SIPHASH, **halves, c_rounds=rounds[0], d_rounds=rounds[1])

    def __repr__(self) -> str:
        return f"SipHash(key=<secret>, rounds={self._args[1]})"


class Multiplicative(Family):
    """The hash H(k) = (k * m) mod p, scaled from [0, p) to the ring of 2^64.

    Exact for every m and p. It preserves arithmetic patterns of the keys; docs/strategies.md
    measures what that costs in balance. Use it to follow a given formula, not for speed.

    Parameters
    ----------
    m : int
        The multiplier, 1 to 2^64 - 1, with no common factor with p.
    p : int
        The ring's size, 1 to 2^64 - 1.

    Notes
    -----
    k is the integer key modulo 2^64; for any other key, k is the XXH3-64 of its bytes.

    Examples
    --------
    >>> import ringward as rw
    >>> h = rw.Multiplicative(7, 1000)
    >>> h.position(312)  # (312 * 7) mod 1000
    184
    >>> h(312) == 184 * 2**64 // 1000
    True
    """

    def __init__(self, m: int, p: int) -> None:
        m, p = checked_int("m", m, 1, _UINT64_MAX), checked_int("p", p, 1, _UINT64_MAX)
        if math.gcd(m, p) != 1:
            raise ArgumentError("m", f"without a common factor with p = {p}", m)
        self._args = (m, p)
        self._described = {"family": "Multiplicative", "m": m, "p": p}
        shift = 64 - p.bit_length()
        divisor = p << shift
        super().__init__(
            _MULTIPLICATIVE,
            multiplier=m % p,
            divisor=divisor,
            reciprocal=((1 << 128) - 1) // divisor - (1 << 64),
            shift=shift,
        )

    def position(self, key: Key) -> int:
        """The raw position (k * m) mod p of a key, in [0, p)."""
        return int(self._position(key))

    def __repr__(self) -> str:
        return f"Multiplicative(m={self._args[0]}, p={self._args[1]})"


def family_from(described: dict[str, Any]) -> Family | None:
    """The hash a snapshot describes, or None where it is secret."""
    if described["family"] == "XXH3":
        return XXH3(described["seed"])
    if described["family"] == "Multiplicative":
        return Multiplicative(described["m"], described["p"])
    return None


def hash_keys(keys: Keys, hash: Hasher = XXH3(), *, threads: int | None = None) -> npt.NDArray[np.uint64]:
    """Hash a column of keys.

    Parameters
    ----------
    keys : list, tuple, ndarray or Arrow column, shape (n,)
        Arrays of integers, `S`, `U`, `StringDType` or objects, strided and of any byte order;
        columns of pyarrow, Polars, pandas, nanoarrow and other libraries that export Arrow.
    hash : XXH3, SipHash or Multiplicative
        Pass `router.hash` to get the hashes that a router routes by.
    threads : int, optional
        How many threads to use at most, as for `Router.assign`; by default one below
        524,288 keys.

    Returns
    -------
    ndarray of uint64, shape (n,)

    Raises
    ------
    KeyTypeError, KeyValueError
        With the position of the first bad or missing key.
    ArgumentError, ArgumentTypeError
        When `threads` does not fit.

    Examples
    --------
    >>> import ringward as rw
    >>> rw.hash_keys(["event1", b"event1", 42])
    array([17846185603872263335, 17846185603872263335, 15395265915043915720],
          dtype=uint64)
    """
    if not isinstance(hash, Hasher):
        raise ArgumentTypeError("hash", "XXH3, SipHash or Multiplicative", hash)
    return hash_column(hash, keys, threads)
