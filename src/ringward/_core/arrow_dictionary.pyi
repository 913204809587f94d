from typing import Self

from typing_extensions import disjoint_base

from ringward._core.arrow_columns import ArrowColumn

@disjoint_base
class DictionaryValues:
    def __new__(cls, column: ArrowColumn) -> Self: ...

@disjoint_base
class DictionaryColumn(ArrowColumn): ...
