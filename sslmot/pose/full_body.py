"""Is a whole person in the crop? Only then it can be shown in another pose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot.pose.joints import JOINTS, Joints, check_joints, pair

MIN_SCORE = 0.8
"""The most confident joint must be surer than this: there is a person."""

MIN_VISIBLE = 0.5
"""Shoulders, hips, knees and ankles must each, on average of both sides, be surer than this."""

MIN_HEIGHT = 0.65
"""Head and ankles must lie further apart than this share of the crop's height."""

_FACE = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear")]
_BODY = [pair(name) for name in ("shoulder", "hip", "knee", "ankle")]


def full_body(joints: Joints) -> npt.NDArray[np.bool_]:
    """Whether a crop shows an upright person from head to feet.

    There is a person; shoulders, hips, knees and ankles are visible; the ankles lie in the crop;
    from the head to the ankles is most of its height; and head, shoulders, hips, knees and ankles
    follow each other downwards. A joint hidden behind its other side, as the far knee of who walks
    past, is no lack: a pair counts by its average.

    Args:
        joints: Of N crops.

    Returns:
        (N,) bool.

    Raises:
        ValueError: The joints have another shape or dtype, or are not finite.
    """
    check_joints(joints)
    confidence = joints[..., 2]
    person = confidence.max(axis=1) > MIN_SCORE
    both = joints[:, _BODY]  # (N, 4 heights, 2 sides, 3)
    visible = (both[..., 2].mean(axis=2) > MIN_VISIBLE).all(axis=1)
    ankles = both[:, 3, :, :2]
    inside = ((ankles >= 0) & (ankles <= 1)).all(axis=(1, 2))
    # What is seen decides where a pair lies: a hidden joint is a guess, or anywhere.
    weight = both[..., 2] + 1e-6
    body = (both[..., 1] * weight).sum(axis=2) / weight.sum(axis=2)  # (N, 4): y
    surest = np.take(_FACE, confidence[:, _FACE].argmax(axis=1))
    head = joints[np.arange(len(joints)), surest, 1]
    tall = body[:, 3] - head > MIN_HEIGHT
    downwards = (np.diff(body, axis=1, prepend=head[:, None]) > 0).all(axis=1)
    full: npt.NDArray[np.bool_] = person & visible & inside & tall & downwards
    return full
