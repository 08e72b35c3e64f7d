"""The default encoder on one core, beside the ResNet-18 that is trained from random weights.

    pytest benchmarks/test_encoder.py --benchmark-columns=median,iqr,rounds

The time is that of a batch; divide it by the number of crops.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install sslmot[encoder]")

from sslmot.appearance.encoder import Encoder, EncoderConfig  # noqa: E402

RESNET = EncoderConfig("resnet18", projection=(), parts=4, middle=0.8, ibn=True)


@pytest.mark.parametrize("crops", [1, 8, 20])
@pytest.mark.parametrize("name", ["default", "resnet18"])
def test_crops(benchmark, name, crops):
    benchmark.group = f"{crops} crops of 128x64, float32"
    options = {"device": "cpu", "bfloat16": False}
    encoder = Encoder.load(**options) if name == "default" else Encoder(RESNET, **options)
    images = torch.randn(crops, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    features = benchmark(encoder.embed_crops, images)
    with torch.inference_mode():
        expected = encoder.network.eval()(images)
    assert torch.cosine_similarity(features, expected).min() > 0.9999
