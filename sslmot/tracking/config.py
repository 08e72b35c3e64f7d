"""Settings of the tracker, checked on construction."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

from sslmot import _core
from sslmot.settings import Settings, setting

Motion = Literal["kalman", "none"]

# Standard deviations of the Kalman filter, as shares of a box's height: what a centre drifts in a
# second, what its velocity changes in a second, how sizes differ between detections, and the noise
# of a detection.
VALUE_NOISE = 0.55
VELOCITY_NOISE = 0.7
SIZE_NOISE = 0.05
MEASUREMENT_NOISE = 0.04

# Where motion alone decides without the Kalman filter, no pair farther apart matches (eq. 7).
STILL_MAX_DISTANCE = 1.0


@dataclass(frozen=True)
class TrackerConfig(Settings):
    """Settings of a :class:`~sslmot.Tracker`.

    With ``motion="kalman"`` a track and a detection match if the track explains the detection
    better than chance does, by its place and by its embedding: a log likelihood ratio, learned
    while tracking, which has no settings. If the class is not that of the track's last detection,
    200 times the odds are needed: detectors take a truck for a car now and then. With
    ``motion="none"`` they match by the costs of SSL-MOT, eq. 6-7, whose settings are
    ``min_affinity`` to ``max_cost``. A distance is the relative L1 distance of eq. 7: the mean of
    |dx| / width and |dy| / height between box centres, in sizes of the track's box.

    A track is tentative until it gets an identity, then confirmed. A confirmed track without a
    detection is lost: it is predicted for ``max_age`` seconds, and can be re-identified for
    ``reid_max_age`` seconds.

    Times are in seconds, whatever the frame rate.

    Attributes:
        tau: Temperature of the affinity ``exp((cosine - 1) / tau)`` (eq. 6).
        min_affinity: Eq. 7: pairs of lower affinity never match by appearance (rho_1 of SSL-MOT).
        appearance_weight: Weight of ``1 - affinity`` in the cost (alpha, eq. 7).
        motion_weight: Weight of the distance in the cost (beta, eq. 7).
        max_cost: Pairs that cost as much or more never match by appearance.
        ema: Share of the old feature in the update of a matched track (delta of SSL-MOT). The
            feature is the mean of what was seen until that share is reached. Where ``motion`` is
            "none", the box is updated likewise.
        max_occlusion: Detections are occluded where more than this share of the box lies behind
            another box, whose lower edge is lower or as low; 1 for none. Their features are no
            evidence, and update no track, except one that was never seen clearly.
        high_score: Detections that score less are matched last, to tracks that found no other
            (where ``motion`` is "none", tracks of the frame before only), and start no tracks; -inf
            for none. The default fits scores in 0..1.
        new_track_max_iou: Detections that overlap one of a confirmed track of their class by more
            (IoU) start no tracks; 1 for no limit. With embeddings, and where ``motion`` is
            "kalman", such a detection does start a track, which is confirmed when for a second its
            detections have looked like another object (odds of 20 to 1).
        instant_confirm_score: Detections that score as much are confirmed in their first frame,
            unless they resemble a lost track; may be inf.
        min_hits: Matches after the first detection that confirm any other tentative track.
        max_age: Seconds without detection after which a confirmed track is no longer predicted
            (rho_2 of SSL-MOT).
        tentative_max_age: The same for a tentative track, which ends then. It is compared with the
            frame after its last detection in any case. The paper has one number for both.
        reid_max_age: Seconds without detection up to which a lost track can be re-identified: a
            tentative track that resembles it takes its identity when it is confirmed.
        reid_false_alarms: Expected number of false matches among all lost and newly confirmed
            tracks that are compared in a frame (a-contrario). The tracker learns from objects that
            are in view together how alike different objects look, and asks for more. Until it has
            seen enough pairs, nothing is re-identified. inf to rely on ``min_affinity`` alone, as
            for a single object.
        reid_max_speed: Distance that a lost track can cover in a second, in sizes of its box: where
            re-identification looks for it.
        motion: "kalman" predicts with constant velocity, and matches by evidence. "none" stays
            where the track was, and matches by eq. 6-7; without embeddings by the distance, up to
            1.
        class_agnostic: Ignore classes. Else re-identification and ``new_track_max_iou`` compare
            objects of one class, and where ``motion`` is "none" only a track and a detection of one
            class match.
        camera_motion: Move tracks with the camera, whose motion is estimated from the frames.
    """

    # The native core computes in float32: numbers stay within what it can divide by and multiply.
    tau: float = setting(0.2, 1e-6, 1e6)
    min_affinity: float = setting(0.25, 0, 1)
    appearance_weight: float = setting(0.5, 0, 1e6)
    motion_weight: float = setting(0.5, 0, 1e6)
    max_cost: float = setting(0.8, 1e-6, 1e6)
    ema: float = setting(0.9, 0, 1)
    max_occlusion: float = setting(1.0, 0, 1)
    high_score: float = setting(0.5, -1e6, 1e6, infinite=True)
    new_track_max_iou: float = setting(0.4, 0, 1)
    instant_confirm_score: float = setting(0.9, -1e6, 1e6, infinite=True)
    min_hits: int = setting(1, 0, 10**9)
    max_age: float = setting(3.0, 0, 1e9)
    tentative_max_age: float = setting(0.1, 0, 1e9)
    reid_max_age: float = setting(10.0, 0, 1e9)
    reid_false_alarms: float = setting(0.05, 1e-6, 1e6, infinite=True)
    reid_max_speed: float = setting(3.0, 0, 1e6)
    motion: Motion = "kalman"
    class_agnostic: bool = False
    camera_motion: bool = True

    @classmethod
    def paper(cls, **changes: object) -> TrackerConfig:
        """Exactly SSL-MOT, eq. 6-7 and section 3's track handling, nothing beyond.

        Appearance may match at any distance, a match moves box and feature half-way, and nothing
        falls back to motion alone. (The paper does not say tau and the thresholds.)

        Args:
            **changes: Fields to set otherwise.
        """
        paper = cls(
            tau=0.2,
            min_affinity=0.2,
            appearance_weight=0.5,
            motion_weight=0.5,
            max_cost=1.0,
            ema=0.5,
            max_occlusion=1.0,
            high_score=-math.inf,
            new_track_max_iou=1.0,
            instant_confirm_score=math.inf,
            min_hits=1,
            max_age=1.0,
            tentative_max_age=1.0,
            reid_max_age=0.0,
            reid_false_alarms=math.inf,
            reid_max_speed=0.0,
            motion="none",
            class_agnostic=False,
            camera_motion=False,
        )
        return dataclasses.replace(paper, **changes)  # type: ignore[arg-type]


def native_settings(c: TrackerConfig) -> _core.TrackSettings:
    """Return the settings as the native core takes them."""
    return _core.TrackSettings(
        by_both=_core.PairParams(
            tau=c.tau,
            min_affinity=c.min_affinity,
            appearance_weight=c.appearance_weight,
            motion_weight=c.motion_weight,
            max_cost=c.max_cost,
        ),
        by_motion=_core.PairParams(
            tau=1.0,
            min_affinity=0.0,
            appearance_weight=0.0,
            motion_weight=1.0,
            max_cost=STILL_MAX_DISTANCE,
        ),
        by_appearance=_core.PairParams(
            tau=c.tau,
            min_affinity=c.min_affinity,
            appearance_weight=1.0,
            motion_weight=0.0,
            max_cost=1.0,
        ),
        reid_max_speed=c.reid_max_speed,
        ema=c.ema,
        max_occlusion=c.max_occlusion,
        high_score=c.high_score,
        new_track_max_iou=c.new_track_max_iou,
        instant_confirm_score=c.instant_confirm_score,
        min_hits=c.min_hits,
        max_age=c.max_age,
        tentative_max_age=c.tentative_max_age,
        reid_max_age=c.reid_max_age,
        reid_false_alarms=c.reid_false_alarms,
        kalman=c.motion == "kalman",
        noise=_core.MotionNoise(
            value=VALUE_NOISE,
            velocity=VELOCITY_NOISE,
            size=SIZE_NOISE,
            measurement=MEASUREMENT_NOISE,
        ),
        class_agnostic=c.class_agnostic,
    )
