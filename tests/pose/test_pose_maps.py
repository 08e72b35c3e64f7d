"""Pose maps: colours, places and what is left out, against a slow drawing."""

import colorsys

import numpy as np
import pytest
from pose_figures import figure, figures

from sslmot.pose.joints import JOINTS, LIMBS
from sslmot.pose.maps import MIN_CONFIDENCE, pose_maps

SIZE = (128, 64)


def only(limb):
    """A figure of one limb."""
    joints = figure()
    joints[0, [i for i in range(18) if i not in LIMBS[limb]], 2] = 0
    return joints


def colours():
    maps = np.concatenate([pose_maps(only(i), (1024, 512)) for i in range(17)])
    flat = maps.reshape(17, 3, -1)
    return [flat[i, :, flat[i].sum(0).argmax()] for i in range(17)]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_shape_dtype_and_background(n):
    maps = pose_maps(figures(n), SIZE)
    assert maps.shape == (n, 3, *SIZE)
    assert maps.dtype == np.uint8
    assert maps.flags.c_contiguous
    for image in maps:
        drawn = image.any(axis=0).mean()
        assert 0.05 < drawn < 0.3
        assert image.max() == 255


def test_colours_are_bright_and_all_different():
    seen = np.array(colours(), int)
    assert (seen.max(axis=1) == 255).all()
    hues = [colorsys.rgb_to_hsv(*colour / 255)[0] for colour in seen]
    for i in range(17):
        for j in range(i):
            apart = 0.1 if set(LIMBS[i]) & set(LIMBS[j]) else 0.05  # limbs that meet: more
            assert apart < (hues[i] - hues[j]) % 1 < 1 - apart


def slow(joints, limb, size):
    """Distance of each pixel to the limb, in pixels."""
    a, b = (joints[0, i, :2].astype(float) * [size[1], size[0]] for i in LIMBS[limb])
    y, x = np.mgrid[: size[0], : size[1]] + 0.5
    along = b - a
    share = ((x - a[0]) * along[0] + (y - a[1]) * along[1]) / (along @ along)
    share = share.clip(0, 1)
    return np.hypot(x - a[0] - share * along[0], y - a[1] - share * along[1])


@pytest.mark.parametrize("size", [(128, 64), (256, 128)])
@pytest.mark.parametrize("limb", range(17))
def test_each_limb_lies_between_its_joints(limb, size):
    joints = only(limb)
    drawn = pose_maps(joints, size)[0].max(axis=0)
    away, half = slow(joints, limb, size), size[0] / 80
    assert (drawn[away < half - 0.6] > 127).all()
    assert (drawn[away > half + 0.6] < 128).all()
    assert (drawn[away > half + 1.7] == 0).all()
    assert drawn.max() == 255


def test_smooth_to_parts_of_a_pixel():
    joints = only(7)
    moved = joints.copy()
    moved[..., 0] += 0.3 / SIZE[1]
    a, b = (pose_maps(j, SIZE)[0].astype(int).max(axis=0) for j in (joints, moved))
    centre = [(m * (np.arange(SIZE[1]) + 0.5)).sum() / m.sum() for m in (a, b)]
    assert centre[0] + 0.2 < centre[1] < centre[0] + 0.4


@pytest.mark.parametrize("joint", range(18))
def test_unsure_joints_are_left_out_with_their_limbs(joint):
    joints = figure()
    joints[0, joint, 2] = MIN_CONFIDENCE - 0.01
    joints[0, joint, :2] = (0.01, 0.99)  # far from all else
    map_ = pose_maps(joints, SIZE)[0]
    assert map_[:, -12:, :6].max() == 0
    joints[0, joint, 2] = MIN_CONFIDENCE
    assert pose_maps(joints, SIZE)[0, :, -12:, :6].max() > 0


def test_nothing_known_is_black():
    joints = figures(3)
    joints[..., 2] = 0
    assert not pose_maps(joints, SIZE).any()


def test_joints_out_of_the_crop():
    joints = figure(left_ankle=(1e6, 0.7, 1), right_ankle=(-0.2, 1.4, 1))
    map_ = pose_maps(joints, SIZE)[0]
    knee = JOINTS.index("left_knee")
    row = round(float(joints[0, knee, 1]) * SIZE[0])
    assert map_[:, row - 2 : row + 2, -1].max() == 255  # the limb leaves at the right
    assert map_[:, -20:, 40:].max() == 0


def test_wrong_arguments():
    with pytest.raises(ValueError, match="joints: expected"):
        pose_maps(np.zeros((1, 17, 3), np.float32), SIZE)
    with pytest.raises(ValueError, match=r"size: expected \(height, width\).*got \(0, 4\)"):
        pose_maps(figure(), (0, 4))
