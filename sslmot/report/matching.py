"""Match results with ground truth, frame by frame, as CLEAR does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslmot.assignment import assign, iou
from sslmot.data.mot import PEDESTRIAN
from sslmot.report.clip import Clip, rows_by_frame
from sslmot.types import Boxes, Rows

MIN_IOU = 0.5
"""A box and a person match from this IoU on."""

_DISTRACTORS = (2, 7, 8, 12)
"""Classes beside pedestrians that a tracker may report: on a vehicle, static, distractor,
reflection."""

_DISTRACTORS_MOT20 = (*_DISTRACTORS, 6)
"""MOT20 adds vehicles."""

_EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Matching:
    """The matched pairs of people and result rows.

    Attributes:
        rows: (K,) int64, the rows of the ground truth that are scored.
        match: (K,) int64, the result row of each, -1 if the person is missed.
        ignored: (R,) bool, the result rows on distractors, which scoring ignores.
    """

    rows: Rows
    match: Rows
    ignored: npt.NDArray[np.bool_]


def match(clip: Clip) -> Matching:
    """Match results and people at an IoU of .5, as TrackEval does for the switches of CLEAR.

    A pair of the frame before is preferred. Otherwise the sum of the IoU decides.

    Raises:
        ValueError: The clip has no ground truth.
    """
    if clip.truth is None:
        raise ValueError(f"{clip.path}: expected ground truth, got none")
    truth = clip.truth
    distractors = _DISTRACTORS_MOT20 if clip.name.startswith("MOT20-") else _DISTRACTORS
    scored = truth.considered & (truth.classes == PEDESTRIAN)
    ignored = np.zeros(len(clip.frames), np.bool_)
    found = np.full(len(truth), -1)
    before: dict[int, int] = {}  # the identity of each person in the frame before
    people_of = rows_by_frame(truth.frames)
    tracks_of = rows_by_frame(clip.frames)
    nothing = np.empty(0, np.int64)
    for t in sorted(people_of):
        everyone, tracks = people_of[t], tracks_of.get(t, nothing)
        overlap = _overlap(truth.boxes[everyone], clip.boxes[tracks])
        pairs = _assign(overlap, overlap)
        wrong = np.isin(truth.classes[everyone[pairs[0]]], distractors)
        ignored[tracks[pairs[1][wrong]]] = True
        kept, people = ~ignored[tracks], scored[everyone]
        tracks, everyone = tracks[kept], everyone[people]
        if not len(tracks) or not len(everyone):
            continue
        overlap = overlap[np.ix_(people, kept)]
        old = np.array([before.get(person, -1) for person in truth.ids[everyone].tolist()])
        person, track = _assign(overlap, overlap + 1000 * (old[:, None] == clip.ids[tracks]))
        found[everyone[person]] = tracks[track]
        before = dict(
            zip(truth.ids[everyone[person]].tolist(), clip.ids[tracks[track]].tolist(), strict=True)
        )
    rows = np.flatnonzero(scored)
    rows = rows[np.argsort(truth.frames[rows], kind="stable")]
    return Matching(rows, found[rows], ignored)


def _overlap(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """Return the IoU in float64, as TrackEval computes it."""
    exact: npt.NDArray[np.float64] = iou(a.astype(np.float64), b.astype(np.float64))  # type: ignore[assignment]
    return exact


def _assign(overlap: npt.NDArray[np.float64], score: npt.NDArray[np.float64]) -> tuple[Rows, Rows]:
    """Match rows and columns of enough overlap at the largest sum of scores."""
    return assign(np.where(overlap < MIN_IOU - _EPSILON, np.inf, -score), 0.0)
