"""Poses for the tests: a standing person, and similar poses."""

import numpy as np

from sslmot.pose.joints import JOINTS

STANDING = {
    "nose": (0.5, 0.10), "neck": (0.5, 0.20),
    "right_shoulder": (0.3, 0.20), "right_elbow": (0.2, 0.35), "right_wrist": (0.2, 0.50),
    "left_shoulder": (0.7, 0.20), "left_elbow": (0.8, 0.35), "left_wrist": (0.8, 0.50),
    "right_hip": (0.4, 0.50), "right_knee": (0.4, 0.70), "right_ankle": (0.4, 0.92),
    "left_hip": (0.6, 0.50), "left_knee": (0.6, 0.70), "left_ankle": (0.6, 0.92),
    "right_eye": (0.46, 0.08), "left_eye": (0.54, 0.08),
    "right_ear": (0.42, 0.09), "left_ear": (0.58, 0.09),
}  # fmt: skip
"""Joints of a person seen from the front, relative to a crop of 128x64."""


def figure(**changes):
    """Return STANDING with full confidence, (1, 18, 3) float32. Changes are (x, y, confidence)."""
    joints = np.array([[(*STANDING[name], 1) for name in JOINTS]], np.float32)
    for name, value in changes.items():
        joints[0, JOINTS.index(name)] = value
    return joints


def figures(n, spread=0.01, seed=0):
    """Return STANDING with random small shifts of the joints, (n, 18, 3) float32."""
    joints = np.repeat(figure(), n, axis=0)
    moves = np.random.default_rng(seed).normal(0, spread, (n, 18, 2))
    joints[..., :2] += moves.astype(np.float32)
    return joints
