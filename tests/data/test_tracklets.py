"""Strict links, and people in view together, compared with loops."""

import dataclasses
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.assignment import iou
from sslmot.data.crops import CropSet
from sslmot.data.tracklets import in_view_together, link


def iou_loop(a, b):
    x = min(a[2], b[2]) - max(a[0], b[0])
    y = min(a[3], b[3]) - max(a[1], b[1])
    shared = float(max(x, 0)) * float(max(y, 0))
    union = float(a[2] - a[0]) * float(a[3] - a[1]) + float(b[2] - b[0]) * float(b[3] - b[1])
    return shared / (union - shared) if union > shared else 0.0


def link_loop(boxes):
    """Return chains as sets of (frame, row), by the definition."""
    chains = {(t, i): {(t, i)} for t in boxes for i in range(len(boxes[t]))}
    for t in sorted(boxes):
        if t + 1 not in boxes:
            continue
        for i, a in enumerate(boxes[t]):
            for j, b in enumerate(boxes[t + 1]):
                rivals = [iou_loop(a, c) for k, c in enumerate(boxes[t + 1]) if k != j] + [
                    iou_loop(c, b) for k, c in enumerate(boxes[t]) if k != i
                ]
                if iou_loop(a, b) > 0.5 and all(rival <= 0.3 for rival in rivals):
                    whole = chains[t, i] | chains[t + 1, j]
                    for member in whole:
                        chains[member] = whole
    return chains


def box(x, y=0, width=10, height=20):
    return [x, y, x + width, y + height]


def frames(*rows):
    return {t: np.array(r, np.float32).reshape(-1, 4) for t, r in enumerate(rows, 1)}


def as_lists(tracklets):
    return {t: numbers.tolist() for t, numbers in tracklets.items()}


# Links.


def test_a_person_who_walks_is_one_tracklet():
    boxes = frames([box(0), box(100)], [box(102), box(2)], [box(4)], [box(6), box(300)])
    assert as_lists(link(boxes)) == {1: [0, 1], 2: [1, 0], 3: [0], 4: [0, -1]}


def test_a_frame_without_the_person_ends_a_tracklet():
    boxes = frames([box(0)], [box(1)], [], [box(2)], [box(3)])
    assert as_lists(link(boxes)) == {1: [0], 2: [0], 3: [], 4: [1], 5: [1]}
    boxes = {t: boxes[t] for t in (1, 2, 4, 5)}  # frame 3 is missing
    assert as_lists(link(boxes)) == {1: [0], 2: [0], 4: [1], 5: [1]}


def test_a_rival_in_either_frame_prevents_a_link():
    one, two = [box(0)], [box(0), box(4.5)]  # the second has IoU .38 with the first
    assert iou_loop(box(0), box(4.5)) == pytest.approx(5.5 / 14.5)
    assert as_lists(link(frames(one, two))) == {1: [-1], 2: [-1, -1]}
    assert as_lists(link(frames(two, one))) == {1: [-1, -1], 2: [-1]}
    assert as_lists(link(frames(one, [box(0), box(6)]))) == {1: [0], 2: [0, -1]}  # .25


def test_too_little_overlap_is_no_link():
    assert as_lists(link(frames([box(0)], [box(3.4)]))) == {1: [-1], 2: [-1]}  # IoU .493
    assert as_lists(link(frames([box(0)], [box(3.3)]))) == {1: [0], 2: [0]}  # .504


def test_frames_come_in_any_order():
    boxes = frames([box(0)], [box(1)], [box(2)])
    shuffled = {t: boxes[t] for t in (3, 1, 2)}
    assert as_lists(link(shuffled)) == {3: [0], 1: [0], 2: [0]}
    assert list(link(shuffled)) == [3, 1, 2]


def test_no_boxes():
    assert link({}) == {}
    assert as_lists(link(frames([], []))) == {1: [], 2: []}
    assert link(frames([]))[1].dtype == np.int64


coordinates = st.integers(0, 12)
some_boxes = st.lists(
    st.tuples(coordinates, coordinates, st.integers(0, 9), st.integers(0, 9)).map(
        lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
    ),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(some_boxes, min_size=1, max_size=5), st.integers(1, 5))
def test_links_against_the_loop(rows, left_out):
    boxes = frames(*rows)
    if len(boxes) > 2:
        boxes.pop(left_out, None)
    expected, got = link_loop(boxes), link(boxes)
    found = {}
    for t, numbers in got.items():
        for i, number in enumerate(numbers.tolist()):
            if number == -1:
                assert expected[t, i] == {(t, i)}
            else:
                found.setdefault(number, set()).add((t, i))
    assert sorted(found) == list(range(len(found)))
    for members in found.values():
        assert all(expected[member] == members for member in members)
        assert len(members) > 1


@settings(max_examples=50, deadline=None)
@given(some_boxes, some_boxes)
def test_iou_against_the_loop(a, b):
    a, b = (np.array(x, np.float32).reshape(-1, 4) for x in (a, b))
    got = iou(a, b)
    assert got.shape == (len(a), len(b))
    assert got.dtype == np.float32
    for i, j in np.ndindex(got.shape):
        assert got[i, j] == pytest.approx(iou_loop(a[i], b[j]), rel=1e-6)


# People in view together.


def crop_set(rows):
    """Make a crop set from rows (clip, frame, tracklet)."""
    rows = np.array(rows, np.int64).reshape(-1, 3)
    return CropSet(
        images=np.zeros((len(rows), 1, 1, 3), np.uint8),
        clips=rows[:, 0].astype(np.int32),
        frames=rows[:, 1],
        tracklets=rows[:, 2],
        clip_names=("a", "b", "c"),
    )


def test_people_in_view_together():
    crops = crop_set(
        [(0, 1, 5), (0, 1, 2), (0, 1, -1), (0, 2, 5), (0, 2, 7), (1, 1, 9), (1, -1, 8), (1, -1, 9)]
    )
    pairs = in_view_together(crops)
    assert pairs.dtype == np.int64
    assert pairs.tolist() == [[2, 5], [5, 7]]


def test_no_people_in_view_together():
    for rows in ([], [(0, 1, 3)], [(0, 1, 3), (1, 1, 4)], [(0, 1, -1), (0, 1, -1)]):
        pairs = in_view_together(crop_set(rows))
        assert pairs.shape == (0, 2)
        assert pairs.dtype == np.int64


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(-1, 3), st.integers(-1, 6)), max_size=30),
    st.randoms(use_true_random=False),
)
def test_pairs_against_the_loop(rows, random):
    expected = set()
    for a, b in combinations(rows, 2):
        if a[:2] == b[:2] and a[1] >= 0 and min(a[2], b[2]) >= 0 and a[2] != b[2]:
            expected.add((min(a[2], b[2]), max(a[2], b[2])))
    pairs = in_view_together(crop_set(rows))
    assert list(map(tuple, pairs.tolist())) == sorted(expected)
    random.shuffle(rows)
    np.testing.assert_array_equal(in_view_together(crop_set(rows)), pairs)


def test_linked_tracklets_in_view():
    boxes = frames([box(0), box(50)], [box(1), box(51)], [box(2)])
    tracklets = link(boxes)
    rows = [(0, t, n) for t in boxes for n in tracklets[t].tolist()]
    assert in_view_together(crop_set(rows)).tolist() == [[0, 1]]
    crops = dataclasses.replace(crop_set(rows), tracklets=np.full(5, -1))
    assert in_view_together(crops).shape == (0, 2)
