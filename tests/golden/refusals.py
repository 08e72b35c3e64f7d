"""Steps that a tracker refuses; afterwards everything is as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sslmot import Tracker, TrackerGroup

from .extractors import Strips


class Failing(Strips):
    """The extractor `Strips`, which does otherwise when it is told to."""

    instead: Any = None

    def __call__(self, frame, boxes):  # type: ignore[no-untyped-def]
        if isinstance(self.instead, Exception):
            raise self.instead
        return super().__call__(frame, boxes) if self.instead is None else self.instead


def _dets(dets: np.ndarray) -> Iterator[Any]:
    """Detections that are none."""
    yield dets[:, :3]
    yield dets[None]
    yield "boxes"
    yield dets.astype(complex)
    yield [[1, 2, 3, 4], [1, 2]]
    for column, value in ((0, np.nan), (2, np.inf), (4, np.nan), (1, 2e9)):
        wrong = dets.copy()
        wrong[-1, column] = value
        yield wrong
    for left, right in ((0, 2), (1, 3)):
        wrong = dets.copy()
        wrong[-1, left] = wrong[-1, right] + 1
        yield wrong
    yield np.column_stack((dets, np.full(len(dets), 0.5)))


def _looks(looks: np.ndarray) -> Iterator[Any]:
    """Features that are none, or of another width than before."""
    yield looks[:, :-1]
    yield looks[:-1]
    yield looks[0]
    yield looks.astype(np.int64)
    yield "looks"
    for value in (np.nan, np.inf, 1e300):
        wrong = looks.astype(np.float64)
        wrong[-1, -1] = value
        yield wrong


def _frames(frame: np.ndarray) -> Iterator[Any]:
    """Frames that are none, or of another size than before."""
    yield frame[:-2]
    yield frame[:, :, 0]
    yield frame.astype(np.float32)
    yield "frame"


def _expect_refusal(tracker: Tracker | TrackerGroup, *given: Any, **named: Any) -> None:
    try:
        tracker.step(*given, **named)
    except ValueError:
        return
    raise AssertionError(f"expected a ValueError of step, got none, for {given} {named}")


def refuse(tracker: Tracker, dets: np.ndarray, looks: np.ndarray) -> None:
    """Give what is no step; both arguments would make one."""
    for wrong in _dets(dets):
        _expect_refusal(tracker, None, wrong, embeddings=looks)
    for wrong in _looks(looks):
        _expect_refusal(tracker, None, dets, embeddings=wrong)
    if tracker.gallery is not None:
        _expect_refusal(tracker, None, dets)


def refuse_frames(tracker: Tracker, frame: np.ndarray, dets: np.ndarray, failing: Failing) -> None:
    """Likewise with a frame, and an extractor that fails."""
    for wrong in _dets(dets):
        _expect_refusal(tracker, frame, wrong)
    for wrong in _frames(frame):
        _expect_refusal(tracker, wrong, dets)
    for instead in (ValueError("no idea"), *_looks(Strips()(frame, dets[:, :4]))):
        failing.instead = instead
        _expect_refusal(tracker, frame, dets)
    failing.instead = None


def refuse_group(
    group: TrackerGroup, dets: Sequence[np.ndarray], looks: Sequence[np.ndarray]
) -> None:
    """Likewise for a group, in which but one video is wrong."""
    _expect_refusal(group, None, dets[:-1], embeddings=looks)
    _expect_refusal(group, None, dets, embeddings=looks[:-1])
    _expect_refusal(group, [None], dets, embeddings=looks)
    for wrong in _dets(dets[-1]):
        _expect_refusal(group, None, [*dets[:-1], wrong], embeddings=looks)
    for wrong in _looks(looks[-1]):
        _expect_refusal(group, None, dets, embeddings=[*looks[:-1], wrong])
