"""Colour histograms: their geometry, and that they separate people of one clip."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from sslmot import FeatureExtractor
from sslmot.appearance.histogram import ColorHistogram

RED, GREEN, BLUE, GREY = (0, 0, 200), (0, 200, 0), (200, 0, 0), (120, 120, 120)
BOX = [40, 30, 80, 130]


def person(shirt, trousers, box=BOX, size=(200, 160)):
    """Return a grey frame with a two-coloured body in the middle of a box."""
    frame = np.full((*size, 3), 120, np.uint8)
    x1, y1, x2, y2 = box
    margin = (x2 - x1) // 4
    frame[y1 : (y1 + y2) // 2, x1 + margin : x2 - margin] = shirt
    frame[(y1 + y2) // 2 : y2, x1 + margin : x2 - margin] = trousers
    return frame


def embed(frame, *boxes):
    return ColorHistogram()(frame, np.array(boxes, np.float32).reshape(-1, 4))


def test_is_a_feature_extractor_of_unit_rows():
    extractor = ColorHistogram()
    assert isinstance(extractor, FeatureExtractor)
    noise = np.random.default_rng(0).integers(0, 256, (200, 160, 3), dtype=np.uint8)
    features = extractor(noise, np.array([BOX, [-20, -20, 30, 40], [0, 0, 160, 200]], np.float32))
    assert features.shape == (3, extractor.dim)
    assert features.dtype == np.float32
    assert features.min() >= 0
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


def test_colours_and_their_position_separate_people():
    (a,) = embed(person(RED, BLUE), BOX)
    (again,) = embed(person(RED, BLUE, [90, 60, 130, 160]), [90, 60, 130, 160])
    (swapped,) = embed(person(BLUE, RED), BOX)
    (shirt,) = embed(person(GREEN, BLUE), BOX)
    assert a @ again > 0.999
    assert a @ swapped < 0.5
    assert 0.4 < a @ shirt < 0.7


@pytest.mark.parametrize("colour", [(16, 16, 100), (100, 100, 100), (31, 64, 128), (90, 200, 201)])
def test_a_slightly_different_colour_is_a_slightly_different_feature(colour):
    (a,) = embed(person(colour, colour), BOX)
    (b,) = embed(person(np.add(colour, 4), np.add(colour, 4)), BOX)
    assert a @ b > 0.6  # with hard bin edges, it would be as low as 0


def test_the_body_has_more_weight_than_its_sides():
    frame = person(RED, BLUE)
    other_background = frame.copy()
    other_background[(frame == 120).all(axis=-1)] = GREEN
    (a,), (b,) = embed(frame, BOX), embed(other_background, BOX)
    assert a @ b > 0.8


def test_pixels_outside_the_frame_have_no_weight():
    whole = np.full((200, 160, 3), RED, np.uint8)
    inside, outside = embed(whole, BOX, [-20, 30, 20, 130])
    assert inside @ outside > 0.999


def test_boxes_without_pixels_have_zero_rows():
    frame = np.full((200, 160, 3), 255, np.uint8)
    rows = embed(
        frame, [200, 0, 240, 90], [-50, 10, 0, 90], [5, 5, 5, 90], [9, 9, 2, 2], [0, 0, 160, 200]
    )
    assert (rows[:4] == 0).all()
    assert rows[4] @ rows[4] == pytest.approx(1)


@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_are_colours(value):
    (row,) = embed(np.full((200, 160, 3), value, np.uint8), BOX)
    assert row @ row == pytest.approx(1)


def test_no_boxes():
    assert embed(person(RED, BLUE)).shape == (0, ColorHistogram().dim)


def test_boxes_are_independent():
    noise = np.random.default_rng(1).integers(0, 256, (200, 160, 3), dtype=np.uint8)
    boxes = [BOX, [-20, -20, 30, 40], [500, 0, 600, 90], [3.5, 8.25, 70, 199]]
    together = embed(noise, *boxes)
    for box, row in zip(boxes, together, strict=True):
        np.testing.assert_allclose(embed(noise, box)[0], row, atol=1e-6)


def test_torch_is_not_imported():
    code = "import sys, sslmot.appearance.histogram; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_separates_the_people_of_mot17_09(data_root):
    """After 2 s, most people are nearest to themselves. On all frames: 0.96 and 0.986."""
    folder = data_root / "MOT17" / "train" / "MOT17-09-FRCNN"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    # Columns: frame, id, left, top, width, height, valid, class, visibility.
    rows = np.loadtxt(folder / "gt" / "gt.txt", delimiter=",")
    rows = rows[(rows[:, 6] == 1) & (rows[:, 7] == 1) & (rows[:, 8] > 0.5)]
    extractor = ColorHistogram()

    def people(t):
        here = rows[rows[:, 0] == t]
        boxes = np.hstack([here[:, 2:4] - 1, here[:, 2:4] - 1 + here[:, 4:6]]).astype(np.float32)
        frame = cv2.imread(str(folder / "img1" / f"{t:06d}.jpg"))
        return here[:, 1], extractor(frame, boxes)

    seen = {t: people(t) for t in range(1, 526, 30)}
    hits, same_cosines, other_cosines = [], [], []
    for t in range(1, 526 - 60, 30):
        (ids, features), (later_ids, later) = seen[t], seen[t + 60]
        same = ids[:, None] == later_ids
        cosines = features @ later.T
        found = same.any(axis=1)
        hits += same[found, cosines[found].argmax(axis=1)].tolist()
        same_cosines += cosines[same].tolist()
        other_cosines += cosines[~same].tolist()
    assert len(hits) > 30
    assert np.mean(hits) > 0.9
    # AUC: how often the cosine with the same person is above that with another person.
    assert np.mean(np.array(same_cosines)[:, None] > np.array(other_cosines)) > 0.97
