"""Gaps of tracks are filled as in loops, and nothing else changes."""

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.data.mot import FrameResult, read_results, write_results
from sslmot.offline.interpolate import interpolate


def frame(t, boxes, scores=None):
    """Make a result from {id: box}."""
    scores = np.ones(len(boxes)) if scores is None else scores
    return FrameResult(
        t,
        np.array(list(boxes), np.int64),
        np.array(list(boxes.values()), np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
    )


def rows(results):
    """Return {(frame, id): (box, score)}. Assert that no id occurs twice in a frame."""
    found = {
        (r.frame, int(i)): (box.tolist(), float(score))
        for r in results
        for i, box, score in zip(*r[1:4], strict=True)
    }
    assert len(found) == sum(len(r.ids) for r in results)
    return found


def in_loops(results, max_gap):
    found = rows(results)
    for t, i in list(found):
        end = min((u for u, j in found if j == i and u > t), default=t)
        if t + 1 < end <= t + max_gap:
            (first, _), (last, _) = found[t, i], found[end, i]
            for u in range(t + 1, end):
                box = [a + (b - a) * (u - t) / (end - t) for a, b in zip(first, last, strict=True)]
                found[u, i] = box, math.nan
    return found


@st.composite
def tracks(draw):
    """Draw a few tracks with gaps. Frames without tracks may be missing."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    length, people = draw(st.integers(1, 40)), draw(st.integers(0, 4))
    seen = rng.random((length, people)) < draw(st.sampled_from([0.05, 0.3, 0.8]))
    found = []
    for t in rng.permutation(length):
        corner = rng.uniform(-50, 900, (people, 2))
        boxes = np.hstack([corner, corner + rng.uniform(0, 200, (people, 2))])
        here = {int(i): boxes[i] for i in rng.permutation(people) if seen[t, i]}
        if here or rng.random() < 0.5:
            found.append(frame(int(t) + 1, here, rng.random(len(here))))
    return found


gaps = st.integers(1, 12)


@settings(max_examples=100, deadline=None)
@given(tracks(), gaps)
def test_boxes_are_those_of_the_loops(results, max_gap):
    filled, expected = rows(interpolate(results, max_gap)), in_loops(results, max_gap)
    assert filled.keys() == expected.keys()
    for key, (box, score) in filled.items():
        np.testing.assert_allclose(box, expected[key][0], rtol=0, atol=1e-4)
        assert score == pytest.approx(expected[key][1], nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(tracks(), gaps)
def test_original_boxes_do_not_change(results, max_gap):
    filled = {r.frame: r for r in interpolate(results, max_gap)}
    for frame_number, *before in results:
        after = filled[frame_number][1:]
        for column, old in zip(after[:3], before[:3], strict=True):
            assert column.dtype == old.dtype
            np.testing.assert_array_equal(column[: len(old)], old)


@settings(max_examples=100, deadline=None)
@given(tracks(), gaps)
def test_only_gaps_are_filled(results, max_gap):
    filled, before = interpolate(results, max_gap), rows(results)
    after = rows(filled)
    assert [r.frame for r in filled] == sorted({r.frame for r in results} | {t for t, _ in after})
    for i in {i for _, i in before}:
        was = sorted(t for t, j in before if j == i)
        now = sorted(t for t, j in after if j == i)
        assert (now[0], now[-1]) == (was[0], was[-1])
        kept = [b - a for a, b in pairwise(was) if b - a > max_gap]
        assert [b - a for a, b in pairwise(now) if b - a > 1] == kept


@settings(max_examples=50, deadline=None)
@given(tracks(), gaps)
def test_interpolating_twice_changes_nothing(results, max_gap):
    once = interpolate(results, max_gap)
    twice = interpolate(once, max_gap)
    assert len(once) == len(twice)
    for one, other in zip(once, twice, strict=True):
        for a, b in zip(one[:4], other[:4], strict=True):
            np.testing.assert_array_equal(a, b)  # NaN is NaN


def test_one_track():
    results = [frame(2, {7: [0, 0, 10, 20]}, [0.5]), frame(6, {7: [40, 8, 90, 20]}, [0.9])]
    assert rows(interpolate(results, 3)) == rows(results)
    filled = interpolate(results, 4)
    assert [r.frame for r in filled] == [2, 3, 4, 5, 6]
    assert filled[1].boxes.tolist() == [[10, 2, 30, 20]]
    assert filled[1].boxes.dtype == np.float32
    assert np.isnan(filled[2].scores).all()
    assert filled[2].classes is None


def test_filled_boxes_have_the_class_of_their_track():
    results = [frame(2, {7: [0, 0, 10, 20]}), frame(4, {7: [40, 8, 90, 20]})]
    results = [r._replace(classes=np.array([3], np.int32)) for r in results]
    assert [r.classes.tolist() for r in interpolate(results)] == [[3], [3], [3]]


def test_nothing():
    assert interpolate([]) == []
    empty = interpolate([frame(3, {})])
    assert [(r.frame, len(r.ids)) for r in empty] == [(3, 0)]


def test_writing_filled_results(tmp_path):
    """Interpolated boxes can be written."""
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 5000, (30, 2))
    results = [frame(10 * t + 1, {1: [*c, *c]}) for t, c in enumerate(corner)]
    write_results(tmp_path / "results.txt", interpolate(results))
    assert len(read_results(tmp_path / "results.txt")) == 291


@pytest.mark.parametrize("max_gap", [0, -3, 2.0, True, None])
def test_max_gap_out_of_range(max_gap):
    message = f"max_gap: expected an integer of 1 or more, got {max_gap!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        interpolate([], max_gap)


def test_a_frame_or_an_id_twice():
    one = frame(4, {7: [0, 0, 1, 1]})
    with pytest.raises(ValueError, match="results: expected each frame once, got frame 4 twice"):
        interpolate([one, frame(3, {}), one])
    twice = FrameResult(4, *(np.concatenate([column, column]) for column in one[1:4]))
    with pytest.raises(ValueError, match="results: expected an id once in frame 4, got 7"):
        interpolate([twice])
