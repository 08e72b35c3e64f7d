"""The tracks that a step returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sslmot.tracking.explain import Evidence, Explanation
from sslmot.types import Boxes


@dataclass(eq=False, slots=True)
class Tracks:
    """The confirmed tracks that have a detection in a frame, ordered by detection.

    Or those that :meth:`Tracker.predict` expects in it, oldest first.

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
