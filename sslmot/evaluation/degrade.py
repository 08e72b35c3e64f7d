"""Pictures of a worse camera, to measure what an extractor loses by them."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.data.crops import cut
from sslmot.evaluation.reid import column
from sslmot.types import ArrayLike, Boxes, FeatureExtractor, Frame

_SIZE = (128, 64)  # height and width of a crop, pixels


class Degraded:
    """Embeds boxes as a worse camera would show them. A :class:`~sslmot.FeatureExtractor`.

    Each crop is degraded on its own: reduced to a height of 20 to 60 pixels, blurred with a sigma
    of up to 1 pixel, exposed with a gamma of 0.67 to 1.5, each colour times 0.85 to 1.15, noise of
    a deviation of up to 8 of 255 added, JPEG of quality 20 to 60, and enlarged to 128x64.

    Args:
        extractor: The extractor.
        seed: Seed of the random numbers.
    """

    def __init__(self, extractor: FeatureExtractor, seed: int = 0) -> None:
        self._extractor = extractor
        self._seed = seed

    def __call__(self, frame: Frame, boxes: Boxes) -> ArrayLike:
        """Embed each box: (N, D) float32."""
        crops = cut(frame, boxes, _SIZE)
        for image in crops:
            image[:] = self._degraded(image)
        return self._extractor(*column(crops))

    def _degraded(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Degrade a crop: (128, 64, 3) RGB."""
        # By its pixels: what was degraded before does not matter.
        rng = np.random.default_rng([self._seed, crc32(image.tobytes())])
        height = int(rng.integers(20, 61))
        sigma, quality = float(rng.uniform(0.01, 1)), int(rng.integers(20, 61))
        x: Any = cv2.resize(image, (height // 2, height), interpolation=cv2.INTER_AREA)
        x = cv2.GaussianBlur(x[..., ::-1], (0, 0), sigma).astype(np.float32) / 255
        x = x ** np.exp(rng.uniform(-0.4, 0.4)) * rng.uniform(0.85, 1.15, 3)
        x += rng.uniform(0, 8 / 255) * rng.standard_normal(x.shape)
        x = np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8)
        _, data = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, quality])
        x = cv2.imdecode(data, cv2.IMREAD_COLOR)
        x = cv2.resize(x, _SIZE[::-1], interpolation=cv2.INTER_LINEAR)
        degraded: npt.NDArray[np.uint8] = x[..., ::-1]
        return degraded
