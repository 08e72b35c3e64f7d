"""The native filter against full matrices, one track at a time; what it takes and refuses."""

import numpy as np
import pytest
import reference
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sslmot import Tracker, TrackerConfig, _core
from sslmot._core import _testing
from sslmot.inputs import read_detections
from sslmot.tracking.config import MEASUREMENT_NOISE, SIZE_NOISE, VALUE_NOISE, VELOCITY_NOISE


def walk(rng, frames, missed=0.3):
    """A person's boxes as (cx, cy, w, h), some missing, never the first."""
    centre = rng.uniform(0, 500, 2) + np.cumsum(rng.normal(0, 4, (frames, 2)), axis=0)
    size = rng.uniform(20, 100, 2) * np.exp(np.cumsum(rng.normal(0, 0.03, (frames, 2)), axis=0))
    boxes = np.hstack([centre, size])
    return [box if t == 0 or rng.random() > missed else None for t, box in enumerate(boxes)]


FIRST_VELOCITY = 1.8
"""Standard deviation of a new track's velocity, in box heights a second."""


def to_centre(boxes):
    """(N, 4) xyxy -> (cx, cy, w, h)."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.hstack([0.5 * low + 0.5 * high, high - low])


def to_corners(boxes):
    """(N, 4) (cx, cy, w, h) -> xyxy."""
    centre, half = boxes[:, :2], np.float32(0.5) * boxes[:, 2:]
    return np.hstack([centre - half, centre + half])


def start(boxes):
    """The state (N, 5, 4) of new tracks."""
    state = np.zeros((len(boxes), 5, 4), np.float32)
    state[:, 0] = to_centre(boxes)
    square = np.square(state[:, 0, 3:])
    state[:, 2] = (2 * MEASUREMENT_NOISE) ** 2 * square
    state[:, 4] = FIRST_VELOCITY**2 * square
    return state


def noise():
    """The tracker's noise."""
    return _core.MotionNoise(
        value=VALUE_NOISE,
        velocity=VELOCITY_NOISE,
        size=SIZE_NOISE,
        measurement=MEASUREMENT_NOISE,
    )


def expected(boxes, times):
    """The filter in full matrices: what it predicts for each frame, (cx, cy, w, h)."""
    deviations = (VALUE_NOISE, VELOCITY_NOISE, SIZE_NOISE, MEASUREMENT_NOISE, FIRST_VELOCITY)
    return reference.kalman(boxes, times, *deviations)


class Film:
    """Tracks of the native filter; what is between their detections is its own business."""

    def __init__(self, boxes):
        self.state = start(to_corners(np.float32(boxes)))
        self.age = np.zeros(len(boxes))

    def predict(self, elapsed=1 / 30):
        return to_centre(_testing.predict(self.state, self.age + elapsed))

    def step(self, boxes, rng=None, elapsed=1 / 30):
        """One frame: the box of each track, or None; with ``rng`` among others, in any order."""
        rows = np.array([i for i, box in enumerate(boxes) if box is not None], np.int64)
        seen = np.float32([boxes[i] for i in rows]).reshape(-1, 4)
        columns = np.arange(len(rows))
        if rng is not None:
            columns = rng.permutation(len(rows) + 3)[: len(rows)]
            order = rng.permutation(len(rows))
            rows, columns, seen = rows[order], columns[order], seen[order]
        detections = np.full((len(rows) + 3, 4), 7e8, np.float32)
        detections[columns] = to_corners(seen)
        self.age += elapsed
        _testing.observe(self.state, self.age, rows, detections, columns, noise())
        self.age[rows] = 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), tracks=st.integers(0, 4), missed=st.floats(0, 0.8))
def test_kalman_filter_is_the_textbook_one(seed, tracks, missed):
    rng = np.random.default_rng(seed)
    walks = [walk(rng, 25, missed) for _ in range(tracks)]
    film = Film(np.reshape([w[0] for w in walks], (-1, 4)))
    steps = np.where(rng.random(25) < 0.5, 1 / 30, rng.uniform(0.001, 2, 25))
    times = np.cumsum(steps) - steps[0]
    predicted = np.array([expected(w, times) for w in walks]).reshape(-1, 25, 4)
    for t in range(1, 25):
        there = film.predict(steps[t])
        np.testing.assert_allclose(there, predicted[:, t], rtol=2e-3, atol=5e-2)
        film.step([w[t] for w in walks], rng, steps[t])


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(st.floats(0.01, 3), min_size=12, max_size=12),
    velocity=st.tuples(*[st.floats(-50, 50)] * 2),
)
def test_a_constant_velocity_is_predicted_at_any_times(steps, velocity):
    film, at = Film([[500, 500, 40, 100]]), np.array([500.0, 500.0])
    film.state[0, 1, :2] = velocity
    for elapsed in steps:
        at = at + elapsed * np.array(velocity)
        np.testing.assert_allclose(film.predict(elapsed)[0], [*at, 40, 100], atol=1e-2)
        film.step([[*at, 40, 100]], elapsed=elapsed)


def test_a_steady_walker_is_predicted_through_a_gap():
    film = Film([[100, 200, 40, 100]])
    for t in range(1, 40):
        film.step([[100 + 5 * t, 200, 40, 100]])
    for _ in range(9):
        film.step([None])
    np.testing.assert_allclose(film.predict()[0], [100 + 5 * 49, 200, 40, 100], atol=3)


def test_a_lost_track_keeps_its_size():
    film = Film([[100, 200, 40, 100]])
    for t in range(1, 20):
        film.step([[100, 200, 40 + t, 100 + 3 * t]])
    grown = film.predict()[0, 3]
    assert grown > film.state[0, 0, 3] + 1
    for _ in range(5):
        film.step([None])
        assert film.predict()[0, 3] == pytest.approx(grown, rel=1e-6)


def test_sizes_never_collapse():
    film = Film([[0, 0, 100, 100]])
    film.state[0, 1, 2:] = -30_000
    np.testing.assert_array_equal(film.predict()[0, 2:], [50, 50])
    film.step([None])
    np.testing.assert_array_equal(film.predict()[0, 2:], [50, 50])
    film.step([[0, 0, 60, 60]])
    assert (film.predict()[0, 2:] > 20).all()


def test_a_flat_box_is_a_box():
    film = Film([[10, 20, 0, 0]] * 2)
    for t in range(12):
        film.step([[10 + t, 20, 0, 0], None if t % 4 else [10, 20, 30, 0]])
        assert np.isfinite(film.state).all()
        assert np.isfinite(film.predict()).all()


def test_unmatched_tracks_and_detections_stay_as_they_are():
    state, gaps = start(np.float32([[10, 20, 30, 60]] * 3)), np.array([0.1, 0.2, 0.1])
    rows, columns = np.array([1]), np.array([2])
    boxes = np.float32([[1e6, 0, 1e6, 9]] * 2 + [[14, 20, 36, 70]])
    given = [array.copy() for array in (gaps, rows, boxes, columns)]
    before = state.copy()
    _testing.observe(state, gaps, rows, boxes, columns, noise())
    np.testing.assert_array_equal(state[[0, 2]], before[[0, 2]])
    assert (state[1, 0] != before[1, 0]).all()
    for array, copy in zip((gaps, rows, boxes, columns), given, strict=True):
        np.testing.assert_array_equal(array, copy)


# In the tracker.

# A track takes the detection of its class and looks, wherever that is.
LOOKS = {
    "motion_weight": 0.0,
    "instant_confirm_score": 0.0,
    "max_age": 20 / 30,
}
SETTINGS = [
    TrackerConfig(**LOOKS),
    TrackerConfig(**LOOKS, motion="none", ema=0.25),
]


def film(config, *frames):
    """A tracker that saw in each frame boxes (cx, cy, w, h), or None, each of a class of its own.

    A number after the box is its score.
    """
    tracker = Tracker(config)
    for frame in frames:
        seen = [(*(*box, 1)[:5], kind) for kind, box in enumerate(frame) if box is not None]
        rows = np.float32(seen).reshape(-1, 6)
        rows[:, :4] = to_corners(rows[:, :4])
        tracker.step(dets=rows, embeddings=np.ones((len(rows), 1)))
    return tracker


def prepare(tracker):
    """A frame in which there is nothing."""
    return tracker.table.prepare(read_detections([]))


def copied(tracks):
    return {name: values.copy() for name, values in tracks.items()}


def assert_same(tracks, others):
    assert tracks.keys() == others.keys()
    for name, values in tracks.items():
        np.testing.assert_array_equal(values, others[name], err_msg=name)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), tracks=st.integers(1, 4))
def test_a_tracker_keeps_the_state_of_the_filter(seed, tracks):
    """New tracks, those that are seen and those that are not."""
    rng = np.random.default_rng(seed)
    walks = [walk(rng, 12) for _ in range(tracks)]
    own = Film([w[0] for w in walks])
    for t in range(1, 12):
        own.step([w[t] for w in walks])
    tracker = film(TrackerConfig(**LOOKS), *([w[t] for w in walks] for t in range(12)))
    kept = tracker.table.tracks
    assume(kept["classes"].tolist() == list(range(tracks)))  # each was matched with itself
    np.testing.assert_allclose(kept["time_since_update"], own.age)
    last = [[box for box in w if box is not None][-1] for w in walks]
    np.testing.assert_array_equal(kept["boxes"], to_corners(np.float32(last)))
    np.testing.assert_allclose(kept["state"].reshape(-1, 5, 4), own.state, rtol=1e-4, atol=1e-3)
    predicted = _testing.predict(own.state, own.age + 1 / 30)
    np.testing.assert_allclose(prepare(tracker).predicted, predicted, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("config", SETTINGS)
def test_predicting_changes_nothing(config):
    boxes = (10, 20, 30, 40), (50, 60, 70, 80)
    later = (14, 20, 30, 40), (50, 62, 70, 80)
    tracker = film(config, boxes, later, (None, (50, 65, 70, 80)))
    before = copied(tracker.table.tracks)
    assert before["time_since_update"].tolist() == [1 / 30, 0]
    once = prepare(tracker).predicted
    assert once.shape == (2, 4)
    assert_same(tracker.table.tracks, before)
    np.testing.assert_array_equal(prepare(tracker).predicted, once)
    once[:] = 0
    assert_same(tracker.table.tracks, before)


@pytest.mark.parametrize("config", SETTINGS)
def test_tracks_without_a_detection_keep_their_state(config):
    boxes = [(10 + 100 * k, 20, 30, 60) for k in range(3)]
    tracker = film(config, boxes, boxes)
    before = copied(tracker.table.tracks)
    tracker.step(dets=[[*to_corners(np.float32([(114, 23, 36, 70)]))[0], 1, 1]], embeddings=[[1]])
    after = tracker.table.tracks
    for name in ("state", "boxes"):
        np.testing.assert_array_equal(after[name][[0, 2]], before[name][[0, 2]])
    assert (after["state"][1, :4] != before["state"][1, :4]).all()
    np.testing.assert_array_equal(after["boxes"][1], [96, -12, 132, 58])
    assert after["time_since_update"].tolist() == [1 / 30, 0, 1 / 30]


def test_stationary_moves_part_of_the_way():
    config = SETTINGS[1]

    def predicted(*frames):
        return to_centre(prepare(film(config, *frames)).predicted)

    first, second = [(0, 0, 10, 10), (5, 5, 10, 10)], [(8, 4, 10, 20), None]
    moved = [[6, 3, 10, 17.5], [5, 5, 10, 10]]
    np.testing.assert_allclose(predicted(first, second), moved)
    nothing = [None, None]
    np.testing.assert_allclose(predicted(first, second, nothing), moved)
    # Wherever it was lost, whatever the score.
    last = [(10, 3, 10, 17.5, 0.7), (5, 5, 10, 10, 0.7)]
    expected = [[9, 3, 10, 17.5], [5, 5, 10, 10]]
    np.testing.assert_allclose(predicted(first, second, nothing, last), expected)


@pytest.mark.parametrize("config", SETTINGS)
def test_a_track_starts_where_it_is(config):
    """Its first prediction is its first box, whatever its corners."""
    boxes = np.float32([[0, 10, 30, 50], [-5, -5, -5, 20]])
    tracker = Tracker(config)
    tracker.step(dets=boxes)
    centres = tracker.table.tracks["state"][:, :4]
    np.testing.assert_array_equal(centres, [[15, 30, 30, 40], [-5, 7.5, 0, 25]])
    np.testing.assert_allclose(prepare(tracker).predicted, boxes)


# What the native functions refuse.


def arguments():
    """Of two tracks and three detections."""
    return {
        "state": np.ones((2, 5, 4), np.float32),
        "gaps": np.zeros(2),
        "rows": np.array([1, 0]),
        "boxes": np.ones((3, 4), np.float32),
        "columns": np.array([2, 0]),
        "noise": noise(),
    }


def read_only(array):
    array.flags.writeable = False
    return array


STATE = r"state: expected float32 \(any, 5, 4\), got "
BAD_STATES = [
    ({"state": np.ones((2, 5, 4))}, STATE + "float64"),
    ({"state": np.ones((5, 2, 4), np.float32)}, STATE + r"float32 \(5, 2, 4\)"),
    ({"state": np.ones((2, 20), np.float32)}, STATE + r"float32 \(2, 20\)"),
    ({"state": np.ones((4, 5, 4), np.float32)[::2]}, "state: expected contiguous float32"),
    ({"state": [[1.0]]}, "state: expected an array .*, got list"),
    (
        {"gaps": np.zeros(3)},
        r"gaps: expected float64 \(2,\), got float64 \(3,\)",
    ),
    (
        {"gaps": np.zeros(2, bool)},
        r"gaps: expected float64 \(2,\), got bool",
    ),
    (
        {"gaps": np.zeros(4)[::2]},
        "gaps: expected contiguous float64",
    ),
    (
        {"gaps": np.array([3.0, -1.0])},
        r"gaps: expected 0 or more, got -1\.0* at 1",
    ),
    (
        {"gaps": np.array([np.nan, 1.0])},
        "gaps: expected 0 or more, got -?nan at 0",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD_STATES)
def test_predict_checks_its_arguments(change, message):
    given = {name: arguments()[name] for name in ("state", "gaps")} | change
    with pytest.raises(ValueError, match=f"^{message}"):
        _testing.predict(**given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *BAD_STATES,
        ({"state": read_only(np.ones((2, 5, 4), np.float32))}, "state: expected a writable array"),
        ({"rows": np.array([1, 2])}, "rows: expected 0 to 1, got 2 at 1"),
        ({"rows": np.array([-1, 0])}, "rows: expected 0 to 1, got -1 at 0"),
        ({"rows": np.array([[1, 0]])}, r"rows: expected int64 \(any,\), got int64 \(1, 2\)"),
        ({"rows": np.array([1, 0], np.int32)}, r"rows: expected int64 \(any,\), got int32"),
        ({"rows": np.array([1])}, r"columns: expected int64 \(1,\), got int64 \(2,\)"),
        ({"columns": np.array([3, 0])}, "columns: expected 0 to 2, got 3 at 0"),
        ({"columns": np.array([0, -1])}, "columns: expected 0 to 2, got -1 at 1"),
        ({"columns": np.array([0])}, r"columns: expected int64 \(2,\), got int64 \(1,\)"),
        ({"columns": np.array([0.0, 1.0])}, r"columns: expected int64 \(2,\), got float64"),
        ({"boxes": np.ones((3, 5), np.float32)}, r"boxes: expected float32 \(any, 4\)"),
        ({"boxes": np.ones((3, 4))}, r"boxes: expected float32 \(any, 4\), got float64"),
    ],
)
def test_observe_checks_its_arguments(change, message):
    given = arguments() | change
    before = np.array(given["state"], copy=True)
    with pytest.raises(ValueError, match=f"^{message}"):
        _testing.observe(**given)
    np.testing.assert_array_equal(given["state"], before)


# Times beyond any video.


@pytest.mark.parametrize("seconds", [1e9, 1e300, np.inf])
def test_gaps_beyond_a_limit_are_taken_as_the_limit(seconds):
    states, boxes = [], []
    for gap in (3600.0, seconds):
        given = arguments() | {"gaps": np.array([gap, 0])}
        boxes.append(_testing.predict(given["state"], given["gaps"]))
        _testing.observe(**given)
        states.append(given["state"])
    np.testing.assert_array_equal(*states)
    np.testing.assert_array_equal(*boxes)
    assert np.isfinite(states[0]).all()
