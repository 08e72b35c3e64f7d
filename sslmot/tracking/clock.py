"""The times of frames, in seconds."""

from __future__ import annotations

import numbers
from typing import Any

from sslmot.tracking.frame import History

LEAST_STEP = 1e-6
"""Seconds between two steps, at least."""

MOST_SECONDS = 1e12
"""Limit of timestamps; milliseconds since 1970 are beyond."""


def check_number(name: str, value: Any, low: float, high: float) -> float:
    """Return a number as a float.

    Raises:
        ValueError: It is no number of ``low`` to ``high``.
    """
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not low <= value <= high:
        raise ValueError(f"{name}: expected a number of {low:g} to {high:g}, got {value!r}")
    return float(value)


def check_timestamp(timestamp: Any) -> float:
    """Return a timestamp as a float.

    Raises:
        ValueError: It is no number of seconds.
    """
    return check_number("timestamp", timestamp, -MOST_SECONDS, MOST_SECONDS)


def next_time(history: History, frame_rate: float, timestamp: Any) -> tuple[float, float]:
    """Return the time of the next step, and the seconds since the last.

    Args:
        history: Has the times of the last step and the last frame.
        frame_rate: Frames a second, for a step without timestamp.
        timestamp: Of the step, or None.

    Raises:
        ValueError: The timestamp is no number of seconds, or not above that of the last step.
    """
    if timestamp is None:
        elapsed = 1 / frame_rate
        if history.time is None:
            return 0.0, elapsed
        time = check_timestamp(history.clock + elapsed)
        return time, time - history.time
    time = check_timestamp(timestamp)
    if history.time is None:
        return time, 1 / frame_rate
    if not time - history.time >= LEAST_STEP:
        raise ValueError(
            f"timestamp: expected more than {history.time}, of the frame before, got {timestamp}"
        )
    return time, time - history.time


def predicted_time(history: History, frame_rate: float, timestamp: Any) -> tuple[float, float]:
    """Return the clock after a frame that is predicted, and its seconds since the last step.

    Args:
        history: As for :func:`next_time`.
        frame_rate: Frames a second, for a frame without timestamp.
        timestamp: Of the frame, which does not move the clock, or None for the next frame.

    Raises:
        ValueError: The timestamp is no number of seconds, or below that of the last step.
    """
    if timestamp is None:
        if history.time is None:
            return history.clock, 0.0
        clock = check_timestamp(history.clock + 1 / frame_rate)
        return clock, clock - history.time
    time = check_timestamp(timestamp)
    if history.time is None:
        return history.clock, 0.0
    if time < history.time:
        raise ValueError(
            f"timestamp: expected {history.time} or more, of the frame before, got {timestamp}"
        )
    return history.clock, time - history.time
