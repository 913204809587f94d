from typing_extensions import disjoint_base

from ringward.keys import Key

@disjoint_base
class Hasher:
    def __init__(
        self,
        family: int,
        *,
        seed: int = 0,
        k0: int = 0,
        k1: int = 0,
        c_rounds: int = 0,
        d_rounds: int = 0,
        multiplier: int = 0,
        divisor: int = 0,
        reciprocal: int = 0,
        shift: int = 0,
    ) -> None: ...
    def __call__(self, key: Key, /) -> int: ...
    def _position(self, key: Key) -> int: ...
