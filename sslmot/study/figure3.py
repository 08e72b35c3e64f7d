"""Figure 3 of SSL-MOT: the features of ten people, by t-SNE, and numbers beside the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from sslmot.data.mot import PEDESTRIAN, Sequence
from sslmot.inputs import to_numpy
from sslmot.types import FeatureExtractor, Features, Frame

PEOPLE = 10
"""People of a panel."""

_VISIBLE = 0.3  # least visibility of a box, as for re-identification
_NEIGHBOURS = 10
_PANEL, _TITLE, _MARGIN = 520, 64, 24  # pixels

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Separation:
    """How far apart people are in the space of the features; a picture alone proves nothing.

    Attributes:
        silhouette: Mean silhouette by cosine distance, -1 to 1.
        purity: Share of the ten nearest other boxes that show the same person.
        ratio: Mean squared distance between the means of people, over that of a person's boxes to
            their mean, of unit vectors.
    """

    silhouette: float
    purity: float
    ratio: float


def people_of(sequence: Sequence) -> tuple[Ints, Ints, npt.NDArray[np.float32]]:
    """Return frames (N,), ids (N,) and boxes (N, 4) of the ten people that are seen longest."""
    truth = sequence.ground_truth()
    shown = truth.considered & (truth.classes == PEDESTRIAN) & (truth.visibility >= _VISIBLE)
    ids, counts = np.unique(truth.ids[shown], return_counts=True)
    longest = ids[np.argsort(-counts, kind="stable")[:PEOPLE]]
    rows = np.flatnonzero(shown & np.isin(truth.ids, longest))
    rows = rows[np.argsort(truth.frames[rows], kind="stable")]
    return truth.frames[rows], truth.ids[rows], truth.boxes[rows]


def features_of(sequence: Sequence, extractor: FeatureExtractor) -> tuple[Features, Ints]:
    """Embed the boxes of `people_of`: (N, D) unit vectors, and the person of each."""
    frames, ids, boxes = people_of(sequence)
    parts = [
        to_numpy(extractor(sequence.frame(int(t)), boxes[frames == t]), "features")
        for t in np.unique(frames)
    ]
    features = np.concatenate(parts).astype(np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12), ids


def separation(features: Features, ids: Ints) -> Separation:
    """Measure how far apart people are.

    Args:
        features: (N, D) unit vectors.
        ids: (N,) the person of each; two people or more.
    """
    from sklearn.metrics import silhouette_score

    similar = features @ features.T
    np.fill_diagonal(similar, -np.inf)
    k = min(_NEIGHBOURS, len(ids) - 1)
    nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
    people = np.unique(ids)
    means = np.stack([features[ids == person].mean(axis=0) for person in people])
    within = np.mean(
        [
            ((features[ids == person] - mean) ** 2).sum(axis=1).mean()
            for person, mean in zip(people, means, strict=True)
        ]
    )
    between = ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()
    return Separation(
        silhouette=float(silhouette_score(features, ids, metric="cosine")),
        purity=float((ids[nearest] == ids[:, None]).mean()),
        ratio=float(between / max(within, 1e-12)),
    )


def embedding(features: Features, seed: int) -> npt.NDArray[np.float32]:
    """Return the (N, 2) positions of t-SNE by cosine distance, perplexity 30."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    tsne = TSNE(metric="cosine", init="random", perplexity=perplexity, random_state=seed)
    return np.asarray(tsne.fit_transform(features), np.float32)


def draw(panels: Mapping[str, tuple[npt.NDArray[np.float32], Ints, Separation]]) -> Frame:
    """Draw panels side by side: a point for each box, a colour for each person.

    Args:
        panels: Title to positions (N, 2), people (N,) and numbers.

    Returns:
        (H, W, 3) uint8, BGR.
    """
    drawn = []
    for title, (points, ids, numbers) in panels.items():
        picture = np.full((_PANEL + _TITLE, _PANEL, 3), 255, np.uint8)
        low, high = points.min(axis=0), points.max(axis=0)
        scale = (_PANEL - 2 * _MARGIN) / max(float((high - low).max()), 1e-9)
        at = (points - (low + high) / 2) * scale + (_PANEL / 2, _TITLE + _PANEL / 2)
        for person, colour in zip(np.unique(ids), _colours(PEOPLE), strict=False):
            for x, y in at[ids == person]:
                center = round(float(x) * 16), round(float(y) * 16)
                cv2.circle(picture, center, 3 * 16, colour, cv2.FILLED, cv2.LINE_AA, 4)
        line = f"silhouette {numbers.silhouette:.2f}, purity {numbers.purity:.2f}, "
        line += f"ratio {numbers.ratio:.2f}"
        for text, y, size in ((title, 26, 0.8), (line, 52, 0.5)):
            font = cv2.FONT_HERSHEY_SIMPLEX
            cv2.putText(picture, text, (_MARGIN, y), font, size, (40, 40, 40), 1, cv2.LINE_AA)
        cv2.rectangle(picture, (0, 0), (_PANEL - 1, _PANEL + _TITLE - 1), (210, 210, 210), 1)
        drawn.append(picture)
    return np.concatenate(drawn, axis=1)


def _colours(count: int) -> list[tuple[int, int, int]]:
    """Return colours of even hues, light and dark in turn."""
    hues = np.arange(count) * 180 // count
    value = np.where(np.arange(count) % 2, 150, 225)
    hsv = np.stack([hues, np.full(count, 215), value], axis=1).astype(np.uint8)
    bgr = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2BGR)[0]
    return [(int(b), int(g), int(r)) for b, g, r in bgr]
