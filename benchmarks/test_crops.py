"""Crops of a 1080p frame, resized and normalised: sslmot, a loop over OpenCV, ROI align.

    pytest benchmarks/test_crops.py --benchmark-columns=median,iqr,rounds

All return (N, 3, 128, 64) float32. ``cv2 linear`` reads four pixels per pixel of the crop, for any
box size. It is fast but has aliasing. ``cv2 area`` and sslmot average all pixels of the box. The
error from the antialiased definition (``tests/crop_reference.py``) is asserted, and printed as
``error``: root mean square, in units of the normalised crop.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslmot.appearance.crops import IMAGENET_MEAN, IMAGENET_STD, crop

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from crop_reference import crop_reference

SIZE = (128, 64)
HEIGHT, WIDTH = 1080, 1920


def picture():
    """Make an image with detail of all sizes, as in photographs."""
    rng = np.random.default_rng(0)
    image = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for scale in (1, 2, 4, 8, 16, 32, 64):
        noise = rng.standard_normal((HEIGHT // scale + 1, WIDTH // scale + 1, 3), np.float32)
        image += cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + 25 * image, 0, 255).astype(np.uint8)


FRAME = picture()


def people(n):
    """Make boxes of whole pixels, 80 to 400 high. Some extend beyond the frame."""
    rng = np.random.default_rng(n)
    height = np.exp(rng.uniform(np.log(80), np.log(400), n))
    size = np.stack([0.4 * height, height], axis=1)
    corner = rng.uniform(-0.1, 1, (n, 2)) * (WIDTH, HEIGHT) - 0.5 * size
    corner = np.clip(corner, -0.3 * size, np.array([WIDTH, HEIGHT]) - 0.7 * size)
    return np.hstack([corner, corner + size]).round().astype(np.float32)


def by_cv2(boxes, interpolation):
    """Crop with the fastest known loop: plane by plane, without a float image."""
    crops = np.empty((len(boxes), 3, *SIZE), np.float32)
    mean, std = (np.array(v, np.float32) for v in (IMAGENET_MEAN, IMAGENET_STD))
    scale, offset = 1 / (255 * std), mean / std
    beyond_colour = tuple(255 * m for m in IMAGENET_MEAN[::-1])
    for i, (x1, y1, x2, y2) in enumerate(boxes.astype(int)):
        part = FRAME[max(y1, 0) : y2, max(x1, 0) : x2]
        beyond = (max(-y1, 0), max(y2 - HEIGHT, 0), max(-x1, 0), max(x2 - WIDTH, 0))
        if any(beyond):
            part = cv2.copyMakeBorder(part, *beyond, cv2.BORDER_CONSTANT, value=beyond_colour)
        resized = cv2.resize(part, SIZE[::-1], interpolation=interpolation)
        for c, plane in enumerate(reversed(cv2.split(resized))):
            np.multiply(plane, scale[c], out=crops[i, c])
            crops[i, c] -= offset[c]
    return crops


def by_roi_align(boxes):
    """Crop with torchvision only: normalise the frame, then average over its boxes."""
    import torch

    rois = torch.from_numpy(np.hstack([np.zeros((len(boxes), 1), np.float32), boxes]))
    return _roi_align()(_tensor(), rois, SIZE, sampling_ratio=-1, aligned=True).numpy()


def _roi_align():
    reason = "torchvision is not installed, or not for this torch"
    return pytest.importorskip("torchvision.ops", reason=reason, exc_type=Exception).roi_align


def _tensor():
    import torch

    mean, std = (np.array(v, np.float32) for v in (IMAGENET_MEAN, IMAGENET_STD))
    normalised = (FRAME[..., ::-1].astype(np.float32) / 255 - mean) / std
    return torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1)))[None]


METHODS = {
    "sslmot": lambda boxes: crop(FRAME, boxes, SIZE),
    "cv2 linear": lambda boxes: by_cv2(boxes, cv2.INTER_LINEAR),
    "cv2 area": lambda boxes: by_cv2(boxes, cv2.INTER_AREA),
    "roi_align": by_roi_align,
}
ERROR = {"sslmot": 1e-5, "cv2 linear": 1, "cv2 area": 0.3, "roi_align": 1}
"""Maximum root mean square error."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.mark.parametrize("n", [10, 50, 200])
@pytest.mark.parametrize("name", METHODS)
def test_crops(benchmark, name, n):
    benchmark.group = f"crops of a 1080p frame, {n} boxes"
    boxes = people(n)
    crops = benchmark(METHODS[name], boxes)
    expected = crop_reference(FRAME, boxes, SIZE, IMAGENET_MEAN, IMAGENET_STD)
    error = float(np.sqrt(np.mean((crops - expected) ** 2)))
    benchmark.extra_info["error"] = round(error, 7)
    assert error < ERROR[name]
