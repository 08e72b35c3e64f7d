"""Settings of the tracker, checked on construction."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal, get_args

from sslmot.settings import Settings

Motion = Literal["kalman", "none"]


@dataclass(frozen=True)
class TrackerConfig(Settings):
    """Settings of a :class:`~sslmot.Tracker`.

    Distances are relative L1 distances (SSL-MOT, eq. 7): the mean of |dx| / width and
    |dy| / height between box centres, in sizes of the track's own box, and beside it
    ``shape_weight`` times the mean change of log width and log height.

    The affinities fit the encoder that comes with the package; ``sslmot calibrate`` fits them to
    another one, or to the footage.

    Attributes:
        tau: Temperature of the affinity ``exp((cosine - 1) / tau)`` (eq. 6).
        min_affinity: Pairs of lower affinity never match by appearance (rho_1).
        lost_affinity: The same for a person who was not seen in the frame before: more is asked
            where less is known of the place.
        appearance_weight: Weight of ``1 - affinity`` in the cost (alpha, eq. 7).
        motion_weight: Weight of the distance in the cost (beta, eq. 7).
        shape_weight: Share of the change of size in the distance; 0 in the paper.
        max_cost: Pairs that cost as much or more never match by appearance.
        appearance_reach: Pairs farther apart than this never match by appearance; may be inf.
        motion_reach: Pairs farther apart than this never match by motion alone; at most 1.
        rescue: Match by motion alone where appearance says little, since it is unknown or the box
            hidden, and the track was seen in the frame before. (Without features, motion alone
            decides everything.)
        delta: Share of the old feature in the update of a matched track (delta), which is the mean
            of what was seen until that share is reached; of the old box too where ``motion`` is
            "none".
        max_hidden: Detections are hidden, and their features not taken in, where more than this
            share of the box lies behind another one, whose lower edge is lower or as low. Until a
            track was seen clearly, what is seen of it stands in.
        low_score: Detections that score less come last: they continue a track that was seen in the
            frame before and found no other, and start none; -inf for none. The default is for
            scores between 0 and 1 (not those of DPM, say).
        birth_overlap: Detections that overlap one of a confirmed track of their class by more (IoU)
            start none either; 1 for none.
        sure_score: Detections that score as much are reported at once, where they resemble nobody
            who was lost; may be inf.
        confirm: Matches after its birth that turn any other potential track into a reported one.
        patience: Frames without detection for which a confirmed track is followed (rho_2).
        potential_patience: The same for a potential track; the paper has one number for both.
        memory: Until so many frames without detection a person is known again by looks: a track
            that is confirmed takes the identity of someone lost whom it resembles.
        walk: What a lost person may walk in a frame, in boxes, when it comes to such a resemblance.
        motion: "kalman" predicts with constant velocity; "none" stays where the track was.
        score_noise: Share of a measured box's variance that a score of 1 takes away (NSA Kalman
            filter); below 1.
        reupdate: Whether a track that is seen again is first taken along the line from where it was
            last seen (OC-SORT's re-update).
        camera: Whether boxes move with the camera, whose motion is found in the frames.
    """

    tau: float = 0.2
    min_affinity: float = 0.25
    lost_affinity: float = 0.39
    appearance_weight: float = 0.5
    motion_weight: float = 0.5
    shape_weight: float = 1.4
    max_cost: float = 0.8
    appearance_reach: float = 2.5
    motion_reach: float = 0.6
    rescue: bool = True
    delta: float = 0.9
    max_hidden: float = 0.9
    low_score: float = 0.5
    birth_overlap: float = 0.4
    sure_score: float = 0.9
    confirm: int = 1
    patience: int = 90
    potential_patience: int = 1
    memory: int = 300
    walk: float = 0.1
    motion: Motion = "kalman"
    score_noise: float = 0.5
    reupdate: bool = False
    camera: bool = True

    def __post_init__(self) -> None:
        for name, low, high in (
            ("min_affinity", 0.0, 1.0),
            ("lost_affinity", 0.0, 1.0),
            ("appearance_weight", 0.0, math.inf),
            ("motion_weight", 0.0, math.inf),
            ("shape_weight", 0.0, math.inf),
            ("delta", 0.0, 1.0),
            ("max_hidden", 0.0, 1.0),
            ("walk", 0.0, math.inf),
            ("birth_overlap", 0.0, 1.0),
            ("score_noise", 0.0, 0.99),
        ):
            self._expect(name, low, high)
        for name in ("low_score", "sure_score"):
            self._expect(name, -math.inf, math.inf, infinite=True)
        for name, high in (("tau", math.inf), ("max_cost", math.inf), ("motion_reach", 1.0)):
            self._expect(name, 0.0, high, positive=True)
        self._expect("appearance_reach", 0.0, math.inf, positive=True, infinite=True)
        for name in ("confirm", "patience", "potential_patience", "memory"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 10**9:
                raise ValueError(f"{name}: expected an integer of 0 to 1e9, got {value!r}")
        for name in ("rescue", "reupdate", "camera"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                raise ValueError(f"{name}: expected True or False, got {value!r}")
        if self.motion not in get_args(Motion):
            expected = " or ".join(map(repr, get_args(Motion)))
            raise ValueError(f"motion: expected {expected}, got {self.motion!r}")

    def _expect(
        self, name: str, low: float, high: float, *, positive: bool = False, infinite: bool = False
    ) -> None:
        value = getattr(self, name)
        well = (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and low <= value <= high
            # The native core computes in float32: within what that can divide by and multiply.
            and not (positive and value < 1e-6)
            and (abs(value) <= 1e6 or (infinite and abs(value) == math.inf))
        )
        if not well:
            least = 1e-6 if positive else max(low, -1e6)
            interval = f"of {least:g} to {min(high, 1e6):g}"
            interval += " or inf" if infinite and low >= 0 else ", -inf or inf" if infinite else ""
            raise ValueError(f"{name}: expected a number {interval}, got {value!r}")

    @classmethod
    def paper(cls, **changes: object) -> TrackerConfig:
        """Exactly SSL-MOT, eq. 6-7 and section 3's track handling, nothing beyond.

        Appearance may match at any distance, a match moves box and feature half-way, and nothing
        is rescued by motion alone. (The paper does not say tau and the thresholds.)

        Args:
            **changes: Fields to set otherwise; ``min_affinity`` is for the lost too, unless
                ``lost_affinity`` is given.
        """
        paper = cls(
            tau=0.2,
            min_affinity=0.2,
            lost_affinity=0.2,
            appearance_weight=0.5,
            motion_weight=0.5,
            shape_weight=0.0,
            max_cost=1.0,
            appearance_reach=math.inf,
            motion_reach=1.0,
            rescue=False,
            delta=0.5,
            max_hidden=1.0,
            low_score=-math.inf,
            birth_overlap=1.0,
            sure_score=math.inf,
            confirm=1,
            patience=30,
            potential_patience=30,
            memory=0,
            walk=0.0,
            motion="none",
            score_noise=0.0,
            reupdate=False,
            camera=False,
        )
        changes = {"lost_affinity": changes.get("min_affinity", paper.min_affinity), **changes}
        return dataclasses.replace(paper, **changes)  # type: ignore[arg-type]
