"""Cut the boxes of a frame out as crops of one size, on the CPU or on CUDA."""

from __future__ import annotations

import sys
from typing import Any, TypeAlias

import numpy as np

from sslmot import _core
from sslmot.inputs import check_frame, describe, is_cuda, to_numpy
from sslmot.types import ArrayLike

RGB: TypeAlias = tuple[float, float, float]
"""Numbers for red, green and blue."""

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
"""Mean colour of ImageNet: RGB in 0..1."""

IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet: RGB in 0..1."""


def crop(
    frame: ArrayLike,
    boxes: ArrayLike,
    size: tuple[int, int] = (128, 64),
    mean: RGB = IMAGENET_MEAN,
    std: RGB = IMAGENET_STD,
    *,
    middle: float = 1.0,
) -> Any:
    """Cut boxes out of a frame, resize and normalise them.

    Resizing is bilinear with antialiasing. For a box of whole pixels the result equals torch's
    ``interpolate(mode="bilinear", antialias=True)`` of ``frame[y1:y2, x1:x2]``. A pixel that lies
    partly in the box has a proportional weight. Pixels outside the frame have the mean colour,
    which is 0 in the result. The crop of a box without area is 0.

    Args:
        frame: (H, W, 3) uint8, BGR. Rows may be strided, so a view of a larger image is not copied.
        boxes: (N, 4) numbers, xyxy pixels, finite.
        size: Height and width of a crop, pixels.
        mean: Mean of red, green and blue, in 0..1.
        std: Standard deviation of red, green and blue, above 0.
        middle: Share of the width of a box to cut out, around its centre.

    Returns:
        (N, 3, height, width) float32, RGB, ``(value / 255 - mean) / std``: NumPy for a NumPy frame,
        a torch tensor on the same device for a torch tensor.

    Raises:
        ValueError: An argument has a wrong shape, dtype or range. Boxes in CUDA memory are not
            checked for NaN. A box with NaN is treated as a box without area.
    """
    if len(size) != 2 or not 1 <= min(size) <= max(size) <= 4096:
        raise ValueError(f"size: expected (height, width) of 1 to 4096 pixels, got {size}")
    if len(mean) != 3 or len(std) != 3 or not (np.isfinite([*mean, *std]).all() and min(std) > 0):
        raise ValueError(f"mean, std: expected 3 finite numbers each, std > 0, got {mean}, {std}")
    if not 0 < middle <= 1:
        raise ValueError(f"middle: expected a share above 0, up to 1, got {middle}")
    image = check_frame(frame, None)
    if not (is_cuda(image) and is_cuda(boxes)):
        boxes = np.ascontiguousarray(to_numpy(boxes, "boxes"), np.float32)
    if len(boxes) == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes: expected (N, 4), got {describe(boxes)}")
    if not is_cuda(boxes) and not np.isfinite(boxes).all():
        row = int(np.flatnonzero(~np.isfinite(boxes).all(axis=1))[0])
        raise ValueError(f"boxes: expected finite numbers, got {boxes[row].tolist()} in row {row}")

    if middle < 1:
        near, far = (1 + middle) / 2, (1 - middle) / 2
        left = near * boxes[:, 0] + far * boxes[:, 2]
        right = near * boxes[:, 2] + far * boxes[:, 0]
        boxes = boxes * 1.0  # a copy: the caller's array must not change
        boxes[:, 0], boxes[:, 2] = left, right

    torch: Any = sys.modules.get("torch")
    if is_cuda(image):
        image = image if image.stride()[1:] == (3, 1) else image.contiguous()
        boxes = torch.as_tensor(boxes, dtype=torch.float32, device=image.device).contiguous()
        crops = boxes.new_empty((len(boxes), 3, *size))
        stream = torch.cuda.current_stream(image.device).cuda_stream
        _core.crop(image, boxes, crops, mean, std, True, stream)
        return crops
    # Strided rows are read in place. Any other layout (mirrored, planar, flipped) is copied.
    if image.strides[1:] != (3, 1) or image.strides[0] < 3 * image.shape[1]:
        image = np.ascontiguousarray(image)
    crops = np.empty((len(boxes), 3, *size), np.float32)
    _core.crop(image, boxes, crops, mean, std, True, 0)
    is_tensor = torch is not None and isinstance(frame, torch.Tensor)
    return torch.from_numpy(crops) if is_tensor else crops
