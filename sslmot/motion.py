"""Where tracks are expected next: constant velocity with a Kalman filter, or where they were.

A motion's state is one array ``(T, K, 4)`` float32, its last axis the box as (cx, cy, w, h) in
pixels. It is as of each track's last detection: predicting does not change it, and what happened
since is made up for when a track is seen again.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot import _core
from sslmot.types import Boxes, Rows, Scores

State: TypeAlias = npt.NDArray[np.float32]
Counts: TypeAlias = npt.NDArray[np.int64]

# A box's other form is linear in it, and one small product is faster than slices of two columns.
_TO_CENTRE = np.array(
    [[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32
)
_TO_CORNERS = np.array(
    [[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32
)


def to_centre(boxes: Boxes) -> Boxes:
    """(N, 4) float32 xyxy -> (cx, cy, w, h), pixels."""
    return boxes @ _TO_CENTRE


def to_corners(boxes: Boxes) -> Boxes:
    """(N, 4) float32 (cx, cy, w, h) -> xyxy, pixels."""
    return boxes @ _TO_CORNERS


class MotionModel(Protocol):
    """What predicts the boxes of tracks."""

    def start(self, boxes: Boxes) -> State:
        """State (N, K, 4) of new tracks, from their first boxes (N, 4) xyxy."""
        ...

    def predict(self, state: State, misses: Counts) -> Boxes:
        """Where tracks are expected (T, 4) xyxy, after ``misses`` (T,) frames without detection."""
        ...

    def observe(
        self,
        state: State,
        last: Boxes,
        misses: Counts,
        rows: Rows,
        boxes: Boxes,
        columns: Rows,
        scores: Scores,
    ) -> None:
        """Take detections into the state and the last boxes, in place.

        Args:
            state: (T, K, 4).
            last: (T, 4) xyxy, the last detections of the tracks, which become these.
            misses: (T,) frames since then without one.
            rows: (n,) tracks that are seen.
            boxes: (N, 4) xyxy, detections.
            columns: (n,) those of the tracks.
            scores: (N,) of the detections.
        """
        ...


class ConstantVelocity:
    """Kalman filter with constant velocity of centre and size.

    The four numbers of a box are filtered apart (as in SORT and DeepSORT, whose noise is diagonal
    too), so a covariance is three numbers: K = 5 rows hold value, velocity, var(value),
    cov(value, velocity) and var(velocity). Noise grows with the height of the box, so that near
    and far people are treated alike; a lost track keeps the size of its first frame alone.

    Args:
        score_noise: Share of the measured variance that a score of 1 takes away, in [0, 1) (NSA
            Kalman filter, of GIAOTracker).
        reupdate: Whether a track that is seen again is first taken along the line from its last
            detection (OC-SORT's observation-centric re-update).
    """

    # Standard deviations, as shares of the box height: process noise of value and velocity a
    # frame, measurement noise, and the velocity of a new track.
    VALUE_NOISE = 0.1
    VELOCITY_NOISE = 0.00625
    MEASUREMENT_NOISE = 0.05
    FIRST_VELOCITY = 0.12

    def __init__(self, score_noise: float = 0.0, reupdate: bool = False) -> None:
        self._noise = _core.MotionNoise(
            value=self.VALUE_NOISE,
            velocity=self.VELOCITY_NOISE,
            measurement=self.MEASUREMENT_NOISE,
            by_score=score_noise,
        )
        self._reupdate = reupdate

    def start(self, boxes: Boxes) -> State:  # noqa: D102 - see MotionModel
        state = np.zeros((len(boxes), 5, 4), np.float32)
        state[:, 0] = to_centre(boxes)
        square = np.square(state[:, 0, 3:])
        state[:, 2] = (2 * self.MEASUREMENT_NOISE) ** 2 * square
        state[:, 4] = self.FIRST_VELOCITY**2 * square
        return state

    def predict(self, state: State, misses: Counts) -> Boxes:  # noqa: D102
        return _core.predict(state, misses)

    def observe(  # noqa: D102
        self,
        state: State,
        last: Boxes,
        misses: Counts,
        rows: Rows,
        boxes: Boxes,
        columns: Rows,
        scores: Scores,
    ) -> None:
        _core.observe(
            state, last, misses, rows, boxes, columns, scores, self._noise, self._reupdate
        )


class Stationary:
    """No prediction: a box moves ``1 - delta`` of the way to each match (SSL-MOT, section 3)."""

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def start(self, boxes: Boxes) -> State:  # noqa: D102 - see MotionModel
        return to_centre(boxes)[:, None]

    def predict(self, state: State, misses: Counts) -> Boxes:  # noqa: D102
        return to_corners(state[:, 0])

    def observe(  # noqa: D102
        self,
        state: State,
        last: Boxes,
        misses: Counts,
        rows: Rows,
        boxes: Boxes,
        columns: Rows,
        scores: Scores,
    ) -> None:
        old, seen = state[rows, 0], boxes[columns]
        state[rows, 0] = old + (1 - self.delta) * (to_centre(seen) - old)
        last[rows] = seen
