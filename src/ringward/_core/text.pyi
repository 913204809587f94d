from typing_extensions import disjoint_base

from ringward._core.sources import ArraySource

class TextSource(ArraySource): ...

@disjoint_base
class StringSource(ArraySource): ...
