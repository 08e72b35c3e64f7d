"""Trackers in several threads, each with its own data, for ThreadSanitizer.

Run ``SANITIZE=thread tests/fuzz/sanitized.sh -m tests.fuzz.threads``. The native core releases
Python's lock and keeps memory between calls. A thread must never use the memory of another.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np

from sslmot import Tracker, _core
from sslmot._core import _testing

THREADS = 4


def film(seed: int) -> list[Any]:
    """Track a crowd of people who walk, come and go, and return the results."""
    rng = np.random.default_rng(seed)
    people, said = 40 + 10 * (seed % 4), []
    at, features = rng.uniform(0, 600, (people, 2)), rng.normal(size=(people, 33))
    tracker = Tracker()
    for t in range(12):
        at = at + rng.normal(0, 3, at.shape)
        seen = rng.permutation(people)[: rng.integers(people // 2, people + 1)]
        dets = np.hstack([at[seen], at[seen] + (40, 100), rng.uniform(0.3, 1, (len(seen), 1))])
        tracks = tracker.step(None, dets, embeddings=None if t % 5 == 4 else features[seen])
        said += [tracks.ids, tracks.detection_index]
    return said


def calls(seed: int) -> list[Any]:
    """Call the functions of the native core that such a tracker does not use."""
    rng = np.random.default_rng(seed)
    found: list[Any] = []
    for n in rng.integers(1, 80, 6).tolist():
        m = int(rng.integers(1, 80))
        cost = rng.uniform(0, 1, (n, m))
        found += [
            _core.assign(cost.astype(kind), max_cost) for kind in "fd" for max_cost in (0.3, 2.0)
        ]
        pairs = np.tile(np.arange(m, dtype=np.int32), n)
        begin = np.arange(n + 1, dtype=np.int32) * m
        found.append(_testing.assign_pairs(begin, pairs, cost.ravel(), m, 0.3))
        corner = rng.uniform(-20, 100, (n, 2))
        boxes = np.hstack([corner, corner + rng.uniform(1, 60, (n, 2))]).astype(np.float32)
        kinds = rng.integers(0, 2, n).astype(np.int32)
        found.append(_testing.occluded_shares(boxes))
        found += _testing.largest_overlaps(boxes, boxes[::2].copy(), kinds, kinds[::2].copy())
        picture = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
        out = np.empty((n, 3, 16, 8), np.float32)
        _core.crop(picture, boxes, out, (0.5,) * 3, (0.2,) * 3, True)
        features = rng.normal(size=(2, 1, n, 40)).astype(np.float32)
        costs = np.empty((1, n, n), np.float32)
        settings = _core.PairParams(
            tau=0.2,
            min_affinity=0.0,
            appearance_weight=0.5,
            motion_weight=0.5,
            max_cost=0.9,
        )
        _testing.cost(*features, boxes[None], boxes[None], settings, costs)
        found += [out, costs]
    return found


def together(work: Callable[[int], list[Any]], seeds: list[int]) -> None:
    """Do some work in several threads, and compare with the same work in this thread."""
    barrier = Barrier(len(seeds))

    def begin(seed: int) -> list[Any]:
        barrier.wait()
        return work(seed)

    with ThreadPoolExecutor(len(seeds)) as pool:
        found = list(pool.map(begin, seeds))
    for seed, values in zip(seeds, found, strict=True):
        for one, other in zip(values, work(seed), strict=True):
            np.testing.assert_array_equal(one, other)


def main() -> int:
    sys.setswitchinterval(1e-5)
    for i in range(4):
        seeds = list(range(THREADS * i, THREADS * (i + 1)))
        together(film, seeds)
        together(calls, seeds)
    print("same results as in one thread, with", THREADS, "threads")
    return 0


if __name__ == "__main__":
    sys.exit(main())
