"""The full-body filter: only a crop of a whole person can be generated in another pose."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot.pose.joints import JOINTS, Joints, check_joints, pair

MIN_SCORE = 0.8
"""The largest confidence of a joint must be above this: the crop shows a person."""

MIN_VISIBLE = 0.5
"""The mean confidence of both sides must be above this for shoulders, hips, knees and ankles."""

MIN_HEIGHT = 0.65
"""The distance from head to ankles must be above this, in heights of the crop."""

_FACE = [JOINTS.index(name) for name in ("nose", "right_eye", "left_eye", "right_ear", "left_ear")]
_BODY = [pair(name) for name in ("shoulder", "hip", "knee", "ankle")]


def full_body(joints: Joints) -> npt.NDArray[np.bool_]:
    """Return whether each crop shows an upright person from head to feet.

    All of these must hold: there is a person; shoulders, hips, knees and ankles are visible; the
    ankles lie in the crop; head to ankles take most of its height; head, shoulders, hips, knees and
    ankles follow each other downwards. A pair of joints counts by its mean, so one side may hide
    the other, as the knees of a person in profile.

    Args:
        joints: Joints of N crops.

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
    # Weighted by confidence, since the position of a hidden joint is a guess.
    weight = both[..., 2] + 1e-6
    body = (both[..., 1] * weight).sum(axis=2) / weight.sum(axis=2)  # (N, 4): y
    surest = np.take(_FACE, confidence[:, _FACE].argmax(axis=1))
    head = joints[np.arange(len(joints)), surest, 1]
    tall = body[:, 3] - head > MIN_HEIGHT
    downwards = (np.diff(body, axis=1, prepend=head[:, None]) > 0).all(axis=1)
    full: npt.NDArray[np.bool_] = person & visible & inside & tall & downwards
    return full
