from collections.abc import Iterator
from typing import Any, Self

from typing_extensions import disjoint_base

@disjoint_base
class OwnedSchema: ...

@disjoint_base
class OwnedArray: ...

@disjoint_base
class OwnedStream:
    def __new__(cls, capsule: Any) -> Self: ...

def open_stream(capsule: Any) -> tuple[OwnedSchema, Iterator[OwnedArray]]: ...
def open_array(capsules: Any) -> tuple[OwnedSchema, Iterator[OwnedArray]]: ...
