"""SSIM against a plain float64 loop over its windows."""

import numpy as np
import pytest

from sslmot.pngan.quality import ssim


def reference(a, b):
    """Wang et al., 2004, equation 13, window by window."""
    offset = np.arange(11) - 5
    weights = np.exp(-(offset[:, None] ** 2 + offset[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for channel in range(3):
        for top in range(a.shape[0] - 10):
            for left in range(a.shape[1] - 10):
                x, y = (
                    image[top : top + 11, left : left + 11, channel].astype(np.float64)
                    for image in (a, b)
                )
                mx, my = (weights * x).sum(), (weights * y).sum()
                vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
                cov = (weights * (x - mx) * (y - my)).sum()
                values.append(
                    (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
                )
    return np.mean(values)


def images(n=4, size=(24, 16)):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (n, *size, 3), dtype=np.uint8)
    noise[1] = 255
    return noise


def test_as_the_loop():
    a = images()
    rng = np.random.default_rng(1)
    b = np.clip(a + rng.normal(0, 40, a.shape), 0, 255).astype(np.uint8)
    got = ssim(a, b)
    assert got.dtype == np.float64
    assert got.shape == (4,)
    np.testing.assert_allclose(got, [reference(x, y) for x, y in zip(a, b, strict=True)], atol=1e-9)


def test_equal_and_opposite():
    a = images()
    np.testing.assert_allclose(ssim(a, a), 1, atol=1e-12)
    assert ssim(a[:1], 255 - a[:1])[0] < -0.5
    assert ssim(a[:0], a[:0]).shape == (0,)


def test_wrong_images():
    a = images()
    with pytest.raises(ValueError, match=r"^a: expected \(n, h, w, 3\) uint8, got .* float32"):
        ssim(a.astype(np.float32), a)
    with pytest.raises(ValueError, match=r"^b: expected \(n, h, w, 3\) uint8, got \(24, 16, 3\)"):
        ssim(a, a[0])
    with pytest.raises(ValueError, match=r"^b: expected \(4, 24, 16, 3\) uint8 .*, got \(3, 24"):
        ssim(a, a[:3])
    with pytest.raises(ValueError, match=r"^a: expected images of 11x11 pixels or more, got"):
        ssim(a[:, :10], a[:, :10])
