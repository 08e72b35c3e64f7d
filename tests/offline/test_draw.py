from itertools import combinations

import cv2
import numpy as np
import pytest

from sslmot.offline.draw import Annotator, VideoWriter, annotate, colour, contact_sheet

BOX = np.array([[100, 80, 160, 220]], np.float32)


@pytest.fixture
def frame():
    return np.full((360, 640, 3), 127, np.uint8)


def shift(right):
    return np.array((right, 0, right, 0))


def test_colours_are_stable_and_distinct():
    assert colour(7) == colour(7)
    shades = np.array([[colour(i) for i in range(1, 21)]], np.uint8)
    lab = cv2.cvtColor(shades.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)[0]
    # In this space, a distance of 2 is just visible.
    assert min(np.linalg.norm(a - b) for a, b in combinations(lab, 2)) > 15


def test_annotate_draws_only_the_box_in_its_colour(frame):
    before = frame.copy()
    picture = annotate(frame, [3], BOX)
    assert np.array_equal(frame, before)
    assert picture.shape == frame.shape
    assert picture.dtype == np.uint8
    for y, x in ((150, 100), (150, 159), (219, 130)):  # left, right, below
        assert tuple(picture[y, x]) == colour(3)
    assert np.array_equal(picture[90:210, 110:150], frame[90:210, 110:150])  # inside
    changed = (picture != frame).any(axis=2)
    assert not changed[:, 165:].any()
    assert not changed[225:].any()
    assert not changed[:50].any()
    assert changed[55:79, 100:115].any()  # the label is above the box


def test_other_ids_have_other_labels(frame):
    one, other = annotate(frame, [1], BOX), annotate(frame, [11], BOX)
    assert not np.array_equal(one, other)


def test_boxes_out_of_the_frame_are_clipped(frame):
    boxes = [[-50, -40, 60, 100], [600, 300, 900, 900], [700, 10, 800, 90], [30, 400, 60, 500]]
    picture = annotate(frame, [1, 2, 3, 4], boxes)
    assert tuple(picture[50, 59]) == colour(1)
    assert tuple(picture[350, 600]) == colour(2)
    assert np.array_equal(annotate(frame, [3, 4], boxes[2:]), frame)


def test_lines_grow_with_the_frame():
    wide = []
    for scale in (1, 4):
        big = np.zeros((360 * scale, 640 * scale, 3), np.uint8)
        picture = annotate(big, [1], BOX * scale)
        row = (picture[150 * scale] == colour(1)).all(axis=1)
        wide.append(row.sum())
    assert wide[1] >= 3 * wide[0]


def test_nothing_to_draw(frame):
    assert np.array_equal(annotate(frame, [], []), frame)
    assert np.array_equal(annotate(frame, np.empty(0, np.int64), np.empty((0, 4))), frame)


@pytest.mark.parametrize(
    ("ids", "boxes", "message"),
    [
        ([1, 2], BOX, r"ids: expected \(1,\) integers, got \(2,\)"),
        ([1.5], BOX, "ids: expected .* float64"),
        ([1], BOX[:, :3], r"boxes: expected \(N, 4\) finite numbers, got \(1, 3\)"),
        ([1], BOX * np.nan, "boxes: expected"),
    ],
)
def test_wrong_arguments_are_named(frame, ids, boxes, message):
    with pytest.raises(ValueError, match=message):
        annotate(frame, ids, boxes)
    with pytest.raises(ValueError, match=message):
        Annotator()(frame, ids, boxes)
    with pytest.raises(ValueError, match=r"frame: expected \(H, W, 3\) uint8"):
        annotate(frame[..., 0], [1], BOX)


def test_trails_follow_the_feet_and_are_bounded(frame):
    annotator = Annotator(trail=10)
    before = frame.copy()
    for t in range(50):
        picture = annotator(frame, [1], BOX + shift(6 * t))
    assert np.array_equal(frame, before)
    assert list(annotator.trails) == [1]
    assert annotator.trails[1] == [(130 + 6 * t, 220) for t in range(40, 50)]
    change = np.abs(picture[220].astype(int) - frame[220]).max(axis=1)
    assert change[: 130 + 6 * 40 - 2].max() == 0  # dropped
    assert 0 < change[130 + 6 * 41] < change[130 + 6 * 44]  # faded


def test_trails_of_vanished_ids_are_dropped(frame):
    annotator = Annotator(trail=5)
    for t in range(1000):
        annotator(frame, [t], BOX)
        assert len(annotator.trails) <= 5
    for _ in range(5):
        annotator(frame, [], [])
    assert annotator.trails == {}


def test_a_trail_continues_after_a_gap(frame):
    annotator = Annotator(trail=30)
    annotator(frame, [1], BOX)
    for _ in range(10):
        annotator(frame, [], [])
    picture = annotator(frame, [1], BOX + shift(200))
    assert annotator.trails[1] == [(130, 220), (330, 220)]
    assert (picture[220, 200] != frame[220, 200]).any()


def test_no_trails(frame):
    annotator = Annotator(trail=0)
    for t in range(3):
        picture = annotator(frame, [1], BOX + t)
    assert annotator.trails == {}
    assert np.array_equal(picture, annotate(frame, [1], BOX + 2))
    with pytest.raises(ValueError, match="trail: expected 0 or more frames, got -1"):
        Annotator(trail=-1)


def test_video_reads_back(tmp_path, frame):
    path = tmp_path / "crowd.mp4"
    with VideoWriter(path, 25) as video:
        for t in range(12):
            video.write(annotate(frame, [1], BOX + 10 * t))
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(25)
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    assert len(frames) == 12
    assert frames[0].shape == frame.shape
    assert np.abs(frames[0].astype(int) - annotate(frame, [1], BOX)).mean() < 5
    with pytest.raises(OSError, match=r"crowd\.mp4: the video is closed"):
        video.write(frame)


def test_video_errors_name_the_path_and_the_size(tmp_path, frame):
    path = tmp_path / "missing" / "crowd.mp4"
    with pytest.raises(OSError, match=r"missing.crowd\.mp4: cannot write"):
        VideoWriter(path, 25).write(frame)
    with VideoWriter(tmp_path / "crowd.mp4", 25) as video:
        video.write(frame)
        with pytest.raises(ValueError, match="frame: expected 640x360 pixels, got 320x360"):
            video.write(frame[:, :320])
        with pytest.raises(ValueError, match=r"frame: expected .* float64"):
            video.write(frame / 2)


def test_contact_sheet():
    frames = [np.full((90, 160, 3), shade, np.uint8) for shade in (0, 50, 100, 150, 200)]
    sheet = contact_sheet(frames, 3, captions=["before"], width=960)
    height, width = sheet.shape[:2]
    assert abs(width - 960) < 4
    cell = width / 3, height / 2
    for i, shade in enumerate((0, 50, 100, 150, 200, 255)):  # the last cell is empty
        row, column = divmod(i, 3)
        y, x = round((row + 0.5) * cell[1]), round((column + 0.5) * cell[0])
        assert (sheet[y, x] == shade).all()
    assert (sheet[10:20, 10:20] > 200).any()  # the caption on the first, black frame
    assert frames[0].max() == 0


def test_contact_sheet_errors(frame):
    with pytest.raises(ValueError, match="at least one of each, got 0, 2"):
        contact_sheet([], 2)
    with pytest.raises(ValueError, match="at least one of each, got 1, 0"):
        contact_sheet([frame], 0)
    with pytest.raises(ValueError, match="frames: expected one size"):
        contact_sheet([frame, frame[:100]], 2)
