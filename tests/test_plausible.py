"""Detections in other units are noticed, and real detections are not."""

from __future__ import annotations

import numpy as np
import pytest

from sslmot.data.mot import Sequence
from sslmot.plausible import doubt

SIZE = (640, 480)
# Boxes in all parts of the picture.
CORNER = np.stack(np.meshgrid(np.arange(10, 600, 60), np.arange(10, 400, 60)), -1).reshape(-1, 2)
BOXES = np.hstack([CORNER, CORNER + np.array([40, 80])]).astype(np.float32)
SCORES = np.linspace(0.1, 1, len(BOXES)).astype(np.float32)


def test_usual_detections():
    assert doubt(BOXES, SCORES, SIZE) is None
    assert doubt(BOXES) is None
    assert doubt(np.empty((0, 4)), np.empty(0), SIZE) is None
    assert doubt(np.zeros((1, 4)), np.ones(1), SIZE) is None  # says nothing


@pytest.mark.parametrize(
    ("scores", "text"),
    [
        (100 * SCORES, "scores of 10 to 100: expected 0 to 1, are they percent?"),
        ([12, 99], "scores of 12 to 99: expected 0 to 1, are they percent?"),
        ([-0.3, 67.5], "scores of -0.3 to 67.5: expected 0 to 1"),
        ([0.5, 1.25], "scores of 0.5 to 1.25: expected 0 to 1"),
    ],
)
def test_scores(scores, text):
    scores = np.asarray(scores)
    assert doubt(BOXES[: len(scores)], scores, SIZE) == text


def test_normalised_boxes():
    boxes = BOXES / np.array([*SIZE, *SIZE])
    text = "all 70 boxes lie within 0.0156 to 0.938: expected pixels, are they normalised?"
    assert doubt(boxes, SCORES) == doubt(boxes, None, SIZE) == text
    assert str(doubt(1.1 * boxes - 0.05)).startswith("all 70 boxes lie within -0.0328 to 0.981: ")
    assert doubt(boxes[:1]) is not None
    assert doubt(np.concatenate([boxes, BOXES[:1]])) is None


def test_corners_read_as_sizes():
    wrong = np.hstack([CORNER, CORNER + BOXES[:, 2:]])
    found = doubt(wrong, SCORES, SIZE)
    assert found == (
        "66% of 70 boxes reach far beyond the picture of 640x480, up to 1140, 820: "
        "are they x2, y2 in place of width and height?"
    )
    assert doubt(wrong, SCORES) is None  # the size is needed
    assert doubt(wrong[-9:], SCORES[-9:], SIZE) is None  # too few


def test_boxes_of_another_picture_size():
    assert str(doubt(3 * BOXES, SCORES, SIZE)).endswith("are they of another picture size?")


def test_a_person_close_to_a_camera():
    """All boxes are wider than their distance from the edge."""
    assert doubt(np.tile([100, 50, 500, 480], (50, 1)), None, SIZE) is None


def test_real_detections(data_root):
    checked = 0
    for ini in sorted(data_root.glob("*/**/seqinfo.ini")):
        sequence = Sequence.open(ini.parent)
        boxes = []
        if sequence.ground_truth_path.is_file():
            boxes.append(sequence.ground_truth().boxes + 1)
        if sequence.detections_path.is_file():
            rows = np.concatenate(list(sequence.detections().values()))
            boxes.append(rows[:, :4] + 1)
        for right in boxes:
            assert doubt(right, None, sequence.size) is None, sequence.name
            wrong = np.hstack([right[:, :2], right[:, :2] + right[:, 2:]])
            assert "in place of width" in str(doubt(wrong, None, sequence.size)), sequence.name
            checked += 1
    if not checked:
        pytest.skip(f"no sequences in {data_root}")
