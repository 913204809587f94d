from typing import Any, Self

from typing_extensions import disjoint_base

@disjoint_base
class KeySource:
    @property
    def size(self) -> int: ...
    @property
    def fallible(self) -> bool: ...

@disjoint_base
class ArraySource(KeySource):
    def __new__(cls, array: Any) -> Self: ...

@disjoint_base
class IntSource(ArraySource): ...

class BytesSource(ArraySource): ...
class TextSource(ArraySource): ...

@disjoint_base
class ObjectSource(KeySource):
    def __new__(cls, keys: list[Any] | tuple[Any, ...]) -> Self: ...

@disjoint_base
class ConvertedSource(KeySource):
    def __new__(cls, array: Any) -> Self: ...

def key_source(keys: Any) -> KeySource: ...
