"""Pseudo-identities: clusters of unlabelled crops that look alike and fit together in time.

Appearance alone confuses strangers in similar clothes. Time separates them: a person who leaves one
camera's view enters another's after a typical time, which can be estimated from the crops
themselves. Time is used likewise by Wu et al., "Unsupervised person re-identification
by camera-aware similarity consistency learning", 2019, and Li and Zhang, "Joint visual and temporal
consistency for unsupervised domain adaptive person re-identification", 2020.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix

from sslmot.data.crops import CropSet
from sslmot.data.tracklets import in_view_together

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

_ROWS = 256  # rows of a similarity matrix in memory at once
_SIGNIFICANT = 6.0  # standard deviations by which the peak of a lag must stand out
_CORE = 4  # linked crops, itself included, that make a crop a core of an identity
_FEW = 4  # neighbours whose neighbourhoods are averaged (k2 of the k-reciprocal distance)


class Lag(NamedTuple):
    """The usual time from one clip to another.

    Attributes:
        first: Index of a clip.
        second: Index of another clip, higher.
        frames: Frame in the second clip minus frame in the first; their clocks may differ.
        support: Number of pairs that agree on it.
    """

    first: int
    second: int
    frames: float
    support: int


def transit_lags(
    features: Floats, crops: CropSet, members: Sequence[Labels], window: int
) -> list[Lag]:
    """Estimate the usual lags between clips from pairs of similar crops.

    The pairs are mutual nearest neighbours of two clips. Lags of pairs of strangers are scattered,
    lags of pairs of one person agree. A lag is accepted if far more pairs agree on it, within
    ``window``, than would by chance.

    Args:
        features: (N, D) float32 of unit length.
        crops: N crops.
        members: For each clip, its crops whose frame is known.
        window: Frames within which lags agree.

    Returns:
        The lags found; most pairs of clips without people in common have none.
    """
    lags = []
    for a, rows_a in enumerate(members):
        for b in range(a + 1, len(members)):
            rows_b = members[b]
            if not (len(rows_a) and len(rows_b)):
                continue
            nearest_b, nearest_a = _nearest(features[rows_a], features[rows_b])
            mutual = np.flatnonzero(nearest_a[nearest_b] == np.arange(len(rows_a)))
            frames_a, frames_b = crops.frames[rows_a], crops.frames[rows_b]
            found = np.sort(frames_b[nearest_b[mutual]] - frames_a[mutual])
            agree = np.searchsorted(found, found + window, "right") - np.arange(len(found))
            start = int(agree.argmax())
            low, count = found[start], int(agree[start])
            # By chance, a pair has the lag of any two crops of the clips.
            frames_b = np.sort(frames_b)
            within = np.searchsorted(frames_b, frames_a + low + window, "right")
            within -= np.searchsorted(frames_b, frames_a + low, "left")
            chance = within.mean() / len(rows_b) * len(found)
            if (count - chance) / np.sqrt(chance + 1) >= _SIGNIFICANT:
                lags.append(Lag(a, b, float(np.median(found[start : start + count])), count))
    return lags


def _nearest(a: Floats, b: Floats) -> tuple[Labels, Labels]:
    """Return for each row of a the most similar row of b, and for each row of b that of a."""
    nearest_b = np.empty(len(a), np.int64)
    nearest_a, best = np.zeros(len(b), np.int64), np.full(len(b), -np.inf, np.float32)
    for first in range(0, len(a), _ROWS):
        similar = a[first : first + _ROWS] @ b.T
        nearest_b[first : first + _ROWS] = similar.argmax(axis=1)
        top = similar.argmax(axis=0)
        value = similar[top, np.arange(len(b))]
        better = value > best
        best[better], nearest_a[better] = value[better], top[better] + first
    return nearest_b, nearest_a


def pseudo_identities(
    features: Floats,
    crops: CropSet,
    *,
    stay: int = 200,
    transit: int = 500,
    neighbours: int = 12,
    distance: float = 0.5,
) -> Labels:
    """Cluster crops into identities: DBSCAN over the Jaccard distance of k-reciprocal neighbours.

    Neighbours must fit in time: within ``stay`` frames in the same clip, within ``transit`` frames
    of the lag between two clips. Crops of tracklets in view together are never neighbours. A crop
    without a frame fits at any time.

    Args:
        features: (N, D) float32; a row of zeros is similar to nothing.
        crops: N crops.
        stay: Frames that a person may stay in view of a clip.
        transit: Frames that the time between two clips may differ from the usual.
        neighbours: Number of neighbours of a crop (k1 of the k-reciprocal distance).
        distance: Jaccard distance of neighbourhoods up to which two crops are linked (eps of
            DBSCAN).

    Returns:
        (N,) int64: identities from 0; -1 for a crop without one.
    """
    from sklearn.cluster import DBSCAN

    norms = np.linalg.norm(features, axis=1, keepdims=True)
    features = (features / np.where(norms > 0, norms, 1)).astype(np.float32)
    blocks = _blocks(features, crops, stay, transit)
    apart = _jaccard_distance(_neighbours(features, blocks, neighbours))
    # A sparse matrix may drop an explicit 0, and with it the link.
    apart.data = np.maximum(apart.data, 1e-6)
    clusters = DBSCAN(eps=distance, min_samples=_CORE, metric="precomputed")
    labels: Labels = clusters.fit_predict(apart).astype(np.int64)
    return labels


def _neighbours(features: Floats, blocks: Iterable[_Block], count: int) -> csr_matrix:
    """Return (N, N): positive similarities of each crop to its nearest ones, itself first."""
    n, k = len(features), count + 1
    columns, values = np.zeros((n, k), np.int64), np.zeros((n, k), np.float32)
    for rows, others, possible in blocks:
        similar = np.where(possible, features[rows] @ features[others].T, 0)
        similar[rows[:, None] == others] = 2  # itself, above all others
        few = min(k, len(others))
        top = np.argpartition(-similar, few - 1, axis=1)[:, :few]
        columns[rows, :few] = others[top]
        values[rows, :few] = np.take_along_axis(similar, top, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    columns = np.take_along_axis(columns, order, axis=1)
    values = np.take_along_axis(values, order, axis=1)
    values[:, 0] = 1
    kept = values > 0
    starts = np.concatenate([[0], np.cumsum(kept.sum(axis=1))])
    return csr_matrix((values[kept], columns[kept], starts), shape=(n, n))


class _Block(NamedTuple):
    """Some crops, and candidates that may show the same people."""

    rows: Labels
    others: Labels  # include the rows
    possible: npt.NDArray[np.bool_]  # (rows, others)


def _blocks(features: Floats, crops: CropSet, stay: int, transit: int) -> Iterator[_Block]:
    """Yield all crops in blocks, each with only the crops that are near in time."""
    clips, frames = crops.clips, crops.frames
    timeless = np.flatnonzero(frames < 0)
    by_time = np.lexsort((frames, clips))
    members = [by_time[(clips[by_time] == c) & (frames[by_time] >= 0)] for c in np.unique(clips)]
    reach: dict[int, list[tuple[int, float, int]]]  # clip -> clip, usual lag, allowed difference
    reach = {c: [(c, 0.0, stay)] for c in range(len(members))}
    for lag in transit_lags(features, crops, members, transit):
        reach[lag.first].append((lag.second, lag.frames, transit))
        reach[lag.second].append((lag.first, -lag.frames, transit))
    apart = _apart(crops)

    def block(rows: Labels, others: Labels, possible: npt.NDArray[np.bool_]) -> _Block:
        if apart.nnz:
            possible &= ~apart[crops.tracklets[rows]][:, crops.tracklets[others]].toarray()
        return _Block(rows, others, possible)

    for c, mine in enumerate(members):
        for first in range(0, len(mine), _ROWS):
            rows = mine[first : first + _ROWS]
            others, near = [timeless], [np.ones((len(rows), len(timeless)), bool)]
            for other, usual, allowed in reach[c]:
                theirs = members[other]
                low, high = frames[rows[[0, -1]]] + usual + (-allowed, allowed)
                theirs = theirs[
                    np.searchsorted(frames[theirs], low, "left") :
                    np.searchsorted(frames[theirs], high, "right")
                ]  # fmt: skip
                others.append(theirs)
                near.append(np.abs(frames[theirs] - frames[rows, None] - usual) <= allowed)
            yield block(rows, np.concatenate(others), np.concatenate(near, axis=1))
    for first in range(0, len(timeless), _ROWS):
        rows, everything = timeless[first : first + _ROWS], np.arange(len(crops))
        yield block(rows, everything, np.ones((len(rows), len(crops)), bool))


def _apart(crops: CropSet) -> csr_matrix:
    """Return which tracklets were in view together; the last row and column are of no tracklet."""
    pairs = in_view_together(crops)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    size = int(crops.tracklets.max(initial=-1)) + 2
    return csr_matrix((np.ones(len(pairs), bool), pairs.T), shape=(size, size))


def _jaccard_distance(near: csr_matrix) -> csr_matrix:
    """Compute the k-reciprocal distance.

    Zhong et al., "Re-ranking person re-identification with k-reciprocal encoding", 2017.

    Args:
        near: (N, N) similarities with the nearest crops, the most similar first in each row.

    Returns:
        (N, N): the distances below 1.
    """
    n = near.shape[0]
    present = near.copy()
    present.data = np.ones_like(present.data)
    mutual = near.multiply(present.T).tocsr()
    mutual.data = np.exp(2 * mutual.data - 2)  # exp(-d²) of unit vectors
    weights = mutual.multiply(1 / mutual.sum(axis=1)).tocsr()

    sizes = np.diff(near.indptr)
    place = np.arange(near.nnz) - np.repeat(near.indptr[:-1], sizes)
    kept = place < _FEW
    rows = np.repeat(np.arange(n), sizes)[kept]
    average = csr_matrix(
        (1 / np.minimum(sizes, _FEW)[rows], (rows, near.indices[kept])), shape=(n, n)
    )
    weights = (average @ weights).tocsr()

    # For each row, sum the minima with every row that shares a column.
    columns = weights.tocsc()
    starts, indices, data = [0], [], []
    shared = np.zeros(n)
    for i in range(n):
        for at in range(weights.indptr[i], weights.indptr[i + 1]):
            column = slice(*columns.indptr[weights.indices[at] : weights.indices[at] + 2])
            shared[columns.indices[column]] += np.minimum(weights.data[at], columns.data[column])
        found = np.flatnonzero(shared)
        overlap = shared[found]
        indices.append(found)
        data.append(1 - overlap / (2 - overlap))
        starts.append(starts[-1] + len(found))
        shared[found] = 0
    return csr_matrix((np.concatenate(data), np.concatenate(indices), starts), shape=(n, n))
