"""Explanations of identities, against the loops of reference.py."""

from collections import Counter
from itertools import product

import numpy as np
import pytest
import reference
from scipy.optimize import linear_sum_assignment

from sslmot import Tracker, TrackerConfig
from sslmot._core import _testing
from sslmot.inputs import read_detections
from sslmot.tracking.config import MEASUREMENT_NOISE, SIZE_NOISE, VALUE_NOISE, VELOCITY_NOISE
from sslmot.tracking.gallery import Gallery
from sslmot.tracking.state import features_of

CONFIG = TrackerConfig(tau=0.5, min_affinity=0.1, max_age=2 / 30, instant_confirm_score=9)


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
        scores = np.where(rng.random(len(seen)) < 0.15, 0.3, 1)
        boxes = np.hstack([centre[seen] - size / 2, centre[seen] + size / 2])
        dets = np.column_stack([boxes, scores, classes])
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
    """What the tracker knows before a frame, and what its rounds of matching find, in loops."""

    def __init__(self, tracker, dets, features):
        c, table = tracker.config, tracker.table
        self.tracks, self.clip, self.impostors = table.tracks, table.clip, table.impostors
        boxes = dets[:, :4].copy()
        self.boxes = table.prepare(read_detections(dets)).predicted
        self.looks = None
        if features is not None:
            self.looks = np.zeros((len(table), features.shape[1]))
            if table.feature_dim:
                self.looks = features_of(table, tracker.history, self.tracks["slots"])
        self.config, self.dets, self.features, self.match, self.why = c, dets, features, {}, {}
        everyone, faint = range(len(table)), dets[:, 4] < c.high_score
        self.faint = faint
        just_seen = [i for i in everyone if self.tracks["time_since_update"][i] == 0]
        high = np.flatnonzero(~faint)
        self.clear = np.zeros((len(table), len(dets)), bool)
        if features is not None:
            occluded = _testing.occluded_shares(boxes) > c.max_occlusion
            known = (self.tracks["feature_updates"] > 0) & self.looks.any(axis=1)
            self.clear = known[:, None] & features.any(axis=1) & ~occluded
            self.genuines = self.learned(just_seen, high)
            if self.picture_changed(just_seen, high):
                self.clear[:] = False
        self.play(everyone, high)
        if features is None:
            self.follow_camera(everyone, high)
        self.play(everyone, np.flatnonzero(faint))

    def learned(self, just_seen, high):
        """Count, sum and sum of squares of genuine cosines after the frame."""
        count, total, squares = self.clip[12:]
        everyone = range(len(self.clear))
        odds = np.zeros(self.clear.shape)
        for i, j in product(everyone, high):
            if self.place(i, j) > -self.most():
                odds[i, j] = np.exp(self.place(i, j) + self.looks_of(i, j))
        for i, j in product(just_seen, high):
            if odds[i, j] > 0 and self.clear[i, j]:
                p = odds[i, j] / (1 + odds[i].sum() + odds[:, j].sum() - odds[i, j])
                keep, cosine = 1 - 0.001 * p, reference.cosine(self.looks[i], self.features[j])
                count = keep * count + p
                total, squares = keep * total + p * cosine, keep * squares + p * cosine**2
        return count, total, squares

    def picture_changed(self, just_seen, high):
        """Whether most sure matches look unlike their track, and like no other."""
        places = np.array([[self.place(i, j) for j in high] for i in range(len(self.clear))])
        sure = unlike = 0
        for i, j in product(just_seen, range(len(high))):
            lonely = (places[i] > 0).sum() == (places[:, j] > 0).sum() == 1
            if places[i, j] > 3 and lonely and self.clear[i, high[j]]:
                near = [k for k in range(len(places)) if places[k, j] > -self.most()]
                sure += 1
                unlike += not any(self.looks_of(k, high[j]) > 0 for k in near)
        return unlike >= 3 and 2 * unlike > sure

    def looks_of(self, i, j):
        """What appearance says for a pair."""
        if not self.clear[i, j]:
            return 0.0
        cosine = reference.cosine(self.looks[i], self.features[j])
        return reference.appearance_evidence(cosine, self.clip[12:], self.impostors)

    def most(self):
        return max(0.0, reference.appearance_evidence(1, self.clip[12:], self.impostors))

    def total(self):
        return sum(cost for _, cost, _ in self.why.values())

    def follow_camera(self, everyone, high):
        """Move all tracks with the camera, where enough of them show it."""
        table = self.tracks
        recent = {i for i in everyone if table["time_since_update"][i] == 0 < table["hits"][i]}
        recent = {i for i in recent if table["probation"][i] == 0}
        still, match, why, scale = self.boxes, self.match, self.why, self.clip[0]
        far = scale < 1 and 2 * len(recent & match.keys()) < len(recent)
        if far:
            self.clip[0] = 1
            self.again(everyone, high)
            self.clip[0] = scale
        shown = [i for i in self.match if i in recent]
        if len(shown) >= 3:
            moved = [self.dets[self.match[i], :4] - still[i] for i in shown]
            shift = np.median(np.reshape(moved, (-1, 2, 2)).mean(axis=1), axis=0)
            least, before = np.log(len(shown)), sum(self.place(i, match[i]) for i in match)
            shown_before = sum(self.evidence(i, match[i]) for i in shown if i in match)
            self.boxes = still + np.tile(shift, 2)
            gain = sum(self.evidence(i, match[i]) for i in shown if i in match) - shown_before
            if far or gain > least:
                self.again(everyone, high)
                if -self.total() > before + least:
                    return
        self.boxes, self.match, self.why = still, match, why

    def again(self, everyone, high):
        self.match, self.why = {}, {}
        self.play(everyone, high)

    def play(self, tracks, detections):
        """One round, of those tracks and detections that are still free."""
        tracks = [i for i in tracks if i not in self.match]
        detections = [j for j in detections if j not in self.match.values()]
        costs = {i: [self.cost(i, j) for j in detections] for i in tracks}
        matrix = np.reshape(list(costs.values()), (len(tracks), len(detections)))
        for row, column in zip(*linear_sum_assignment(matrix), strict=True):
            i, j = tracks[row], detections[column]
            if matrix[row, column] < 0:
                self.match[i] = j
                others = {k: costs[k][column] for k in tracks if costs[k][column] < 0}
                stage = "appearance" if self.clear[i, j] else "motion"
                self.why[i] = stage, others.pop(i), others

    def cost(self, i, j):
        return min(0, -self.place(i, j) - self.looks_of(i, j))

    def place(self, i, j):
        of = reference.class_evidence(self.tracks["classes"][i], self.dets[j, 5])
        return self.evidence(i, j) + of

    def evidence(self, i, j):
        if self.tracks["probation"][i] > 0:  # takes what all others leave, and has no identity
            return -np.inf
        state, age = self.tracks["state"][i].reshape(5, 4), self.tracks["time_since_update"][i]
        noise = VALUE_NOISE, VELOCITY_NOISE, SIZE_NOISE, MEASUREMENT_NOISE
        track = reference.expected_detection(state, self.boxes[i], age + 1 / 30, noise)
        scale, new_density, low_density = self.clip[:3]
        chance = (low_density, 0.5) if self.faint[j] else (new_density, 0.8)
        return reference.evidence(self.dets[j, :4], *track, 30 * age, scale, *chance)


def check(tracker, before, dets, features, tracks, why):
    """One explanation against the loops."""
    c, j = tracker.config, why.detection
    assert tracks.ids[tracks.detection_index == j].tolist() == [why.id]
    if why.id not in before.tracks["ids"] or why.stage == "reidentified":
        assert why.stage in ("new", "reidentified")
        assert (why.affinity is None) == (why.stage == "new")
        assert why.affinity is None or 0 < why.affinity <= 1
        assert why.distance is why.cost is why.runner_up is None
        return
    i = int(np.flatnonzero(before.tracks["ids"] == why.id)[0])
    stage, cost, others = before.why[i]
    assert (why.stage, why.detection) == (stage, before.match[i])
    distance = reference.distance(before.boxes[i], dets[j, :4])
    assert why.distance == pytest.approx(distance, abs=1e-4)
    assert why.cost == pytest.approx(cost, abs=5e-3)
    if stage == "motion":
        assert why.affinity is None
    else:
        affinity = reference.affinity(reference.cosine(before.looks[i], features[j]), c.tau)
        assert why.affinity == pytest.approx(affinity, abs=1e-4)
    if not others:
        assert why.runner_up is None
        return
    second, cost = why.runner_up
    best = min(others, key=others.get)
    assert cost == pytest.approx(others[best], abs=5e-3)
    table = tracker.table.tracks
    now = dict(zip(table["slots"], table["ids"], strict=True))
    assert second == (before.tracks["ids"][best] or now.get(before.tracks["slots"][best], 0))


@pytest.mark.parametrize("described", [1, 0, 0.7], ids=["features", "motion", "mixed"])
def test_every_identity_explains_itself(device, described):
    stages, runners_up = Counter(), Counter()
    for seed in range(6):
        tracker = Tracker(CONFIG)
        for dets, features in crowd(seed, described=described):
            before = Before(tracker, dets, features)
            tracks = tracker.step(None, dets, embeddings=on(device, features))
            if features is not None:
                assert tracker.table.clip[12:] == pytest.approx(before.genuines, abs=1e-2)
            for identity in tracks.ids:
                why = tracks.explain(identity)
                assert why.id == identity
                check(tracker, before, dets, features, tracks, why)
                kind = why.stage, "faint" if dets[why.detection, 4] < 0.5 else "sure"
                stages[kind] += 1
                runners_up[kind] += why.runner_up is not None
    expected = {"motion", "new"} | ({"appearance", "reidentified"} if described else set())
    assert set(stages) == set(product(expected, ("sure", "faint")))
    assert stages["reidentified", "sure"] > 5 or not described
    matched = "appearance" if described else "motion"
    assert runners_up[matched, "sure"] > 100
    assert runners_up[matched, "faint"] > 5
    assert runners_up["motion", "sure"] > 0


def row_of(*shifts, score=1.0):
    """People in a row, (N, 5)."""
    return np.float32([[x, 0, x + 40, 90, score] for x in shifts])


ALIKE = np.float32([[1, 0, 0], [0.9, 0.3, 0], [0.9, 0, 0.3]])
"""The looks of three who might be taken for each other."""
STILL = TrackerConfig(motion="none", min_affinity=0.1)


def cost_of(config, track, detection, looks=None):
    """Of two boxes, and of two looks unless motion is alone."""
    distance = reference.distance(track, detection[:4])
    if looks is None:
        return distance
    a = reference.affinity(reference.cosine(*looks), config.tau)
    return config.appearance_weight * (1 - a) + config.motion_weight * distance


def test_a_faint_detection_chose_among_who_was_left(device):
    """By looks, after the sure one took the track that would have been the next best."""
    tracker, three = Tracker(STILL), row_of(0, 24, 36)
    for _ in range(3):
        tracker.step(None, three, embeddings=on(device, ALIKE))
    faint, sure = row_of(4, score=0.3), row_of(24)
    dets, looks = np.vstack([faint, sure]), ALIKE[[0, 1]]
    tracks = tracker.step(None, dets, embeddings=on(device, looks))
    assert tracks.ids.tolist() == [1, 2]
    why = tracks.explain(1)
    assert (why.stage, why.detection) == ("appearance", 0)
    assert why.affinity == pytest.approx(1, abs=1e-4)
    assert why.distance == pytest.approx(4 / 40 / 2, abs=1e-5)
    assert why.cost == pytest.approx(STILL.motion_weight * 4 / 40 / 2, abs=1e-4)
    assert why.runner_up[0] == 3
    left = cost_of(STILL, three[2, :4], faint[0], (ALIKE[2], ALIKE[0]))
    assert why.runner_up[1] == pytest.approx(left, abs=1e-4)
    # The sure one had all three to choose from, also who got the faint one afterwards.
    why = tracks.explain(2)
    others = {k + 1: cost_of(STILL, three[k, :4], sure[0], (ALIKE[k], ALIKE[1])) for k in (0, 2)}
    second = min(others, key=others.get)
    assert (why.stage, why.detection) == ("appearance", 1)
    assert why.runner_up == (second, pytest.approx(others[second], abs=1e-4))
    assert second == 1


def test_a_faint_detection_chose_among_who_was_left_by_motion():
    tracker, three = Tracker(STILL), row_of(0, 24, 36)
    for _ in range(3):
        tracker.step(None, three)
    tracks = tracker.step(None, np.vstack([row_of(4, score=0.3), row_of(24)]))
    why = tracks.explain(1)
    assert (why.stage, why.detection, why.affinity) == ("motion", 0, None)
    assert why.cost == pytest.approx(why.distance, abs=1e-5)
    assert why.distance == pytest.approx(4 / 40 / 2, abs=1e-5)
    assert why.runner_up == (3, pytest.approx(32 / 40 / 2, abs=1e-5))


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
    tracker = Tracker(TrackerConfig(min_hits=0))
    tracks = tracker.step(None, [[0, 0, 40, 90]])
    with pytest.raises(ValueError, match=rf"identity: expected one of \[1\], got {identity!r}"):
        tracks.explain(identity)


def test_appearance_without_weight_is_not_asked():
    tracker, features = (
        Tracker(TrackerConfig(motion="none", appearance_weight=0)),
        np.float32([[1, 0]]),
    )
    for _ in range(3):
        tracks = tracker.step(None, [[0, 0, 40, 90]], embeddings=features)
    why = tracks.explain(1)
    assert (why.stage, why.affinity) == ("appearance", None)
    assert why.cost == pytest.approx(0, abs=1e-6)


def test_who_is_recognised_resembles_by_an_affinity():
    """Of the features as the lost one's was and as the new track's is now."""
    looks = np.float32([[1, 0], [0.9, 0.3], [0.95, 0.1]])
    config = TrackerConfig(max_age=1 / 30, instant_confirm_score=9, reid_false_alarms=np.inf)
    tracker = Tracker(config)
    for _ in range(2):
        tracker.step(None, [[0, 0, 40, 90]], embeddings=looks[:1])
    for _ in range(3):
        tracker.step(None, ())
    tracker.step(None, [[60, 0, 100, 90]], embeddings=looks[1:2])
    tracks = tracker.step(None, [[60, 0, 100, 90]], embeddings=looks[2:])
    why = tracks.explain(1)
    assert (why.stage, why.detection) == ("reidentified", 0)
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
    config = TrackerConfig(
        instant_confirm_score=9,
        min_affinity=0.1,
        reid_false_alarms=np.inf,
    )
    tracker = Tracker(config)
    here, beside, far = [0, 0, 40, 90], [20, 0, 60, 90], [90, 0, 130, 90]
    for _ in range(2):
        tracker.step(None, [here, beside], embeddings=z)
    tracker.step(None, [beside, far], embeddings=z[::-1])
    tracks = tracker.step(None, [beside, far], embeddings=z[::-1])
    assert tracks.ids.tolist() == [2, 1]
    assert tracks.explain(1).stage == "reidentified"
    assert tracks.explain(2).runner_up[0] == 1


@pytest.mark.parametrize("max_cost", [0.6, 0.7])  # one is rounded up to float32, one down
def test_a_pair_that_cannot_match_is_no_runner_up(max_cost):
    tracker = Tracker(TrackerConfig(max_cost=max_cost))
    dets = np.float32([[0, 0, 40, 100, 0.9], [30, 0, 70, 100, 0.9]])
    for _ in range(2):
        tracks = tracker.step(None, dets, embeddings=np.eye(2))
    for identity in tracks.ids.tolist():
        why = tracks.explain(identity)
        assert why.stage == "appearance"
        assert why.runner_up is None
