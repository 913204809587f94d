from typing import Any, Self

from typing_extensions import disjoint_base

from ringward._core.sources import KeySource

class ObjectSource(KeySource):
    def __new__(cls, keys: Any) -> Self: ...

@disjoint_base
class SequenceSource(ObjectSource): ...

@disjoint_base
class ObjectArraySource(ObjectSource): ...
