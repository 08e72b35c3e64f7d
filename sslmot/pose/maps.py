"""Pose maps: images of the limbs, the inputs of a generator."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.pose.joints import LIMBS, Joints, check_joints

MIN_CONFIDENCE = 0.2
"""Joints of lower confidence are left out, with their limbs."""

THICKNESS = 1 / 40
"""Approximate thickness of a limb, in heights of the map; at least a pixel."""

_FRACTION = 4  # bits behind the point of OpenCV's coordinates

# Hues in steps of four, so that limbs that meet differ clearly.
_COLOURS = [
    tuple(round(255 * c) for c in colorsys.hsv_to_rgb(4 * i % 17 / 17, 1, 1)) for i in range(17)
]


def pose_maps(joints: Joints, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Draw the 17 limbs on black, each in its own colour, with subpixel positions.

    Args:
        joints: Joints of N crops.
        size: Height and width of a map, pixels.

    Returns:
        (N, 3, height, width) uint8, RGB.

    Raises:
        ValueError: The joints have another shape or dtype, are not finite, or the size is below 1.
    """
    check_joints(joints)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size: expected (height, width), 1 pixel or more, got {size}")
    height, width = size
    thickness = max(1, round(height * THICKNESS - 1.4))  # OpenCV draws smooth lines 1.4 wider
    # OpenCV counts from the centre of the first pixel, in 32-bit integers.
    places = joints[..., :2].clip(-10, 10) * np.array([width, height]) - 0.5
    points = np.rint(places * 2**_FRACTION).astype(int).tolist()
    sure = (joints[..., 2] >= MIN_CONFIDENCE).tolist()
    maps = np.zeros((len(joints), height, width, 3), np.uint8)
    for image, point, drawn in zip(maps, points, sure, strict=True):
        for (a, b), colour in zip(LIMBS, _COLOURS, strict=True):
            if drawn[a] and drawn[b]:
                cv2.line(image, point[a], point[b], colour, thickness, cv2.LINE_AA, _FRACTION)
    return np.ascontiguousarray(maps.transpose(0, 3, 1, 2))
