"""What the tracker learns of different objects, and what it asks of a lost one therefore."""

import dataclasses

import numpy as np
import pytest

from sslmot import Tracker, TrackerConfig

BINS = 512
CONFIG = TrackerConfig(
    max_age=1 / 30, reid_max_age=50 / 30, instant_confirm_score=9, min_affinity=0.01
)


def boxes_at(*columns):
    """Boxes of 40 x 100 pixels, apart from each other, with scores."""
    return np.float32([[90 * k, 0, 90 * k + 40, 100, 0.8] for k in columns])


def bins_of(cosines):
    return np.bincount(
        np.clip((0.5 * (np.float32(cosines) + 1) * BINS).astype(int), 0, BINS - 1), minlength=BINS
    )


def features_of(rng, n, dim=16):
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("people", [2, 5, 8])
def test_confirmed_tracks_in_view_are_compared_with_each_other(people):
    rng, tracker = np.random.default_rng(people), Tracker(CONFIG)
    boxes, features = boxes_at(*range(people)), features_of(rng, people)
    mean = features.astype(np.float64)
    expected = np.zeros(BINS, int)
    for t in range(6):
        seen = features + rng.normal(0, 0.02, features.shape).astype(np.float32)
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        ids = tracker.step(None, boxes, embeddings=seen).ids
        if t == 0:
            mean = seen.astype(np.float64)
            continue
        if t >= 2:  # confirmed in the frame before
            cosines = (mean @ seen.T)[~np.eye(people, dtype=bool)]
            expected += bins_of(cosines)
        share = min(CONFIG.ema, t / (t + 1))  # the mean of what was seen, so far
        mean = share * mean + (1 - share) * seen
        mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    assert len(ids) == people
    counts = tracker.table.impostors
    assert counts.sum() == 4 * people * (people - 1)
    # A cosine at the edge of a bin may fall on either side of it.
    assert np.abs(np.cumsum(counts) - np.cumsum(expected)).max() <= 1


@pytest.mark.parametrize("people", [9, 14, 20, 28])
def test_of_a_crowd_a_few_are_compared_in_turn(people):
    """Each track is: a pair that is alike is found wherever it stands."""
    tracker = Tracker(CONFIG)
    boxes, features = boxes_at(*range(people)), np.eye(people, dtype=np.float32)
    features[-1] = 0.6 * features[-2] + 0.8 * features[-1]
    for _ in range(people + 2):
        tracker.step(None, boxes, embeddings=features)
    counts = tracker.table.impostors
    assert counts.sum() == people * 8 * 7
    assert counts[bins_of([0.6]).argmax()] > 0


def test_a_flat_box_is_no_other_object():
    tracker, boxes = Tracker(CONFIG), boxes_at(0, 1)
    boxes[1, 2] = boxes[1, 0]
    for _ in range(4):
        tracker.step(None, boxes, embeddings=np.eye(2, dtype=np.float32))
    assert tracker.table.impostors.nonzero()[0].tolist() == [BINS // 2]


@pytest.mark.parametrize(("class_agnostic", "pairs"), [(False, 2), (True, 6)])
def test_classes_are_not_compared(class_agnostic, pairs):
    tracker = Tracker(dataclasses.replace(CONFIG, class_agnostic=class_agnostic))
    boxes = np.hstack([boxes_at(0, 1, 2), np.float32([[0], [0], [1]])])
    for _ in range(4):
        tracker.step(None, boxes, embeddings=np.eye(3, dtype=np.float32))
    assert tracker.table.impostors.sum() == 2 * pairs


@pytest.mark.parametrize("change", ["overlap", "alone", "no features", "off"])
def test_what_tells_nothing(change):
    rng = np.random.default_rng(0)
    config = (
        dataclasses.replace(CONFIG, motion="none", reid_false_alarms=np.inf)
        if change == "off"
        else CONFIG
    )
    tracker, boxes, features = Tracker(config), boxes_at(0, 1), features_of(rng, 2)
    if change == "overlap":
        boxes[1, :4] = boxes[0, :4] + [10, 0, 10, 0]
    n = 1 if change == "alone" else 2
    for _ in range(6):
        z = None if change == "no features" else features[:n]
        tracker.step(None, boxes[:n], embeddings=z)
    assert (tracker.table.tracks["ids"] > 0).tolist() == [True] * n
    assert tracker.table.impostors.sum() == 0


def with_impostors(counts):
    """A tracker that lost its only track, with the feature (1, 0), and knows these cosines."""
    tracker = Tracker(CONFIG)
    for _ in range(3):
        tracker.step(None, boxes_at(0), embeddings=np.float32([[1, 0]]))
    for _ in range(3):
        tracker.step(None, ())
    state = tracker.state_dict()
    state["impostors"] = counts
    tracker.load_state_dict(state)
    return tracker


def id_of_return(tracker, cosine):
    z = np.float32([[cosine, np.sqrt(1 - cosine**2)]])
    for _ in range(2):
        tracks = tracker.step(None, boxes_at(0), embeddings=z)
    return tracks.ids.tolist()


@pytest.mark.parametrize("beyond", [0, 3, 90])
@pytest.mark.parametrize("cosine", [0.5, 0.7, 0.9])
def test_chance_decides_who_returns(cosine, beyond):
    """A return is accepted if less than .05 pairs of different objects would be as alike."""
    counts = np.zeros(BINS, np.int64)
    counts[: BINS // 2] = 4
    counts[round(0.5 * (0.8 + 1) * BINS)] = beyond  # so many pairs are as alike as .8
    alike = (beyond if cosine < 0.8 else 0) + 1
    expected = 1 if alike / (counts.sum() + 1) < CONFIG.reid_false_alarms else 2
    assert id_of_return(with_impostors(counts), cosine) == [expected]
    assert {alike / (counts.sum() + 1) < 0.05} == {beyond < 90 or cosine > 0.8}


def test_until_enough_is_known_nothing_returns():
    few = np.zeros(BINS, np.int64)
    few[0] = 19  # with one more that is assumed: 1 in 20 may be as alike as anything
    assert id_of_return(with_impostors(few), 1.0) == [2]
    few[0] = 20
    assert id_of_return(with_impostors(few), 1.0) == [1]


def test_the_past_fades():
    tracker, features = Tracker(CONFIG), np.eye(2, dtype=np.float32)
    for _ in range(3):
        tracker.step(None, boxes_at(0, 1), embeddings=features)
    state = tracker.state_dict()
    state["impostors"] = np.zeros(BINS, np.int64)
    state["impostors"][[7, 500]] = 2**17 - 1, 1
    tracker.load_state_dict(state)
    tracker.step(None, boxes_at(0, 1), embeddings=features)
    assert tracker.table.impostors[[7, 500, BINS // 2]].tolist() == [2**16, 1, 1]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (np.zeros(8, np.int64), r"impostors: expected int64 \(512,\)"),
        (np.zeros(BINS), r"impostors: expected int64 \(512,\), got float64"),
        (np.full(BINS, -1), "impostors: expected numbers of 0 to 131072, got -1"),
        (np.full(BINS, 2**62), "impostors: expected numbers of 0 to 131072"),
    ],
)
def test_state_is_checked(counts, message):
    tracker = Tracker(CONFIG)
    state = tracker.state_dict() | {"impostors": counts}
    with pytest.raises(ValueError, match=message):
        tracker.load_state_dict(state)


def test_reset_forgets():
    tracker, features = Tracker(CONFIG), np.eye(2, dtype=np.float32)
    for _ in range(4):
        tracker.step(None, boxes_at(0, 1), embeddings=features)
    assert tracker.table.impostors.sum() == 4
    tracker.reset()
    assert tracker.table.impostors.sum() == 0


def test_a_flash_tells_nothing():
    tracker, boxes = Tracker(CONFIG), boxes_at(0, 1, 2, 3)
    z = np.eye(8, dtype=np.float32)[:4]
    for _ in range(30):
        tracker.step(None, boxes, embeddings=z)
    before = tracker.table.impostors
    tracker.step(None, boxes, embeddings=-z)
    np.testing.assert_array_equal(tracker.table.impostors, before)
    tracker.step(None, boxes, embeddings=z)
    assert tracker.table.impostors.sum() > before.sum()
