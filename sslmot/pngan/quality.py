"""Similarity of generated and real images."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.inputs import describe

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def ssim(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Compute the structural similarity (Wang et al., 2004) by a Gaussian window of 11x11 pixels.

    It is the mean over all windows inside the image, and over the channels.

    Args:
        a: (n, h, w, 3) uint8, 11 pixels or more on each side.
        b: (n, h, w, 3) uint8, each compared with the same of a.

    Returns:
        (n,) float64, -1 to 1; 1 for equal images.

    Raises:
        ValueError: Shapes or dtypes are wrong, or differ.
    """
    for name, images in (("a", a), ("b", b)):
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f"{name}: expected (n, h, w, 3) uint8, got {describe(images)}")
    if min(a.shape[1:3]) < _WINDOW:
        raise ValueError(f"a: expected images of 11x11 pixels or more, got {describe(a)}")
    if a.shape != b.shape:
        raise ValueError(f"b: expected {describe(a)}, as a, got {describe(b)}")
    return np.array([_ssim(*pair) for pair in zip(a, b, strict=True)], np.float64)


def _ssim(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    # In float32 the variance of a bright uniform patch would be noise.
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x = _blurred(x * x) - mean_x**2
    var_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (var_x + var_y + _C2)
    return float((light * structure).mean())


def _blurred(image: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the weighted means of all windows inside an image: 10 rows and columns fewer."""
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))
    blurred = cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA)
    return np.asarray(blurred[inside, inside], np.float64)
