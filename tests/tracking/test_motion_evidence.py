"""What is learned of a clip's motion, and that matching by motion alone follows it."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import Tracker, TrackerConfig
from sslmot.inputs import read_detections
from sslmot.tracking.config import MEASUREMENT_NOISE, SIZE_NOISE, VALUE_NOISE, VELOCITY_NOISE

NOISE = VALUE_NOISE, VELOCITY_NOISE, SIZE_NOISE, MEASUREMENT_NOISE


def walkers(rng, frames, people, jitter):
    """Detections (people, 5) of people 80 px high who keep their distance."""
    at = np.column_stack([300.0 * np.arange(people), rng.uniform(0, 50, people)])
    step = rng.normal(0, 3, (people, 2))
    for _ in range(frames):
        at = at + step
        corner = at + rng.normal(0, jitter, at.shape)
        yield np.column_stack([corner, corner + np.array((30, 80)), np.ones(people)])


def predicted(tracker):
    """The boxes (T, 4) where tracks are expected in the next frame."""
    return tracker.table.prepare(read_detections([])).predicted


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), jitter=st.floats(0, 8), people=st.sampled_from((0, 1, 2, 40)))
def test_scale_and_density_are_those_of_loops(seed, jitter, people):
    """Of fewer people than show a camera's motion, and of more than are sampled in a frame."""
    rng, tracker = np.random.default_rng(seed), Tracker()
    likelihood, density, low_density = np.zeros(8), 0.1, 0.1
    for dets in walkers(rng, 12, people, jitter):
        table = tracker.table.tracks
        kept = rng.random(people) > 0.2
        dets = dets[kept]
        dets[rng.random(len(dets)) < 0.2, 4] = 0.3
        low = dets[:, 4] < 0.5
        tracks = tracker.step(None, dets)
        match, boxes = tracks._evidence.step.match, tracks._evidence.step.predicted
        seen = [
            i
            for i in range(len(match))
            if match[i] >= 0 and table["time_since_update"][i] == 0 and table["hits"][i] > 0
        ]
        every = -(-len(seen) // 16)
        seen = [i for k, i in enumerate(seen) if (table["hits"][i] + k) % every == 0]
        expected = [
            reference.expected_detection(table["state"][i].reshape(5, 4), boxes[i], 1 / 30, NOISE)
            for i in seen
        ]
        clip = tracker.table.clip
        if seen:
            likelihood, scale = reference.learned_scale(
                likelihood, np.float32(dets[match[seen], :4]), expected, density
            )
            np.testing.assert_allclose(clip[0], scale, rtol=1e-3)
        np.testing.assert_allclose(clip[4:12], likelihood, rtol=1e-3, atol=2e-3)
        if not low.all():
            centre = (dets[~low, :2] + dets[~low, 2:4]) / 2
            area = np.prod(np.ptp(centre, axis=0) / 80 + 1)
            free = np.ones(len(dets), bool)
            free[match[match >= 0]] = False
            density += ((free & ~low).sum() / area - density) / clip[3]
            low_density += ((free & low).sum() / area - low_density) / clip[3]
            density, low_density = max(density, 1e-5), max(low_density, 1e-5)
        np.testing.assert_allclose(clip[1:3], [density, low_density], rtol=1e-4)


def test_the_gate_follows_the_clip():
    """A jump that steady people do not make is nothing where all jump about."""
    for jitter, followed in ((0.2, False), (12.0, True)):
        rng, tracker = np.random.default_rng(0), Tracker()
        for dets in walkers(rng, 60, 2, jitter):
            tracker.step(None, dets)
        jumped = np.hstack([predicted(tracker)[:2], np.ones((2, 1), np.float32)])
        jumped[0, [0, 2]] += 60
        ids = tracker.step(None, jumped).ids
        assert (1 in ids) == followed
        assert 2 in ids


@pytest.mark.parametrize(("people", "followed"), [(2, False), (5, True)])
def test_tracks_follow_the_camera_that_most_of_them_show(people, followed):
    """All are moved, the lost one too; two tracks show no camera."""
    rng, tracker = np.random.default_rng(1), Tracker()
    film = list(walkers(rng, 40, people, 0.2))
    for dets in film[:-2]:
        tracker.step(None, dets)
    tracker.step(None, film[-2][:-1])  # the last one is not detected
    panned = film[-1] + np.array([15, 10, 15, 10, 0])
    before = predicted(tracker)
    step = tracker.step(None, panned[:-1])._evidence.step
    shift = step.predicted[people - 1] - before[people - 1]
    if followed:
        np.testing.assert_allclose(shift, [15, 10, 15, 10], atol=2)
    else:
        np.testing.assert_array_equal(shift, 0)


def test_the_longer_a_track_is_lost_the_less_it_counts():
    """The evidence for a detection exactly where a track is expected falls with every frame."""
    costs = []
    for gap in (0, 1, 2, 5, 20):
        rng, tracker = np.random.default_rng(2), Tracker()
        for dets in walkers(rng, 20, 2, 1.0):
            tracker.step(None, dets)
        for _ in range(gap):
            tracker.step(None, np.zeros((0, 5)))
        dets = np.hstack([predicted(tracker), np.ones((2, 1), np.float32)])
        costs.append(tracker.step(None, dets).explain(1).cost)
    assert costs == sorted(costs)
    assert costs[0] < costs[-1] < 0


@pytest.mark.parametrize(("clutter", "continued"), [(0, True), (40, False)])
def test_a_low_score_detection_continues_a_lost_track_unless_there_are_many(clutter, continued):
    """Many low-score detections that show no track are more likely chance."""
    rng, tracker = np.random.default_rng(4), Tracker()
    frames = list(walkers(rng, 40, 2, 1.0))
    for t, dets in enumerate(frames):
        low = np.column_stack([rng.uniform(-50, 350, (clutter, 2)), np.full((clutter, 3), 0.3)])
        low[:, 2:4] = low[:, :2] + (30, 80)
        seen = dets if t < 30 else dets[:1]  # the second person is lost
        if t == 39:
            low = np.vstack([dets[1:], low])
            low[0, 4] = 0.3
        ids = tracker.step(None, np.vstack([seen, low])).ids
    assert (2 in ids) == continued


def test_without_the_filter_nothing_is_learned():
    tracker = Tracker(TrackerConfig(motion="none"))
    before = tracker.table.clip
    for dets in walkers(np.random.default_rng(3), 5, 3, 1.0):
        tracker.step(None, dets)
    np.testing.assert_array_equal(tracker.table.clip, before)


@pytest.mark.parametrize(
    ("at", "spoil"),
    [
        *((0, bad) for bad in (0.0, -1.0, 1e-300, 1e8, np.nan, np.inf)),
        (1, 1e-300),
        (2, 1e-300),
        (3, -1),
        (4, np.nan),
    ],
)
def test_a_state_with_a_bad_clip_is_refused(at, spoil):
    tracker = Tracker()
    state = tracker.state_dict()
    state["clip"] = state["clip"].copy()
    state["clip"][at] = spoil
    with pytest.raises(ValueError, match="clip: expected a scale of"):
        Tracker().load_state_dict(state)
