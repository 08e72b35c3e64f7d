"""Which share of a box others hide, against loops over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot._core import _testing


def hidden_by_loops(boxes):
    """The largest share of each box that lies in one whose lower edge is as low, or lower."""
    boxes = np.float64(boxes)
    share = np.zeros(len(boxes))
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for j, (u1, v1, u2, v2) in enumerate(boxes):
            w, h = min(x2, u2) - max(x1, u1), min(y2, v2) - max(y1, v1)
            if i != j and w > 0 and h > 0 and v2 >= y2:
                share[i] = max(share[i], w * h / ((x2 - x1) * (y2 - y1)))
    return share


# On a coarse grid equal boxes, equal edges and flat boxes are as common as any other.
corner = st.integers(-3, 5)
box = st.tuples(corner, corner, st.integers(0, 4), st.integers(0, 4))


@settings(max_examples=300, deadline=None)
@given(st.lists(box, max_size=12))
def test_small_crowds(boxes):
    x, y, w, h = np.float32(boxes).reshape(-1, 4).T * 7
    boxes = np.column_stack([x, y, x + w, y + h])
    np.testing.assert_allclose(_testing.occluded_shares(boxes), hidden_by_loops(boxes), atol=1e-6)


@pytest.mark.parametrize("spread", [100, 2000])
def test_a_large_crowd(spread):
    rng = np.random.default_rng(0)
    top_left = rng.uniform(-50, spread, (300, 2))
    boxes = np.hstack([top_left, top_left + rng.uniform(0, 120, (300, 2))]).astype(np.float32)
    share = _testing.occluded_shares(boxes)
    assert share.dtype == np.float32
    assert (share > 0).mean() > 0.1
    np.testing.assert_allclose(share, hidden_by_loops(boxes), atol=1e-4)
    order = rng.permutation(300)
    np.testing.assert_array_equal(_testing.occluded_shares(boxes[order]), share[order])


def test_who_is_in_front():
    behind, front, beside = [0, 0, 10, 20], [5, 10, 15, 30], [10, 0, 20, 20]
    boxes = np.float32([behind, front, beside])
    np.testing.assert_allclose(_testing.occluded_shares(boxes), [0.25, 0, 0.25])
    # Nobody knows who of two is in front whose feet are at one height: neither is clear.
    np.testing.assert_array_equal(_testing.occluded_shares(boxes[[0, 0]]), [1, 1])
    assert _testing.occluded_shares(boxes[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (np.zeros((3, 4)), r"boxes: expected float32 \(any, 4\).*float64"),
        (np.zeros((3, 5), np.float32), r"boxes: expected float32 \(any, 4\).*\(3, 5\)"),
        (np.zeros(4, np.float32), r"boxes: expected float32 \(any, 4\).*\(4,\)"),
        ([[0, 0, 1, 1]], "boxes: expected"),
    ],
)
def test_arguments_of_another_kind(boxes, message):
    with pytest.raises(ValueError, match=message):
        _testing.occluded_shares(boxes)


def test_a_box_that_is_no_number_is_refused():
    """It has no place in the order that boxes are swept in."""
    boxes = np.zeros((40, 4), np.float32)
    boxes[7, 2] = np.nan
    with pytest.raises(ValueError, match="boxes: expected numbers, got NaN in row 7"):
        _testing.occluded_shares(boxes)
