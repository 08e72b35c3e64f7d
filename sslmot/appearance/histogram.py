"""Colour histograms: an appearance model without weights, strong within one clip."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sslmot.appearance.crops import crop
from sslmot.inputs import to_numpy
from sslmot.types import ArrayLike, Features

# Chosen on MOT17-09; neighbours of each number do about as well.
_CROP = (48, 24)  # height and width, pixels
_STRIPES = 6
_BINS = (8, 4, 4)  # hue, saturation, value
_LEVELS = (16, 8, 8)  # of a pixel's hue, saturation, value, each shared out between two bins
_SPREAD = 0.15  # of the weight across the box, in its width


def _shares(levels: int, bins: int, *, circular: bool = False) -> npt.NDArray[np.float32]:
    """(levels, bins): how a level is shared between its two nearest bins."""
    place = (np.arange(levels) + 0.5) * bins / levels - 0.5
    distance = np.abs((place if circular else place.clip(0, bins - 1))[:, None] - np.arange(bins))
    if circular:
        distance = np.minimum(distance, bins - distance)
    shares: npt.NDArray[np.float32] = np.maximum(1 - distance, 0).astype(np.float32)
    return shares


class ColorHistogram:
    """Describes a person by the colours (hue, saturation, value) of six stripes, head to foot.

    A pixel counts more the nearer it is to the middle of the box, where the body is, and not at all
    out of the frame. A feature is the square root of a histogram, so the cosine of two is their
    Bhattacharyya coefficient: near 1 for one person, around .5 for two.

    A :class:`~sslmot.FeatureExtractor`. It keeps people of one clip apart; light and cameras that
    change are beyond it.

    Attributes:
        calibration: Fields of :class:`~sslmot.TrackerConfig` that fit it: a little more lenient
            than what ``sslmot calibrate`` finds on MOT17-09, which tracks generated crowds better,
            and that clip no worse.
        fingerprint: What a gallery knows its features by.
    """

    fingerprint: ClassVar[str] = "ColorHistogram"

    calibration: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"tau": 0.216, "min_affinity": 0.2, "lost_affinity": 0.34}
    )

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
        """Describe each box.

        Args:
            frame: (H, W, 3) uint8, BGR.
            boxes: (N, 4) numbers, xyxy pixels.

        Returns:
            (N, 768) float32, rows of length 1; zeros for a box without area or out of the frame.

        Raises:
            ValueError: As `crops.crop`.
        """
        import cv2  # half of the time of importing sslmot, spared to who brings features

        # Padding is 0 and every colour 255 to 256: what an edge of the frame mixes is below.
        crops = to_numpy(crop(frame, boxes, _CROP, mean=(-255,) * 3, std=(1, 1, 1)), "crops")
        n = len(crops)
        if n == 0:
            return np.zeros((0, self.dim), np.float32)
        weights = self._weights * (crops[:, 0] > 254.9)
        rgb = np.clip(crops - 255, 0, 1).transpose(0, 2, 3, 1).reshape(-1, _CROP[1], 3)
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV).reshape(n, *_CROP, 3)

        # One count over (box, stripe, level) for all boxes, then levels are shared out to bins.
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
