"""Who owns a hash in `Clusters`, worked out slowly."""

from __future__ import annotations

import numpy as np


def reference(clusters, value: int) -> str | None:
    """Who owns a hash, worked out key by key from the routers inside; None for nobody."""
    at = np.array([value], np.uint64)
    home = str(clusters.home.names[clusters.home.assign_hashes(at)[0]])
    ends, _ = clusters.home._state.table.arcs()
    arc = int(np.searchsorted(ends, at)[0])
    start = int(ends[arc - 1]) + 1 if arc else 0
    standing = clusters._standing[home]
    given = (value - start) / (int(ends[arc]) - start + 1) < standing.given
    router = clusters.routers[standing.to if given else home]
    ids = router.assign_hashes(at, count=1)[:, 0]
    return router.owner_names(ids)[0]
