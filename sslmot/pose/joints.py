"""The 18 joints of a person, in the order of OpenPose's COCO model, and the limbs between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot.inputs import describe

Joints: TypeAlias = npt.NDArray[np.float32]
"""(N, 18, 3) float32: x and y in shares of the crop's width and height, confidence 0 to 1.

A joint in the crop has x and y of 0 to 1; one estimated outside may have any numbers.
"""

JOINTS = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
"""Names of the joints, in order; right is the right of the person."""

LIMBS = tuple(
    (JOINTS.index(a), JOINTS.index(b))
    for a, b in (
        ("neck", "right_shoulder"), ("neck", "left_shoulder"),
        ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("neck", "nose"), ("nose", "right_eye"), ("right_eye", "right_ear"),
        ("nose", "left_eye"), ("left_eye", "left_ear"),
    )
)  # fmt: skip
"""The 17 limbs, as pairs of indices of joints."""

NECK = JOINTS.index("neck")

_COCO17 = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

_BLAZEPOSE = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8,
    "left_shoulder": 11, "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14,
    "left_wrist": 15, "right_wrist": 16, "left_hip": 23, "right_hip": 24,
    "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28,
}  # fmt: skip

_OTHER_SIDE = [
    JOINTS.index(
        name.replace("right", "left") if "right" in name else name.replace("left", "right")
    )
    for name in JOINTS
]


def pair(name: str) -> list[int]:
    """Return the indices of a joint on both sides, such as "hip": right, left."""
    return [JOINTS.index(f"right_{name}"), JOINTS.index(f"left_{name}")]


def from_coco17(points: npt.NDArray[np.float32]) -> Joints:
    """Convert the 17 keypoints of COCO to joints.

    COCO has no neck: it is the middle of the shoulders, with the lower confidence of the two.

    Args:
        points: (N, 17, 3) float32, as `Joints` but in the order of COCO (nose, left eye, ...).

    Raises:
        ValueError: The points have another shape or dtype.
    """
    return _reorder(points, {name: i for i, name in enumerate(_COCO17)}, 17)


def from_blazepose(points: npt.NDArray[np.float32]) -> Joints:
    """Convert the 33 landmarks of BlazePose to joints; the neck as in `from_coco17`.

    Args:
        points: (N, 33, 3) float32, as `Joints` but in the order of BlazePose.

    Raises:
        ValueError: The points have another shape or dtype.
    """
    return _reorder(points, _BLAZEPOSE, 33)


def mirror(joints: Joints) -> Joints:
    """Return the joints of the crops flipped horizontally; left and right swap names.

    Raises:
        ValueError: The joints have another shape or dtype.
    """
    mirrored = check_joints(joints)[:, _OTHER_SIDE]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    return mirrored


_LARGEST = 1e6  # of x and y, in sizes of the crop


def check_joints(joints: Joints, name: str = "joints") -> Joints:
    """Return the joints if they are valid.

    Args:
        joints: Joints of N crops.
        name: Name of the argument in errors.

    Raises:
        ValueError: They have another shape or dtype, or a number is not finite or too large.
    """
    _check(joints, len(JOINTS), name)
    right = (np.abs(joints) <= _LARGEST).all((1, 2))  # NaN is not
    if not right.all():
        row = int(np.flatnonzero(~right)[0])
        raise ValueError(
            f"{name}: expected finite numbers of at most {_LARGEST:g}, got others in row {row}"
        )
    return joints


def _check(points: npt.NDArray[np.float32], count: int, name: str) -> None:
    if (
        not isinstance(points, np.ndarray)
        or points.dtype != np.float32
        or points.ndim != 3
        or points.shape[1:] != (count, 3)
    ):
        raise ValueError(f"{name}: expected (N, {count}, 3) float32, got {describe(points)}")


def _reorder(points: npt.NDArray[np.float32], places: Mapping[str, int], count: int) -> Joints:
    _check(points, count, "points")
    left, right = points[:, places["left_shoulder"]], points[:, places["right_shoulder"]]
    joints = points[:, [places.get(name, 0) for name in JOINTS]]
    joints[:, NECK, :2] = (left[:, :2] + right[:, :2]) / 2
    joints[:, NECK, 2] = np.minimum(left[:, 2], right[:, 2])
    return joints
