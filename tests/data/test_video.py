"""Crops of videos and sequences."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.data.crops import cut
from sslmot.data.mot import Sequence
from sslmot.data.tracklets import in_view_together
from sslmot.data.video import (
    MIN_HEIGHT,
    Video,
    crops_of_frames,
    frames_with_detections,
    read_sequence_crops,
    read_video_crops,
)

SIZE = (16, 8)


def frame(t, height=64, width=96):
    """Return a frame with different pixels at each place and time."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 2, y * 3, np.full_like(x, 20 * t)], axis=2).astype(np.uint8)


def write_video(path, frames, codec="FFV1"):  # FFV1 is lossless
    height, width = frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (width, height))
    assert writer.isOpened()
    for image in frames:
        writer.write(image)
    writer.release()
    return path


def damaged_picture(path, t):
    """Overwrite picture ``t`` of an AVI with JPEGs by zeros."""
    data = bytearray(path.read_bytes())
    place = data.index(b"movi")
    for _ in range(t):
        place = data.index(b"00dc", place) + 8
    length = int.from_bytes(data[place - 4 : place], "little")
    data[place : place + length] = bytes(length)
    path.write_bytes(data)
    return path


@pytest.fixture
def video(tmp_path):
    return write_video(tmp_path / "street.avi", [frame(t) for t in range(1, 5)])


def detections(path, *lines):
    """Write lines ``frame, left, top, width, height``, from 1."""
    rows = [f"{t},-1,{left},{top},{width},{height},0.9\n" for t, left, top, width, height in lines]
    path.write_text("".join(rows))
    return path


# Crops of a video.


def test_crops_are_cut_from_their_frames(video, tmp_path):
    path = detections(
        tmp_path / "det.txt",
        (3, 41, 5, 20, 40),
        (1, 11, 3, 20, 40),
        (1, 61, 11, 16.5, 33.25),
        (2, 12, 3, 20, 40),
    )
    crops = read_video_crops(video, path, SIZE)
    assert crops.frames.tolist() == [1, 1, 2, 3]
    assert crops.clip_names == ("street.avi",)
    assert crops.clips.tolist() == [0] * 4
    assert crops.tracklets.tolist() == [0, -1, 0, -1]
    decoded = {t: image for t, image, _ in Video(video)}
    boxes = {1: [[10, 2, 30, 42], [60, 10, 76.5, 43.25]], 2: [[11, 2, 31, 42]]}
    boxes[3] = [[40, 4, 60, 44]]
    expected = np.concatenate([cut(decoded[t], b, SIZE) for t, b in boxes.items()])
    np.testing.assert_array_equal(crops.images, expected)
    red, _, _ = crops.images.transpose(3, 0, 1, 2).astype(float)
    np.testing.assert_allclose(red.mean(axis=(1, 2)), [20, 20, 40, 60], atol=3)  # RGB


def test_long_footage_uses_only_some_frames(video, tmp_path, monkeypatch):
    path = detections(tmp_path / "det.txt", *((t, 10 + t, 3, 20, 40) for t in range(1, 5)))
    monkeypatch.setattr("sslmot.data.video.MOST_CROPS", 2)
    crops = read_video_crops(video, path, SIZE)
    assert crops.frames.tolist() == [2, 4]
    assert crops.tracklets.tolist() == [0, 0]  # linked through the frames between
    expected = cut({t: image for t, image, _ in Video(video)}[4], [[13, 2, 33, 42]], SIZE)
    np.testing.assert_array_equal(crops.images[1:], expected)


@pytest.mark.parametrize(
    ("lines", "got"),
    [([], "none"), ([(7, 1, 1, 20, 40), (9, 1, 1, 20, 40)], "frames 7 to 9")],
)
def test_detections_that_match_no_frame(video, tmp_path, lines, got):
    path = detections(tmp_path / "det.txt", *lines)
    expected = rf"det\.txt: expected detections in the 4 frames of .*street\.avi, got {got}"
    with pytest.raises(ValueError, match=expected):
        read_video_crops(video, path, SIZE)


def test_detections_beyond_the_end_give_a_warning(video, tmp_path):
    path = detections(tmp_path / "det.txt", (4, 1, 1, 20, 40), (90, 1, 1, 20, 40))
    with pytest.warns(UserWarning, match="has 4 frames, .* up to frame 90: do they belong"):
        crops = read_video_crops(video, path, SIZE)
    assert crops.frames.tolist() == [4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0,-1,1,1,20,40,1\n", r"det\.txt:1: expected a frame from 1"),
        ("1,-1,1,1,20,40,1\nx,-1,1,1,20,40,1\n", r"det\.txt:2: expected numbers"),
        ("nan,-1,1,1,20,40,1\n", r"det\.txt:1: expected"),
        ("inf,-1,1,1,20,40,1\n", r"det\.txt:1: expected"),
        ("1e300,-1,1,1,20,40,1\n", r"det\.txt:1: expected"),
        ("1.5,-1,1,1,20,40,1\n", r"det\.txt:1: expected a frame from 1"),
        ("1e9,-1,1,1,20,40,1\n", r"det\.txt:1: expected a frame from 1 to 10000000"),
        ("1 2 3\n", r"det\.txt:1: expected .* columns"),
    ],
)
def test_malformed_detections(video, tmp_path, text, message):
    (tmp_path / "det.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_video_crops(video, tmp_path / "det.txt", SIZE)


def test_missing_detections(video, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"detections: expected a file .*none\.txt"):
        read_video_crops(video, tmp_path / "none.txt", SIZE)


def test_crops_of_a_damaged_video(tmp_path):
    """The frames after a damaged one keep their numbers."""
    images = [frame(t) for t in range(1, 9)]
    path = damaged_picture(write_video(tmp_path / "a.avi", images, "MJPG"), 3)
    det = detections(tmp_path / "det.txt", *((t, 11, 3, 20, 40) for t in range(1, 9)))
    with pytest.warns(UserWarning, match=r"a\.avi: 1 of 8 frames cannot be read, .* frame 3"):
        crops = read_video_crops(path, det, SIZE)
    assert crops.frames.tolist() == [1, 2, 4, 5, 6, 7, 8]
    red = crops.images[..., 0].mean(axis=(1, 2))
    np.testing.assert_allclose(red, 20.0 * crops.frames, atol=4)
    with pytest.warns(UserWarning, match=r"a\.avi: 1 of 5 frames cannot be read"):
        found = list(frames_with_detections(Video(path), det, 5))
    assert [(t, image is None) for t, image in found] == [(t, t == 3) for t in range(1, 6)]


# Crops of frames.


def rows(*boxes):
    return np.array(boxes, np.float32).reshape(-1, 4)


def test_boxes_are_clipped_to_the_frame():
    found = {1: rows([-10, -5, 20, 50], [80, 30, 106, 80])}
    crops = crops_of_frames([(1, frame(1))], found, SIZE, "a")
    inside = [[0, 0, 20, 50], [80, 30, 96, 64]]
    np.testing.assert_array_equal(crops.images[:1], cut(frame(1), inside[:1], SIZE))
    # 34 of 50 rows and 16 of 26 columns of the second are inside: less than half.
    assert len(crops) == 1


def test_small_boxes_and_boxes_outside_the_frame_are_left_out():
    found = {
        1: rows(
            [10, 10, 20, 10 + MIN_HEIGHT],
            [10, 10, 20, 9.5 + MIN_HEIGHT],
            [10, 45, 30, 45 + MIN_HEIGHT],  # 19 rows are left
            [200, 10, 220, 60],
            [-20, 10, 20, 60],  # half inside
            [-21, 10, 20, 60],
        )
    }
    crops = crops_of_frames([(1, frame(1))], found, SIZE, "a")
    expected = cut(frame(1), [found[1][0], [0, 10, 20, 60]], SIZE)
    np.testing.assert_array_equal(crops.images, expected)


def test_frames_without_detections_and_detections_without_frames():
    found = {2: rows([0, 0, 20, 40]), 3: rows(), 9: rows([0, 0, 20, 40])}
    crops = crops_of_frames([(t, frame(t)) for t in (1, 2, 3, 4)], found, SIZE, "a")
    assert crops.frames.tolist() == [2]
    crops = crops_of_frames([], {}, SIZE, "a")
    assert len(crops) == 0
    assert crops.images.shape == (0, *SIZE, 3)
    assert crops.clip_names == ("a",)


def test_scores_and_classes_are_not_used():
    found = {1: np.array([[0, 0, 20, 40, -3, 1], [40, 0, 60, 40, 60, 7]], np.float32)}
    assert len(crops_of_frames([(1, frame(1))], found, SIZE, "a")) == 2


@settings(max_examples=15, deadline=None)
@given(st.lists(st.lists(st.integers(0, 70), max_size=3), min_size=1, max_size=4))
def test_rows_match(lefts):
    found = {t: rows(*([x, 4, x + 20, 44] for x in xs)) for t, xs in enumerate(lefts, 1)}
    crops = crops_of_frames([(t, frame(t)) for t in found], found, SIZE, "a")
    expected = [(t, b) for t, boxes in found.items() for b in boxes]
    assert len(crops) == len(expected)
    for i, (t, box) in enumerate(expected):
        assert crops.frames[i] == t
        np.testing.assert_array_equal(crops.images[i], cut(frame(t), box[None], SIZE)[0])


# Sequences of MOTChallenge.


def test_a_sequence_by_its_public_detections(data_root, tmp_path):
    source = data_root / "MOT17" / "train" / "MOT17-09-FRCNN"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    whole = Sequence.open(source)
    # A sequence of its first three frames, without labels.
    (tmp_path / "MOT17-09-FRCNN" / "det").mkdir(parents=True)
    text = (source / "seqinfo.ini").read_text().replace("seqLength=525", "seqLength=3")
    (tmp_path / "MOT17-09-FRCNN" / "seqinfo.ini").write_text(text)
    lines = [
        line
        for line in whole.detections_path.read_text().splitlines(keepends=True)
        if line.partition(",")[0] in ("1", "2", "3")
    ]
    (tmp_path / "MOT17-09-FRCNN" / "det" / "det.txt").write_text("".join(lines))
    (tmp_path / "MOT17-09-FRCNN" / "img1").symlink_to(whole.image_dir)
    short = Sequence.open(tmp_path / "MOT17-09-FRCNN")
    crops = read_sequence_crops(short, (32, 16))
    found = short.detections()
    assert len(crops) == sum(map(len, found.values())) >= 9
    assert crops.clip_names == ("MOT17-09-FRCNN",)
    expected = cut(whole.frame(2), found[2][:, :4], (32, 16))
    np.testing.assert_array_equal(crops.images[crops.frames == 2], expected)
    linked = crops.tracklets >= 0
    assert linked.mean() > 0.5
    numbers, counts = np.unique(crops.tracklets[linked], return_counts=True)
    assert counts.max() == 3
    assert len(in_view_together(crops)) <= len(numbers) * (len(numbers) - 1) // 2
    assert len(in_view_together(crops)) > 0


def test_a_sequence_without_frames(data_root):
    path = data_root / "MOT17" / "train" / "MOT17-02-FRCNN"
    if not path.is_dir():
        pytest.skip(f"no {path}")
    with pytest.raises(FileNotFoundError, match=r"MOT17-02-FRCNN: expected frames such as .*img1"):
        read_sequence_crops(Sequence.open(path), SIZE)
