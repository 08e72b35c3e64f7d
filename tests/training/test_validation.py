"""Tracklets that are held out, and the score of an encoder on them."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sslmot.data.crops import CropSet
from sslmot.training.samplers import TrackletPairs
from sslmot.training.validation import hold_out, separation


def footage(people=10, frames=12, strangers=3):
    """Return crops of people who are all in view all the time, and of strangers without a link."""
    tracklets = np.concatenate([np.repeat(np.arange(people), frames), np.full(strangers, -1)])
    times = np.concatenate([np.tile(np.arange(frames), people), np.arange(strangers)])
    images = np.zeros((len(tracklets), 4, 2, 3), np.uint8)
    return CropSet(images, np.zeros(len(tracklets), np.int32), times, tracklets, ("A",))


def test_the_crops_of_some_tracklets_are_unlinked():
    crops = footage()
    rest, rows = hold_out(crops, 0.2, seed=0)
    held = np.unique(crops.tracklets[rows])
    assert len(held) == 2
    assert (held >= 0).all()
    np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(crops.tracklets, held)))
    assert (rest.tracklets[rows] == -1).all()
    kept = np.setdiff1d(np.arange(len(crops)), rows)
    np.testing.assert_array_equal(rest.tracklets[kept], crops.tracklets[kept])
    # No pair is formed of them.
    for batch in TrackletPairs(rest, 4).epoch(np.random.default_rng(0)):
        assert not np.isin(np.concatenate([batch.first, batch.second]), rows).any()


def test_a_seed_chooses():
    crops = footage()
    rows = [hold_out(crops, 0.3, seed)[1].tolist() for seed in (0, 0, 1, 2)]
    assert rows[0] == rows[1]
    assert rows[2] != rows[3]


def test_the_score_is_that_of_a_slow_count():
    rng = np.random.default_rng(0)
    crops = footage()
    rows = np.flatnonzero(np.isin(crops.tracklets, [1, 4, 7]))
    people = rng.standard_normal((10, 5))
    features = people[crops.tracklets[rows]] + rng.standard_normal((len(rows), 5))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    same, different = [], []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            a, b = rows[i], rows[j]
            if crops.tracklets[a] != crops.tracklets[b]:
                different.append(unit[i] @ unit[j])
            elif abs(crops.frames[a] - crops.frames[b]) >= 11 / 2:
                same.append(unit[i] @ unit[j])
    expected = np.mean([[s > d for d in different] for s in same])
    assert 0.6 < expected < 0.99
    np.testing.assert_allclose(separation(features, crops, rows), expected)


def test_people_of_other_times_are_not_compared():
    crops = footage(people=3)
    frames = np.where(crops.tracklets == 2, crops.frames + 100, crops.frames)
    crops = CropSet(crops.images, crops.clips, frames, crops.tracklets, crops.clip_names)
    rows = np.flatnonzero(crops.tracklets >= 0)
    features = np.eye(2)[np.array([0, 1, 0])[crops.tracklets[rows]]]  # 0 and 2 look the same
    assert separation(features, crops, rows) == 1


def test_nothing_to_compare():
    crops = footage()
    rows = np.flatnonzero(crops.tracklets == 3)
    assert np.isnan(separation(np.ones((len(rows), 2)), crops, rows))
    assert np.isnan(separation(np.ones((0, 2)), crops, rows[:0]))
