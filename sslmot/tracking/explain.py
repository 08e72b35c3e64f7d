"""Explanations: why a detection got its identity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from sslmot import _core
from sslmot.tracking.config import TrackerConfig

Stage: TypeAlias = Literal["appearance", "motion", "new", "reidentified", "gallery"]
"""How a detection got its identity: matched to a track by appearance and motion, or by motion
alone; or confirmed as a new identity, re-identified as a lost track, or known by the gallery."""


@dataclass(frozen=True)
class Explanation:
    """Why a detection got its identity.

    Attributes:
        id: The identity.
        detection: Row of the detection in the step's input.
        stage: See :data:`Stage`.
        affinity: Of the detection and its track, or of the re-identified track (SSL-MOT, eq. 6);
            None where appearance was not compared.
        distance: Relative L1 distance to the predicted box (eq. 7); None where the detection was
            not matched to a track.
        cost: Minus the evidence of the pair: the log of how much likelier the track explains the
            detection than chance does, by place, class and appearance. Where ``motion`` is "none",
            the cost of eq. 7. None as for the distance.
        runner_up: Identity and cost of the next best track for this detection; identity 0 for a
            tentative track, None where no other track could match.
    """

    id: int
    detection: int
    stage: Stage
    affinity: float | None
    distance: float | None
    cost: float | None
    runner_up: tuple[int, float] | None


@dataclass(eq=False, slots=True)
class Evidence:
    """The matching of a frame. Explanations are computed when they are asked for.

    Attributes:
        config: Settings of the tracker.
        step: The frame, after it was committed.
    """

    config: TrackerConfig
    step: _core.Step

    def explain(self, identity: int) -> Explanation:
        """Explain an identity that is reported in the frame."""
        for named, detection, origin, resemblance in self.step.confirmations():
            if named == identity:
                return Explanation(identity, detection, origin, resemblance, None, None, None)
        ids, match = self.step.ids, self.step.match
        track = int((ids == identity).nonzero()[0][0])
        detection = int(match[track])
        c = self.config
        [(stage, tracks, detections, _, pairs, cosines)] = [
            some for some in self.step.rounds() if _made(some, track, detection)
        ]
        row_begin, columns, values = pairs
        of_detection = (detections[columns] == detection).nonzero()[0]
        rivals = tracks[np.searchsorted(row_begin, of_detection, side="right") - 1]
        costs = dict(zip(rivals.tolist(), values[of_detection].tolist(), strict=True))
        distance = self._distance(track, detection)
        cost = costs.pop(track)
        affinity: float | None = None
        if len(cosines):
            [cosine] = cosines[of_detection[rivals == track]].tolist()
            if math.isnan(cosine):
                stage = "motion"
            else:
                affinity = math.exp((cosine - 1) / c.tau)
        elif stage == "appearance" and c.appearance_weight:
            # Eq. 7, solved for the affinity.
            affinity = 1 - (cost - c.motion_weight * min(1.0, distance)) / c.appearance_weight
        best = min(costs, key=lambda other: costs[other], default=None)
        runner_up = None if best is None else (int(ids[best]), costs[best])
        return Explanation(identity, detection, stage, affinity, distance, cost, runner_up)

    def _distance(self, track: int, detection: int) -> float:
        """Return the relative L1 distance (SSL-MOT, eq. 7)."""
        x1, y1, x2, y2 = self.step.predicted[track].astype(np.float64)
        u1, v1, u2, v2 = self.step.boxes[detection].astype(np.float64)
        w, h = max(x2 - x1, 1e-6), max(y2 - y1, 1e-6)
        return float(abs(u1 + u2 - x1 - x2) / w + abs(v1 + v2 - y1 - y2) / h) / 4


def _made(some: _core.Round, track: int, detection: int) -> bool:
    """Return whether a round matched a track and a detection."""
    _, tracks, detections, found, _, _ = some
    (at,) = (tracks == track).nonzero()
    return bool(len(at) and found[at[0]] >= 0 and detections[found[at[0]]] == detection)
