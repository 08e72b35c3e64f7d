"""What a step returns, and the table of tracks that lives between steps."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sslmot.evidence import Evidence, Explanation
from sslmot.motion import State
from sslmot.types import Boxes


@dataclass(frozen=True, eq=False)
class Tracks:
    """The confirmed tracks that have a detection in a frame, ordered by detection.

    Attributes:
        ids: (M,) int64, 1 and up, unique within a tracker.
        boxes: (M, 4) float32, xyxy pixels: the matched detections' own boxes.
        scores: (M,) float32, the detections' own scores; 1 where none were given.
        classes: (M,) int32, the detections' own classes; 0 where none were given.
        detection_index: (M,) int64, rows of the detections given to the step.
    """

    ids: npt.NDArray[np.int64]
    boxes: Boxes
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    detection_index: npt.NDArray[np.int64]
    _evidence: Evidence = field(repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    def explain(self, identity: int) -> Explanation:
        """Why a detection got this identity.

        Args:
            identity: One of :attr:`ids`.

        Raises:
            ValueError: It is none of them.
        """
        if identity not in self.ids:
            raise ValueError(f"identity: expected one of {self.ids.tolist()}, got {identity!r}")
        return self._evidence.explain(int(identity))


@dataclass
class TrackTable:
    """Tracks, one row each, oldest first.

    Attributes:
        ids: (T,) int64, 0 while a track is potential.
        matches: (T,) int64, detections matched since birth.
        misses: (T,) int64, frames since the last detection.
        looks: (T,) int64, how often the track was seen clearly, and its feature taken in.
        classes: (T,) int32.
        feature_rows: (T,) int64, rows of the feature table; a track keeps its row for life.
        boxes: (T, 4) float32, xyxy pixels, of the last detection.
        state: (T, K, 4) float32, state of the motion model.
    """

    ids: npt.NDArray[np.int64]
    matches: npt.NDArray[np.int64]
    misses: npt.NDArray[np.int64]
    looks: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int32]
    feature_rows: npt.NDArray[np.int64]
    boxes: Boxes
    state: State

    @classmethod
    def births(
        cls,
        classes: npt.NDArray[np.int32],
        feature_rows: npt.NDArray[np.int64],
        boxes: Boxes,
        state: State,
    ) -> TrackTable:
        """New potential tracks."""
        ids, matches, misses, looks = np.zeros((4, len(classes)), np.int64)
        return cls(ids, matches, misses, looks, classes, feature_rows, boxes, state)

    def __len__(self) -> int:
        return len(self.ids)

    def keep(self, kept: npt.NDArray[np.bool_]) -> TrackTable:
        """The rows that are kept (T,)."""
        return TrackTable(
            self.ids[kept],
            self.matches[kept],
            self.misses[kept],
            self.looks[kept],
            self.classes[kept],
            self.feature_rows[kept],
            self.boxes[kept],
            self.state[kept],
        )

    def extend(self, other: TrackTable) -> TrackTable:
        """The rows of both, the other's last."""
        return TrackTable(
            np.concatenate([self.ids, other.ids]),
            np.concatenate([self.matches, other.matches]),
            np.concatenate([self.misses, other.misses]),
            np.concatenate([self.looks, other.looks]),
            np.concatenate([self.classes, other.classes]),
            np.concatenate([self.feature_rows, other.feature_rows]),
            np.concatenate([self.boxes, other.boxes]),
            np.concatenate([self.state, other.state]),
        )
