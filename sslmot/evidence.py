"""Why a detection got its identity: what the matching of a frame was made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot.association import BoxPairs, Matching
from sslmot.config import TrackerConfig
from sslmot.types import Rows

Stage: TypeAlias = Literal["appearance", "motion", "new", "recognised", "gallery"]
"""How a detection got its identity: matched to a track by appearance and motion, or by motion
alone; or as a person who is new, who resembles somebody lost, or whom the gallery knows."""


Named: TypeAlias = dict[int, tuple[int, Stage, float | None]]
"""Identities given in a frame: to which detection, how, and with what affinity."""


@dataclass(frozen=True)
class Explanation:
    """Why a detection got its identity.

    Attributes:
        id: The identity.
        detection: Row of the detection in the step's input.
        stage: See :data:`Stage`.
        affinity: Of the detection and the track, or the person lost (SSL-MOT, eq. 6); None where
            appearance was not asked.
        distance: Relative L1 distance from where the track was expected (eq. 7); None for somebody
            who was no track in the frame before.
        cost: Of the pair (eq. 7); by motion alone the distance. None as for the distance.
        runner_up: Identity and cost of the next best track for this detection, the identity 0 for
            one that is not confirmed; None where no other could have matched.
    """

    id: int
    detection: int
    stage: Stage
    affinity: float | None
    distance: float | None
    cost: float | None
    runner_up: tuple[int, float] | None


class Round(NamedTuple):
    """One matching of a frame.

    Attributes:
        stage: By what: "appearance" (and motion), or "motion" alone.
        tracks: (T',) rows of the tracks that took part.
        detections: (N',) rows of the detections that did.
        matching: What came of it, by positions in these.
    """

    stage: Stage
    tracks: Rows
    detections: Rows
    matching: Matching

    def position(self, track: int, detection: int) -> int | None:
        """Of a track among those that took part, if this round gave it the detection."""
        for at in (self.tracks == track).nonzero()[0].tolist():
            found = self.matching.match[at]
            if found >= 0 and self.detections[found] == detection:
                return int(at)
        return None

    def costs(self, detection: int) -> dict[int, float]:
        """Of the tracks that could have taken a detection, what that would have cost."""
        row_begin, columns, costs = self.matching.pairs
        at = (self.detections[columns] == detection).nonzero()[0]
        tracks = self.tracks[np.searchsorted(row_begin, at, side="right") - 1]
        return dict(zip(tracks.tolist(), costs[at].tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class Evidence:
    """What the matching of a frame was made of, kept as it is; numbers are derived when asked for.

    Attributes:
        config: Settings of the tracker.
        pairs: Boxes of tracks, where they were expected, and of detections.
        match: (T,) int32, the detection of each track after all rounds, -1 for none.
        rounds: In which it was found.
        ids: (T,) int64, identities of the tracks in the frame, 0 for potential ones.
        named: Who got their identity in this frame.
    """

    config: TrackerConfig
    pairs: BoxPairs
    match: npt.NDArray[np.int32]
    rounds: list[Round]
    ids: npt.NDArray[np.int64]
    named: Named

    def explain(self, identity: int) -> Explanation:
        """Why somebody who is reported in the frame has that identity."""
        if identity in self.named:
            detection, stage, affinity = self.named[identity]
            return Explanation(identity, detection, stage, affinity, None, None, None)
        track = int((self.ids == identity).nonzero()[0][0])
        detection = int(self.match[track])
        [decisive] = [r for r in self.rounds if r.position(track, detection) is not None]
        distance = self._distance(track, detection)
        costs = decisive.costs(detection)
        c, cost, affinity = self.config, costs.pop(track), None
        if decisive.stage == "appearance" and c.appearance_weight:
            # Eq. 7, solved for the affinity.
            affinity = 1 - (cost - c.motion_weight * min(1.0, distance)) / c.appearance_weight
        best = min(costs, key=lambda other: costs[other], default=None)
        runner_up = None if best is None else (int(self.ids[best]), costs[best])
        return Explanation(identity, detection, decisive.stage, affinity, distance, cost, runner_up)

    def _distance(self, track: int, detection: int) -> float:
        """Relative L1 distance (SSL-MOT, eq. 7) and the change of size."""
        x1, y1, x2, y2 = self.pairs.track_boxes[track].astype(np.float64)
        u1, v1, u2, v2 = self.pairs.boxes[detection].astype(np.float64)
        w, h, u, v = (max(side, 1e-6) for side in (x2 - x1, y2 - y1, u2 - u1, v2 - v1))
        centre = abs(u1 + u2 - x1 - x2) / (2 * w) + abs(v1 + v2 - y1 - y2) / (2 * h)
        shape = abs(np.log(u / w)) + abs(np.log(v / h))
        return float(centre + self.config.shape_weight * shape) / 2
