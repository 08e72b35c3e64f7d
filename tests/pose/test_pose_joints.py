"""Joints: their order, conversions from other orders, mirroring; where a crop lies in an input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslmot.pose.canvas import MARGIN, Canvas
from sslmot.pose.joints import (
    JOINTS,
    LIMBS,
    check_joints,
    from_blazepose,
    from_coco17,
    mirror,
    pair,
)

# As the data sets and MediaPipe document them.
COCO = [
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip",
    "left_knee", "right_knee", "left_ankle", "right_ankle",
]  # fmt: skip
BLAZEPOSE = [
    "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
    "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
    "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip",
    "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
    "right_heel", "left_foot_index", "right_foot_index",
]  # fmt: skip


def random(n, joints=18, seed=0):
    return np.random.default_rng(seed).random((n, joints, 3), dtype=np.float32)


# Names.


def test_openpose_order():
    # https://github.com/CMU-Perceptual-Computing-Lab/openpose: POSE_COCO_BODY_PARTS
    parts = [
        "Nose", "Neck", "RShoulder", "RElbow", "RWrist", "LShoulder", "LElbow", "LWrist", "RHip",
        "RKnee", "RAnkle", "LHip", "LKnee", "LAnkle", "REye", "LEye", "REar", "LEar",
    ]  # fmt: skip
    sides = {"R": "right_", "L": "left_", "N": "n"}
    assert [sides[part[0]] + part[1:].lower() for part in parts] == list(JOINTS)


def test_limbs_are_a_tree_over_all_joints():
    assert len(LIMBS) == len(JOINTS) - 1
    reached = {JOINTS.index("neck")}
    for a, b in LIMBS:  # each begins where an earlier one ended
        assert a in reached
        assert b not in reached or (a, b) == LIMBS[0]
        reached.add(b)
    assert reached == set(range(18))


def test_pair():
    assert [JOINTS[i] for i in pair("hip")] == ["right_hip", "left_hip"]


# From other orders.


@pytest.mark.parametrize(("convert", "names"), [(from_coco17, COCO), (from_blazepose, BLAZEPOSE)])
@pytest.mark.parametrize("n", [0, 3])
def test_joints_keep_their_names(convert, names, n):
    points = random(n, len(names))
    joints = convert(points)
    assert joints.shape == (n, 18, 3)
    assert joints.dtype == np.float32
    for i, name in enumerate(JOINTS):
        if name != "neck":
            np.testing.assert_array_equal(joints[:, i], points[:, names.index(name)])
    left, right = (points[:, names.index(f"{side}_shoulder")] for side in ("left", "right"))
    for row in range(n):
        np.testing.assert_allclose(
            joints[row, 1],
            [*(left[row, :2] + right[row, :2]) / 2, min(left[row, 2], right[row, 2])],
            rtol=1e-6,
        )


def test_wrong_points():
    with pytest.raises(ValueError, match=r"points: expected \(N, 17, 3\) float32, got \(1, 18, 3"):
        from_coco17(random(1))
    with pytest.raises(ValueError, match=r"points: expected \(N, 33, 3\) float32, got .*float64"):
        from_blazepose(np.zeros((1, 33, 3)))


# Mirroring.


def test_mirror_flips_and_changes_sides():
    joints = random(5)
    before, mirrored = joints.copy(), mirror(joints)
    np.testing.assert_array_equal(joints, before)
    wrist, other = JOINTS.index("right_wrist"), JOINTS.index("left_wrist")
    np.testing.assert_array_equal(mirrored[:, other, 0], 1 - joints[:, wrist, 0])
    np.testing.assert_array_equal(mirrored[:, other, 1:], joints[:, wrist, 1:])
    np.testing.assert_array_equal(mirrored[:, 1, 0], 1 - joints[:, 1, 0])
    np.testing.assert_allclose(mirror(mirrored), joints, atol=1e-6)


def test_mirror_is_what_a_flipped_image_gives():
    # COCO's own flip: x reversed, and even and odd keypoints after the nose exchanged.
    points = random(4, 17)
    flipped = points[:, [0, *(i + 1 if i % 2 else i - 1 for i in range(1, 17))]]
    flipped[..., 0] = 1 - flipped[..., 0]
    np.testing.assert_allclose(mirror(from_coco17(points)), from_coco17(flipped), atol=1e-6)


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.zeros((2, 17, 3), np.float32), r"poses: expected \(N, 18, 3\) float32, got \(2, 17, 3"),
        (np.zeros((18, 3), np.float32), r"got \(18, 3\) float32"),
        (np.zeros((2, 18, 3)), "got .*float64"),
        ([1, 2], "got list"),
        (np.float32([[[0, 0, 0]] * 18, [[np.nan, 0, 0]] * 18]), "finite numbers .* in row 1"),
    ],
)
def test_wrong_joints(joints, message):
    with pytest.raises(ValueError, match=message):
        check_joints(joints, "poses")


# The canvas.

SIDES = st.tuples(st.integers(8, 300), st.integers(8, 300))


@settings(deadline=None)
@given(crop=SIDES, size=SIDES)
def test_the_crop_keeps_its_shape_and_a_margin(crop, size):
    left, top, width, height = Canvas(crop, size).box
    scale = min(size[0] / crop[0], size[1] / crop[1]) / MARGIN
    assert abs(height - crop[0] * scale) <= 1
    assert abs(width - crop[1] * scale) <= 1
    for start, length, whole in ((left, width, size[1]), (top, height, size[0])):
        assert start >= 0
        assert abs(start - (whole - start - length)) <= 1  # in the middle


@pytest.mark.parametrize(
    ("crop", "size"), [((128, 64), (256, 256)), ((64, 64), (256, 192)), ((400, 300), (256, 192))]
)
def test_a_place_is_found_again(crop, size):
    canvas = Canvas(crop, size)
    image = np.zeros((*crop, 3), np.uint8)
    image[crop[0] // 4 : crop[0] // 2, crop[1] // 2 : crop[1] * 3 // 4] = 255
    drawn = canvas.draw(image)
    assert drawn.shape == (*size, 3)
    y, x = np.nonzero(drawn[..., 0] > 127)
    middle = np.array([[x.mean() + 0.5, y.mean() + 0.5, 0.3]], np.float32)
    np.testing.assert_allclose(canvas.to_shares(middle), [[0.625, 0.375, 0.3]], atol=0.005)


def test_around_the_crop_its_edges_go_on():
    crop = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    drawn = Canvas((40, 40), (50, 100)).draw(crop)
    np.testing.assert_array_equal(drawn[5:45, 30:70], crop)
    np.testing.assert_array_equal(drawn, np.pad(crop, ((5, 5), (30, 30), (0, 0)), mode="edge"))


def test_a_large_crop_is_averaged_not_sampled():
    crop = np.zeros((400, 400, 3), np.uint8)
    crop[:, ::2] = 254
    inner = Canvas((400, 400), (50, 50)).draw(crop)[10:40, 10:40]
    assert np.abs(inner.astype(int) - 127).max() <= 1
