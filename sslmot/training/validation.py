"""Tracklets kept out of training, to notice when an encoder gets worse on its own footage."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sslmot.data.crops import CropSet
from sslmot.data.tracklets import in_view_together
from sslmot.types import Features

Rows = npt.NDArray[np.int64]


def hold_out(crops: CropSet, share: float, seed: int) -> tuple[CropSet, Rows]:
    """Unlink the crops of some tracklets, so that no pairs are formed of them.

    Args:
        crops: Crops of footage.
        share: Share of the tracklets.
        seed: Seed of the choice.

    Returns:
        All crops, and the rows of those that were unlinked.
    """
    numbers = np.unique(crops.tracklets[crops.tracklets >= 0])
    chosen = np.random.default_rng([seed, 2]).permutation(numbers)[: round(share * len(numbers))]
    held = np.isin(crops.tracklets, chosen)
    tracklets = np.where(held, -1, crops.tracklets)
    return replace(crops, tracklets=tracklets), np.flatnonzero(held)


def separation(features: Features, crops: CropSet, rows: Rows) -> float:
    """Score how well features tell the people of some tracklets apart.

    The pairs of one person are of one tracklet, at least half of its length apart in time. The
    pairs of two people are of two tracklets in view together.

    Args:
        features: (n, D) float32, of the rows.
        crops: N crops, linked.
        rows: (n,) int64, crops of some tracklets.

    Returns:
        Probability that a pair of one person is more similar than a pair of two people (AUC). NaN
        without pairs of both kinds.
    """
    from sklearn.metrics import roc_auc_score

    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms > 0, norms, 1)
    tracklets, frames = crops.tracklets[rows], crops.frames[rows]
    together = {(int(a), int(b)) for a, b in in_view_together(crops)}
    members = {int(t): np.flatnonzero(tracklets == t) for t in np.unique(tracklets)}
    same, different = [np.empty(0)], [np.empty(0)]
    for a, mine in members.items():
        apart = np.abs(frames[mine, None] - frames[mine])
        first, second = np.nonzero(np.triu(2 * apart >= max(int(apart.max()), 1)))
        same.append((unit[mine[first]] * unit[mine[second]]).sum(axis=1))
        for b, theirs in members.items():
            if (a, b) in together:
                different.append((unit[mine] @ unit[theirs].T).ravel())
    alike, unlike = np.concatenate(same), np.concatenate(different)
    if not (len(alike) and len(unlike)):
        return float("nan")
    truth = np.repeat([1, 0], [len(alike), len(unlike)])
    return float(roc_auc_score(truth, np.concatenate([alike, unlike])))
