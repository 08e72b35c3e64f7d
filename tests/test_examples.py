"""Run the examples unchanged on real data."""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslmot.assignment import iou
from sslmot.data.mot import Sequence, read_detections


@pytest.fixture
def detect(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples")
    import detect

    return detect


@pytest.fixture
def model(data_root):
    return data_root / "weights" / "yolox_nano_416.onnx"


@pytest.fixture
def sequence(data_root):
    return Sequence.open(data_root / "MOT17" / "train" / "MOT17-09-FRCNN")


def test_yolox_finds_people(detect, model, sequence):
    find, truth, best = detect.Yolox(model), sequence.ground_truth(), []
    for t in (1, 250, 500):
        found = find(sequence.frame(t))
        assert found.dtype == np.float32
        people = (truth.frames == t) & truth.considered & (truth.classes == 1)
        overlap = iou(found[:, :4], truth.boxes[people]).max(axis=1)
        best.extend(overlap[found[:, 4] > 0.7])
    assert len(best) >= 6
    assert np.mean(np.array(best) > 0.5) > 0.9


def test_track_reads_the_detections_of_a_video(detect, model, sequence, tmp_path, monkeypatch):
    video = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*"mp4v"), 30, (960, 540))
    for t in (1, 2, 3):
        writer.write(cv2.resize(sequence.frame(t), (960, 540)))
    writer.release()
    output = tmp_path / "det.txt"
    monkeypatch.setattr(sys, "argv", ["detect.py", str(video), str(model), str(output)])
    detect.main()
    found = read_detections(output)
    assert set(found) == {1, 2, 3}
    assert all(rows[:, 4].min() >= 0.1 and rows[:, 4].max() > 0.6 for rows in found.values())
