"""The data of a study: what is found, what is missing, and that nothing scored is learned from."""

import cv2
import numpy as np
import pytest

from sslmot.data.mot import GroundTruth, write_sequence
from sslmot.study.sources import EVALUATED, TRAINED, find_sources


def write(root, name, frames=True, truth=True):
    boxes = np.array([[10, 10, 30, 60]], np.float32)
    annotated = GroundTruth(
        frames=np.array([1]),
        ids=np.array([1]),
        boxes=boxes,
        considered=np.array([True]),
        classes=np.array([1]),
        visibility=np.array([1.0]),
    )
    detections = {1: np.array([[10, 10, 30, 60, 0.9]], np.float32)}
    sequence = write_sequence(root, name, 30, (64, 64), detections, annotated)
    if not truth:
        sequence.ground_truth_path.unlink()
    if frames:
        (sequence.path / "img1").mkdir()
        picture = np.full((64, 64, 3), 90, np.uint8)
        cv2.imwrite(str(sequence.path / "img1" / "000001.jpg"), picture)


def test_scenes_that_are_scored_are_never_learned_from(tmp_path):
    root = tmp_path / "MOT17" / "train"
    for number in (*TRAINED, *EVALUATED):
        for detector in ("DPM", "FRCNN", "SDP"):
            write(root, f"MOT17-{number}-{detector}")
    sources = find_sources(tmp_path)
    assert [s.name for s in sources.trained] == [f"MOT17-{n}-FRCNN" for n in TRAINED]
    assert [s.name for s in sources.evaluated] == [
        f"MOT17-{n}-{d}" for n in EVALUATED for d in ("DPM", "FRCNN", "SDP")
    ]
    assert sources.missing == ("Market-1501",)
    crops = sources.crops((64, 32))
    assert crops.images.shape == (4, 64, 32, 3)
    assert set(crops.clip_names) == {s.name for s in sources.trained}


def test_what_is_missing_is_named(tmp_path):
    root = tmp_path / "MOT17" / "train"
    write(root, "MOT17-02-FRCNN")
    write(root, "MOT17-05-FRCNN", frames=False)
    write(root, "MOT17-09-FRCNN")
    write(root, "MOT17-13-SDP", truth=False)
    sources = find_sources(tmp_path)
    assert [s.name for s in sources.trained] == ["MOT17-02-FRCNN"]
    assert [s.name for s in sources.evaluated] == ["MOT17-09-FRCNN"]
    assert {"MOT17-05 (training)", "MOT17-13-SDP (evaluation)", "Market-1501"} <= {*sources.missing}


def test_mot16_stands_in_for_mot17(tmp_path):
    for number in ("02", "09"):
        write(tmp_path / "MOT16" / "train", f"MOT16-{number}")
    with pytest.raises(FileNotFoundError, match="expected frames and ground truth of a sequence"):
        find_sources(tmp_path)  # MOT16 has other detections: nothing to be scored on
    write(tmp_path / "MOT17" / "train", "MOT17-09-SDP")
    sources = find_sources(tmp_path)
    assert [s.name for s in sources.trained] == ["MOT16-02"]
    assert [s.name for s in sources.evaluated] == ["MOT17-09-SDP"]


def test_nothing_to_learn_from(tmp_path):
    write(tmp_path / "MOT17" / "train", "MOT17-09-FRCNN")
    with pytest.raises(FileNotFoundError, match="expected Market-1501, or frames of a sequence"):
        find_sources(tmp_path)
