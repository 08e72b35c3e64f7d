"""Drawings of walking people: crops with known joints."""

import cv2
import numpy as np

from sslmot.data.crops import CropSet
from sslmot.pose.joints import JOINTS, LIMBS


def walking(phase):
    """Return the joints of a body seen from the side, at phases (N,) of a step, in turns."""
    phase = 2 * np.pi * np.asarray(phase, float)
    swing = 0.3 * np.sin(phase)  # swing of the right limbs
    joints = np.zeros((len(phase), 18, 3), np.float32)
    joints[..., 2] = 1

    def put(name, x, y):
        joints[:, JOINTS.index(name), 0] = 0.5 + x
        joints[:, JOINTS.index(name), 1] = y

    put("neck", 0, 0.2)
    for name, x, y in (("nose", 0.05, 0.12), ("eye", 0.04, 0.1), ("ear", 0.0, 0.11)):
        for side in ("",) if name == "nose" else ("right_", "left_"):
            put(side + name, x, y)
    for side, sign in (("right", 1), ("left", -1)):
        put(f"{side}_shoulder", -0.04 * sign, 0.2)
        put(f"{side}_elbow", -0.5 * sign * swing, 0.33)
        put(f"{side}_wrist", -sign * swing, 0.45)
        put(f"{side}_hip", -0.03 * sign, 0.5)
        put(f"{side}_knee", 0.6 * sign * swing, 0.7)
        put(f"{side}_ankle", sign * swing, 0.92)
    return joints


def drawn(joints, colours, size=(32, 16)):
    """Draw figures, (N, h, w, 3) uint8, each in its own colour on grey."""
    images = np.full((len(joints), *size, 3), 128, np.uint8)
    points = np.rint(joints[..., :2] * (size[1], size[0])).astype(int).tolist()
    for image, point, colour in zip(images, points, np.asarray(colours).tolist(), strict=True):
        for a, b in LIMBS:
            cv2.line(image, point[a], point[b], colour, 2)
    return images


def people(count=4, each=6, size=(32, 16)):
    """Make crops and joints of people, with one colour and one tracklet per person.

    Crops of a person are 6 frames apart. Half of the people are in one clip, half in another.
    """
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(count), each)
    joints = walking(np.tile(np.arange(each) / each, count) + 0.04)
    crops = CropSet(
        drawn(joints, rng.integers(0, 256, (count, 3))[person], size),
        (2 * person // count).astype(np.int32),
        (6 * np.tile(np.arange(each), count)).astype(np.int64),
        person.astype(np.int64),
        ("left", "right"),
    )
    return crops, joints
