"""Embed pictures in a page: frames, and crops around boxes."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.types import Frame

CROP = (300, 225)
"""Height and width of a crop, pixels."""

MOST_WIDTH = 1280
"""Limit of the width of a frame, pixels."""

_AROUND = 1.35
"""Height of a crop in heights of its box, so that it shows what is near."""


class Album:
    """Encodes pictures as data URIs, up to a limit.

    Args:
        most: Limit of the characters of all pictures together.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def add(self, picture: Frame, quality: int = 80) -> str | None:
        """Encode a picture as JPEG.

        Args:
            picture: (H, W, 3) uint8, BGR.
            quality: Quality of the JPEG, percent.

        Returns:
            A data URI, None if the album is full.
        """
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        uri = "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
        if len(uri) > self._left:
            return None
        self._left -= len(uri)
        return uri


def shrink(frame: Frame) -> Frame:
    """Return a frame of at most `MOST_WIDTH`."""
    height, width = frame.shape[:2]
    scale = min(1.0, MOST_WIDTH / width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def crop(frame: Frame, box: npt.NDArray[np.float32], colour: str) -> Frame:
    """Cut out a box with what is around it, and outline the box.

    Args:
        frame: (H, W, 3) uint8, BGR.
        box: (4,) xyxy pixels, which may extend beyond the frame.
        colour: Colour of the outline, ``#rrggbb``.

    Returns:
        (`CROP`, 3) uint8, BGR. What lies outside of the frame is grey.
    """
    height, width = CROP
    x1, y1, x2, y2 = box.astype(np.float64).tolist()
    scale = height / (_AROUND * max(y2 - y1, (x2 - x1) * height / width, 1.0))
    # The box in the middle, but nothing from outside of the frame where that can be avoided.
    dx = _offset((x1 + x2) / 2, frame.shape[1], scale, width)
    dy = _offset((y1 + y2) / 2, frame.shape[0], scale, height)
    move = np.array([[scale, 0, dx + (scale - 1) / 2], [0, scale, dy + (scale - 1) / 2]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    if scale < 0.5:
        # warpAffine does not average; shrink the whole frame first.
        half = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        frame = np.asarray(cv2.resize(frame, half, interpolation=cv2.INTER_AREA), np.uint8)
        move[:, :2] = np.eye(2)
        how = cv2.INTER_LINEAR
    cut = cv2.warpAffine(frame, move, (width, height), flags=how, borderValue=(128, 128, 128))
    blue, green, red = (int(colour[i : i + 2], 16) for i in (5, 3, 1))
    corner = round(scale * x1 + dx), round(scale * y1 + dy)
    end = round(scale * x2 + dx) - 1, round(scale * y2 + dy) - 1
    cv2.rectangle(cut, corner, end, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.rectangle(cut, corner, end, (blue, green, red), 2, cv2.LINE_AA)
    return np.asarray(cut, np.uint8)


def _offset(middle: float, whole: int, scale: float, size: int) -> float:
    """Return where the frame begins in a crop, along one axis, in pixels of the crop."""
    centred = size / 2 - scale * middle
    low, high = size - scale * whole, 0.0
    return min(max(centred, low), high) if low <= high else (low + high) / 2
