"""Vectorised motion against full matrices, one track at a time."""

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.motion import ConstantVelocity, Stationary, to_centre, to_corners


def walk(rng, frames):
    """A person's boxes as (cx, cy, w, h), some missing, never the first."""
    centre = rng.uniform(0, 500, 2) + np.cumsum(rng.normal(0, 4, (frames, 2)), axis=0)
    size = rng.uniform(20, 100, 2) * np.exp(np.cumsum(rng.normal(0, 0.03, (frames, 2)), axis=0))
    boxes = np.hstack([centre, size])
    return [box if t == 0 or rng.random() > 0.3 else None for t, box in enumerate(boxes)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tracks=st.integers(1, 5))
def test_kalman_filter_is_the_textbook_one(seed, tracks):
    rng = np.random.default_rng(seed)
    walks = [walk(rng, 25) for _ in range(tracks)]
    model = ConstantVelocity()
    expected = np.array(
        [
            reference.kalman(
                w,
                model.VALUE_NOISE,
                model.VELOCITY_NOISE,
                model.MEASUREMENT_NOISE,
                model.FIRST_VELOCITY,
            )
            for w in walks
        ]
    )
    state = model.start(np.float32([w[0] for w in walks]))
    lost = np.zeros(tracks, bool)
    for t in range(1, 25):
        state = model.predict(state, lost)
        np.testing.assert_allclose(state[0], expected[:, t], rtol=2e-3, atol=2e-2)
        matched = np.array([w[t] is not None for w in walks])
        boxes = np.float32([np.zeros(4) if w[t] is None else w[t] for w in walks])
        state = model.update(state, boxes, matched)
        lost = ~matched


def test_a_steady_walker_is_predicted_through_a_gap():
    model = ConstantVelocity()
    state = model.start(np.float32([[100, 200, 40, 100]]))
    for t in range(1, 40):
        state = model.predict(state, np.array([False]))
        state = model.update(state, np.float32([[100 + 5 * t, 200, 40, 100]]), np.array([True]))
    for _ in range(10):
        state = model.predict(state, np.array([True]))
    np.testing.assert_allclose(state[0, 0], [100 + 5 * 49, 200, 40, 100], atol=2)


def test_a_lost_track_keeps_its_size():
    model = ConstantVelocity()
    state = model.start(np.float32([[100, 200, 40, 100]]))
    for t in range(1, 20):
        state = model.predict(state, np.array([False]))
        growing = np.float32([[100, 200, 40 + t, 100 + 3 * t]])
        state = model.update(state, growing, np.array([True]))
    grown = model.predict(state, np.array([False]))
    kept = model.predict(state, np.array([True]))
    assert grown[0, 0, 3] > state[0, 0, 3] + 1
    assert kept[0, 0, 3] == state[0, 0, 3]


def test_sizes_never_collapse():
    model = ConstantVelocity()
    state = model.start(np.float32([[0, 0, 100, 100]]))
    state[1, 0, 2:] = -1000
    state = model.predict(state, np.array([False]))
    np.testing.assert_array_equal(state[0, 0, 2:], [50, 50])


@pytest.mark.parametrize("model", [ConstantVelocity(), Stationary(0.5)])
def test_states_given_are_never_changed(model):
    boxes = np.float32([[10, 20, 30, 40], [50, 60, 70, 80]])
    state = model.start(boxes)
    for function in (
        lambda: model.predict(state, np.array([True, False])),
        lambda: model.update(state, boxes + 3, np.array([True, False])),
    ):
        before = state.copy()
        function()
        np.testing.assert_array_equal(state, before)


def test_unmatched_tracks_are_not_updated():
    model = ConstantVelocity()
    state = model.predict(model.start(np.float32([[10, 20, 30, 40]] * 2)), np.zeros(2, bool))
    new = model.update(state, np.full((2, 4), 1e6, np.float32), np.array([False, True]))
    np.testing.assert_array_equal(new[:, 0], state[:, 0])
    assert (new[0, 1] != state[0, 1]).all()


def test_stationary_moves_part_of_the_way():
    model = Stationary(0.25)
    state = model.start(np.float32([[0, 0, 10, 10], [5, 5, 10, 10]]))
    state = model.update(
        model.predict(state, np.zeros(2, bool)),
        np.float32([[8, 4, 10, 20]] * 2),
        np.array([True, False]),
    )
    np.testing.assert_allclose(state[0], [[6, 3, 10, 17.5], [5, 5, 10, 10]])


def test_boxes_there_and_back():
    boxes = np.float32([[0, 10, 30, 50], [-5, -5, -5, 20]])
    np.testing.assert_array_equal(to_centre(boxes), [[15, 30, 30, 40], [-5, 7.5, 0, 25]])
    np.testing.assert_allclose(to_corners(to_centre(boxes)), boxes)
