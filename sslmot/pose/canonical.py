"""Distances of poses, and canonical poses: a few that represent those of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.cluster import KMeans

from sslmot import tensors
from sslmot.pose.full_body import full_body
from sslmot.pose.joints import JOINTS, NECK, Joints, check_joints, pair

MIN_TORSO = 0.01
"""In heights of the crop; a shorter torso counts as this, so that no number is infinite."""


def pose_vectors(joints: Joints, aspect: float) -> npt.NDArray[np.float32]:
    """Return the positions of the joints relative to the hips, in torsos (neck to hips).

    Args:
        joints: Joints of N crops.
        aspect: Width of a crop by its height, such as 0.5 for 128x64.

    Returns:
        (N, 36) float32: x and y of each joint; independent of place and size of the person.

    Raises:
        ValueError: The joints have another shape or dtype or are not finite, or the aspect is
            out of range.
    """
    check_joints(joints)
    if not 1e-3 <= aspect <= 1e3:
        raise ValueError(f"aspect: expected a number of 1e-3 to 1e3, got {aspect}")
    places = joints[..., :2] * np.array([aspect, 1], np.float32)  # in heights of the crop
    hips = places[:, pair("hip")].mean(axis=1, keepdims=True)
    torso = np.linalg.norm(places[:, NECK] - hips[:, 0], axis=1)[:, None, None]
    vectors: npt.NDArray[np.float32] = (places - hips) / np.maximum(torso, np.float32(MIN_TORSO))
    return vectors.reshape(-1, 2 * len(JOINTS))


def distance(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the mean distance of the joints of two poses, in torsos.

    A median would ignore arms and legs, which are less than half of the joints.

    Args:
        a: (..., 36) float32, of `pose_vectors`.
        b: (..., 36) float32, of a shape that broadcasts: ``distance(a[:, None], b)`` compares all
            pairs.

    Returns:
        (...) float32.
    """
    steps = (a - b).reshape(*np.broadcast_shapes(a.shape, b.shape)[:-1], len(JOINTS), 2)
    mean: npt.NDArray[np.float32] = np.linalg.norm(steps, axis=-1).mean(axis=-1)
    return mean


@dataclass(frozen=True, eq=False)
class CanonicalPoses:
    """A few poses that represent those of a data set; each is the pose of a crop.

    Attributes:
        joints: (k, 18, 3) float32, in shares of those crops; the pose that represents most crops
            is first.
        aspect: Width of the crops by their height.

    Raises:
        ValueError: The joints have another shape or dtype or are not finite, or the aspect is
            out of range.
    """

    joints: Joints
    aspect: float

    def __post_init__(self) -> None:
        pose_vectors(self.joints, self.aspect)

    def __len__(self) -> int:
        return len(self.joints)

    @classmethod
    def cluster(cls, joints: Joints, aspect: float, k: int = 8, seed: int = 0) -> CanonicalPoses:
        """Cluster the full bodies of a data set, and take those nearest to the k means.

        Args:
            joints: Joints of N crops; those without a full body are left out.
            aspect: Width of the crops by their height.
            k: Number of clusters.
            seed: Seed of the clustering.

        Raises:
            ValueError: There are fewer than k different full bodies, or k is below 1.
        """
        if k < 1:
            raise ValueError(f"k: expected 1 or more, got {k}")
        bodies = joints[full_body(joints)]
        vectors, first = np.unique(pose_vectors(bodies, aspect), axis=0, return_index=True)
        if len(vectors) < k:
            raise ValueError(
                f"joints: expected {k} different full bodies or more, got {len(vectors)} of "
                f"{len(joints)} crops"
            )
        means = KMeans(k, n_init=10, random_state=seed).fit(vectors)
        order = np.argsort(-np.bincount(means.labels_, minlength=k), kind="stable")
        medoids = []
        for cluster in order:
            members = np.flatnonzero(means.labels_ == cluster)
            apart = distance(vectors[members], means.cluster_centers_[cluster])
            medoids.append(first[members[apart.argmin()]])
        return cls(bodies[medoids], aspect)

    def nearest(self, joints: Joints, count: int = 4) -> npt.NDArray[np.int64]:
        """Return the canonical poses nearest to given ones: the "consecutive" poses of SSL-MOT.

        Args:
            joints: Joints of N crops of this aspect.
            count: Number of poses for each, at most k.

        Returns:
            (N, count) int64, the nearest first.

        Raises:
            ValueError: The joints are malformed, or there are fewer than ``count`` poses.
        """
        if not 1 <= count <= len(self):
            raise ValueError(f"count: expected 1 to {len(self)}, got {count}")
        own = pose_vectors(self.joints, self.aspect)
        apart = distance(pose_vectors(joints, self.aspect)[:, None], own)
        return np.argsort(apart, axis=1, kind="stable")[:, :count].astype(np.int64)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file that :meth:`load` reads, whole or not at all."""
        joints = {"joints": torch.from_numpy(self.joints)}
        tensors.write(path, joints, {"aspect": repr(float(self.aspect))})

    @classmethod
    def load(cls, path: str | Path) -> CanonicalPoses:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged, or not such a file.
        """
        arrays, notes = tensors.read_arrays(path)
        try:
            return cls(arrays["joints"], float(notes["aspect"]))
        except (KeyError, ValueError) as error:
            raise ValueError(f"{path}: expected canonical poses, got {error}") from error
