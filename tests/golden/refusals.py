"""Steps that a tracker rejects. They must change nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sslmot import Tracker, TrackerGroup

from .extractors import Strips


class Failing(Strips):
    """The extractor `Strips`, which can be set to return or raise something else."""

    instead: Any = None

    def __call__(self, frame, boxes):  # type: ignore[no-untyped-def]
        if isinstance(self.instead, Exception):
            raise self.instead
        return super().__call__(frame, boxes) if self.instead is None else self.instead


def _dets(dets: np.ndarray) -> Iterator[Any]:
    """Yield invalid detections."""
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


def _features(features: np.ndarray) -> Iterator[Any]:
    """Yield invalid features, or features of another width."""
    yield features[:, :-1]
    yield features[:-1]
    yield features[0]
    yield features.astype(np.int64)
    yield "features"
    for value in (np.nan, np.inf, 1e300):
        wrong = features.astype(np.float64)
        wrong[-1, -1] = value
        yield wrong


def _frames(frame: np.ndarray) -> Iterator[Any]:
    """Yield invalid frames, or frames of another size."""
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


def refuse(tracker: Tracker, dets: np.ndarray, features: np.ndarray) -> None:
    """Try invalid steps. Both arguments are valid and get changed."""
    for wrong in _dets(dets):
        _expect_refusal(tracker, None, wrong, embeddings=features)
    for wrong in _features(features):
        _expect_refusal(tracker, None, dets, embeddings=wrong)
    if tracker.gallery is not None:
        _expect_refusal(tracker, None, dets)


def refuse_frames(tracker: Tracker, frame: np.ndarray, dets: np.ndarray, failing: Failing) -> None:
    """Try invalid steps with a frame, and with an extractor that fails."""
    for wrong in _dets(dets):
        _expect_refusal(tracker, frame, wrong)
    for wrong in _frames(frame):
        _expect_refusal(tracker, wrong, dets)
    for instead in (ValueError("no idea"), *_features(Strips()(frame, dets[:, :4]))):
        failing.instead = instead
        _expect_refusal(tracker, frame, dets)
    failing.instead = None


def refuse_group(
    group: TrackerGroup, dets: Sequence[np.ndarray], features: Sequence[np.ndarray]
) -> None:
    """Try invalid steps of a group in which only one video is wrong."""
    _expect_refusal(group, None, dets[:-1], embeddings=features)
    _expect_refusal(group, None, dets, embeddings=features[:-1])
    _expect_refusal(group, [None], dets, embeddings=features)
    for wrong in _dets(dets[-1]):
        _expect_refusal(group, None, [*dets[:-1], wrong], embeddings=features)
    for wrong in _features(features[-1]):
        _expect_refusal(group, None, dets, embeddings=[*features[:-1], wrong])
