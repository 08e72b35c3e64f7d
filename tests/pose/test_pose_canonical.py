"""Pose vectors, their distance, and canonical poses: found, saved, compared."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pose_figures import figure, figures

pytest.importorskip("sklearn")
pytest.importorskip("torch")

from sslmot import tensors
from sslmot.pose.canonical import CanonicalPoses, distance, pose_vectors
from sslmot.pose.joints import JOINTS

# Poses of arms and legs that all pass the full-body filter.
KINDS = [
    {},
    {"right_wrist": (0.1, 0.05, 1), "right_elbow": (0.15, 0.15, 1)},
    {"left_wrist": (0.95, 0.05, 1), "left_elbow": (0.9, 0.15, 1)},
    {"left_ankle": (0.95, 0.9, 1), "right_ankle": (0.1, 0.9, 1)},
]


def kinds(each, spread=0.003, seed=0):
    """Poses of each kind in turn: row i is of kind i % 4."""
    rng = np.random.default_rng(seed)
    joints = np.concatenate([figure(**KINDS[i % 4]) for i in range(4 * each)])
    joints[..., :2] += rng.normal(0, spread, joints[..., :2].shape).astype(np.float32)
    return joints


# Vectors.


def test_vectors_by_hand():
    pixels = figure()[0, :, :2].astype(float) * [64, 128]
    hips = (pixels[JOINTS.index("right_hip")] + pixels[JOINTS.index("left_hip")]) / 2
    expected = (pixels - hips) / np.hypot(*(pixels[JOINTS.index("neck")] - hips))
    vectors = pose_vectors(figure(), 0.5)
    assert vectors.shape == (1, 36)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors[0].reshape(18, 2), expected, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 999),
    scale=st.floats(0.3, 3),
    move=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    aspect=st.floats(0.2, 2),
)
def test_the_same_person_elsewhere_larger_in_another_crop(seed, scale, move, aspect):
    joints = figures(2, 0.02, seed)
    other = joints.copy()
    other[..., :2] = joints[..., :2] * scale + np.array(move)
    other[..., 0] *= 0.5 / aspect  # the same pixels in shares of another width
    np.testing.assert_allclose(pose_vectors(other, aspect), pose_vectors(joints, 0.5), atol=1e-3)


def test_no_torso_at_all():
    joints = figure()
    joints[..., :2] = 0.5
    assert not pose_vectors(joints, 0.5).any()


def test_wrong_vectors():
    with pytest.raises(ValueError, match="aspect: expected a number of 1e-3 to 1e3, got 0"):
        pose_vectors(figure(), 0)
    with pytest.raises(ValueError, match="joints: expected"):
        pose_vectors(figure()[:, :17], 0.5)


# Distance.


def test_distance_is_in_torsos():
    torso = 0.3  # of the height
    a, b = figure(), figure(left_wrist=(0.8, 0.5 + 2 * torso, 1))
    there = distance(pose_vectors(a, 0.5), pose_vectors(b, 0.5))
    np.testing.assert_allclose(there, [2 / 18], rtol=1e-4)


def test_distance_broadcasts_and_is_one():
    a, b = pose_vectors(figures(5, seed=1), 0.5), pose_vectors(figures(3, seed=2), 0.5)
    all_pairs = distance(a[:, None], b)
    assert all_pairs.shape == (5, 3)
    assert all_pairs.dtype == np.float32
    for i in range(5):
        for j in range(3):
            steps = (a[i] - b[j]).reshape(18, 2)
            expected = np.mean([np.hypot(*step) for step in steps])
            np.testing.assert_allclose(all_pairs[i, j], expected, rtol=1e-5)
    np.testing.assert_allclose(distance(b[:, None], a).T, all_pairs)
    assert (distance(a, a) == 0).all()


# Canonical poses.


def test_one_of_each_kind_the_most_common_first():
    joints = np.concatenate([kinds(10), kinds(8, seed=1)[1::4], kinds(4, seed=2)[3::4]])
    poses = CanonicalPoses.cluster(joints, 0.5, k=4)
    assert len(poses) == 4
    truth = pose_vectors(np.concatenate([figure(**kind) for kind in KINDS]), 0.5)
    found = distance(pose_vectors(poses.joints, 0.5)[:, None], truth).argmin(axis=1)
    assert found[:2].tolist() == [1, 3]
    assert sorted(found) == [0, 1, 2, 3]
    for pose in poses.joints:  # each was seen
        assert (joints == pose).all(axis=(1, 2)).any()


def test_the_same_seed_finds_the_same():
    joints = kinds(30, 0.02)
    a, b = (CanonicalPoses.cluster(joints, 0.5, seed=3) for _ in range(2))
    np.testing.assert_array_equal(a.joints, b.joints)


def test_a_medoid_is_amid_its_cluster():
    joints = kinds(25, 0.01)
    vectors = pose_vectors(joints, 0.5)
    poses = CanonicalPoses.cluster(joints, 0.5, k=4)
    for pose in poses.joints:
        row = np.flatnonzero((joints == pose).all(axis=(1, 2)))[0]
        members = vectors[row % 4 :: 4]
        apart = distance(members[:, None], members).mean(axis=1)
        assert distance(vectors[row], members).mean() <= np.quantile(apart, 0.1)


def test_half_bodies_are_no_canonical_poses():
    joints = kinds(10)
    joints[::4, JOINTS.index("left_ankle"), 1] = 1.1
    poses = CanonicalPoses.cluster(joints, 0.5, k=3)
    assert (poses.joints[:, JOINTS.index("left_ankle"), 1] < 1).all()


def test_too_few():
    joints = kinds(2)
    joints[3:, :, 2] = 0
    with pytest.raises(ValueError, match=r"expected 8 different full .*, got 3 of 8 crops"):
        CanonicalPoses.cluster(joints, 0.5)
    with pytest.raises(ValueError, match=r"expected 2 different full .*, got 1 of 5 crops"):
        CanonicalPoses.cluster(np.repeat(figure(), 5, axis=0), 0.5, k=2)
    with pytest.raises(ValueError, match="k: expected 1 or more, got 0"):
        CanonicalPoses.cluster(joints, 0.5, k=0)


def test_nearest():
    poses = CanonicalPoses.cluster(kinds(10), 0.5, k=4)
    seen = kinds(6, seed=5)
    order = poses.nearest(seen, 3)
    assert order.shape == (24, 3)
    assert order.dtype == np.int64
    vectors, own = pose_vectors(seen, 0.5), pose_vectors(poses.joints, 0.5)
    for row, vector in zip(order, vectors, strict=True):
        apart = [float(distance(vector, pose)) for pose in own]
        assert row.tolist() == sorted(range(4), key=apart.__getitem__)[:3]
    assert poses.nearest(poses.joints, 1)[:, 0].tolist() == [0, 1, 2, 3]
    assert poses.nearest(figures(0)).shape == (0, 4)
    for count in (0, 5):
        with pytest.raises(ValueError, match=f"count: expected 1 to 4, got {count}"):
            poses.nearest(seen, count)


def test_saved_and_loaded(tmp_path):
    poses = CanonicalPoses(figures(5), 1 / 3)
    poses.save(tmp_path / "poses.safetensors")
    loaded = CanonicalPoses.load(tmp_path / "poses.safetensors")
    np.testing.assert_array_equal(loaded.joints, poses.joints)
    assert loaded.aspect == poses.aspect
    assert [path.name for path in tmp_path.iterdir()] == ["poses.safetensors"]


def test_files_that_are_none(tmp_path):
    path = tmp_path / "poses.safetensors"
    with pytest.raises(FileNotFoundError):
        CanonicalPoses.load(path)
    CanonicalPoses(figures(5), 0.5).save(path)
    arrays, notes = tensors.read(path)
    for a, n in (
        ({}, notes),
        (arrays, {}),
        (arrays, {"aspect": "wide"}),
        (arrays, {"aspect": "-1"}),
        ({"joints": arrays["joints"][:, :17]}, notes),
        ({"joints": arrays["joints"].double()}, notes),
    ):
        tensors.write(path, a, n)
        with pytest.raises(ValueError, match=r"poses\.safetensors: expected canonical poses, got"):
            CanonicalPoses.load(path)
    path.write_bytes(b"no poses")
    with pytest.raises(ValueError, match="expected a safetensors file"):
        CanonicalPoses.load(path)


def test_a_wrong_set_is_refused():
    with pytest.raises(ValueError, match="aspect: expected"):
        CanonicalPoses(figures(2), float("nan"))
