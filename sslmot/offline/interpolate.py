"""Fills the gaps of tracks when all frames are known: not online."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sslmot.data.mot import FrameResult


def interpolate(results: Iterable[FrameResult], max_gap: int = 30) -> list[FrameResult]:
    """Fill the gaps of tracks by linear interpolation of their boxes.

    Not online: a gap is filled after its end is seen. Nothing is extrapolated.

    Args:
        results: In any order, each frame once.
        max_gap: Most frames from a box to the next one of the same id; what is farther apart stays
            as it is.

    Returns:
        The frames of the results and those that were filled, in order; in each the boxes as they
        were, then the interpolated ones by id. The score of these is the lower of both ends'.

    Raises:
        ValueError: ``max_gap`` is no integer of 1 or more, or a frame or an id in it comes twice.
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

    # Each box and the next one of its id.
    order = np.lexsort((frames, ids))
    first, second = order[:-1], order[1:]
    apart = frames[second] - frames[first]
    same = ids[first] == ids[second]
    if (same & (apart == 0)).any():
        row = first[same & (apart == 0)][0]
        raise ValueError(f"results: expected an id once in frame {frames[row]}, got {ids[row]}")

    # One row for each frame that lies between the two.
    missing = np.where(same & (apart <= max_gap), apart - 1, 0)
    before = np.cumsum(missing) - missing
    step = 1 + np.arange(missing.sum()) - np.repeat(before, missing)
    share = (step / np.repeat(apart, missing))[:, None]
    first, second = np.repeat(first, missing), np.repeat(second, missing)
    between = (1 - share) * boxes[first] + share * boxes[second]

    frames = np.concatenate([frames, frames[first] + step])
    ids = np.concatenate([ids, ids[first]])
    boxes = np.concatenate([boxes, between.astype(boxes.dtype)])
    scores = np.concatenate([scores, np.minimum(scores[first], scores[second])])
    order = np.argsort(frames, kind="stable")
    filled = np.union1d(numbers, frames)
    parts = np.split(order, np.searchsorted(frames[order], filled[1:]))
    return [
        FrameResult(int(frame), ids[rows], boxes[rows], scores[rows])
        for frame, rows in zip(filled, parts, strict=True)
    ]
