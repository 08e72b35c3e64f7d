"""Every name of a setting that the scenes use."""

from __future__ import annotations

import dataclasses
import math

from sslmot import Gallery, TrackerConfig

CONFIGS: dict[str, dict[str, object]] = {
    "default": {},
    "tau": {"tau": 0.4},
    "min_affinity": {"min_affinity": 0.7},
    "lost_affinity": {"lost_affinity": 0.8},
    "appearance_weight": {"appearance_weight": 1.2},
    "no appearance_weight": {"appearance_weight": 0.0},
    "motion_weight": {"motion_weight": 1.5},
    "no motion_weight": {"motion_weight": 0.0},
    "shape_weight": {"shape_weight": 0.0},
    "max_cost": {"max_cost": 0.3},
    "appearance_reach": {"appearance_reach": 0.3},
    "any appearance_reach": {"appearance_reach": math.inf},
    "motion_reach": {"motion_reach": 0.2},
    "no rescue": {"rescue": False},
    "delta": {"delta": 0.3},
    "max_hidden": {"max_hidden": 0.2},
    "any max_hidden": {"max_hidden": 1.0},
    "low_score": {"low_score": 0.7},
    "any low_score": {"low_score": -math.inf},
    "birth_overlap": {"birth_overlap": 0.05},
    "any birth_overlap": {"birth_overlap": 1.0},
    "sure_score": {"sure_score": 0.6},
    "no sure_score": {"sure_score": math.inf},
    "confirm 0": {"confirm": 0},
    "confirm 2": {"confirm": 2},
    "confirm 3": {"confirm": 3, "sure_score": math.inf},
    "patience": {"patience": 6},
    "no patience": {"patience": 0},
    "potential_patience": {"potential_patience": 8},
    "no potential_patience": {"potential_patience": 0},
    "memory": {"memory": 12, "patience": 4},
    "no memory": {"memory": 0, "patience": 4},
    "walk": {"walk": 1.0, "patience": 3},
    "no walk": {"walk": 0.0, "patience": 3},
    "no motion": {"motion": "none"},
    "no motion, delta": {"motion": "none", "delta": 0.3},
    "score_noise": {"score_noise": 0.95},
    "reupdate": {"reupdate": True},
    "forgetful": {"confirm": 0, "patience": 2, "memory": 20},
    "returning": {"patience": 1, "walk": 0.3, "lost_affinity": 0.25},
    "returning, memory": {"patience": 1, "walk": 0.3, "lost_affinity": 0.25, "memory": 9},
    "paper": {},
    "paper, confirm 2": {"confirm": 2, "patience": 10},
    "paper, stricter": {"min_affinity": 0.6, "max_cost": 0.7, "delta": 0.8},
    "paper, Kalman": {"motion": "kalman", "rescue": True},
}
"""The settings of the scenes that run on the generated street, from the name of the source."""

NO_CAMERA: dict[str, object] = {"camera": False}
IMPATIENT: dict[str, object] = {"patience": 15, "memory": 60}

GALLERIES: dict[str, dict[str, float]] = {
    "default": {},
    "lenient": {"min_similarity": 0.5, "margin": 0.0},
    "strict": {"min_similarity": 0.9, "margin": 0.3},
    "small": {"min_similarity": 0.5, "margin": 0.02, "capacity": 4, "samples": 2},
}


def config(name: str) -> TrackerConfig:
    """The settings of a name in `CONFIGS`."""
    make = TrackerConfig.paper if name.startswith("paper") else TrackerConfig
    return make(**CONFIGS[name])  # type: ignore[arg-type]


def gallery(name: str) -> Gallery:
    """A new gallery with the settings of a name in `GALLERIES`."""
    return Gallery(**GALLERIES[name])  # type: ignore[arg-type]


def changed() -> set[str]:
    """The settings that some scene has away from their defaults."""
    default = dataclasses.asdict(TrackerConfig())
    everywhere = [kwargs for name, kwargs in CONFIGS.items() if not name.startswith("paper")]
    return {
        name
        for kwargs in (*everywhere, NO_CAMERA)
        for name, value in kwargs.items()
        if value != default[name]
    }


STAGES = ("appearance", "motion", "new", "recognised", "gallery")
"""How a detection gets its identity, as `Tracks.explain` says it; recorded by position."""
