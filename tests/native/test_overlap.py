"""The largest overlap of boxes with others, against all pairs, to the same bits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot._core import _testing
from sslmot.assignment import iou


def check(boxes, others, classes, other_classes):
    overlap = iou(boxes, others) * (classes[:, None] == other_classes)
    got, which = _testing.largest_overlaps(boxes, others, classes, other_classes)
    most = overlap.max(axis=1, initial=0)
    first = overlap.argmax(axis=1) if len(others) else np.full(len(boxes), -1)
    np.testing.assert_array_equal(got, most)
    np.testing.assert_array_equal(which, np.where(most > 0, first, -1))


def scattered(rng, n, spread, sizes):
    corner = rng.uniform(-spread, spread, (n, 2))
    return np.hstack([corner, corner + rng.choice(sizes, (n, 2))]).astype(np.float32)


SIZES = [0, 1e-30, 1e-6, 0.3, 1, 5, 40, 3e3, 1e9]


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 60),
    m=st.integers(0, 60),
    spread=st.sampled_from([0, 1e-6, 2, 30, 1e3, 1e9]),
    sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=3),
    classes=st.integers(1, 3),
)
def test_as_all_pairs(seed, n, m, spread, sizes, classes):
    rng = np.random.default_rng(seed)
    boxes, others = scattered(rng, n, spread, sizes), scattered(rng, m, spread, sizes)
    kinds = rng.integers(0, classes, n + m).astype(np.int32)
    check(boxes, others, kinds[:n], kinds[n:])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_edges_that_meet(data):
    corner, size = st.integers(-3, 5), st.integers(0, 4)
    some = st.lists(st.tuples(corner, corner, size, size), max_size=10)
    sides = []
    for _ in range(2):
        boxes = np.float32(data.draw(some)).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        sides.append(boxes)
    check(*sides, *(np.zeros(len(side), np.int32) for side in sides))


def test_one_box_of_the_whole_picture_among_small_ones():
    rng = np.random.default_rng(0)
    others = scattered(rng, 400, 1e3, [20])
    others[17] = -2e3, -2e3, 2e3, 2e3
    boxes = scattered(rng, 300, 1e3, [5, 20])
    check(boxes, others, np.zeros(300, np.int32), np.zeros(400, np.int32))


BOX, CLASS = np.float32([[0, 0, 1, 1]]), np.int32([0])


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [
        (0, np.float64(BOX), r"boxes: expected float32 \(any, 4\), got float64"),
        (1, BOX[0], r"others: expected float32 \(any, 4\), got float32 \(4,\)"),
        (2, np.int64(CLASS), r"classes: expected int32 \(1,\), got int64"),
        (3, np.int32([0, 1]), r"other_classes: expected int32 \(1,\), got int32 \(2,\)"),
    ],
)
def test_arguments_are_checked(position, value, message):
    arguments = [BOX, BOX, CLASS, CLASS]
    arguments[position] = value
    with pytest.raises(ValueError, match=f"^{message}"):
        _testing.largest_overlaps(*arguments)
