"""Pseudo-random numbers from a name: the same on each processor and with each NumPy."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt


def integers(name: str, *shape: int) -> npt.NDArray[np.int64]:
    """Return uniform integers, 0 to 2**24 - 1, by SplitMix64."""
    start = np.uint64(zlib.crc32(name.encode()) << 32)
    x = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) + start
    x *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(40)).astype(np.int64).reshape(shape)


def uniform(name: str, *shape: int) -> npt.NDArray[np.float64]:
    """Return uniform numbers in [0, 1), exact multiples of 2**-24."""
    return integers(name, *shape) / 2**24


def bell(name: str, *shape: int) -> npt.NDArray[np.float64]:
    """Return bell-shaped numbers, mean 0, standard deviation 1, -3 to 3: sums of three uniforms."""
    return (integers(name, 3, *shape).sum(axis=0) - 3 * 2**23) / 2**23


def order(name: str, n: int) -> npt.NDArray[np.int64]:
    """Return a permutation of n."""
    return np.argsort(integers(name, n), kind="stable")
