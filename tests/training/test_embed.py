"""Features of a set of crops equal those of its images as boxes of a frame."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("kornia")

from sslmot.appearance.encoder import Encoder, EncoderConfig  # noqa: E402
from sslmot.appearance.histogram import ColorHistogram  # noqa: E402
from sslmot.data.crops import CropSet  # noqa: E402
from sslmot.training.embed import by_encoder, by_histogram  # noqa: E402


def crop_set(n, size=(80, 40)):
    images = np.random.default_rng(0).integers(0, 256, (n, *size, 3), np.uint8)
    unknown = np.full(n, -1, np.int64)
    return CropSet(images, np.zeros(n, np.int32), unknown, unknown, ("a",))


@pytest.mark.parametrize("n", [0, 1, 300])
def test_features_of_a_set(n):
    crops = crop_set(n)
    config = EncoderConfig("resnet18", (64, 32), projection=None, feature="backbone", middle=0.75)
    extractors = (Encoder(config, device="cpu", bfloat16=False), ColorHistogram())
    sets = (by_encoder(crops.images, extractors[0]), by_histogram(crops))
    for extractor, features in zip(extractors, sets, strict=True):
        assert features.shape == (n, extractor.dim)
        assert features.dtype == np.float32
        for row in {0, n // 2, n - 1} if n else ():
            frame = np.ascontiguousarray(crops.images[row, ..., ::-1])
            expected = extractor(frame, [[0, 0, 40, 80]])[0]
            np.testing.assert_allclose(features[row], expected, rtol=1e-3, atol=1e-3)
