"""``Tracker.step`` with given embeddings (D = 512), beside the same formula in NumPy and SciPy.

    pytest benchmarks/test_step.py --benchmark-columns=median,iqr,rounds

The crowd has the density of real ones (2.5 others within 2.5 box sizes), is generated, and its
identities are known: a tracker that mixes them up fails its benchmark.
"""

from __future__ import annotations

import pytest
from crowd import embedding_crowd
from numpy_tracker import NumpyTracker

from sslmot import Tracker, TrackerConfig

DIM = 512
WARM_UP = 10
FRAMES = {10: 300, 50: 300, 200: 120, 1000: 40}


class Sslmot:
    """Ids of all detections, 0 where one is not reported."""

    def __init__(self, config=None, *, appearance=True):
        self.tracker, self.appearance = Tracker(config), appearance

    def step(self, boxes, embeddings):
        return self.tracker.step(None, boxes, embeddings=embeddings if self.appearance else None)


class Plain:
    def __init__(self):
        self.tracker = NumpyTracker(TrackerConfig.paper(), DIM)

    def step(self, boxes, embeddings):
        return self.tracker.step(boxes[:, :4], embeddings)


TRACKERS = {
    "sslmot": Sslmot,
    "sslmot, paper's preset": lambda: Sslmot(TrackerConfig.paper()),
    "sslmot, motion alone": lambda: Sslmot(appearance=False),
    "NumPy + SciPy": Plain,
}


def ids_of(result, n):
    if not hasattr(result, "detection_index"):
        return result
    ids = [0] * n
    for row, i in zip(result.detection_index, result.ids, strict=True):
        ids[row] = int(i)
    return ids


@pytest.mark.parametrize("people", FRAMES)
@pytest.mark.parametrize("name", TRACKERS)
def test_step(benchmark, name, people):
    benchmark.group = f"step, {people} people"
    crowd = list(embedding_crowd(people, WARM_UP + FRAMES[people], DIM))
    tracker = TRACKERS[name]()
    for boxes, embeddings, _ in crowd[:WARM_UP]:
        tracker.step(boxes, embeddings)
    frames = iter(crowd[WARM_UP:])
    results = []

    def step(boxes, embeddings):
        results.append(tracker.step(boxes, embeddings))

    def setup():
        boxes, embeddings, _ = next(frames)
        return (boxes, embeddings), {}

    benchmark.pedantic(step, setup=setup, rounds=FRAMES[people])

    owner, wrong, total = {}, 0, 0
    for result, (boxes, _, persons) in zip(results, crowd[WARM_UP:], strict=False):
        for i, person in zip(ids_of(result, len(boxes)), persons.tolist(), strict=True):
            total += 1
            # A right identity is one that this person, and nobody else, had before.
            wrong += not i or owner.setdefault(i, person) != person
    identity = 1 - wrong / total
    benchmark.extra_info["identity"] = round(identity, 4)
    assert identity > (0.9 if "motion" in name else 0.97)
