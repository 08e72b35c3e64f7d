"""Notice detections whose numbers have another meaning than expected."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Measured on MOT17, SportsMOT, PRW and TUD-Stadtmitte. No detections reach beyond 1.1 pictures, of
# annotations at most 15 %. With corners read as sizes, 25 to 100 % of the boxes do.
_BEYOND = 1.1
_SOME, _MOST = 0.2, 0.5
_FEW = 10  # fewer boxes say nothing


def doubt(
    boxes: npt.NDArray[Any],
    scores: npt.NDArray[Any] | None = None,
    size: tuple[int, int] | None = None,
) -> str | None:
    """Return what is doubtful about detections, as text for a warning. None if nothing is.

    Three mistakes change tracks without an error: scores in percent, boxes in units of the
    picture's size, and corners where sizes are expected (or boxes of another picture size).

    Args:
        boxes: (N, 4) xyxy pixels.
        scores: (N,) scores, or None.
        size: Width and height of the picture, pixels, or None if unknown.
    """
    if len(boxes) == 0:
        return None
    if scores is not None and (scores > 1.01).any():
        low, high = float(np.min(scores)), float(np.max(scores))
        percent = ", are they percent?" if low >= 0 and 2 < high <= 100 else ""
        return f"scores of {low:.4g} to {high:.4g}: expected 0 to 1{percent}"
    low, high = float(boxes.min()), float(boxes.max())
    if low > -0.5 and 0 < high < 1.5 and (boxes % 1 > 0).any():
        return (
            f"all {len(boxes)} boxes lie within {low:.3g} to {high:.3g}: expected pixels, are they "
            "normalised?"
        )
    if size is None or len(boxes) < _FEW:
        return None
    corner, end = boxes[:, :2], boxes[:, 2:]
    share = (end > _BEYOND * np.asarray(size)).any(axis=1).mean()
    # Corners read as sizes give boxes that are all wider than their distance from the edge.
    corners = bool((end >= 2 * corner).all())
    if share <= (_SOME if corners else _MOST):
        return None
    right, bottom = end.max(axis=0)
    reason = "x2, y2 in place of width and height" if corners else "of another picture size"
    return (
        f"{share:.0%} of {len(boxes)} boxes reach far beyond the picture of {size[0]}x{size[1]}, "
        f"up to {right:.0f}, {bottom:.0f}: are they {reason}?"
    )
