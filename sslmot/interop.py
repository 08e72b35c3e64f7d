"""Detections of other packages in, and tracks out: supervision and ultralytics.

Neither package is imported before one of its objects is made. Frames are BGR for all three, as
OpenCV, ``supervision.get_video_frames_generator`` and ``Results.orig_img`` give them; reverse the
last axis of an RGB frame: ``frame[:, :, ::-1]``.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot.inputs import to_numpy
from sslmot.tracking.tracker import Tracker
from sslmot.tracking.tracks import LostTracks, Tracks
from sslmot.types import ArrayLike

Detections: TypeAlias = Any
"""A ``supervision.Detections``."""

Results: TypeAlias = Any
"""An ``ultralytics.engine.results.Results``, of one frame."""


def from_supervision(detections: Detections) -> npt.NDArray[np.float64]:
    """Return the detections as :meth:`Tracker.step` takes them.

    Args:
        detections: ``confidence`` and ``class_id`` may be None.

    Returns:
        (N, 4) xyxy pixels, (N, 5) with scores, or (N, 6) with scores, 1 where there are none, and
        classes.

    Raises:
        ValueError: It is something else.
    """
    try:
        xyxy, scores, classes = detections.xyxy, detections.confidence, detections.class_id
    except AttributeError as error:
        raise _unlike("detections", "supervision.Detections", detections) from error
    if scores is None and classes is not None:
        scores = np.ones(len(xyxy))
    columns = [values for values in (scores, classes) if values is not None]
    return np.column_stack([xyxy, *columns]).astype(np.float64)


def to_supervision(tracks: Tracks | LostTracks, detections: Detections = None) -> Detections:
    """Return tracks as a ``supervision.Detections`` with their ids as ``tracker_id``.

    Args:
        tracks: Those of a step, predicted ones or lost ones. Only those of a step have a
            ``confidence``. Lost ones have their age and velocity in ``data``.
        detections: Those of the step. The result is their rows that have a track, with masks, data
            and metadata. None for the boxes, scores and classes of the tracks alone.

    Raises:
        ImportError: supervision is not installed.
        ValueError: Detections are given, and the tracks are not of a step with as many.
    """
    if detections is not None:
        rows = tracks.detection_index if isinstance(tracks, Tracks) else np.array([-1])
        if not ((rows >= 0) & (rows < len(detections))).all():
            raise ValueError(
                f"detections: expected those of the tracks' step, got {len(detections)} others"
            )
        found = detections[rows]
        found.tracker_id = tracks.ids.copy()
        return found
    try:
        import supervision
    except ImportError as error:
        raise ImportError("Detections need supervision: pip install sslmot[interop]") from error
    confidence: npt.NDArray[np.float32] | None = None
    data: dict[str, Any] = {}
    if isinstance(tracks, LostTracks):
        data = {"age": tracks.ages.copy(), "velocity": tracks.velocities.copy()}
    elif (tracks.detection_index >= 0).all():
        confidence = tracks.scores.copy()
    return supervision.Detections(
        xyxy=tracks.boxes.copy(),
        confidence=confidence,
        class_id=tracks.classes.astype(np.int64),
        tracker_id=tracks.ids.copy(),
        data=data,
    )


def from_ultralytics(result: Results) -> npt.NDArray[np.float64]:
    """Return the boxes of a result as :meth:`Tracker.step` takes them.

    The frame is its ``orig_img``.

    Args:
        result: Of one frame, on any device. Of oriented boxes the upright ones around them count.

    Returns:
        (N, 6) xyxy pixels, score, class.

    Raises:
        ValueError: It is something else, or has no boxes.
    """
    found = getattr(result, "boxes", None)
    found = getattr(result, "obb", None) if found is None else found
    if found is None:
        raise _unlike("result", "ultralytics Results with boxes", result)
    columns = [to_numpy(values, "result") for values in (found.xyxy, found.conf, found.cls)]
    return np.column_stack(columns).astype(np.float64)


class SupervisionTracker:
    """A :class:`~sslmot.Tracker` with the interface of ByteTrack in supervision and trackers.

    Args:
        tracker: Does the work; None for ``Tracker()``.

    Attributes:
        tracker: As given.
    """

    def __init__(self, tracker: Tracker | None = None) -> None:
        self.tracker = Tracker() if tracker is None else tracker

    def update(
        self,
        detections: Detections,
        frame: ArrayLike | None = None,
        timestamp: float | None = None,
    ) -> Detections:
        """Track one more frame, as ``trackers.ByteTrackTracker.update``.

        Args:
            detections: Of the frame, of all scores from .1 on.
            frame: As for :meth:`Tracker.step`. None to track by motion alone.
            timestamp: As for :meth:`Tracker.step`.

        Returns:
            The detections, in their order, with a ``tracker_id``: -1 where there is no confirmed
            track. They share arrays with the given ones.

        Raises:
            ValueError: As :meth:`Tracker.step`.
        """
        tracks = self.tracker.step(frame, from_supervision(detections), timestamp=timestamp)
        ids = np.full(len(detections), -1)
        ids[tracks.detection_index] = tracks.ids
        data, metadata = dict(detections.data), dict(detections.metadata)
        return dataclasses.replace(detections, tracker_id=ids, data=data, metadata=metadata)

    def update_with_detections(
        self,
        detections: Detections,
        frame: ArrayLike | None = None,
        timestamp: float | None = None,
    ) -> Detections:
        """Track one more frame, as ``supervision.ByteTrack.update_with_detections``.

        Args:
            detections: As for :meth:`update`.
            frame: As for :meth:`update`.
            timestamp: As for :meth:`update`.

        Returns:
            The detections that have a confirmed track, in their order, with its ``tracker_id``.

        Raises:
            ValueError: As :meth:`Tracker.step`.
        """
        tracks = self.tracker.step(frame, from_supervision(detections), timestamp=timestamp)
        return to_supervision(tracks, detections)

    def reset(self) -> None:
        """Forget all tracks, for another video; see :meth:`Tracker.reset`."""
        self.tracker.reset()


def _unlike(name: str, expected: str, got: object) -> ValueError:
    return ValueError(f"{name}: expected {expected}, got {type(got).__name__}")
