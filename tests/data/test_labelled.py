"""Labelled crops: their identities and sources."""

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


@pytest.mark.slow
def test_people_of_market1501(data_root):
    crops, identities = read_labelled(data_root / "Market-1501", (32, 16))
    data = read_market1501(data_root / "Market-1501", (32, 16))
    np.testing.assert_array_equal(identities, data.identities)
    np.testing.assert_array_equal(crops.images, data.crops.images)
    with pytest.raises(ValueError, match="sequences, detector: expected none with Market-1501"):
        read_labelled(data_root / "Market-1501", (32, 16), ["09"])
