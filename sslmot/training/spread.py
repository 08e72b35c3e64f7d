"""Spreading of features, so that cosines of different encoders compare.

A ReLU gives no negative numbers, so all cosines are high, those of different people too.
Subtracting a part of the mean feature spreads them. Two random crops mostly show different people;
with a median cosine of 0.5 between them, the tracker's thresholds for histograms fit the encoder.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sslmot.appearance.encoder import Encoder

_MEDIAN = 0.5


def spread(encoder: Encoder, crops: Tensor) -> None:
    """Set the normalisation after the backbone to subtract a part of the mean, and nothing else.

    Args:
        encoder: Its projection must be a normalisation alone; changed in place.
        crops: (N, 3, height, width) normalised, of many people.
    """
    projection = encoder.network.projection
    assert projection is not None
    assert isinstance(projection[-1], nn.BatchNorm1d)
    norm = projection[-1]
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.inference_mode():
        features = encoder.network.eval().backbone(crops).float()
        mean = features.mean(dim=0)
        low, high = 0.0, 1.0
        for _ in range(20):
            part = (low + high) / 2
            if _median_cosine(features - part * mean) > _MEDIAN:
                low = part
            else:
                high = part
        norm.running_mean.copy_(low * mean)
        norm.running_var.fill_(1 - norm.eps)


def _median_cosine(features: Tensor) -> float:
    unit = torch.nn.functional.normalize(features, dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), offset=1)
    return float((unit @ unit.T)[first, second].median())
