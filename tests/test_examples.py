"""The examples, run as they stand on real data."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslmot.data.mot import Sequence, read_detections
from sslmot.data.tracklets import iou

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
MODEL = DATA / "weights" / "yolox_nano_416.onnx"
MOT09 = DATA / "MOT17" / "train" / "MOT17-09-FRCNN"


@pytest.fixture
def detect(monkeypatch):
    for path in (MODEL, MOT09):
        if not path.exists():
            pytest.skip(f"no {path}")
    monkeypatch.syspath_prepend(ROOT / "examples")
    import detect

    return detect


def test_yolox_finds_people(detect):
    sequence = Sequence.open(MOT09)
    found = detect.Yolox(MODEL)(sequence.frame(1))
    assert found.dtype == np.float32
    truth = sequence.ground_truth()
    people = (truth.frames == 1) & truth.considered & (truth.classes == 1)
    best = iou(found[:, :4], truth.boxes[people]).max(axis=1)
    sure = found[:, 4] > 0.7
    assert sure.sum() >= 2
    assert (best[sure] > 0.5).all()


def test_detections_of_a_video_are_what_track_reads(detect, tmp_path, monkeypatch):
    sequence, video = Sequence.open(MOT09), tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 30, (960, 540))
    for t in (1, 2, 3):
        writer.write(cv2.resize(sequence.frame(t), (960, 540)))
    writer.release()
    output = tmp_path / "det.txt"
    monkeypatch.setattr(sys, "argv", ["detect.py", str(video), str(MODEL), str(output)])
    detect.main()
    found = read_detections(output)
    assert set(found) == {1, 2, 3}
    assert all(rows[:, 4].min() >= 0.1 and rows[:, 4].max() > 0.6 for rows in found.values())
