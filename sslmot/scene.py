"""A frame as a tracker sees it, before the detections are matched."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sslmot.association import BoxPairs, Match
from sslmot.camera import Affine, View
from sslmot.evidence import Stage
from sslmot.features import Embeddings, FeatureTable
from sslmot.inputs import Detections
from sslmot.motion import State


@dataclass(slots=True)
class Scene:
    """A frame of T tracks and N detections, checked.

    Attributes:
        size: (H, W) of the frame, or of the last one that was given.
        view: What to keep of it for the camera's motion.
        moved: How the camera moved since the frame before, None if not.
        state: (T, K, 4) float32, of the tracks, moved with the camera.
        detections: What was detected.
        pairs: Boxes of both sides, of tracks where they are expected.
        features: What is known of the looks of all tracks; None if nothing ever was.
        looks: Features of the detections; None where there are none in this frame.
        model: Whose features they are, as a gallery keeps it.
        faint: (N,) which score too low to start a track.
        visible: (N,) of which the looks are known, and not those of somebody in front.
    """

    size: tuple[int, int] | None
    view: View | None
    moved: Affine | None
    state: State
    detections: Detections
    pairs: BoxPairs
    features: FeatureTable | None
    looks: Embeddings | None
    model: str
    faint: npt.NDArray[np.bool_]
    visible: npt.NDArray[np.bool_]

    @property
    def stage(self) -> Stage:
        """By what the first round matches."""
        return "motion" if self.looks is None else "appearance"

    @property
    def clear(self) -> npt.NDArray[np.bool_]:
        """Which looks are taken in: (N,)."""
        return self.visible & ~self.faint

    def free(self, match: Match) -> npt.NDArray[np.bool_]:
        """Which detections no track has: (N,)."""
        free = np.ones(len(self.faint) + 1, bool)
        free[match] = False  # -1, of tracks without one, is the last
        return free[:-1]
