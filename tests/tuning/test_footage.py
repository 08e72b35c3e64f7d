"""Footage is read with its detections, embedded and tracked, on small written data."""

import cv2
import numpy as np
import pytest

from sslmot import Tracker, TrackerConfig
from sslmot.data import mot
from sslmot.tuning.footage import Footage, embed_clip, embed_sequence, embed_video, track

FRAMES, SIZE = 6, (64, 48)
# Frames 2 and 6 have no detections.
DETECTIONS = {
    t: np.float32([[10, 8, 20, 38, 0.9], [30, 8, 40, 38, 0.5]])[: 0 if t in (2, 6) else 2]
    for t in range(1, FRAMES + 1)
}


class Brightness:
    """Embeds each box as the brightness of the frame, and records the calls."""

    def __init__(self):
        self.calls = []

    def __call__(self, frame, boxes):
        self.calls.append((frame.shape, boxes.copy()))
        boxes[:] = 0  # changes of its boxes must have no effect outside
        return np.full((len(boxes), 3), frame.mean())


def frame(t):
    return np.full((*SIZE[::-1], 3), 30 * t, np.uint8)


@pytest.fixture
def sequence(tmp_path):
    sequence = mot.write_sequence(tmp_path, "TINY-01", 25, SIZE, DETECTIONS)
    sequence.image_dir.mkdir()
    for t in range(1, FRAMES + 1):
        cv2.imwrite(str(sequence.image_dir / f"{t:06d}.jpg"), frame(t))
    return sequence


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, SIZE)
    assert writer.isOpened()
    for t in range(1, FRAMES + 1):
        writer.write(frame(t))
    writer.release()
    return path


def check(footage, extractor, frames):
    assert len(footage) == frames
    for t, dets in enumerate(footage.detections, 1):
        np.testing.assert_array_equal(dets, DETECTIONS[t])
        features = footage.embeddings[t - 1]
        assert features.dtype == np.float32
        assert features.shape == (len(dets), 3)
        np.testing.assert_allclose(features, 30 * t, atol=2)
    assert [len(boxes) for _, boxes in extractor.calls] == [2] * 4  # only frames with detections
    for shape, boxes in extractor.calls:
        assert shape == (*SIZE[::-1], 3)
        np.testing.assert_array_equal(boxes, DETECTIONS[1][:, :4])


def test_a_sequence(sequence):
    extractor = Brightness()
    footage = embed_sequence(sequence, extractor)
    assert footage.name == "TINY-01"
    check(footage, extractor, FRAMES)


def test_a_video(sequence, video):
    """Its length is that of its detections: frame 5."""
    extractor = Brightness()
    footage = embed_video(video, sequence.detections_path, extractor)
    assert footage.name == "clip"
    check(footage, extractor, FRAMES - 1)


def test_a_video_shorter_than_its_detections(sequence, video):
    with sequence.detections_path.open("a") as file:
        file.write("9,-1,11,9,10,30,0.9\n")
    with pytest.warns(UserWarning, match="has 6 frames, .* up to frame 9: do they belong"):
        footage = embed_video(video, sequence.detections_path, Brightness())
    assert len(footage) == 9
    np.testing.assert_array_equal(footage.embeddings[8], np.zeros((1, 3)))


def test_motion_only_reads_no_frame(sequence, video):
    for path in sequence.image_dir.iterdir():
        path.unlink()
    for footage in (
        embed_sequence(sequence),
        embed_video(video, sequence.detections_path),
    ):
        assert footage.embeddings is None
        assert footage.frame_rate == 25
        np.testing.assert_array_equal(footage.detections[0], DETECTIONS[1])


def test_a_video_without_detections(video, tmp_path):
    (tmp_path / "det.txt").write_text("")
    with pytest.raises(ValueError, match=r"det\.txt: expected detections, got none"):
        embed_video(video, tmp_path / "det.txt", Brightness())


def test_files_that_are_missing(sequence, video, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.avi"):
        embed_video(tmp_path / "none.avi", sequence.detections_path)
    with pytest.raises(FileNotFoundError, match=r"none\.txt"):
        embed_video(video, tmp_path / "none.txt")
    for path in sequence.image_dir.iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="expected frames"):
        embed_sequence(mot.Sequence.open(sequence.path), Brightness())


def test_a_frame_that_is_missing_has_no_features(sequence):
    expected = embed_sequence(sequence, Brightness())
    (sequence.image_dir / "000001.jpg").unlink()
    with pytest.warns(UserWarning, match="1 of 6 frames cannot be read, the first is frame 1"):
        footage = embed_sequence(mot.Sequence.open(sequence.path), Brightness())
    expected.embeddings[0] *= 0
    for found, features in zip(footage.embeddings, expected.embeddings, strict=True):
        np.testing.assert_array_equal(found, features)


def test_no_detections_at_all_is_motion_only():
    empty = {t: np.empty((0, 5), np.float32) for t in (1, 2)}
    footage = embed_clip("empty", ((t, frame(t)) for t in (1, 2)), empty, Brightness())
    assert (len(footage), footage.embeddings) == (2, None)
    assert [len(result.ids) for result in track(footage, Tracker())] == [0, 0]


def test_features_of_torch():
    torch = pytest.importorskip("torch")

    def extractor(frame, boxes):
        return torch.ones(len(boxes), 7, dtype=torch.bfloat16)

    footage = embed_clip("clip", [(1, frame(1))], {1: DETECTIONS[1]}, extractor)
    assert footage.embeddings[0].dtype == np.float32
    np.testing.assert_array_equal(footage.embeddings[0], np.ones((2, 7)))


@pytest.mark.parametrize("embedded", [True, False])
def test_track_matches_the_tracker(embedded):
    rng = np.random.default_rng(0)
    features, detections, embeddings = np.eye(4, dtype=np.float32), [], []
    for t in range(10):
        order = rng.permutation(4)
        left = order * 50 + t
        dets = np.column_stack([left, 0 * left + 20, left + 30, 0 * left + 100, 0 * left + 0.75])
        detections.append(dets.astype(np.float32))
        embeddings.append(features[order])
    footage = Footage("clip", detections, embeddings if embedded else None)
    config = TrackerConfig(min_hits=2)
    results, tracker = track(footage, Tracker(config)), Tracker(config)
    assert [result.frame for result in results] == list(range(1, 11))
    for t, result in enumerate(results):
        z = embeddings[t] if embedded else None
        tracks = tracker.step(None, detections[t], embeddings=z)
        for field in ("ids", "boxes", "scores"):
            np.testing.assert_array_equal(getattr(result, field), getattr(tracks, field))
    assert sorted(results[-1].ids.tolist()) == [1, 2, 3, 4]
