"""Score features by re-identification, on annotated data.

There are two tasks: find a person again in another camera (the protocol of Market-1501), and in
the same camera after a gap (the task of a tracker). Labels are used for the score only.

Features are compared by cosine. A feature of zeros has similarity 0 to every other. Similarities
within 1e-6 count as ties, since rounding decides their order. A tie counts as an error, so a
feature that is the same for all people scores 0.
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
_EVERY = 3  # frames between the query frames of a clip
_VISIBLE = 0.3  # minimum visibility of a person
_BATCH = 64  # images that are embedded at once
_BLOCK = 256  # queries whose similarities are in memory at once
_MARKET_SIZE = (128, 64)  # height and width of the stored images, pixels


@dataclass(frozen=True)
class Retrieval:
    """Scores of re-identification across cameras.

    Attributes:
        rank1: Share of queries whose nearest image shows the same person.
        rank5: Share of queries with an image of the same person among the five nearest.
        mean_ap: Mean average precision over the queries.
        queries: Number of queries, which are the images with a match in another camera.
    """

    rank1: float
    rank5: float
    mean_ap: float
    queries: int


@dataclass(frozen=True)
class GapRetrieval:
    """Scores of re-identification in one clip, some frames later.

    Attributes:
        rank1: Share of queries whose nearest box shows the same person.
        auc: Probability that a pair of one person is more similar than a pair of two people. Ties
            count half. NaN if no two people were compared.
        queries: Number of queries, which are the boxes of people also in view after the gap.
    """

    rank1: float
    auc: float
    queries: int


@dataclass(frozen=True)
class Row:
    """One line of `evaluate_reid`.

    Attributes:
        name: Name of the data.
        gap: Frames from query to gallery, None across cameras.
        scores: Scores across cameras or across the gap.
    """

    name: str
    gap: int | None
    scores: Retrieval | GapRetrieval


def retrieval(features: ArrayLike, ids: ArrayLike, cameras: ArrayLike) -> Retrieval:
    """Score features by the cross-camera protocol of Market-1501.

    Each image is a query once. Its gallery is all images except those of the same person by the
    same camera. A query without a match in another camera is left out.

    Args:
        features: (N, D) floats.
        ids: (N,) the person.
        cameras: (N,) the camera.

    Raises:
        ValueError: Shapes disagree, a feature is not finite, or no query has a match.
    """
    rows, (ids, cameras) = _checked(features, ids=ids, cameras=cameras)
    first, precision = [], []
    for query, similarity in enumerate(_similarities(rows)):
        same = ids == ids[query]
        right = same & (cameras != cameras[query])
        if right.any():
            found = np.sort(similarity[right])[::-1]
            wrong = np.sort(similarity[~same])
            # Number of wrong images ranked before the first right one, before the second, ...
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
    """Score features by re-identification after a gap, the task of a tracker.

    All people in frame t = 1, 1 + every, ... are compared with all people in frame t + gap. A
    person who is not in frame t + gap is not a query, but counts in the pairs of two people.

    Args:
        features: (N, D) floats.
        frames: (N,) integers, from 1.
        ids: (N,) the person, once per frame.
        gap: Number of frames, at least 1.
        every: Frames from query to query, at least 1.

    Raises:
        ValueError: Shapes disagree, a feature is not finite, a number is below 1, or no person is
            in view both before and after the gap.
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
    """Score an extractor on annotated data.

    Market-1501: the images of the held-out identities are embedded, at their stored size.
    MOTChallenge: annotated pedestrians with a visibility of 30 % or more are embedded, in every
    third frame and in the frames a gap later.

    Args:
        path: Market-1501 (or its ``bounding_box_train``), a MOTChallenge sequence, or a folder of
            sequences.
        extractor: The extractor. Its features are compared by cosine.
        sequences: Sequences to use, see `sslmot.data.mot.sequences`.
        detector: Variant of MOT17. All variants have the same annotations.
        gaps: Numbers of frames, for sequences only. Multiples of 3 reuse the query frames.

    Returns:
        One row for Market-1501, or one row per sequence and gap.

    Warns:
        UserWarning: Sequences lack ground truth or frames, or no person is in view after a gap.
            These are left out.

    Raises:
        FileNotFoundError: The data does not exist, or a frame is missing.
        ValueError: A file is malformed, a name selects nothing, no row is left, or the extractor
            does not return finite (N, D) features.
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
        raise ValueError(f"gaps: expected one after which a person is in view again, got {gaps}")
    return rows


def table(rows: Iterable[Row]) -> str:
    """Format rows as a text table.

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
    """Check features and labels. Rows of features are scaled to length 1, or stay 0."""
    array = to_numpy(features, "features")
    if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] == 0:
        raise ValueError(f"features: expected (N, D) floats, got {describe(features)}")
    columns = [to_numpy(label, name) for name, label in labels.items()]
    for name, column in zip(labels, columns, strict=True):
        if column.shape != (len(array),):
            raise ValueError(f"{name}: expected ({len(array)},), got {describe(column)}")
    with np.errstate(over="ignore"):  # too large numbers become inf, which is rejected below
        rows = array.astype(np.float32)
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ValueError(f"features: expected finite numbers, got NaN or inf in row {row}")
    # Divide by the largest number first, so that squares do not overflow. Lengths are then at
    # least 1, or 0.
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows /= np.where(largest > 0, largest, 1)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
    return rows, columns


def _similarities(rows: Features) -> Iterator[npt.NDArray[np.float32]]:
    """Yield the similarities of each row with all rows, (N,)."""
    for first in range(0, len(rows), _BLOCK):
        yield from rows[first : first + _BLOCK] @ rows.T


def _query_frames(frames: npt.NDArray[Any], gap: int, every: int) -> npt.NDArray[Any]:
    """Return the query frames: those with a person in view, then and a gap later."""
    frames = np.unique(frames)
    wanted: npt.NDArray[np.bool_] = ((frames - 1) % every == 0) & np.isin(frames + gap, frames)
    return frames[wanted]


def _auc(alike: npt.NDArray[np.float32], different: npt.NDArray[np.float32]) -> float:
    """Return the area under the ROC curve. Ties count half."""
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
        _embed(extractor, *column(images[first : first + _BATCH]))
        for first in range(0, len(images), _BATCH)
    ]
    return retrieval(np.concatenate(parts), data.identities, data.cameras)


def column(images: npt.NDArray[np.uint8]) -> tuple[Frame, Boxes]:
    """Stack (N, h, w, 3) RGB images to one BGR frame, and return it with their boxes."""
    n, height, width, _ = images.shape
    boxes = np.zeros((n, 4), np.float32)
    boxes[:, 1] = np.arange(n) * height
    boxes[:, 2] = width
    boxes[:, 3] = boxes[:, 1] + height
    return np.ascontiguousarray(images[..., ::-1]).reshape(n * height, width, 3), boxes


def _complete(
    path: Path, names: str | Iterable[str] | None, detector: mot.Detector | None
) -> list[mot.Sequence]:
    """Return the selected sequences that have ground truth and frames."""
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
    """Score a sequence. There is a row for each gap after which a person is in view again."""
    gt = sequence.ground_truth()
    shown = gt.considered & (gt.classes == mot.PEDESTRIAN) & (gt.visibility >= _VISIBLE)
    frames, ids, boxes = gt.frames[shown], gt.ids[shown], gt.boxes[shown]
    people = set(zip(frames.tolist(), ids.tolist(), strict=True))
    queries = [(t, person) for t, person in people if (t - 1) % _EVERY == 0]
    found = [gap for gap in gaps if any((t + gap, person) in people for t, person in queries)]
    if len(found) < len(gaps):
        lost = ", ".join(str(gap) for gap in gaps if gap not in found)
        warnings.warn(
            f"{sequence.name}: no person in view again {lost} frames later: left out", stacklevel=3
        )
    if not found:
        return []
    starts = [_query_frames(frames, gap, _EVERY) for gap in found]
    ends = [start + gap for start, gap in zip(starts, found, strict=True)]
    # Each frame is read and embedded once, for all gaps.
    needed = [np.flatnonzero(frames == t) for t in np.unique(np.concatenate(starts + ends))]
    features = np.concatenate(
        [_embed(extractor, sequence.frame(int(frames[rows[0]])), boxes[rows]) for rows in needed]
    )
    rows = np.concatenate(needed)
    return [
        Row(sequence.name, gap, across_gap(features, frames[rows], ids[rows], gap)) for gap in found
    ]


def _embed(extractor: FeatureExtractor, frame: Frame, boxes: Boxes) -> Features:
    array = to_numpy(extractor(frame, boxes), "extractor")
    features: Features = check_embeddings(array, len(boxes), None, "extractor")
    return features
