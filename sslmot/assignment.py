"""Minimum-cost assignment and box overlap (IoU)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.inputs import describe, to_native, to_numpy
from sslmot.types import ArrayLike, Boxes, Rows


def assign(cost: ArrayLike, max_cost: float = np.inf) -> tuple[Rows, Rows]:
    """Match rows to columns at minimum total cost.

    Args:
        cost: (T, N) numbers. ``inf``, or any number from 1e300, forbids a pair.
        max_cost: Upper limit for the cost of a pair, exclusive. Each unmatched row adds
            ``max_cost`` to the total. With ``inf`` the number of pairs is as large as possible.

    Returns:
        Rows and columns of the pairs, in the format of scipy.optimize.linear_sum_assignment.

    Raises:
        ValueError: A cost is NaN or not above -1e300 (the error gives row and column), the shape
            or dtype is wrong, or ``max_cost`` is NaN or -inf.
    """
    array = to_numpy(cost, "cost")
    if array.dtype.kind not in "fiu" or array.ndim != 2:
        raise ValueError(f"cost: expected (T, N) numbers, got {describe(cost)}")
    wide = np.float32 if array.dtype == np.float32 else np.float64
    match = _core.assign(to_native(array, wide), float(max_cost))
    rows = np.flatnonzero(match >= 0)
    return rows, match[rows].astype(np.int64)


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float32]:
    """Compute the intersection over union (IoU) of all pairs of boxes.

    Args:
        a: (N, 4) float32, xyxy pixels.
        b: (M, 4) float32.

    Returns:
        (N, M) float32, 0 to 1. The IoU of two boxes without area is 0.
    """
    sides = np.minimum(a[:, None, 2:], b[:, 2:]) - np.maximum(a[:, None, :2], b[:, :2])
    shared = sides.clip(0).prod(axis=2)
    area_a, area_b = (np.prod(x[:, 2:] - x[:, :2], axis=1) for x in (a, b))
    union = area_a[:, None] + area_b - shared
    overlap: npt.NDArray[np.float32] = np.divide(
        shared, union, out=np.zeros_like(shared), where=union > 0
    )
    return overlap
