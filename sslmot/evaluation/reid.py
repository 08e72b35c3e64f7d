"""Re-identification: how well features tell who is who, on data whose people are known.

Two questions, of which labels answer nothing but the score: is a person found again by another
camera (the protocol of Market-1501), and by the same camera after a gap (what a tracker needs)?

Vectors are compared by their cosine; one of zeros is similar to nothing: 0 with every other.
Similarities within 1e-6 of each other are equal, since rounding decides there, and what is equal
never counts in favour: a feature that is the same for everyone finds no one.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sslmot.data import mot
from sslmot.data.market1501 import is_market1501, read_market1501
from sslmot.inputs import check_embeddings, describe, to_numpy
from sslmot.types import ArrayLike, Boxes, FeatureExtractor, Features, Frame

_TIE = 1e-6
_EVERY = 3  # frames from query to query of a clip
_VISIBLE = 0.3  # share of a person that can be seen, at least
_BATCH = 64  # images that are described at once
_BLOCK = 256  # queries whose similarities are in memory at once
_MARKET_SIZE = (128, 64)  # height and width of the stored images, pixels


@dataclass(frozen=True)
class Retrieval:
    """Whether a person is found again by another camera.

    Attributes:
        rank1: share of the queries whose nearest image shows the same person.
        rank5: share of the queries with one of the same person among the five nearest.
        mean_ap: mean over the queries of the average precision.
        queries: images that have an answer.
    """

    rank1: float
    rank5: float
    mean_ap: float
    queries: int


@dataclass(frozen=True)
class GapRetrieval:
    """Whether a person is found again in the same clip, some frames later.

    Attributes:
        rank1: share of the queries whose nearest is the same person.
        auc: probability that a pair of one person is more similar than a pair of two, ties half;
            NaN where no two people were compared.
        queries: people who are in view after the gap too, each time counted.
    """

    rank1: float
    auc: float
    queries: int


@dataclass(frozen=True)
class Row:
    """One line of `evaluate_reid`.

    Attributes:
        name: of the data.
        gap: frames from query to gallery; None across cameras.
        scores: across cameras, or across the gap.
    """

    name: str
    gap: int | None
    scores: Retrieval | GapRetrieval


def retrieval(features: ArrayLike, ids: ArrayLike, cameras: ArrayLike) -> Retrieval:
    """Score features by the cross-camera protocol of Market-1501, each image once the query.

    The gallery of a query is every image but those of the same person by the same camera, itself
    among them. A query that no other camera answers is left out.

    Args:
        features: (N, D) floats.
        ids: (N,) the person.
        cameras: (N,) the camera.

    Raises:
        ValueError: Shapes disagree, a feature is not finite, or no query has an answer.
    """
    rows, (ids, cameras) = _checked(features, ids=ids, cameras=cameras)
    first, precision = [], []
    for query, similarity in enumerate(_similarities(rows)):
        same = ids == ids[query]
        right = same & (cameras != cameras[query])
        if right.any():
            found = np.sort(similarity[right])[::-1]
            wrong = np.sort(similarity[~same])
            # Wrong images that come before the first right one, before the second, ...
            before = len(wrong) - np.searchsorted(wrong, found - _TIE, "left")
            rank = np.arange(1, len(found) + 1)
            first.append(before[0])
            precision.append((rank / (rank + before)).mean())
    if not first:
        raise ValueError(
            f"ids, cameras: expected a person seen by two cameras, got none in {len(ids)} images"
        )
    return Retrieval(
        rank1=float(np.mean(np.array(first) < 1)),
        rank5=float(np.mean(np.array(first) < 5)),
        mean_ap=float(np.mean(precision)),
        queries=len(first),
    )


def across_gap(
    features: ArrayLike, frames: ArrayLike, ids: ArrayLike, gap: int, every: int = _EVERY
) -> GapRetrieval:
    """Score features by what a tracker needs of them: to know a person again after a while.

    Everyone in view in frame t = 1, 1 + every, ... is compared with everyone in view in frame
    t + gap. Who is gone by then is no query, but counts among the pairs of two people.

    Args:
        features: (N, D) floats.
        frames: (N,) whole numbers, from 1.
        ids: (N,) the person; once a frame.
        gap: frames, at least 1.
        every: frames from query to query, at least 1.

    Raises:
        ValueError: Shapes disagree, a feature is not finite, a number is below 1, or no one is in
            view on both sides of the gap.
    """
    for name, number in (("gap", gap), ("every", every)):
        if number < 1:
            raise ValueError(f"{name}: expected at least 1 frame, got {number}")
    rows, (frames, ids) = _checked(features, frames=frames, ids=ids)
    right = [np.empty(0, np.bool_)]
    alike, different = [np.empty(0, np.float32)], [np.empty(0, np.float32)]
    for t in _query_frames(frames, gap, every):
        now, then = np.flatnonzero(frames == t), np.flatnonzero(frames == t + gap)
        similarity = rows[now] @ rows[then].T
        same = ids[now, None] == ids[then]
        own = np.where(same, similarity, -np.inf).max(axis=1)
        other = np.where(same, -np.inf, similarity).max(axis=1)
        right.append((own - _TIE > other)[same.any(axis=1)])
        alike.append(similarity[same])
        different.append(similarity[~same])
    answers = np.concatenate(right)
    if not answers.size:
        raise ValueError(f"frames, ids: expected a person in view {gap} frames later, got none")
    auc = _auc(np.concatenate(alike), np.concatenate(different))
    return GapRetrieval(rank1=float(answers.mean()), auc=auc, queries=answers.size)


def evaluate_reid(
    path: str | os.PathLike[str],
    extractor: FeatureExtractor,
    *,
    sequences: str | Iterable[str] | None = None,
    detector: mot.Detector | None = None,
    gaps: Iterable[int] = (15, 60, 150),
) -> list[Row]:
    """Score an extractor on data whose people are known.

    Of Market-1501 the images of the held-out identities are described, at their stored size. Of a
    MOTChallenge sequence the annotated pedestrians are, those that can be seen for 30 % or more, in
    every third frame and those a gap later.

    Args:
        path: Market-1501 (or its ``bounding_box_train``), a MOTChallenge sequence, or a folder of
            sequences.
        extractor: any; its rows are compared by their cosine.
        sequences: which, see `sslmot.data.mot.sequences`.
        detector: which variant of MOT17; all have the same annotations.
        gaps: frames, of sequences alone. A multiple of 3 needs no further frames.

    Returns:
        One row for Market-1501; for each sequence one a gap.

    Warns:
        UserWarning: sequences that lack ground truth or frames, and gaps after which no one is in
            view again; these are left out.

    Raises:
        FileNotFoundError: there is no such data, or a frame is missing.
        ValueError: a file is malformed, a name selects nothing, no row is left, or the extractor
            gives no finite (N, D).
    """
    path = Path(path)
    if is_market1501(path):
        if sequences is not None or detector is not None:
            raise ValueError("sequences, detector: expected none with Market-1501")
        return [Row("Market-1501", None, _of_market(path, extractor))]
    gaps = tuple(gaps)
    if not gaps or min(gaps) < 1:
        raise ValueError(f"gaps: expected one or more, each at least 1 frame, got {gaps}")
    selected = _complete(path, sequences, detector)
    rows = []
    for sequence in selected:
        rows += _of_sequence(sequence, extractor, gaps)
    if not rows:
        raise ValueError(f"gaps: expected one after which someone is in view again, got {gaps}")
    return rows


def table(rows: Iterable[Row]) -> str:
    """Lay out rows for the terminal.

    Raises:
        ImportError: tabulate is not installed.
    """
    try:
        from tabulate import tabulate
    except ImportError as error:
        raise ImportError("scores need tabulate: pip install sslmot[evaluation]") from error
    headers = ["gap", "queries", "rank-1", "rank-5", "mAP", "AUC"]
    lines = []
    for row in rows:
        s = row.scores
        shares = (
            (s.rank1, s.rank5, s.mean_ap, None)
            if isinstance(s, Retrieval)
            else (s.rank1, None, None, s.auc)
        )
        cells = ["-" if share is None else f"{share:.3f}" for share in shares]
        lines.append([row.name, "-" if row.gap is None else row.gap, s.queries, *cells])
    alignment = ("left", *("right" for _ in headers))
    text: str = tabulate(lines, ["", *headers], colalign=alignment, disable_numparse=True)
    return text


def _checked(features: ArrayLike, **labels: ArrayLike) -> tuple[Features, list[npt.NDArray[Any]]]:
    """Features as rows of length 1 or 0, and the labels of each row."""
    array = to_numpy(features, "features")
    if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] == 0:
        raise ValueError(f"features: expected (N, D) floats, got {describe(features)}")
    columns = [to_numpy(label, name) for name, label in labels.items()]
    for name, column in zip(labels, columns, strict=True):
        if column.shape != (len(array),):
            raise ValueError(f"{name}: expected ({len(array)},), got {describe(column)}")
    with np.errstate(over="ignore"):  # what is beyond float32 is refused as infinite
        rows = array.astype(np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"features: expected finite numbers, got NaN or inf in row {row}")
    # By the largest first, so that no square is out of range; a length is then 1 or more, or 0.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows /= np.where(largest > 0, largest, 1)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
    return rows, columns


def _similarities(rows: Features) -> Iterator[npt.NDArray[np.float32]]:
    """Of each row, its similarity with every row: (N,)."""
    for first in range(0, len(rows), _BLOCK):
        yield from rows[first : first + _BLOCK] @ rows.T


def _query_frames(frames: npt.NDArray[Any], gap: int, every: int) -> npt.NDArray[Any]:
    """The frames in which someone is in view, and someone a gap later."""
    frames = np.unique(frames)
    wanted: npt.NDArray[np.bool_] = ((frames - 1) % every == 0) & np.isin(frames + gap, frames)
    return frames[wanted]


def _auc(alike: npt.NDArray[np.float32], different: npt.NDArray[np.float32]) -> float:
    """Area under ROC: how often a number of the first is above one of the second, ties half."""
    if not different.size:
        return float("nan")
    different = np.sort(different)
    below = np.searchsorted(different, alike - _TIE, "left")
    up_to = np.searchsorted(different, alike + _TIE, "right")
    return float((below + up_to).mean()) / (2 * len(different))


def _of_market(path: Path, extractor: FeatureExtractor) -> Retrieval:
    data = read_market1501(path, _MARKET_SIZE, part="held-out")
    images = data.crops.images
    parts = [
        _described(extractor, *_column(images[first : first + _BATCH]))
        for first in range(0, len(images), _BATCH)
    ]
    return retrieval(np.concatenate(parts), data.identities, data.cameras)


def _column(images: npt.NDArray[np.uint8]) -> tuple[Frame, Boxes]:
    """(N, h, w, 3) RGB images as one BGR frame, one above the other, and the boxes they have."""
    n, height, width, _ = images.shape
    boxes = np.zeros((n, 4), np.float32)
    boxes[:, 1] = np.arange(n) * height
    boxes[:, 2] = width
    boxes[:, 3] = boxes[:, 1] + height
    return np.ascontiguousarray(images[..., ::-1]).reshape(n * height, width, 3), boxes


def _complete(
    path: Path, names: str | Iterable[str] | None, detector: mot.Detector | None
) -> list[mot.Sequence]:
    """The selected sequences that have ground truth and frames."""
    selected = mot.sequences(path, names, detector)
    found = [s for s in selected if s.ground_truth_path.is_file() and s.has_frames]
    lacking = ", ".join(s.name for s in selected if s not in found)
    if not found:
        raise FileNotFoundError(f"{path}: expected ground truth and frames of {lacking}")
    if lacking:
        warnings.warn(f"no ground truth or no frames of {lacking}: left out", stacklevel=3)
    return found


def _of_sequence(
    sequence: mot.Sequence, extractor: FeatureExtractor, gaps: tuple[int, ...]
) -> list[Row]:
    """A row for each gap after which someone is in view again."""
    gt = sequence.ground_truth()
    shown = gt.considered & (gt.classes == mot.PEDESTRIAN) & (gt.visibility >= _VISIBLE)
    frames, ids, boxes = gt.frames[shown], gt.ids[shown], gt.boxes[shown]
    people = set(zip(frames.tolist(), ids.tolist(), strict=True))
    queries = [(t, who) for t, who in people if (t - 1) % _EVERY == 0]
    found = [gap for gap in gaps if any((t + gap, who) in people for t, who in queries)]
    if len(found) < len(gaps):
        lost = ", ".join(str(gap) for gap in gaps if gap not in found)
        warnings.warn(
            f"{sequence.name}: no one in view again {lost} frames later: left out", stacklevel=3
        )
    if not found:
        return []
    starts = [_query_frames(frames, gap, _EVERY) for gap in found]
    ends = [start + gap for start, gap in zip(starts, found, strict=True)]
    # A frame is read and described once for all gaps.
    needed = [np.flatnonzero(frames == t) for t in np.unique(np.concatenate(starts + ends))]
    features = np.concatenate(
        [
            _described(extractor, sequence.frame(int(frames[rows[0]])), boxes[rows])
            for rows in needed
        ]
    )
    rows = np.concatenate(needed)
    return [
        Row(sequence.name, gap, across_gap(features, frames[rows], ids[rows], gap)) for gap in found
    ]


def _described(extractor: FeatureExtractor, frame: Frame, boxes: Boxes) -> Features:
    array = to_numpy(extractor(frame, boxes), "extractor")
    features: Features = check_embeddings(array, len(boxes), None, "extractor")
    return features
