"""What is asked for: keys, how often each, and how long an answer takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ringward.checks import checked_float, checked_int
from ringward.errors import ArgumentError

__all__ = ["KEYS", "REQUESTS", "Workload", "latencies"]

KEYS = 100_000
REQUESTS = 1_000_000
ZIPF = 0.8  # between the 0.6 of pages and the 1.0 of objects that caches see
_KEYS_MOST = 1 << 31
_REQUESTS_MOST = 1 << 53
_UNITS = 1 << 44  # of a popularity: a sum is below 2^53, so exact

# Round trips between 10 hosts and 99 others on the Internet: 681,120 measurements of "Seattle" (NetLatency-Data, MIT licence),
# as quantiles. Between them, latencies are taken to be spread evenly.
_QUANTILES = (
    0,
    0.02,
    0.05,
    0.1,
    0.2,
    0.3,
    0.4,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    0.95,
    0.97,
    0.98,
    0.99,
    0.995,
    0.998,
    0.999,
    0.9995,
    1,
)
_ROUND_TRIPS_S = (0.0, 0.01, 0.02, 0.03, 0.08, 0.12, 0.16, 0.22, 0.3, 0.41, 0.47, 0.63, 0.98, 1.38, 1.78, 2.45, 3.94, 7.66, 9.54,
                  12.2, 52.3)  # fmt: skip


def latencies(random: np.random.Generator, count: int) -> npt.NDArray[np.float64]:
    """So many round trips in seconds, drawn from the measured distribution."""
    return np.interp(random.random(count), _QUANTILES, _ROUND_TRIPS_S)


@dataclass(frozen=True, eq=False)
class Workload:
    """Distinct keys, and the share of all requests that each gets.

    Attributes
    ----------
    hashes : ndarray of uint64, shape (n,)
        Distinct and ascending.
    weights : ndarray of float64, shape (n,)
        Whole numbers that are proportional to the shares: so any sum of them is exact, in any order.
    requests : int
        How many requests come during the trace, evenly over its span.
    """

    hashes: npt.NDArray[np.uint64]
    weights: npt.NDArray[np.float64]
    requests: int

    @classmethod
    def zipf(cls, seed: int, *, keys: int = KEYS, requests: int = REQUESTS, exponent: float = ZIPF) -> Workload:
        """Keys of which the k-th in popularity gets a share proportional to k ** -exponent; the seed decides which is which."""
        count = checked_int("keys", keys, 1, _KEYS_MOST)
        power = checked_float("exponent", exponent, zero=True)
        total = checked_int("requests", requests, 1, _REQUESTS_MOST)
        random = np.random.default_rng([seed, 1])
        hashes = np.unique(random.integers(0, 1 << 64, count, dtype=np.uint64))
        weights = np.arange(1, len(hashes) + 1, dtype=np.float64) ** -power
        random.shuffle(weights)
        return cls(hashes, np.ceil(weights / weights.sum() * _UNITS), total)

    @classmethod
    def of(cls, hashes: npt.NDArray[np.uint64]) -> Workload:
        """The requests of a file: one for each hash, in any order."""
        if not len(hashes):
            raise ArgumentError("keys", "at least one", 0)
        distinct, counts = np.unique(hashes, return_counts=True)
        return cls(distinct, counts.astype(np.float64), len(hashes))

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return float(self.weights.sum())
