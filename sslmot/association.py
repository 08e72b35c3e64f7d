"""Matching of tracks and detections, and the assignment under it."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.inputs import describe, to_native, to_numpy
from sslmot.types import ArrayLike, Boxes, Rows

Match: TypeAlias = npt.NDArray[np.int32]


def assign(cost: ArrayLike, max_cost: float = np.inf) -> tuple[Rows, Rows]:
    """Minimum-cost matching with a gate.

    Args:
        cost: (T, N) numbers; ``inf``, or 1e300 and up, forbids a pair.
        max_cost: Pairs that cost as much or more are not made, and every row left out counts as
            much. With ``inf`` as many pairs as possible are made.

    Returns:
        Rows and columns of the pairs, as scipy.optimize.linear_sum_assignment gives them.

    Raises:
        ValueError: A cost is NaN or not above -1e300 (row and column are named), shape or dtype is
            wrong, or the gate is NaN or -inf.
    """
    array = to_numpy(cost, "cost")
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise ValueError(f"cost: expected (T, N) numbers, got {describe(cost)}")
    wide = np.float32 if array.dtype == np.float32 else np.float64
    match = _core.assign(to_native(array, wide), float(max_cost))
    rows = np.flatnonzero(match >= 0)
    return rows, match[rows].astype(np.int64)


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """Intersection over union of each box with each.

    Args:
        a: (N, 4) float32, xyxy pixels.
        b: (M, 4) float32.

    Returns:
        (N, M) float32, 0 to 1; 0 for two boxes without area.
    """
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    shared = sides.clip(0).prod(axis=2)
    area_a, area_b = (np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b))
    union = area_a[:, None] + area_b - shared
    overlap: npt.NDArray[np.float32] = np.divide(
        shared, union, out=np.zeros_like(shared), where=union > 0
    )
    return overlap


class BoxPairs(NamedTuple):
    """The boxes of both sides of a frame, in host memory.

    Attributes:
        track_boxes: (T, 4) float32, xyxy pixels, predicted.
        track_classes: (T,) int32.
        boxes: (N, 4) float32, xyxy pixels, detected.
        classes: (N,) int32.
    """

    track_boxes: Boxes
    track_classes: npt.NDArray[np.int32]
    boxes: Boxes
    classes: npt.NDArray[np.int32]

    def take(self, tracks: Rows, detections: Rows) -> BoxPairs:
        """Some of either side."""
        return BoxPairs(
            self.track_boxes[tracks],
            self.track_classes[tracks],
            self.boxes[detections],
            self.classes[detections],
        )

    def each(self, value: float) -> npt.NDArray[np.float32]:
        """(T,) float32: one number for all tracks."""
        return np.full(len(self.track_boxes), value, np.float32)


class PairCosts(NamedTuple):
    """What pairs cost that could match: those below the gate.

    Attributes:
        row_begin: (T + 1,) int32; the pairs of track i are those from ``row_begin[i]`` up to
            ``row_begin[i + 1]``.
        columns: (P,) int32, their detections.
        costs: (P,) float32.
    """

    row_begin: npt.NDArray[np.int32]
    columns: npt.NDArray[np.int32]
    costs: npt.NDArray[np.float32]

    def cost(self, track: int, detection: int) -> float:
        """What a pair costs that is among these."""
        begin, end = self.row_begin[track], self.row_begin[track + 1]
        return float(self.costs[begin:end][self.columns[begin:end] == detection][0])


class Matching(NamedTuple):
    """The matching of a frame and the costs that it is made of.

    Attributes:
        match: (T,) int32, the detection of each track, -1 for none.
        pairs: What it chose from.
    """

    match: Match
    pairs: PairCosts
