"""Fill gaps of tracks by interpolation. It is offline: all frames must be known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sslmot.data.mot import FrameResult


def interpolate(results: Iterable[FrameResult], max_gap: int = 30) -> list[FrameResult]:
    """Fill the gaps of tracks by linear interpolation of their boxes.

    This is offline: a gap can be filled only after its end. Boxes are never extrapolated.

    Args:
        results: Results in any order, each frame once.
        max_gap: Maximum number of frames from a box to the next box of the same id. Longer gaps
            are not filled.

    Returns:
        The original and the filled frames, in order. Each frame contains its original boxes, then
        the interpolated boxes ordered by id. Interpolated boxes have the score NaN, and the class
        of the box before the gap.

    Raises:
        ValueError: ``max_gap`` is not an integer of 1 or more, a frame occurs twice, or an id
            occurs twice in a frame.
    """
    if isinstance(max_gap, bool) or not isinstance(max_gap, int) or max_gap < 1:
        raise ValueError(f"max_gap: expected an integer of 1 or more, got {max_gap!r}")
    results = sorted(results, key=lambda result: result.frame)
    if not results:
        return []
    numbers = np.array([result.frame for result in results], np.int64)
    if (np.diff(numbers) == 0).any():
        twice = int(numbers[:-1][np.diff(numbers) == 0][0])
        raise ValueError(f"results: expected each frame once, got frame {twice} twice")
    frames = np.repeat(numbers, [len(result.ids) for result in results])
    ids = np.concatenate([result.ids for result in results])
    boxes = np.concatenate([result.boxes for result in results])
    scores = np.concatenate([result.scores for result in results])
    classes = np.concatenate([_classes(result) for result in results])

    # Pairs of each box with the next box of its id.
    order = np.lexsort((frames, ids))
    first, second = order[:-1], order[1:]
    apart = frames[second] - frames[first]
    same = ids[first] == ids[second]
    if (same & (apart == 0)).any():
        row = first[same & (apart == 0)][0]
        raise ValueError(f"results: expected an id once in frame {frames[row]}, got {ids[row]}")

    # One row for each missing frame between the two boxes.
    missing = np.where(same & (apart <= max_gap), apart - 1, 0)
    before = np.cumsum(missing) - missing
    step = 1 + np.arange(missing.sum()) - np.repeat(before, missing)
    share = (step / np.repeat(apart, missing))[:, None]
    first, second = np.repeat(first, missing), np.repeat(second, missing)
    between = (1 - share) * boxes[first] + share * boxes[second]

    frames = np.concatenate([frames, frames[first] + step])
    ids = np.concatenate([ids, ids[first]])
    boxes = np.concatenate([boxes, between.astype(boxes.dtype)])
    scores = np.concatenate([scores, np.full(len(first), np.nan, scores.dtype)])
    classes = np.concatenate([classes, classes[first]])
    known = all(result.classes is not None for result in results)
    order = np.argsort(frames, kind="stable")
    filled = np.union1d(numbers, frames)
    parts = np.split(order, np.searchsorted(frames[order], filled[1:]))
    return [
        FrameResult(
            int(frame), ids[rows], boxes[rows], scores[rows], classes[rows] if known else None
        )
        for frame, rows in zip(filled, parts, strict=True)
    ]


def _classes(result: FrameResult) -> npt.NDArray[np.int32]:
    return np.zeros(len(result.ids), np.int32) if result.classes is None else result.classes
