"""Candidate pairs by geometry, against all pairs in loops."""

import itertools

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot import _core
from sslmot._core import _testing

PARAMS = _core.PairParams(
    tau=1.0, min_affinity=0.0, appearance_weight=0.0, motion_weight=1.0, max_cost=1.0
)


def pairs_of(row_begin, columns):
    rows = np.repeat(np.arange(len(row_begin) - 1), np.diff(row_begin))
    return set(zip(rows.tolist(), columns.tolist(), strict=True))


def check(track_boxes, boxes, max_distance, track_classes=None, classes=None):
    row_begin, columns, distances = _testing.candidates(
        track_boxes, max_distance, boxes, track_classes, classes
    )
    found = pairs_of(row_begin, columns)
    assert len(found) == len(columns)  # none twice
    for i, j in itertools.product(range(len(track_boxes)), range(len(boxes))):
        d = reference.distance(track_boxes[i], boxes[j])
        same = classes is None or track_classes[i] == classes[j]
        if not same or d > max_distance[i] * (1 + 1e-5) + 1e-6:
            assert (i, j) not in found
        elif d < max_distance[i] * (1 - 1e-5) - 1e-6:
            assert (i, j) in found
    rows = np.repeat(np.arange(len(row_begin) - 1), np.diff(row_begin))
    expected = [
        reference.distance(track_boxes[i], boxes[j]) for i, j in zip(rows, columns, strict=True)
    ]
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=1e-4)


def boxes_of(rng, n, extent, smallest, largest):
    corner = rng.uniform(-extent, extent, (n, 2))
    return np.hstack([corner, corner + rng.uniform(smallest, largest, (n, 2))]).astype(np.float32)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    t=st.integers(0, 30),
    n=st.integers(0, 30),
    extent=st.sampled_from([0.0, 1.0, 100.0, 1e4]),
)
def test_finds_exactly_the_near_pairs(seed, t, n, extent):
    rng = np.random.default_rng(seed)
    max_distance = rng.choice([0.0, 0.3, 1.0, 5.0, 1e6, np.inf], t).astype(np.float32)
    check(
        boxes_of(rng, t, extent, 1, 100),
        boxes_of(rng, n, extent, 1, 100),
        max_distance,
    )


def test_classes_part_the_pairs():
    rng = np.random.default_rng(0)
    classes = [rng.integers(0, 3, k).astype(np.int32) for k in (20, 25)]
    max_distance = np.full(20, 3, np.float32)
    check(boxes_of(rng, 20, 50, 5, 50), boxes_of(rng, 25, 50, 5, 50), max_distance, *classes)


def test_all_in_one_place_and_one_far_away():
    near = np.tile(np.float32([0, 0, 10, 10]), (40, 1))
    near[7] += 1e7
    check(near, near, np.full(40, 0.5, np.float32))


@pytest.mark.parametrize("max_distance", [0.7, 1e38, np.inf])
@pytest.mark.parametrize("step", [[1, 0, 1, 0], [0, 1, 0, 1]])
def test_in_one_row_and_in_one_column(step, max_distance):
    """Centres that share a coordinate leave an axis without extent."""
    boxes = np.float32([100, 100, 140, 200]) + np.outer(np.arange(6) * 60, step)
    boxes = boxes.astype(np.float32)
    check(boxes, boxes, np.full(6, max_distance, np.float32))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["track", "detection"])
def test_a_box_that_is_no_number_is_everybodys_candidate(side, bad):
    """So that its cost is a NaN that somebody reports, not a pair that nobody sees."""
    rng = np.random.default_rng(0)
    track_boxes, boxes = boxes_of(rng, 12, 500, 5, 50), boxes_of(rng, 12, 500, 5, 50)
    (track_boxes if side == "track" else boxes)[3] = [bad, 1, bad, 2]
    row_begin, columns, distances = _testing.candidates(
        track_boxes, np.full(12, 0.5, np.float32), boxes
    )
    if side == "detection" and bad == np.inf:
        return  # infinitely far from everybody: that is a number
    expected = {(3, j) if side == "track" else (j, 3) for j in range(12)}
    assert expected <= pairs_of(row_begin, columns)
    assert np.isnan(distances).sum() == 12
    with pytest.raises(ValueError, match="cost: expected numbers above -1e300, got NaN"):
        _testing.associate(track_boxes, np.full(12, 0.5, np.float32), boxes, PARAMS)


def test_infinite_reach_gives_all_pairs():
    rng = np.random.default_rng(0)
    row_begin, columns, _ = _testing.candidates(
        boxes_of(rng, 9, 1e3, 1, 9),
        np.full(9, np.inf, np.float32),
        boxes_of(rng, 11, 1e3, 1, 9),
    )
    assert len(columns) == 99
    np.testing.assert_array_equal(np.diff(row_begin), 11)


def test_candidates_of_a_crowd_are_few():
    """At a real crowd's density the max_cost leaves a few pairs a track, whatever the number."""
    rng = np.random.default_rng(0)
    n = 1000
    boxes = boxes_of(rng, n, 2000, 30, 60)
    _, columns, _ = _testing.candidates(boxes, np.full(n, 1.0, np.float32), boxes)
    assert n <= len(columns) < 5 * n


@pytest.mark.parametrize("missing", ["track_classes", "detection_classes"])
def test_classes_on_one_side_are_refused(missing):
    given_classes = {
        "track_classes": np.zeros(1, np.int32),
        "detection_classes": np.zeros(1, np.int32),
    }
    del given_classes[missing]
    box = np.float32([[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="the same of both sides or of neither"):
        _testing.candidates(box, np.float32([1]), box, **given_classes)


def pile(n):
    return np.tile(np.float32([[0, 0, 10, 20]]), (n, 1))


class TestLimit:
    """Pairs take memory: more than MOST_PAIRS are refused."""

    side = int(_testing.MOST_PAIRS**0.5) + 1

    @pytest.mark.parametrize("max_distance", [0.5, np.inf])
    @pytest.mark.parametrize("features", [False, True])
    def test_a_pile_is_refused(self, max_distance, features):
        n = self.side
        boxes, max_distance = pile(n), np.full(n, max_distance, np.float32)
        message = f"dets: expected at most {_testing.MOST_PAIRS} pairs"
        with pytest.raises(ValueError, match=message):
            _testing.candidates(boxes, max_distance, boxes)
        ones = np.ones(n, np.float32)
        looks = (ones[:, None], ones, np.arange(n), ones[:, None], ones) if features else ()
        with pytest.raises(ValueError, match=message):
            _testing.associate(boxes, max_distance, boxes, PARAMS, *looks)

    def test_piles_of_two_classes_count_alone(self):
        n = self.side
        boxes, classes = pile(n), np.arange(n, dtype=np.int32) % 2
        _, columns, _ = _testing.candidates(
            boxes, np.full(n, 0.5, np.float32), boxes, classes, classes
        )
        assert len(columns) == (n // 2) ** 2 + (n - n // 2) ** 2

    def test_many_that_are_apart_are_matched(self):
        n = 30_000
        corner = 100 * np.stack(np.divmod(np.arange(n), 200), axis=1)
        boxes = np.hstack([corner, corner + 10]).astype(np.float32)
        match, _ = _testing.associate(boxes, np.full(n, 0.5, np.float32), boxes, PARAMS)
        np.testing.assert_array_equal(match, np.arange(n))
