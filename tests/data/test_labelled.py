"""Labelled crops: their identities and sources."""

import cv2
import numpy as np
import pytest

from sslmot.data import mot
from sslmot.data.crops import cut
from sslmot.data.labelled import read_labelled
from sslmot.data.market1501 import read_market1501


@pytest.mark.slow
def test_people_of_a_sequence(data_root):
    root = data_root / "MOT17" / "train"
    with pytest.warns(UserWarning, match="no frames of MOT17-02-FRCNN, .*: left out"):
        crops, identities = read_labelled(root, (64, 32))
    sequence = mot.sequences(root, "09")[0]
    gt = sequence.ground_truth()
    shown = gt.considered & (gt.classes == mot.PEDESTRIAN) & (gt.visibility >= 0.5)
    assert len(crops) == len(identities) == shown.sum() > 2000
    assert crops.clip_names == (sequence.name,)
    for row in (0, 1000, len(crops) - 1):
        own = shown & (gt.frames == crops.frames[row]) & (gt.ids == identities[row])
        image = cut(sequence.frame(int(crops.frames[row])), gt.boxes[own], (64, 32))[0]
        np.testing.assert_array_equal(crops.images[row], image)


def test_frames_that_cannot_be_read_are_left_out(tmp_path):
    """They are the fields of a crop set, and a warning names the first."""
    gt = mot.GroundTruth(
        frames=np.array([2, 1, 3, 1, 4]),
        ids=np.array([7, 7, 7, 8, 8]),
        boxes=np.float32([[10, 8, 20, 38]] * 5),
        considered=np.ones(5, np.bool_),
        classes=np.ones(5, np.int64),
        visibility=np.ones(5, np.float32),
    )
    empty = dict.fromkeys(range(1, 5), np.empty((0, 5)))
    sequence = mot.write_sequence(tmp_path, "crowd", 30, (64, 48), empty, gt)
    sequence.image_dir.mkdir()
    for t in range(1, 4):
        cv2.imwrite(str(sequence.image_dir / f"{t:06d}.png"), np.full((48, 64, 3), 20 * t, "u1"))
    (sequence.image_dir / "000002.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="2 frames of crowd cannot be read, the first: .*000002"):
        crops, identities = read_labelled(tmp_path, (16, 8))
    assert (crops.frames.tolist(), identities.tolist()) == ([1, 1, 3], [7, 8, 7])
    assert crops.images[:, 0, 0, 0].tolist() == [20, 20, 60]
    assert [line.split("0000")[1][:2] for line in crops.skipped] == ["02", "04"]


@pytest.mark.slow
def test_people_of_market1501(data_root):
    crops, identities = read_labelled(data_root / "Market-1501", (32, 16))
    data = read_market1501(data_root / "Market-1501", (32, 16))
    np.testing.assert_array_equal(identities, data.identities)
    np.testing.assert_array_equal(crops.images, data.crops.images)
    with pytest.raises(ValueError, match="sequences, detector: expected none with Market-1501"):
        read_labelled(data_root / "Market-1501", (32, 16), ["09"])
