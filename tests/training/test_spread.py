"""Features of any encoder spread alike."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sslmot.appearance.encoder import Encoder, EncoderConfig  # noqa: E402
from sslmot.training.spread import spread  # noqa: E402


def test_random_pairs_have_a_median_cosine_of_a_half():
    config = EncoderConfig("resnet18", crop_size=(64, 32), projection=())
    encoder = Encoder(config, device="cpu", bfloat16=False)
    crops = torch.randn(40, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    before = encoder.network.backbone(crops).detach().double().numpy()
    spread(encoder, crops)
    z = encoder.embed_crops(crops).double().numpy()

    # A part of the mean is subtracted, and nothing else changed.
    gone = before - z
    np.testing.assert_allclose(gone, np.broadcast_to(gone[:1], gone.shape), atol=1e-4)
    part = gone[0] @ before.mean(axis=0) / (before.mean(axis=0) ** 2).sum()
    np.testing.assert_allclose(gone[0], part * before.mean(axis=0), atol=1e-4)
    assert 0 < part < 1

    cosines = []
    for i in range(40):
        for j in range(i):
            lengths = np.linalg.norm(z[i]) * np.linalg.norm(z[j])
            cosines.append(z[i] @ z[j] / lengths)
    assert np.median(cosines) == pytest.approx(0.5, abs=0.01)
