"""The tracks of a frame: those with a detection in it, and the lost ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot.tracking.explain import Evidence, Explanation
from sslmot.types import Boxes

Box: TypeAlias = tuple[float, float, float, float]
"""x1, y1, x2, y2; pixels."""

DataFrame: TypeAlias = Any
"""A ``pandas.DataFrame``."""


class Track(NamedTuple):
    """One row of :class:`Tracks`.

    Attributes:
        id: As in :attr:`Tracks.ids`.
        box: As in :attr:`Tracks.boxes`.
        score: As in :attr:`Tracks.scores`.
        class_id: As in :attr:`Tracks.classes`.
        detection_index: As in :attr:`Tracks.detection_index`.
    """

    id: int
    box: Box
    score: float
    class_id: int
    detection_index: int


class LostTrack(NamedTuple):
    """One row of :class:`LostTracks`.

    Attributes:
        id: As in :attr:`LostTracks.ids`.
        box: As in :attr:`LostTracks.boxes`.
        class_id: As in :attr:`LostTracks.classes`.
        age: As in :attr:`LostTracks.ages`.
        velocity: As in :attr:`LostTracks.velocities`.
    """

    id: int
    box: Box
    class_id: int
    age: float
    velocity: tuple[float, float]


@dataclass(eq=False, slots=True)
class Tracks:
    """The confirmed tracks that have a detection in a frame, ordered by detection.

    Or those that :meth:`Tracker.predict` expects in it, oldest first. Iteration yields a
    :class:`Track` for each.

    Attributes:
        ids: (M,) int64, 1 and up, unique within a tracker.
        boxes: (M, 4) float32, xyxy pixels: the boxes of the matched detections, or as predicted.
        scores: (M,) float32, of the detections; 1 where none were given, NaN for predicted boxes.
        classes: (M,) int32, of the detections; 0 where none were given, and of the
            last detections for predicted boxes.
        detection_index: (M,) int64, row of each in the detections of the step; -1 for predicted
            boxes.
    """

    ids: npt.NDArray[np.int64]
    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    detection_index: npt.NDArray[np.int64]
    _evidence: Evidence | None = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Track]:
        boxes = map(tuple, self.boxes.tolist())
        columns = self.scores, self.classes, self.detection_index
        return map(Track, self.ids.tolist(), boxes, *(column.tolist() for column in columns))

    def to_pandas(self) -> DataFrame:
        """Return a table: ``id, x1, y1, x2, y2, score, class_id, detection_index``.

        The tables of a video are joined by ``pandas.concat(tables, names=["frame"])``, where
        ``tables`` is a dictionary from frame numbers.

        Raises:
            ImportError: pandas is not installed.
        """
        return _table(
            self.ids,
            self.boxes,
            score=self.scores,
            class_id=self.classes,
            detection_index=self.detection_index,
        )

    def explain(self, identity: int) -> Explanation:
        """Explain why a detection got this identity.

        Args:
            identity: One of :attr:`ids`.

        Raises:
            ValueError: No track of this frame has the identity, or boxes are predicted.
        """
        if self._evidence is None:
            raise ValueError("identity: expected one of a step, got one of predicted boxes")
        if identity not in self.ids:
            raise ValueError(f"identity: expected one of {self.ids.tolist()}, got {identity!r}")
        return self._evidence.explain(int(identity))


@dataclass(eq=False, slots=True)
class LostTracks:
    """The confirmed tracks without a detection in the last step, the most recent first.

    Iteration yields a :class:`LostTrack` for each.

    Attributes:
        ids: (M,) int64, as in :class:`Tracks`.
        boxes: (M, 4) float32, xyxy pixels, in the last frame: where the track is predicted up to
            ``config.max_age`` after its last detection, and then where it was last detected.
        classes: (M,) int32, of the last detections.
        ages: (M,) float64, seconds from the last detection to the last frame.
        velocities: (M, 2) float32, x and y, pixels per second: of the box centre at the last
            detection. Zeros where ``config.motion`` is "none".
    """

    ids: npt.NDArray[np.int64]
    boxes: Boxes
    classes: npt.NDArray[np.int32]
    ages: npt.NDArray[np.float64]
    velocities: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[LostTrack]:
        boxes, velocities = (map(tuple, rows.tolist()) for rows in (self.boxes, self.velocities))
        classes, ages = self.classes.tolist(), self.ages.tolist()
        return map(LostTrack, self.ids.tolist(), boxes, classes, ages, velocities)

    def to_pandas(self) -> DataFrame:
        """Return a table: ``id, x1, y1, x2, y2, class_id, age, vx, vy``.

        Raises:
            ImportError: pandas is not installed.
        """
        vx, vy = self.velocities.T
        return _table(self.ids, self.boxes, class_id=self.classes, age=self.ages, vx=vx, vy=vy)


def _table(ids: npt.NDArray[np.int64], boxes: Boxes, **columns: npt.NDArray[Any]) -> DataFrame:
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install sslmot[pandas]") from error
    x1, y1, x2, y2 = boxes.T
    return pandas.DataFrame({"id": ids, "x1": x1, "y1": y1, "x2": x2, "y2": y2, **columns})
