from typing import Any, Self

from typing_extensions import disjoint_base

from ringward._core.arrow_columns import ArrowColumn
from ringward._core.sources import KeySource

@disjoint_base
class ChunkedSource(KeySource):
    def __new__(cls, columns: list[ArrowColumn]) -> Self: ...

def arrow_source(keys: Any) -> KeySource: ...
