"""The assignment for general use, and how boxes overlap."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.inputs import describe, to_native, to_numpy
from sslmot.types import ArrayLike, Boxes, Rows


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
