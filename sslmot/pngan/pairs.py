"""Pairs of crops of one person in two poses: the training data of a generator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslmot.appearance.encoder import Encoder
from sslmot.data.crops import CropSet
from sslmot.inputs import describe
from sslmot.pose.canonical import distance, pose_vectors
from sslmot.pose.full_body import full_body
from sslmot.pose.joints import Joints
from sslmot.training.embed import by_encoder
from sslmot.training.identities import pseudo_identities
from sslmot.training.samplers import members

Rows = npt.NDArray[np.int64]

FRAMES_APART = (5, 50)
"""Least and most between two crops of a tracklet: another pose, but the same light and side."""

DIFFERENT = 0.15
"""Two poses differ if the mean distance of their joints is above this, in torsos.

On MOT17-09 that holds for 5 % of people in neighbouring frames, who hardly move, and for half of
them 10 to 50 frames apart.
"""


@dataclass(frozen=True, eq=False)
class Pairs:
    """P pairs of crops: the generator should turn the source into the target.

    Attributes:
        source: (P,) int64, indices of crops.
        target: (P,) int64, indices of crops.
        mirrored: (P,) bool, whether the target is the mirror image of its crop.

    Raises:
        ValueError: There is no pair, or an array has another shape, dtype or range.
    """

    source: Rows
    target: Rows
    mirrored: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.source)
        for name, dtype in (("source", np.int64), ("target", np.int64), ("mirrored", np.bool_)):
            array = getattr(self, name)
            if (
                not isinstance(array, np.ndarray)
                or array.shape != (count,)
                or array.dtype != dtype
                or (array < False).any()
            ):
                raise ValueError(
                    f"{name}: expected ({count},) {dtype.__name__} of 0 or more, "
                    f"got {describe(array)}"
                )
        if count == 0:
            raise ValueError("source: expected a pair or more, got none")

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, some: slice | Rows) -> Pairs:
        return Pairs(self.source[some], self.target[some], self.mirrored[some])

    def draw(self, rng: np.random.Generator) -> Pairs:
        """Draw an epoch: every source once, in random order, with one of its targets."""
        order = rng.permutation(len(self))
        # The first pair of each source in a random order.
        _, first = np.unique(self.source[order], return_index=True)
        return self[rng.permutation(order[first])]


def tracklet_pairs(crops: CropSet, joints: Joints) -> Pairs:
    """Pair full bodies of a tracklet, some frames apart and in different poses; needs no labels.

    Args:
        crops: Linked into tracklets, with known frames.
        joints: Joints of the crops.

    Raises:
        ValueError: There is no such pair, or the joints are not those of the crops.
    """
    least, most = FRAMES_APART

    def near(source: int, others: Rows) -> npt.NDArray[np.bool_]:
        gap = np.abs(crops.frames[others] - crops.frames[source])
        suitable: npt.NDArray[np.bool_] = (least <= gap) & (gap <= most)
        return suitable

    groups = np.where(crops.frames >= 0, crops.tracklets, -1)
    return _in_different_poses(
        crops, joints, groups, f"a tracklet, {least} to {most} frames apart", near
    )


def identity_pairs(
    crops: CropSet, joints: Joints, identities: Rows, *, in_one_clip: bool = False
) -> Pairs:
    """Pair full bodies of an identity in different poses.

    With labelled identities this is supervised, as in PN-GAN.

    Args:
        crops: N crops.
        joints: Joints of the crops.
        identities: (N,) int64, identity of each crop; -1 if unknown.
        in_one_clip: Pair only crops of the same clip, which have the same light.

    Raises:
        ValueError: There is no such pair, or joints or identities are not those of the crops.
    """
    if identities.shape != (len(crops),) or identities.dtype != np.int64:
        raise ValueError(f"identities: expected ({len(crops)},) int64, got {describe(identities)}")
    what = "an identity"
    groups = identities
    if in_one_clip:
        what += " in one clip"
        groups = identities * len(crops.clip_names) + crops.clips
        groups = np.where(identities >= 0, groups, -1)
    return _in_different_poses(crops, joints, groups, what)


def pseudo_pairs(crops: CropSet, joints: Joints, encoder: Encoder) -> Pairs:
    """Pair full bodies of a pseudo-identity in one clip, in different poses; needs no labels.

    On Market-1501 90 % of the pairs show one person with the encoder that comes with the package,
    74 % with a colour histogram.

    Args:
        crops: N crops.
        joints: Joints of the crops.
        encoder: Encoder of the features that identities are clustered by.

    Raises:
        ValueError: There is no such pair, or the joints are not those of the crops.
    """
    features = by_encoder(crops.images, encoder)
    identities = pseudo_identities(features, crops)
    return identity_pairs(crops, joints, identities, in_one_clip=True)


def flip_pairs(joints: Joints) -> Pairs:
    """Pair each full body with its mirror image; needs no identities.

    Args:
        joints: Joints of N crops.

    Raises:
        ValueError: There is no full body, or the joints are malformed.
    """
    rows = np.flatnonzero(full_body(joints))
    if len(rows) == 0:
        raise ValueError(f"joints: expected a full body, got none in {len(joints)} crops")
    return Pairs(rows, rows, np.ones(len(rows), bool))


def _in_different_poses(
    crops: CropSet,
    joints: Joints,
    groups: Rows,
    what: str,
    suitable: Callable[[int, Rows], npt.NDArray[np.bool_]] | None = None,
) -> Pairs:
    """Return all pairs of full bodies of a group in different poses, in both directions."""
    if len(joints) != len(crops):
        raise ValueError(f"joints: expected those of {len(crops)} crops, got {len(joints)}")
    full = full_body(joints)
    height, width = crops.size
    vectors = pose_vectors(joints, width / height)
    sources, targets = [], []
    for rows in members(np.where(full, groups, -1)).values():
        for row in rows:
            others = rows if suitable is None else rows[suitable(row, rows)]
            others = others[distance(vectors[others], vectors[row]) > DIFFERENT]
            sources.append(np.full(len(others), row))
            targets.append(others)
    if not any(map(len, targets)):
        raise ValueError(
            f"crops: expected two full bodies of {what} in different poses, got none: of "
            f"{len(crops)} crops {full.sum()} show a full body, {(full & (groups >= 0)).sum()} "
            "of them one that is linked to others"
        )
    source, target = np.concatenate(sources), np.concatenate(targets)
    return Pairs(source, target, np.zeros(len(source), bool))
