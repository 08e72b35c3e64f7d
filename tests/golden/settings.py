"""The settings of the scenes, by name. Ages are in seconds, at 30 frames a second."""

from __future__ import annotations

import dataclasses
import math

from sslmot import Gallery, TrackerConfig

CONFIGS: dict[str, dict[str, object]] = {
    "default": {},
    "tau": {"motion": "none", "tau": 0.4},
    "min_affinity": {"motion": "none", "min_affinity": 0.7},
    "appearance_weight": {"motion": "none", "appearance_weight": 1.2},
    "no appearance_weight": {"motion": "none", "appearance_weight": 0.0},
    "motion_weight": {"motion": "none", "motion_weight": 1.5},
    "no motion_weight": {"motion": "none", "motion_weight": 0.0},
    "max_cost": {"motion": "none", "max_cost": 0.3},
    "delta": {"ema": 0.1},
    "max_hidden": {"max_occlusion": 0.2},
    "any max_hidden": {"max_occlusion": 0.6},
    "low_score": {"high_score": 0.7},
    "any low_score": {"high_score": -math.inf},
    "birth_overlap": {"new_track_max_iou": 0.05},
    "any birth_overlap": {"new_track_max_iou": 1.0},
    "sure_score": {"instant_confirm_score": 0.6},
    "no sure_score": {"instant_confirm_score": math.inf},
    "confirm 0": {"min_hits": 0},
    "confirm 2": {"min_hits": 2},
    "confirm 3": {"min_hits": 3, "instant_confirm_score": math.inf},
    "patience": {"max_age": 0.2},
    "no patience": {"max_age": 0.0},
    "potential_patience": {"tentative_max_age": 8 / 30},
    "no potential_patience": {"tentative_max_age": 0.0},
    "memory": {"reid_max_age": 0.4, "max_age": 4 / 30},
    "no memory": {"reid_max_age": 0.0, "max_age": 4 / 30},
    "walk": {"reid_max_speed": 30.0, "max_age": 0.2},
    "no walk": {"reid_max_speed": 0.0, "max_age": 0.2},
    "no motion": {"motion": "none"},
    "no motion, delta": {"motion": "none", "ema": 0.3},
    "any false alarms": {"reid_false_alarms": math.inf, "max_age": 4 / 30},
    "false alarms": {"reid_false_alarms": 1.0, "max_age": 4 / 30},
    "forgetful": {"min_hits": 0, "max_age": 2 / 30, "reid_max_age": 20 / 30},
    "returning": {"max_age": 1 / 30, "reid_max_speed": 9.0},
    "returning, memory": {
        "max_age": 1 / 30,
        "reid_max_speed": 9.0,
        "reid_max_age": 0.3,
    },
    "paper": {},
    "paper, confirm 2": {"min_hits": 2, "max_age": 10 / 30},
    "paper, stricter": {"min_affinity": 0.6, "max_cost": 0.7, "ema": 0.8},
    "paper, Kalman": {"motion": "kalman"},
}
"""Settings of the scenes on the generated street, by the name of the source."""

NO_CAMERA: dict[str, object] = {"camera_motion": False}
CLASS_AGNOSTIC: dict[str, object] = {"class_agnostic": True}
IMPATIENT: dict[str, object] = {"max_age": 0.5, "reid_max_age": 2.0}

GALLERIES: dict[str, dict[str, float]] = {
    "default": {},
    "lenient": {"min_similarity": 0.5, "margin": 0.0},
    "strict": {"min_similarity": 0.9, "margin": 0.3},
    "small": {"min_similarity": 0.5, "margin": 0.02, "capacity": 4, "samples": 2},
}


def config(name: str) -> TrackerConfig:
    """Return the settings of a name in `CONFIGS`."""
    make = TrackerConfig.paper if name.startswith("paper") else TrackerConfig
    return make(**CONFIGS[name])  # type: ignore[arg-type]


def gallery(name: str) -> Gallery:
    """Create a gallery with the settings of a name in `GALLERIES`."""
    return Gallery(**GALLERIES[name])  # type: ignore[arg-type]


def changed() -> set[str]:
    """Return the settings that are not at their defaults in some scene."""
    default = dataclasses.asdict(TrackerConfig())
    everywhere = [kwargs for name, kwargs in CONFIGS.items() if not name.startswith("paper")]
    return {
        name
        for kwargs in (*everywhere, NO_CAMERA, CLASS_AGNOSTIC)
        for name, value in kwargs.items()
        if value != default[name]
    }


STAGES = ("appearance", "motion", "new", "reidentified", "gallery")
"""The stages of `Tracks.explain`. The recording stores their positions."""
