"""`Snapshot`: one moment of a router, for good; and its portable bytes."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from ringward._core import Hasher, State, checksum, sealed
from ringward.checks import checked_int, checked_text
from ringward.cluster import Cluster, Node, in_utf8_order, utf8
from ringward.errors import ArgumentError, ArgumentTypeError, RingwardError, SnapshotError
from ringward.keys import family_from
from ringward.tables import kind_named, kind_of
from ringward.tables.arrays import demand
from ringward.view import Placed, View, effective_table

__all__ = ["VERSION", "Snapshot"]

MAGIC = b"ringward"
VERSION = 1
_HEADER = struct.Struct("<8sIQ")  # magic, version, size of the JSON that follows
_CHECKSUM_BYTES = 8
_EPOCH_MAX = 2**64 - 1
_DTYPES = {text: np.dtype(text) for text in ("<u4", "<u8", "<f8")}
_AT_ONCE = 2048  # entries of a list that are written before other threads have their turn
_EMPTY_ROWS_MAX = 1 << 24  # rows without nodes have no bytes that would bound them: as many as a table has partitions


class Snapshot(View):
    """A router's state at one epoch. It routes and assigns as the router did then, and never changes.

    Made by `Router.snapshot()` and `Snapshot.from_bytes`. It pickles and copies.

    Attributes
    ----------
    strategy : str
        The class of the router.

    Examples
    --------
    >>> import ringward as rw
    >>> ring = rw.HashRing(["node1", "node2", "node3"])
    >>> data = ring.snapshot().to_bytes()
    >>> rw.Snapshot.from_bytes(data).route("event1") == ring.route("event1")
    True
    """

    __slots__ = ("__weakref__", "_options", "strategy")

    def __init__(self, state: State, strategy: str, options: dict[str, Any]) -> None:
        super().__init__(state)
        self.strategy = strategy
        self._options = dict(options)

    @property
    def options(self) -> dict[str, Any]:
        """The options that the router was made with, without its nodes and hash."""
        return dict(self._options)

    def to_bytes(self) -> bytes:
        """Return the snapshot as bytes that every platform can read: versioned, checksummed, without pickle.

        They hold the compiled table, the membership, the ids of past members and the
        placement's own state; of a `SipHash` only a fingerprint, never the key.

        Returns
        -------
        bytes
        """
        cluster: Cluster = self._state.cluster
        table = self._state.own.table
        kind = kind_of(table)
        arrays = kind.arrays(table)
        blobs = {name: arrays[name].astype(arrays[name].dtype.newbyteorder("<")) for name in sorted(arrays)}
        header = {
            "strategy": self.strategy,
            "options": self._options,
            "epoch": self.epoch,
            "hash": self.hash.describe(),
            "memory": self._state.own.memory,
            "names": self._state.names.tolist(),
            "members": [[node.name, node.weight, node.zone] for node in self.nodes],
            "down": sorted(cluster.down),
            "table": kind.name,
            "arrays": {name: [blob.dtype.str, list(blob.shape)] for name, blob in blobs.items()},
        }
        past = [cluster.ids[name] for name in cluster.past]
        if past != sorted(past):
            header["past"] = past
        text = _json(header).encode()
        arrays_of_bytes = [np.ascontiguousarray(blob).reshape(-1).view(np.uint8) for blob in blobs.values()]
        return sealed([_HEADER.pack(MAGIC, VERSION, len(text)), text, *arrays_of_bytes])

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, hash: Hasher | None = None) -> Snapshot:
        """Return the snapshot that these bytes hold.

        Parameters
        ----------
        data : bytes
            From `to_bytes`.
        hash : SipHash, optional
            Required for a router with a secret hash, whose key the bytes do not hold; otherwise only checked.

        Returns
        -------
        Snapshot

        Raises
        ------
        ArgumentTypeError
            When `data` is not bytes.
        SnapshotError
            When the bytes are damaged, cut short, foreign or of a newer version, or the hash is
            missing or does not fit.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise ArgumentTypeError("data", "bytes, as read_bytes() of a file gives them", data)
        try:
            held = bytes(data)
        except ValueError as error:
            raise SnapshotError(f"data must be readable: {error}") from error
        header, blobs = _opened(held)
        try:
            return cls(
                _state_from(header, blobs, hash), checked_text("strategy", header["strategy"]), header["options"]
            )
        except SnapshotError:
            raise
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RingwardError) as error:
            raise SnapshotError(f"the snapshot's content does not fit together: {error}") from error

    def _moment(self) -> tuple[State, str]:
        return self._state, self.strategy

    def __reduce__(self) -> tuple[Any, ...]:
        return Snapshot.from_bytes, (self.to_bytes(), self.hash)

    def __copy__(self) -> Snapshot:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Snapshot:
        return self

    def __repr__(self) -> str:
        return f"<Snapshot of {self.strategy}, {len(self)} nodes, {len(self.down)} down, epoch {self.epoch}>"


def _json(value: dict[str, Any]) -> str:
    """As `json.dumps` with sorted keys writes it, but long lists in pieces: one call would keep other threads waiting."""
    return f"{{{', '.join(f'{json.dumps(key)}: {_json_of(value[key])}' for key in sorted(value))}}}"


def _json_of(value: Any) -> str:
    if not isinstance(value, list) or len(value) <= _AT_ONCE:
        return json.dumps(value, sort_keys=True)
    pieces = (value[start : start + _AT_ONCE] for start in range(0, len(value), _AT_ONCE))
    return f"[{', '.join(json.dumps(piece, sort_keys=True)[1:-1] for piece in pieces)}]"


def _float(text: str) -> float:
    """As JSON's own. That this is Python lets other threads in between the members."""
    return float(text)


def is_intact(data: bytes) -> bool:
    """Whether bytes are those of a snapshot, of whatever router and hash, as they were made."""
    try:
        _opened(data)
    except SnapshotError:
        return False
    return True


def _opened(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Header and arrays of bytes that are intact."""
    if len(data) < _HEADER.size + _CHECKSUM_BYTES:
        raise SnapshotError(f"data must hold at least {_HEADER.size + _CHECKSUM_BYTES} bytes (held {len(data)})")
    magic, version, size = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise SnapshotError(f"data must start with {MAGIC!r} (started with {magic!r})")
    if version != VERSION:
        raise SnapshotError(f"version must be {VERSION}, the one this release reads (was {version})")
    body = memoryview(data)[:-_CHECKSUM_BYTES]
    if checksum(body) != int.from_bytes(data[-_CHECKSUM_BYTES:]):
        raise SnapshotError("the checksum does not fit the data: they are damaged or cut short")
    try:
        header = json.loads(bytes(body[_HEADER.size : _HEADER.size + size]), parse_float=_float)
        blobs = {}
        at = _HEADER.size + size
        for name, (dtype, shape) in header["arrays"].items():
            count = _items(name, shape, (len(body) - at) // _DTYPES[dtype].itemsize)
            array = np.frombuffer(body, _DTYPES[dtype], count, at).reshape(shape)
            at += array.nbytes
            blobs[name] = array.astype(array.dtype.newbyteorder("="))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
        raise SnapshotError(f"the snapshot's header is malformed: {error}") from error
    if at != len(body):
        raise SnapshotError(f"the arrays must end at byte {len(body)} (ended at {at})")
    return header, blobs


def _items(name: str, shape: Any, most: int) -> int:
    """How many items an array of this shape has: at most as many as there are bytes for."""
    demand(
        isinstance(shape, list) and len(shape) in {1, 2} and all(type(size) is int and size >= 0 for size in shape),
        f"{name} in one or two dimensions of at least 0",
    )
    count: int = math.prod(shape)
    demand(count <= most, f"{name} whole: {most} items")
    demand(count > 0 or max(shape) <= _EMPTY_ROWS_MAX, f"at most {_EMPTY_ROWS_MAX} empty rows in {name}")
    return count


def _state_from(header: dict[str, Any], blobs: dict[str, npt.NDArray[Any]], hash: Hasher | None) -> State:
    for part in ("names", "members", "down"):
        demand(isinstance(header[part], list), f"a list of {part}")
    demand({*map(type, header["names"])} <= {str} and "" not in header["names"], "names of text")
    for name in header["names"]:
        utf8(name)  # of past ones too: a lone surrogate is an error
    names = np.empty(len(header["names"]), object)
    names[:] = header["names"]
    names.flags.writeable = False
    ids = {name: i for i, name in enumerate(header["names"])}
    members = {name: Node(name, weight, zone) for name, weight, zone in header["members"]}
    demand(len(members) == len(header["members"]), "each member once")
    if len(ids) != len(names) or not members.keys() <= ids.keys() or not set(header["down"]) <= members.keys():
        raise SnapshotError("the snapshot's names, members and down nodes do not fit together")
    ranks = np.empty(len(names), np.uint32)
    ranks[[ids[name] for name in in_utf8_order(ids)]] = np.arange(len(names), dtype=np.uint32)
    weights = np.zeros(len(names))
    weights[[ids[name] for name in members]] = [node.weight for node in members.values()]
    demand(math.isfinite(sum(weights.tolist())), "weights of a finite sum")
    gone = [i for name, i in ids.items() if name not in members]
    past = header.get("past", gone)  # not there: they left in the order of their ids
    demand(all(type(i) is int for i in past) and sorted(past) == gone, "the ids of past members, each once")
    left = dict.fromkeys(header["names"][i] for i in past)
    cluster = Cluster(members, frozenset(header["down"]), ids, left, names, ranks, weights)
    on_empty = header["options"]["on_empty"]
    if on_empty is not None and on_empty not in members:
        raise ArgumentError("on_empty", "the name of a member", on_empty)
    placed = Placed(kind_named(header["table"]).restored(blobs, cluster), header["memory"])
    table = effective_table(placed, cluster, on_empty)
    epoch = checked_int("epoch", header["epoch"], 0, _EPOCH_MAX)
    return State(names, table, _hash_from(header["hash"], hash), epoch, cluster, placed)


def _hash_from(described: dict[str, Any], given: Hasher | None) -> Hasher:
    family = family_from(described)
    if given is None:
        if family is None:
            raise SnapshotError(f"hash must be given: the snapshot was keyed by a secret {described['family']}")
        return family
    if getattr(given, "describe", dict)() != described:
        raise SnapshotError(f"hash must be the one the snapshot was made with (was {given!r})")
    return given
