"""Where tracks are expected next: constant velocity with a Kalman filter, or where they were.

A motion's state is one array ``(K, T, 4)`` float32, its last axis the box as (cx, cy, w, h) in
pixels; functions take a state and give a new one, so that a rejected frame changes nothing.
"""

from __future__ import annotations

from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot.types import Boxes

State: TypeAlias = npt.NDArray[np.float32]
Mask: TypeAlias = npt.NDArray[np.bool_]


# A box's other form is linear in it, and one small product is faster than slices of two columns.
_TO_CENTRE = np.array(
    [[0.5, 0, -1, 0], [0, 0.5, 0, -1], [0.5, 0, 1, 0], [0, 0.5, 0, 1]], np.float32
)
_TO_CORNERS = np.array(
    [[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]], np.float32
)
_TO_HEIGHT = np.array([[0] * 4, [0] * 4, [0] * 4, [1] * 4], np.float32)


def to_centre(boxes: Boxes) -> Boxes:
    """(N, 4) float32 xyxy -> (cx, cy, w, h), pixels."""
    return boxes @ _TO_CENTRE


def to_corners(boxes: Boxes) -> Boxes:
    """(N, 4) float32 (cx, cy, w, h) -> xyxy, pixels."""
    return boxes @ _TO_CORNERS


class MotionModel(Protocol):
    """What predicts the boxes of tracks. ``state[0]`` is the box of each as (cx, cy, w, h)."""

    def start(self, boxes: Boxes) -> State:
        """State (K, N, 4) of new tracks, from their first boxes (N, 4) as (cx, cy, w, h)."""
        ...

    def predict(self, state: State, lost: Mask) -> State:
        """State one frame later; ``lost`` (T,) marks tracks without detection in the last one."""
        ...

    def update(self, state: State, boxes: Boxes, matched: Mask) -> State:
        """State with the boxes (T, 4) of the tracks that are ``matched`` (T,) taken in."""
        ...


class ConstantVelocity:
    """Kalman filter with constant velocity of centre and size, all tracks at once.

    The four numbers of a box are filtered apart (as in SORT and DeepSORT, whose noise is diagonal
    too), so a covariance is three numbers: K = 5 planes hold value, velocity, var(value),
    cov(value, velocity) and var(velocity). Noise grows with the height of the box, so that near
    and far people are treated alike; a lost track keeps its last size.
    """

    # Standard deviations, as shares of the box height: process noise of value and velocity a
    # frame, measurement noise, and the velocity of a new track.
    VALUE_NOISE = 0.1
    VELOCITY_NOISE = 0.00625
    MEASUREMENT_NOISE = 0.05
    FIRST_VELOCITY = 0.12

    @staticmethod
    def _square_height(boxes: Boxes) -> npt.NDArray[np.float32]:
        """(T, 4), the same for all four numbers of a box."""
        # A flat box is legal: what keeps its variances above zero is far below any pixel.
        square: npt.NDArray[np.float32] = np.square(boxes @ _TO_HEIGHT) + np.float32(1e-12)
        return square

    def start(self, boxes: Boxes) -> State:  # noqa: D102 - see MotionModel
        state = np.zeros((5, len(boxes), 4), np.float32)
        square = self._square_height(boxes)
        state[0] = boxes
        state[2] = (2 * self.MEASUREMENT_NOISE) ** 2 * square
        state[4] = self.FIRST_VELOCITY**2 * square
        return state

    def predict(self, state: State, lost: Mask) -> State:  # noqa: D102
        new = state.copy()
        value, velocity, var, cov, velocity_var = new
        square = self._square_height(value)
        velocity[lost, 2:] = 0
        value += velocity
        # No shrinking to nothing: a size at most halves in a frame.
        np.maximum(value[:, 2:], 0.5 * state[0, :, 2:], out=value[:, 2:])
        var += cov
        cov += velocity_var
        var += cov
        var += self.VALUE_NOISE**2 * square
        velocity_var += self.VELOCITY_NOISE**2 * square
        return new

    def update(self, state: State, boxes: Boxes, matched: Mask) -> State:  # noqa: D102
        new = state.copy()
        value, velocity, var, cov, velocity_var = new
        # Gains of unmatched tracks are zero: their state stays.
        seen = matched[:, None] / (var + self.MEASUREMENT_NOISE**2 * self._square_height(value))
        gain, velocity_gain = var * seen, cov * seen
        error = boxes - value
        value += gain * error
        velocity += velocity_gain * error
        velocity_var -= velocity_gain * cov
        keep = 1 - gain
        var *= keep
        cov *= keep
        return new


class Stationary:
    """No prediction: a box moves ``1 - delta`` of the way to each match (SSL-MOT, section 3)."""

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def start(self, boxes: Boxes) -> State:  # noqa: D102 - see MotionModel
        return boxes[None].copy()

    def predict(self, state: State, lost: Mask) -> State:  # noqa: D102
        return state

    def update(self, state: State, boxes: Boxes, matched: Mask) -> State:  # noqa: D102
        share = np.where(matched, np.float32(1 - self.delta), np.float32(0))[:, None]
        moved: State = state + share * (boxes - state)
        return moved
