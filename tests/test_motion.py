"""The native filter against full matrices, one track at a time; what it takes and refuses."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import _core
from sslmot.motion import ConstantVelocity, Stationary, to_centre, to_corners


def walk(rng, frames, missed=0.3):
    """A person's boxes as (cx, cy, w, h), some missing, never the first."""
    centre = rng.uniform(0, 500, 2) + np.cumsum(rng.normal(0, 4, (frames, 2)), axis=0)
    size = rng.uniform(20, 100, 2) * np.exp(np.cumsum(rng.normal(0, 0.03, (frames, 2)), axis=0))
    boxes = np.hstack([centre, size])
    return [box if t == 0 or rng.random() > missed else None for t, box in enumerate(boxes)]


def expected(model, boxes, scores=None, by_score=0.0):
    """The filter in full matrices: what it predicts for each frame, (cx, cy, w, h)."""
    noise = (
        model.VALUE_NOISE,
        model.VELOCITY_NOISE,
        model.MEASUREMENT_NOISE,
        model.FIRST_VELOCITY,
    )
    return reference.kalman(boxes, *noise, scores, by_score)


class Film:
    """A model and its tracks; what is between their detections is nobody's business but its own."""

    def __init__(self, model, boxes):
        self.model, self.last = model, to_corners(np.float32(boxes))
        self.state, self.misses = model.start(self.last), np.zeros(len(boxes), np.int64)

    def predict(self):
        return to_centre(self.model.predict(self.state, self.misses))

    def step(self, boxes, scores=None, rng=None):
        """One frame: the box of each track, or None; with ``rng`` among others, in any order."""
        rows = np.array([i for i, box in enumerate(boxes) if box is not None], np.int64)
        seen = np.float32([boxes[i] for i in rows]).reshape(-1, 4)
        scores = np.float32(np.ones(len(rows)) if scores is None else np.array(scores)[rows])
        columns = np.arange(len(rows))
        if rng is not None:
            columns = rng.permutation(len(rows) + 3)[: len(rows)]
            order = rng.permutation(len(rows))
            rows, columns, seen, scores = rows[order], columns[order], seen[order], scores[order]
        detections = np.full((len(rows) + 3, 4), 7e8, np.float32)
        their_scores = np.full(len(rows) + 3, 0.5, np.float32)
        detections[columns], their_scores[columns] = to_corners(seen), scores
        self.model.observe(
            self.state, self.last, self.misses, rows, detections, columns, their_scores
        )
        self.last[rows] = detections[columns]
        self.misses += 1
        self.misses[rows] = 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), tracks=st.integers(0, 4), missed=st.floats(0, 0.8))
def test_kalman_filter_is_the_textbook_one(seed, tracks, missed):
    rng = np.random.default_rng(seed)
    walks = [walk(rng, 25, missed) for _ in range(tracks)]
    film = Film(ConstantVelocity(), np.reshape([w[0] for w in walks], (-1, 4)))
    predicted = np.array([expected(film.model, w) for w in walks]).reshape(-1, 25, 4)
    for t in range(1, 25):
        np.testing.assert_allclose(film.predict(), predicted[:, t], rtol=2e-3, atol=2e-2)
        film.step([w[t] for w in walks], rng=rng)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), by_score=st.floats(0, 0.99), reupdate=st.booleans())
def test_scores_and_lines_across_gaps(seed, by_score, reupdate):
    """What is measured surely counts more; who comes back is taken there on a straight line."""
    rng, frames = np.random.default_rng(seed), 14
    boxes, scores = walk(rng, frames, 0.5), rng.uniform(-0.5, 1.5, frames)
    film = Film(ConstantVelocity(by_score, reupdate), [boxes[0]])
    for t in range(1, frames):
        past, sure = boxes[:t], list(scores[:t])
        if reupdate:
            past = reference.filled(past)
            for k in reversed(range(t - 1)):  # a line is as sure as where it leads
                sure[k] = sure[k + 1] if boxes[k] is None else sure[k]
        predicted = expected(film.model, [*past, None], [*sure, 0], by_score)[t]
        np.testing.assert_allclose(film.predict()[0], predicted, rtol=2e-3, atol=2e-2)
        film.step(boxes[t : t + 1], scores[t : t + 1], rng)


def test_a_surer_detection_is_believed_more():
    def after(score, by_score):
        film = Film(ConstantVelocity(by_score), [[100, 200, 40, 100]])
        film.step([[120, 200, 40, 100]], [score])
        return film.state[0, 0, 0]

    assert after(0, 0.9) == after(1, 0) == after(0.5, 0) == after(-3, 0.9)
    assert after(0, 0.9) < after(0.5, 0.9) < after(1, 0.9) == after(7, 0.9) < 120


@pytest.mark.parametrize("reupdate", [False, True])
def test_a_steady_walker_is_predicted_through_a_gap(reupdate):
    film = Film(ConstantVelocity(reupdate=reupdate), [[100, 200, 40, 100]])
    for t in range(1, 40):
        film.step([[100 + 5 * t, 200, 40, 100]])
    for _ in range(9):
        film.step([None])
    np.testing.assert_allclose(film.predict()[0], [100 + 5 * 49, 200, 40, 100], atol=2)


def test_a_lost_track_keeps_its_size():
    film = Film(ConstantVelocity(), [[100, 200, 40, 100]])
    for t in range(1, 20):
        film.step([[100, 200, 40 + t, 100 + 3 * t]])
    grown = film.predict()[0, 3]
    assert grown > film.state[0, 0, 3] + 1
    for _ in range(5):
        film.step([None])
        assert film.predict()[0, 3] == pytest.approx(grown, rel=1e-6)


def test_sizes_never_collapse():
    film = Film(ConstantVelocity(), [[0, 0, 100, 100]])
    film.state[0, 1, 2:] = -1000
    np.testing.assert_array_equal(film.predict()[0, 2:], [50, 50])
    film.step([None])
    np.testing.assert_array_equal(film.predict()[0, 2:], [50, 50])
    film.step([[0, 0, 60, 60]])
    assert (film.predict()[0, 2:] > 20).all()


@pytest.mark.parametrize("reupdate", [False, True])
def test_a_flat_box_is_a_box(reupdate):
    film = Film(ConstantVelocity(0.99, reupdate), [[10, 20, 0, 0]] * 2)
    for t in range(12):
        film.step([[10 + t, 20, 0, 0], None if t % 4 else [10, 20, 30, 0]])
        assert np.isfinite(film.state).all()
        assert np.isfinite(film.predict()).all()


MODELS = [ConstantVelocity(), ConstantVelocity(0.5, True), Stationary(0.5)]


@pytest.mark.parametrize("model", MODELS)
def test_predicting_changes_nothing(model):
    film = Film(model, [[10, 20, 30, 40], [50, 60, 70, 80]])
    film.step([[14, 20, 30, 40], [50, 62, 70, 80]])
    film.step([None, [50, 65, 70, 80]])
    state, misses = film.state.copy(), film.misses.copy()
    once = film.predict()
    np.testing.assert_array_equal(film.state, state)
    np.testing.assert_array_equal(film.misses, misses)
    np.testing.assert_array_equal(film.predict(), once)
    assert not np.shares_memory(model.predict(film.state, misses), film.state)


@pytest.mark.parametrize("model", MODELS)
def test_unmatched_tracks_and_detections_stay_as_they_are(model):
    last = np.float32([[10, 20, 30, 60]] * 3)
    state, misses = model.start(last), np.array([0, 2, 1])
    rows, columns = np.array([1]), np.array([2])
    boxes, scores = np.float32([[1e6, 0, 1e6, 9]] * 2 + [[14, 20, 36, 70]]), np.ones(3, np.float32)
    given = [array.copy() for array in (misses, rows, boxes, columns, scores)]
    before = state.copy()
    model.observe(state, last, misses, rows, boxes, columns, scores)
    np.testing.assert_array_equal(state[[0, 2]], before[[0, 2]])
    assert (state[1, 0] != before[1, 0]).all()
    np.testing.assert_array_equal(last[[0, 2]], [[10, 20, 30, 60]] * 2)
    for array, copy in zip((misses, rows, boxes, columns, scores), given, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_stationary_moves_part_of_the_way():
    film = Film(Stationary(0.25), [[0, 0, 10, 10], [5, 5, 10, 10]])
    film.step([[8, 4, 10, 20], None])
    np.testing.assert_allclose(film.predict(), [[6, 3, 10, 17.5], [5, 5, 10, 10]])
    film.step([None, None])
    np.testing.assert_allclose(film.predict(), [[6, 3, 10, 17.5], [5, 5, 10, 10]])
    # Wherever it was lost, whatever the score.
    film.step([[10, 3, 10, 17.5], [5, 5, 10, 10]], [0.1, 0.1])
    np.testing.assert_allclose(film.predict(), [[9, 3, 10, 17.5], [5, 5, 10, 10]])


def test_boxes_there_and_back():
    boxes = np.float32([[0, 10, 30, 50], [-5, -5, -5, 20]])
    np.testing.assert_array_equal(to_centre(boxes), [[15, 30, 30, 40], [-5, 7.5, 0, 25]])
    np.testing.assert_allclose(to_corners(to_centre(boxes)), boxes)


# What the native functions refuse.


def arguments():
    """Of two tracks and three detections."""
    return {
        "state": np.ones((2, 5, 4), np.float32),
        "last": np.ones((2, 4), np.float32),
        "misses": np.zeros(2, np.int64),
        "rows": np.array([1, 0]),
        "boxes": np.ones((3, 4), np.float32),
        "columns": np.array([2, 0]),
        "scores": np.ones(3, np.float32),
        "noise": _core.MotionNoise(value=0.1, velocity=0.01, measurement=0.1, by_score=0),
        "reupdate": False,
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
    ({"misses": np.zeros(3, np.int64)}, r"misses: expected int64 \(2,\), got int64 \(3,\)"),
    ({"misses": np.zeros(2, bool)}, r"misses: expected int64 \(2,\), got bool"),
    ({"misses": np.zeros(4, np.int64)[::2]}, "misses: expected contiguous int64"),
    ({"misses": np.array([3, -1])}, "misses: expected 0 or more, got -1 at 1"),
]


@pytest.mark.parametrize(("change", "message"), BAD_STATES)
def test_predict_checks_its_arguments(change, message):
    given = {name: arguments()[name] for name in ("state", "misses")} | change
    with pytest.raises(ValueError, match=f"^{message}"):
        _core.predict(**given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        *BAD_STATES,
        ({"state": read_only(np.ones((2, 5, 4), np.float32))}, "state: expected a writable array"),
        ({"last": np.ones((3, 4), np.float32)}, r"last: expected float32 \(2, 4\), got .*\(3, 4\)"),
        ({"last": np.ones((2, 4))}, r"last: expected float32 \(2, 4\), got float64"),
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
        ({"boxes": np.ones((2, 4), np.float32)}, r"scores: expected float32 \(2,\), got .*\(3,\)"),
        ({"scores": np.ones((3, 1), np.float32)}, r"scores: expected float32 \(3,\)"),
        ({"scores": np.ones(3)}, r"scores: expected float32 \(3,\), got float64"),
    ],
)
def test_observe_checks_its_arguments(change, message):
    given = arguments() | change
    before = np.array(given["state"], copy=True)
    with pytest.raises(ValueError, match=f"^{message}"):
        _core.observe(**given)
    np.testing.assert_array_equal(given["state"], before)


# Counts beyond any video.


def test_the_largest_number_of_misses_is_predicted():
    state = np.ones((1, 5, 4), np.float32)
    boxes = _core.predict(state, np.array([2**63 - 1]))
    np.testing.assert_allclose(boxes[0], np.full(4, 2.0**63), rtol=1e-6)


@pytest.mark.parametrize("reupdate", [False, True])
@pytest.mark.parametrize("misses", [10**9, 2**63 - 1])
def test_misses_beyond_a_limit_are_taken_as_the_limit(misses, reupdate):
    """Work does not grow with a number that the caller writes."""
    states = []
    for count in (100_000, misses):
        given = arguments() | {"misses": np.array([count, 0]), "reupdate": reupdate}
        _core.observe(**given)
        states.append(given["state"])
    np.testing.assert_array_equal(*states)
    assert np.isfinite(states[0]).all()
