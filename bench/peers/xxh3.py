"""XXH3-64 of eight bytes, seed 0, for the peers that hash arrays of uint64 themselves.

Source: the xxHash specification, "XXH3 Algorithm Overview", inputs of 4 to 8 bytes:
`h = rotate(key, 32) ^ SECRET`, then two multiplications by `MIX` between shifts.
"""

from __future__ import annotations

import numpy as np

SECRET = np.uint64(0x1CAD21F72C81017C ^ 0xDB979083E96DD4DE)  # bytes 8 to 23 of the default secret
MIX = np.uint64(0x9FB21C651E98DF25)
SIZE = np.uint64(8)
