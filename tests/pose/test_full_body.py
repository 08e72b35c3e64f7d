"""The full-body filter: each condition alone, a slow version of all, and real crops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pose_figures import figure, figures

from sslmot.assignment import iou
from sslmot.data.crops import cut
from sslmot.data.mot import Sequence
from sslmot.pose.full_body import MIN_HEIGHT, MIN_SCORE, full_body
from sslmot.pose.joints import JOINTS, mirror

FACE = ("nose", "right_eye", "left_eye", "right_ear", "left_ear")


def changed(**changes):
    return bool(full_body(figure(**changes))[0])


def test_a_standing_person_passes():
    assert full_body(figures(20)).all()
    assert full_body(mirror(figures(20))).all()
    assert full_body(figures(0)).shape == (0,)
    assert full_body(figures(3)).dtype == np.bool_


def test_without_a_person():
    unsure = figure()
    unsure[..., 2] = MIN_SCORE
    assert not full_body(unsure)[0]
    unsure[..., 2] = MIN_SCORE + 0.01
    assert full_body(unsure)[0]


@pytest.mark.parametrize("name", ["shoulder", "hip", "knee", "ankle"])
def test_hidden_pairs(name):
    right, left = f"right_{name}", f"left_{name}"
    at = {side: figure()[0, JOINTS.index(side), :2] for side in (right, left)}
    assert changed(**{right: (*at[right], 0.05)})  # behind the other
    assert not changed(**{right: (*at[right], 0), left: (*at[left], 0.9)})
    assert not changed(**{right: (*at[right], 0.5), left: (*at[left], 0.5)})


@pytest.mark.parametrize("name", ["elbow", "wrist"])
def test_arms_may_be_hidden(name):
    assert changed(**{f"right_{name}": (0, 0, 0), f"left_{name}": (0, 0, 0)})


@pytest.mark.parametrize("place", [(0.6, 1.001), (1.001, 0.92), (-0.001, 0.92)])
def test_an_ankle_out_of_the_crop(place):
    assert not changed(left_ankle=(*place, 1))


def test_small_in_the_crop():
    for scale, full in ((1.0, True), (0.82, True), (0.78, False)):
        joints = figure()
        joints[..., 1] = 0.92 + (joints[..., 1] - 0.92) * scale
        tall = 0.92 - joints[0, 0, 1]
        assert (tall > MIN_HEIGHT) == full
        assert bool(full_body(joints)[0]) == full


@pytest.mark.parametrize(("upper", "lower"), [("shoulder", "hip"), ("hip", "knee")])
def test_upside_down(upper, lower):
    joints = figure()
    for side in ("right", "left"):
        a, b = JOINTS.index(f"{side}_{upper}"), JOINTS.index(f"{side}_{lower}")
        joints[:, [a, b]] = joints[:, [b, a]]
    assert not full_body(joints)[0]


def test_a_head_below_the_shoulders():
    assert not changed(**dict.fromkeys(FACE, (0.5, 0.21, 1)))


def test_a_hidden_joint_may_be_anywhere():
    # From behind the nose is not seen, and from the side the far hip may be missing.
    assert changed(nose=(0, 0, 0), right_eye=(0, 0, 0), left_eye=(0, 0, 0))
    assert changed(nose=(1, 1, 0.1))
    assert changed(right_knee=(0, 0, 0.02))


def slow(pose):
    """The definition, joint by joint."""
    point = {name: [float(v) for v in row] for name, row in zip(JOINTS, pose, strict=True)}
    if max(c for _, _, c in point.values()) <= 0.8:
        return False
    heights = [max((point[name] for name in FACE), key=lambda p: p[2])[1]]
    for name in ("shoulder", "hip", "knee", "ankle"):
        (x1, y1, c1), (x2, y2, c2) = point[f"right_{name}"], point[f"left_{name}"]
        if (c1 + c2) / 2 <= 0.5:
            return False
        if name == "ankle" and not all(0 <= v <= 1 for v in (x1, y1, x2, y2)):
            return False
        heights.append((y1 * c1 + y2 * c2) / (c1 + c2))
    return heights == sorted(set(heights)) and heights[-1] - heights[0] > 0.65


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_all_at_once(seed):
    rng = np.random.default_rng(seed)
    joints = figures(60, 0.08, seed)
    joints[..., 2] = rng.beta(3, 1, joints.shape[:2]) * rng.choice([0.9, 1], (60, 1))
    assert full_body(joints).tolist() == [slow(pose) for pose in joints]


def test_the_comparison_sees_both_answers():
    joints = figures(500, 0.08)
    joints[..., 2] = np.random.default_rng(0).beta(3, 1, joints.shape[:2])
    assert 0.1 < np.mean([slow(pose) for pose in joints]) < 0.9


def test_wrong_joints():
    with pytest.raises(ValueError, match="joints: expected"):
        full_body(np.zeros((3, 17, 3), np.float32))


@pytest.mark.processor
def test_people_pass_and_background_does_not(data_root):
    pytest.importorskip("torch")
    pytest.importorskip("ai_edge_litert")
    from sslmot.pose.model import load_pose_model

    folder, weights = "MOT17/train/MOT17-09-FRCNN", "weights/pose_landmark_full.tflite"
    for name in (folder, weights):
        if not (data_root / name).exists():
            pytest.skip(f"no {data_root / name}")
    estimator = load_pose_model(data_root / weights)
    sequence = Sequence.open(data_root / folder)
    truth, rng = sequence.ground_truth(), np.random.default_rng(0)
    people, background = [], []
    for t in range(1, 526, 40):
        frame, here = sequence.frame(t), truth.frames == t
        clear = here & (truth.classes == 1) & truth.considered & (truth.visibility > 0.9)
        boxes = truth.boxes[clear]
        inside = (boxes >= 0).all(1) & (boxes[:, 2] <= 1920) & (boxes[:, 3] <= 1080)
        people.append(cut(frame, boxes[inside], (128, 64)))
        height = rng.uniform(60, 600, 50)
        left, top = rng.uniform(0, 1920 - height / 2), rng.uniform(0, 1080 - height)
        boxes = np.stack([left, top, left + 0.4 * height, top + height], 1).astype(np.float32)
        others = np.concatenate([truth.boxes[here], sequence.detections()[t][:, :4]])
        far = iou(boxes, others).max(axis=1) <= 0.05
        background.append(cut(frame, boxes[far][:4], (128, 64)))
    people, background = np.concatenate(people), np.concatenate(background)
    assert len(people) > 20
    assert len(background) > 40
    assert full_body(estimator(people)).mean() > 0.6
    assert full_body(estimator(background)).mean() <= 0.02
