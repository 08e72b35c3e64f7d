"""Pictures of a worse camera."""

import numpy as np
import pytest

pytest.importorskip("cv2")

from sslmot import ColorHistogram
from sslmot.evaluation.degrade import Degraded


class Spy:
    """Keeps what it is called with."""

    def __call__(self, frame, boxes):
        self.frame, self.boxes = frame, boxes
        return np.ones((len(boxes), 2), np.float32)


def scene(seed=0):
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    frame[:, :150] = (200, 40, 10)
    return frame, np.array([[10, 20, 80, 160], [160, 5, 230, 145], [5, 0, 60, 128]], np.float32)


def test_each_crop_is_a_picture_of_its_own():
    frame, boxes = scene()
    before = frame.copy()
    spy = Spy()
    features = Degraded(spy)(frame, boxes)
    assert features.shape == (3, 2)
    assert spy.frame.shape == (3 * 128, 64, 3)
    assert spy.frame.dtype == np.uint8
    np.testing.assert_array_equal(spy.boxes, [[0, 128 * i, 64, 128 * i + 128] for i in range(3)])
    np.testing.assert_array_equal(frame, before)


def test_detail_goes_and_colour_stays():
    frame, boxes = scene()
    spy = Spy()
    Degraded(spy)(frame, boxes)
    blue, noise, _ = np.split(spy.frame.astype(float), 3)
    assert noise.std((0, 1)).max() < 0.6 * frame[:, 150:].std()
    colour = blue.mean((0, 1))
    assert colour.argmax() == 0
    assert (blue.std((0, 1)) < 12).all()
    # The light is another: gamma and gains move the colour, but not beyond their limits.
    expected = np.array([200, 40, 10]) / 255
    low, high = 255 * 0.84 * expected**1.5, 255 * 1.16 * expected ** (1 / 1.5)
    assert (low - 3 <= colour).all()
    assert (colour <= np.minimum(high, 255) + 3).all()


def test_a_seed_decides():
    frame, boxes = scene()
    first, same, other = (Degraded(ColorHistogram(), seed)(frame, boxes) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_crop_is_degraded_alike_in_any_order():
    frame, boxes = scene()
    degraded = Degraded(ColorHistogram())
    together = degraded(frame, boxes)
    np.testing.assert_array_equal(degraded(frame, boxes[::-1]), together[::-1])


def test_no_boxes():
    frame, _ = scene()
    spy = Spy()
    assert Degraded(spy)(frame, np.zeros((0, 4), np.float32)).shape == (0, 2)
