"""Colour histograms: an appearance model without weights, strong within one clip."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sslmot.appearance.crops import crop
from sslmot.inputs import to_numpy
from sslmot.types import ArrayLike, Features

# Chosen on MOT17-09. Results hardly change with nearby numbers.
_CROP = (48, 24)  # height and width, pixels
_STRIPES = 6
_BINS = (8, 4, 4)  # hue, saturation, value
_LEVELS = (16, 8, 8)  # of hue, saturation, value; each level is shared between two bins
_SPREAD = 0.15  # standard deviation of a pixel's weight across the box, in widths of the box


def _shares(levels: int, bins: int, *, circular: bool = False) -> npt.NDArray[np.float32]:
    """Return the share of each level in each bin, (levels, bins): two nearest bins get it."""
    place = (np.arange(levels) + 0.5) * bins / levels - 0.5
    distance = np.abs((place if circular else place.clip(0, bins - 1))[:, None] - np.arange(bins))
    if circular:
        distance = np.minimum(distance, bins - distance)
    shares: npt.NDArray[np.float32] = np.maximum(1 - distance, 0).astype(np.float32)
    return shares


class ColorHistogram:
    """Embeds a person as colour histograms (hue, saturation, value) of six stripes, head to foot.

    Pixels near the vertical axis of the box have the largest weight, since the body is there.
    Pixels outside the frame have none. A feature is the square root of a histogram, so the cosine
    of two features is their Bhattacharyya coefficient: near 1 for one person, about 0.5 for two.

    A :class:`~sslmot.FeatureExtractor`. It can tell people apart within one clip. It does not work
    across cameras or changes of light.

    Attributes:
        fingerprint: Id by which a gallery checks that features are of the same extractor.
    """

    fingerprint: ClassVar[str] = "ColorHistogram"

    def __init__(self) -> None:
        rows, columns = _CROP
        across = (np.arange(columns) + 0.5) / columns - 0.5
        self._weights = np.exp(-0.5 * (across / _SPREAD) ** 2)
        self._stripes = (np.arange(rows) * _STRIPES // rows)[:, None]
        hue, saturation, value = zip(_LEVELS, _BINS, strict=True)
        self._hue_shares = _shares(*hue, circular=True)
        self._other_shares = np.kron(_shares(*saturation), _shares(*value))

    @property
    def dim(self) -> int:
        """Width of a feature."""
        return _STRIPES * int(np.prod(_BINS))

    def __call__(self, frame: ArrayLike, boxes: ArrayLike) -> Features:
        """Embed each box.

        Args:
            frame: (H, W, 3) uint8, BGR.
            boxes: (N, 4) numbers, xyxy pixels.

        Returns:
            (N, 768) float32, rows of length 1. Zeros for a box without area or outside the frame.

        Raises:
            ValueError: As for `crops.crop`.
        """
        import cv2  # it takes half of the import time of sslmot, so it is imported on first use

        # Colours become 255 to 256, padding stays 0. Smaller values are mixed with padding.
        crops = to_numpy(crop(frame, boxes, _CROP, mean=(-255,) * 3, std=(1, 1, 1)), "crops")
        n = len(crops)
        if n == 0:
            return np.zeros((0, self.dim), np.float32)
        weights = self._weights * (crops[:, 0] > 254.9)
        rgb = np.clip(crops - 255, 0, 1).transpose(0, 2, 3, 1).reshape(-1, _CROP[1], 3)
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).reshape(n, *_CROP, 3)

        # One bincount over (box, stripe, level) for all boxes, then levels are shared to bins.
        index = np.arange(n)[:, None, None] * _STRIPES + self._stripes
        for channel, (levels, largest) in enumerate(zip(_LEVELS, (360, 1, 1), strict=True)):
            level = (hsv[..., channel] * (levels / largest)).astype(np.intp)
            index = index * levels + np.minimum(level, levels - 1)
        size = n * _STRIPES * int(np.prod(_LEVELS))
        counts = np.bincount(index.ravel(), weights.ravel(), size).astype(np.float32)
        colours = counts.reshape(-1, len(self._other_shares)) @ self._other_shares
        shares = (self._hue_shares.T @ colours.reshape(n, _STRIPES, _LEVELS[0], -1)).reshape(n, -1)
        features: Features = np.sqrt(shares / np.maximum(shares.sum(1, keepdims=True), 1e-9))
        return features
