"""Frames of the libraries that engines hand out: their columns, and columns of owners for them.

No library is imported here before one of its objects turns up.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ringward._core import NO_NODE
from ringward.errors import ArgumentError, ArgumentTypeError

__all__ = ["Form", "Frames", "Ids", "Library", "NameArray", "frames_of", "names_of"]

Form: TypeAlias = Literal["category", "string", "id"]
Library: TypeAlias = Literal["numpy", "pandas", "polars", "pyarrow"]
Ids: TypeAlias = npt.NDArray[np.uint32]
Names: TypeAlias = tuple[str, ...]

_AT_ONCE = 1 << 14  # names that are written before other threads and signals have their turn


class Frames(Protocol):
    """What `assign_batch` and `owner_names` need to know of a library; `like` is None where there is no batch."""

    def columns(self, batch: Any) -> list[Hashable] | None:
        """The names of a frame's columns; None for a column on its own."""

    def owners(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        """A column of owners, shape (n,), that can stand beside `like`."""

    def candidates(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        """A column of the candidates of each row, shape (n, count)."""

    def joined(self, frame: Any, added: dict[str, Any]) -> Any:
        """The frame with columns added at its end; the given one stays as it was."""


class _Arrays:
    """NumPy arrays and whatever else `assign` takes; a frame is a dict of them."""

    def columns(self, batch: Any) -> list[Hashable] | None:
        return list(batch) if isinstance(batch, Mapping) else None

    def owners(self, ids: Ids, names: Names, form: Form, like: Any) -> npt.NDArray[Any]:
        if form == "id":
            return ids
        column = np.empty(ids.size, object)
        known, flat = _object_names(names), ids.reshape(-1)
        for start in range(0, len(flat), _AT_ONCE):  # clipped, NO_NODE is the last one
            known.take(flat[start : start + _AT_ONCE], out=column[start : start + _AT_ONCE], mode="clip")
        return column.reshape(ids.shape)

    candidates = owners

    def joined(self, frame: Any, added: dict[str, Any]) -> dict[Hashable, Any]:
        return {**frame, **added}


class _Arrow:
    """pyarrow: record batches and tables; names are a dictionary column whose indices are the ids."""

    def columns(self, batch: Any) -> list[Hashable] | None:
        schema = getattr(batch, "schema", None)
        return None if schema is None else list(schema.names)

    def owners(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        if form == "id":
            return pa.array(ids)
        missing = ids == NO_NODE
        indices = pa.array(ids.view(np.int32), mask=missing if missing.any() else None)
        if form == "string":
            return _arrow_names(names).take(indices)
        return pa.DictionaryArray.from_arrays(indices, _arrow_names(names))

    def candidates(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        # DuckDB for one reads a dictionary inside of a list wrongly, so lists hold plain strings.
        plain: Form = "id" if form == "id" else "string"
        return pa.FixedSizeListArray.from_arrays(self.owners(ids.ravel(), names, plain, like), ids.shape[1])

    def joined(self, frame: Any, added: dict[str, Any]) -> Any:
        for name, column in added.items():
            frame = frame.append_column(name, column)
        return frame


class _Pandas:
    """pandas: the owners keep the index; names are a categorical."""

    def columns(self, batch: Any) -> list[Hashable] | None:
        return list(batch.columns) if hasattr(type(batch), "columns") else None

    def owners(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        import pandas as pd  # noqa: PLC0415

        values: Any = ids
        if form == "string":
            values = _ARRAYS.owners(ids, names, form, like)
        elif form == "category":
            values = pd.Categorical.from_codes(ids.astype(np.int32), categories=list(names))
        if isinstance(like, pd.Index):
            return pd.Index(values, name=like.name)
        if not isinstance(like, pd.Series | pd.DataFrame):
            return values
        return pd.Series(values, index=like.index, name=like.name if like.ndim == 1 else None)

    def candidates(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        import pandas as pd  # noqa: PLC0415

        columns = {i: self.owners(ids[:, i], names, form, like) for i in range(ids.shape[1])}
        return pd.DataFrame(columns, index=getattr(like, "index", None))

    def joined(self, frame: Any, added: dict[str, Any]) -> Any:
        return frame.assign(**added)


class _Polars:
    """Polars: names are a `Categorical`."""

    def columns(self, batch: Any) -> list[Hashable] | None:
        return getattr(batch, "columns", None)

    def owners(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        import polars as pl  # noqa: PLC0415

        if form == "id":
            owners = pl.Series(ids)
        else:  # the last of the names is nobody's
            places = ids if ids.max(initial=0) < len(names) else np.minimum(ids, len(names))
            owners = _polars_names(names, form).gather(places)
        return owners.alias(like.name) if isinstance(like, pl.Series) else owners

    def candidates(self, ids: Ids, names: Names, form: Form, like: Any) -> Any:
        return self.owners(ids.ravel(), names, form, like).reshape(ids.shape)

    def joined(self, frame: Any, added: dict[str, Any]) -> Any:
        return frame.with_columns(**added)


# An engine calls once a batch, and a batch may be small: the names' columns are worth keeping.
@lru_cache(maxsize=8)
def _object_names(names: Names) -> npt.NDArray[np.object_]:
    column = np.empty(len(names) + 1, object)  # the last one stands for nobody
    column[:-1] = names
    return column


@lru_cache(maxsize=8)
def _arrow_names(names: Names) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    return pa.array(names, pa.string())


@lru_cache(maxsize=8)
def _polars_names(names: Names, form: Form) -> Any:
    import polars as pl  # noqa: PLC0415

    return pl.Series([*names, None], dtype=pl.Categorical if form == "category" else pl.String)


_ARRAYS = _Arrays()
_LIBRARIES: dict[str, Frames] = {"numpy": _ARRAYS, "pandas": _Pandas(), "polars": _Polars(), "pyarrow": _Arrow()}


def frames_of(batch: object) -> Frames:
    """How to handle a batch, by the library its class or a base of it comes from."""
    for cls in type(batch).__mro__:
        library = _LIBRARIES.get(cls.__module__.partition(".")[0])
        if library is not None:
            return library
    return _ARRAYS


def names_of(ids: object, names: Names, library: str) -> Any:
    """Names in place of node ids, in an object of a library; None or null where there is no node."""
    if not isinstance(library, str) or library not in _LIBRARIES:
        raise ArgumentError("library", " or ".join(map(repr, _LIBRARIES)), library)
    checked = checked_ids(ids, len(names))
    frames = _LIBRARIES[library]
    if checked.ndim == 2:
        return frames.candidates(checked, names, "category", None)
    if frames is _ARRAYS:
        return frames.owners(checked, names, "category", None)[()]  # of one id alone, the name alone
    if checked.ndim == 1:
        return frames.owners(checked, names, "category", None)
    raise ArgumentError("ids", "of 1 or 2 dimensions", checked.shape)


class NameArray(np.ndarray[Any, np.dtype[np.object_]]):
    """node id → name, where an id or an array of ids that holds NO_NODE selects None in its place."""

    def __getitem__(self, key: Any) -> Any:
        plain = self.view(np.ndarray)
        if isinstance(key, np.ndarray) and key.dtype.kind == "u" and key.size > _AT_ONCE:
            # NumPy would keep other threads waiting until all names are there; a wrong id is an error below, as in few.
            with suppress(ArgumentError, ArgumentTypeError):
                return _ARRAYS.owners(checked_ids(key, len(plain)), tuple(plain.tolist()), "string", None)
        try:
            return plain[key]
        except IndexError:
            if key is None or isinstance(key, tuple | slice | str | bytes):
                raise
            try:
                return names_of(key, tuple(plain.tolist()), "numpy")
            except ArgumentError:
                pass
            raise  # an id that nobody has

    def take(self, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
        """As `names[indices]`, for `numpy.take` too."""
        if out is not None or mode != "raise":
            return super().take(indices, axis, out, mode)
        return self[np.asarray(indices)]

    def __repr__(self) -> str:
        return repr(self.view(np.ndarray))


def checked_ids(ids: object, known: int) -> Ids:
    """Node ids of any integer type as uint32, each below `known` or NO_NODE."""
    try:
        array = np.asarray(ids)
    except ValueError as error:  # rows of several lengths
        raise ArgumentTypeError("ids", "integers, as assign returns them", type(ids).__name__) from error
    if isinstance(ids, np.ma.MaskedArray) or (array.size and array.dtype.kind not in "iu"):
        raise ArgumentTypeError("ids", "integers, as assign returns them", f"{type(ids).__name__} of {array.dtype}")
    if array.size == 0:
        return np.empty(array.shape, np.uint32)
    if array.dtype == np.uint32 and (
        array.max() < known or np.count_nonzero(array >= known) == np.count_nonzero(array == NO_NODE)
    ):
        return array
    # The maximum of the type, in which `assign` wrote, or of uint32, in which it would have.
    nobody = (array == np.iinfo(array.dtype).max) | (array == NO_NODE)
    wrong = ~nobody & ((array < 0) | (array >= known))
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), array.shape)
        at = ", ".join(map(str, place))
        raise ArgumentError(f"ids[{at}]", f"the id of one of {known} names, or NO_NODE", int(array[place]))
    return np.where(nobody, np.uint32(NO_NODE), array).astype(np.uint32)
