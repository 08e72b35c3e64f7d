"""Features of all crops of a set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sslmot.appearance.encoder import Encoder
from sslmot.appearance.histogram import ColorHistogram
from sslmot.data.crops import CropSet
from sslmot.training.augment import to_network
from sslmot.types import Features

_BATCH = 256


def by_encoder(images: npt.NDArray[np.uint8], encoder: Encoder) -> Features:
    """Embed (N, h, w, 3) RGB images by an encoder, without augmentation: (N, D) float32."""
    c = encoder.config
    parts = [np.empty((0, encoder.dim), np.float32)]
    for first in range(0, len(images), _BATCH):
        some = torch.from_numpy(np.array(images[first : first + _BATCH]))
        batch = to_network(some.to(encoder.device), c.crop_size, c.mean, c.std, middle=c.middle)
        parts.append(encoder.embed_crops(batch).cpu().numpy())
    return np.concatenate(parts)


def by_histogram(crops: CropSet) -> Features:
    """Embed all crops by colour histograms, which need no training: (N, D) float32."""
    histogram = ColorHistogram()
    height, width = crops.size
    box = [[0, 0, width, height]]
    features = [histogram(image[..., ::-1], box) for image in crops.images]
    return np.concatenate([np.empty((0, histogram.dim), np.float32), *features])
