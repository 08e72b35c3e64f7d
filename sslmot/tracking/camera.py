"""The motion of the camera between two frames."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot.types import Boxes, Frame

Affine: TypeAlias = npt.NDArray[np.float32]
"""(2, 3) float32: maps a point (x, y, 1) of one frame to the next, pixels."""

# All that follows is in pixels of the small grey frame, which is 320 to 640 wide.
_WIDEST = 640
_STEEP = 12  # grey levels a pixel: edges, on which noise does not look like motion
_STILL_EDGES = 0.075  # the median edge moved less: no need for optical flow
_STILL = 0.25  # no corner of the frame moved more: below the jitter of any detector's boxes
_FASTEST = 0.2  # of the frame's longer side, for its corners
_POINTS, _APART = 200, 12  # the clearest corners, and how far apart
_ENOUGH = 20  # points found again
_WINDOW, _HALVINGS = (15, 15), 4  # around a point, and levels of the pyramid
_SEARCH = (3, 10, 0.01)  # steps for a point, or until they are that short
_INLIER = 1.0  # off the common motion; near things move more than far ones
_AGREE = 0.4  # share of the points; at most .04 of two unrelated frames agree, .3 of noise


class GreyFrame(NamedTuple):
    """A small grey frame, kept to estimate the camera's motion.

    Attributes:
        grey: (h, w) uint8, the frame, halved until no side is above 640 pixels.
        ground: (h, w) uint8, 0 inside of boxes, 255 elsewhere.
        scale: Pixels of the frame in one of ``grey``.
    """

    grey: npt.NDArray[np.uint8]
    ground: npt.NDArray[np.uint8]
    scale: int


def preprocess(frame: Frame, boxes: Boxes) -> GreyFrame:
    """Compute what :func:`camera_motion` needs of a frame.

    Args:
        frame: (H, W, 3) uint8, BGR.
        boxes: (N, 4) float32, xyxy pixels, of objects, which move on their own.
    """
    import cv2  # here: tracking boxes alone does not need it

    grey, scale = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), 1
    # Halves are means of four pixels, nothing is skipped, and have a fast path in OpenCV.
    while max(grey.shape) > _WIDEST and min(grey.shape) > 1:
        h, w = grey.shape[0] // 2, grey.shape[1] // 2
        grey = cv2.resize(grey[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
        scale *= 2
    ground = np.full(grey.shape, 255, np.uint8)
    low = np.floor(boxes[:, :2] / scale).clip(0, max(grey.shape)).astype(int)
    high = np.ceil(boxes[:, 2:] / scale).clip(0, max(grey.shape)).astype(int)
    for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True):
        ground[y1:y2, x1:x2] = 0
    return GreyFrame(np.asarray(grey, np.uint8), ground, scale)


def camera_motion(before: GreyFrame, now: GreyFrame) -> Affine | None:
    """Estimate how the background moved, by the sparse optical flow of corners and RANSAC.

    Args:
        before: The frame before.
        now: This frame, of the same size.

    Returns:
        Rotation, zoom and shift from the pixels of the frame before to those of this one; None if
        the camera stood still, and if it cannot be estimated: too little background, a cut.
    """
    import cv2

    if _edges_stand_still(before, now):
        return None
    corners = np.asarray(
        cv2.goodFeaturesToTrack(before.grey, _POINTS, 0.01, _APART, mask=before.ground, blockSize=5)
    )
    if corners.size < 2 * _ENOUGH:  # OpenCV returns None for no corners
        return None
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        before.grey,
        now.grey,
        corners,
        np.empty_like(corners),
        winSize=_WINDOW,
        maxLevel=_HALVINGS,
        criteria=_SEARCH,
    )
    found = status[:, 0] > 0
    if np.count_nonzero(found) < _ENOUGH:
        return None
    # RANSAC in OpenCV has a generator of its own: the same points give the same motion.
    affine, inliers = cv2.estimateAffinePartial2D(
        corners[found], moved[found], ransacReprojThreshold=_INLIER
    )
    if inliers.mean() < _AGREE:
        return None
    linear, shift = affine[:, :2], affine[:, 2]
    # OpenCV counts from the middle of the first pixel, frames from its corner.
    shift = shift + 0.5 - linear @ (0.5, 0.5)
    h, w = before.grey.shape
    outline = np.array(((0, 0), (w, 0), (0, h), (w, h)))
    fastest = np.linalg.norm(outline @ linear.T + shift - outline, axis=1).max()
    if not _STILL < fastest <= _FASTEST * max(h, w):
        return None
    return np.column_stack((linear, shift * before.scale)).astype(np.float32)


def _edges_stand_still(before: GreyFrame, now: GreyFrame) -> bool:
    """Return whether the background stood still, from the change at its edges.

    It is much faster than optical flow.
    """
    import cv2

    # An edge shows the motion across it: the change of grey, divided by the slope of grey.
    across, down = cv2.spatialGradient(before.grey)  # Sobel: 8 times the slope
    # Every fourth pixel is enough.
    some = np.s_[::2, ::2]
    slope = (np.abs(across[some]) + np.abs(down[some])) / 8
    steep = (slope > _STEEP) & (before.ground[some] > 0)
    change = cv2.absdiff(before.grey, now.grey)[some]
    return bool(steep.any() and np.median(change[steep] / slope[steep]) <= _STILL_EDGES)


def zoom(affine: Affine) -> float:
    """Return by what a motion (2, 3) scales sizes."""
    return float(np.sqrt(np.abs(np.linalg.det(affine[:, :2]))).astype(np.float32))
