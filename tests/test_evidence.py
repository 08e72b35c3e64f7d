"""Explanations of identities, against the loops of reference.py."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
import reference

from sslmot import Tracker, TrackerConfig
from sslmot.gallery import Gallery
from sslmot.motion import to_corners

CONFIG = TrackerConfig(tau=0.5, min_affinity=0.1, lost_affinity=0.4, patience=2, sure_score=9)


def crowd(seed, people=10, frames=40, described=1.0):
    """Detections and features (None where a frame is not described) of people who come and go."""
    rng = np.random.default_rng(seed)
    looks, centre = rng.normal(size=(people, 8)), rng.uniform(50, 250, (people, 2))
    gone = np.zeros(people, int)  # frames to come without a detection
    for _ in range(frames):
        centre += rng.normal(0, 4, centre.shape)
        gone = np.where(rng.random(people) < 0.05, rng.integers(1, 9, people), gone - 1)
        seen = rng.permutation(np.flatnonzero(gone <= 0))
        size = rng.uniform([35, 80], [45, 100], (len(seen), 2))
        # Two classes, of which a detector is not sure.
        classes = (seen % 5 == 0) ^ (rng.random(len(seen)) < 0.02)
        dets = np.hstack([centre[seen] - size / 2, centre[seen] + size / 2, np.ones_like(size)])
        dets[:, 5] = classes
        features = looks[seen] + rng.normal(0, 0.4, (len(seen), 8))
        features[rng.random(len(seen)) < 0.03] = 0
        described_now = rng.random() < described
        yield dets.astype(np.float32), features.astype(np.float32) if described_now else None


def on(device, features):
    if device == "cpu" or features is None:
        return features
    import torch

    return torch.from_numpy(features).to(device)


class Before:
    """What the tracker knows before a frame, and what every pair would cost."""

    def __init__(self, tracker, dets, features):
        c, table = tracker.config, tracker._table
        self.table = dataclasses.replace(table, ids=table.ids.copy())
        state = tracker._motion.predict(table.state, table.misses > 0)
        self.boxes, t = to_corners(state[0]), len(table)
        self.by_appearance = features is not None and tracker._features is not None
        if features is not None and tracker._features is None:
            self.by_appearance, self.looks = True, np.zeros((t, features.shape[1]))
        elif self.by_appearance:
            self.looks = tracker._features.read(table.feature_rows)
        least = np.where(table.misses > 0, c.lost_affinity, c.min_affinity)
        self.gate = c.max_cost if self.by_appearance else c.motion_reach
        self.cost = np.full((t, len(dets)), self.gate)
        for i in range(t):
            p = {
                "tau": c.tau,
                "min_affinity": least[i] if self.by_appearance else 0,
                "appearance_weight": c.appearance_weight if self.by_appearance else 0,
                "motion_weight": c.motion_weight if self.by_appearance else 1,
                "shape_weight": c.shape_weight,
                "gate": self.gate,
            }
            self.cost[i] = reference.cost(
                [self.looks[i]] if self.by_appearance else None,
                features,
                [self.boxes[i]],
                dets[:, :4],
                [c.appearance_reach if self.by_appearance else c.motion_reach],
                p,
                [table.classes[i]],
                dets[:, 5],
            )


def check(tracker, before, dets, features, tracks, why):
    """One explanation against the loops."""
    c, j = tracker.config, why.detection
    assert tracks.ids[tracks.detection_index == j].tolist() == [why.id]
    if why.id not in before.table.ids or why.stage == "recognised":
        assert why.stage in ("new", "recognised")
        assert (why.affinity is None) == (why.stage == "new")
        assert why.affinity is None or c.lost_affinity - 1e-6 <= why.affinity <= 1
        assert why.distance is why.cost is why.runner_up is None
        return
    i = int(np.flatnonzero(before.table.ids == why.id)[0])
    distance = reference.distance(before.boxes[i], dets[j, :4], c.shape_weight)
    assert why.distance == pytest.approx(distance, abs=1e-4)
    if why.stage == "motion":
        assert why.affinity is None
        assert why.cost == why.distance <= c.motion_reach
        if before.by_appearance:  # motion had to help
            unknown = not before.looks[i].any() or not features[j].any()
            assert unknown
            assert why.runner_up is None
            return
    else:
        assert before.by_appearance
        affinity = reference.affinity(reference.cosine(before.looks[i], features[j]), c.tau)
        assert why.affinity == pytest.approx(affinity, abs=1e-4)
    assert why.cost == pytest.approx(before.cost[i, j], abs=1e-4)
    others = np.delete(before.cost[:, j], i)
    if others.min(initial=before.gate) >= before.gate:
        assert why.runner_up is None
        return
    second, cost = why.runner_up
    assert cost == pytest.approx(others.min(), abs=1e-4)
    best = int(np.argmin(np.where(np.arange(len(before.cost)) == i, np.inf, before.cost[:, j])))
    now = dict(zip(tracker._table.feature_rows, tracker._table.ids, strict=True))
    assert second == (before.table.ids[best] or now.get(before.table.feature_rows[best], 0))


@pytest.mark.parametrize("described", [1, 0, 0.7], ids=["features", "motion", "mixed"])
def test_every_identity_explains_itself(device, described):
    stages, runners_up = Counter(), 0
    for seed in range(6):
        tracker = Tracker(CONFIG)
        for dets, features in crowd(seed, described=described):
            before = Before(tracker, dets, features)
            tracks = tracker.step(None, dets, embeddings=on(device, features))
            for identity in tracks.ids:
                why = tracks.explain(identity)
                assert why.id == identity
                check(tracker, before, dets, features, tracks, why)
                stages[why.stage] += 1
                runners_up += why.runner_up is not None
    if described == 0:
        assert set(stages) == {"motion", "new"}
    else:
        assert set(stages) == {"appearance", "motion", "new", "recognised"}
        assert stages["recognised"] > 10
    assert runners_up > 100


def test_an_explanation_stays_as_it_was():
    tracker, kept = Tracker(CONFIG), []
    for dets, features in crowd(0):
        tracks = tracker.step(None, dets[:, :4].copy(), embeddings=features)
        kept.append((tracks, [tracks.explain(i) for i in tracks.ids]))
    for tracks, explanations in kept:
        assert [tracks.explain(i) for i in tracks.ids] == explanations


def test_an_explanation_outlives_the_callers_buffers():
    boxes, features = np.float32([[0, 0, 40, 90], [90, 0, 130, 90]]), np.eye(2, dtype=np.float32)
    tracker = Tracker()
    tracker.step(None, boxes, embeddings=features)
    tracks = tracker.step(None, boxes, embeddings=features)
    tracks = tracker.step(None, boxes, embeddings=features)
    explanation = tracks.explain(2)
    boxes[:], features[:] = 0, 0
    assert tracks.explain(2) == explanation


@pytest.mark.parametrize("identity", [2, 0, -1, "1", None])
def test_an_identity_that_is_not_reported(identity):
    tracker = Tracker(TrackerConfig(confirm=0))
    tracks = tracker.step(None, [[0, 0, 40, 90]])
    with pytest.raises(ValueError, match=rf"identity: expected one of \[1\], got {identity!r}"):
        tracks.explain(identity)


def test_appearance_without_weight_is_not_asked():
    tracker, features = Tracker(TrackerConfig(appearance_weight=0)), np.float32([[1, 0]])
    for _ in range(3):
        tracks = tracker.step(None, [[0, 0, 40, 90]], embeddings=features)
    why = tracks.explain(1)
    assert (why.stage, why.affinity) == ("appearance", None)
    assert why.cost == pytest.approx(0, abs=1e-6)


def test_who_is_recognised_resembles_by_an_affinity():
    """Of the features as the lost one's was and as the new track's is now."""
    looks = np.float32([[1, 0], [0.9, 0.3], [0.95, 0.1]])
    tracker = Tracker(TrackerConfig(patience=1, sure_score=9))
    for _ in range(2):
        tracker.step(None, [[0, 0, 40, 90]], embeddings=looks[:1])
    for _ in range(3):
        tracker.step(None, ())
    tracker.step(None, [[60, 0, 100, 90]], embeddings=looks[1:2])
    tracks = tracker.step(None, [[60, 0, 100, 90]], embeddings=looks[2:])
    why = tracks.explain(1)
    assert (why.stage, why.detection) == ("recognised", 0)
    now = sum(z / np.linalg.norm(z) for z in looks[1:])
    affinity = reference.affinity(reference.cosine(looks[0], now), tracker.config.tau)
    assert why.affinity == pytest.approx(affinity, abs=1e-5)


def test_whom_the_gallery_knows():
    gallery = Gallery()
    gallery.add([7], np.float32([[1, 0]]))
    tracker = Tracker(gallery=gallery)
    boxes, features = [[0, 0, 40, 90], [90, 0, 130, 90]], np.float32([[0, 1], [1, 0]])
    tracks = tracker.step(None, boxes, embeddings=features)
    assert [tracks.explain(i).stage for i in tracks.ids] == ["new", "gallery"]
    assert tracks.ids.tolist() == [8, 7]
    assert tracks.explain(7).affinity is None
    tracks = tracker.step(None, boxes, embeddings=features)
    assert [tracks.explain(i).stage for i in tracks.ids] == ["appearance"] * 2


def test_the_next_best_may_have_been_recognised_elsewhere():
    """Its identity is the one that it had when it was considered."""
    z = np.float32([[1, 0], [0.8, 0.6]])
    config = TrackerConfig(sure_score=9, min_affinity=0.1, lost_affinity=0.3, appearance_reach=1)
    tracker = Tracker(config)
    here, beside, far = [0, 0, 40, 90], [20, 0, 60, 90], [90, 0, 130, 90]
    for _ in range(2):
        tracker.step(None, [here, beside], embeddings=z)
    tracker.step(None, [beside, far], embeddings=z[::-1])
    tracks = tracker.step(None, [beside, far], embeddings=z[::-1])
    assert tracks.ids.tolist() == [2, 1]
    assert tracks.explain(1).stage == "recognised"
    assert tracks.explain(2).runner_up[0] == 1
