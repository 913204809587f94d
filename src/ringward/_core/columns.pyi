from typing import Any

from ringward._core.sources import KeySource

def key_source(keys: Any) -> KeySource: ...
