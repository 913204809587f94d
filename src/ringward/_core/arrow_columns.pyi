from typing import Self

from typing_extensions import disjoint_base

from ringward._core.sources import KeySource

@disjoint_base
class Layout:
    def __new__(
        cls, column: type[ArrowColumn], buffers: int, width: int, number: int = ..., values: Layout | None = ...
    ) -> Self: ...

@disjoint_base
class ArrowColumn(KeySource): ...

class NullColumn(ArrowColumn): ...

@disjoint_base
class IntegerColumn(ArrowColumn): ...

@disjoint_base
class OffsetColumn(ArrowColumn): ...

@disjoint_base
class ViewColumn(ArrowColumn): ...

@disjoint_base
class FixedColumn(ArrowColumn): ...
