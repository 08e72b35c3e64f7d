"""Every field is checked on construction."""

import dataclasses
import math
import re

import pytest

from sslmot import TrackerConfig


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("tau", 0, "a number of 1e-06 to 1e+06, got 0"),
        ("tau", math.nan, "a number of 1e-06 to 1e+06, got nan"),
        ("tau", "0.1", "a number of 1e-06 to 1e+06, got '0.1'"),
        ("min_affinity", -0.1, "a number of 0 to 1, got -0.1"),
        ("min_affinity", True, "a number of 0 to 1, got True"),
        ("appearance_weight", -1, "a number of 0 to 1e+06, got -1"),
        ("motion_weight", math.inf, "a number of 0 to 1e+06, got inf"),
        ("tau", 1e-46, "a number of 1e-06 to 1e+06, got 1e-46"),
        ("motion_weight", 1e300, "a number of 0 to 1e+06, got 1e+300"),
        ("max_cost", 0.0, "a number of 1e-06 to 1e+06, got 0.0"),
        ("ema", 1.1, "a number of 0 to 1, got 1.1"),
        ("max_occlusion", -1, "a number of 0 to 1, got -1"),
        ("high_score", math.nan, "a number of -1e+06 to 1e+06, -inf or inf, got nan"),
        ("high_score", "0.5", "a number of -1e+06 to 1e+06, -inf or inf, got '0.5'"),
        ("new_track_max_iou", 1.01, "a number of 0 to 1, got 1.01"),
        ("new_track_max_iou", -0.1, "a number of 0 to 1, got -0.1"),
        (
            "instant_confirm_score",
            -1e7,
            "a number of -1e+06 to 1e+06, -inf or inf, got -10000000.0",
        ),
        ("reid_max_speed", math.nan, "a number of 0 to 1e+06, got nan"),
        ("reid_max_age", "9", "a number of 0 to 1e+09, got '9'"),
        ("camera_motion", "no", "True or False, got 'no'"),
        ("class_agnostic", 1, "True or False, got 1"),
        ("camera_motion", 0, "True or False, got 0"),
        ("min_hits", 1.0, "an integer of 0 to 1000000000, got 1.0"),
        ("max_age", -0.1, "a number of 0 to 1e+09, got -0.1"),
        ("tentative_max_age", True, "a number of 0 to 1e+09, got True"),
        ("motion", "Kalman", "one of kalman, none, got 'Kalman'"),
    ],
)
def test_bad_values_are_named(field, value, expected):
    message = re.escape(f"{field}: expected {expected}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        TrackerConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("high_score", [-math.inf, -1e6, 0, 1e6, math.inf]),
        ("new_track_max_iou", [0, 0.5, 1]),
        ("ema", [0, 1]),
        ("camera_motion", [False, True]),
    ],
)
def test_the_ends_of_a_range_are_in_it(field, values):
    for value in values:
        assert getattr(TrackerConfig(**{field: value}), field) == value


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrackerConfig().tau = 1


def test_paper_is_eq_6_and_7_alone():
    paper = TrackerConfig.paper()
    assert (paper.appearance_weight, paper.motion_weight, paper.ema) == (0.5, 0.5, 0.5)
    assert paper.max_cost == paper.appearance_weight + paper.motion_weight
    assert paper.motion == "none"
    assert paper.max_age == paper.tentative_max_age
    # No score matters, and any detection that no track takes starts one.
    assert (paper.high_score, paper.new_track_max_iou) == (-math.inf, 1)
    assert paper.instant_confirm_score == math.inf


def test_paper_does_not_follow_the_defaults(monkeypatch):
    """Changed defaults leave the paper's settings as they are."""
    paper = TrackerConfig.paper()
    for field in dataclasses.fields(TrackerConfig):
        if isinstance(field.default, float) and math.isfinite(field.default):
            defaults = list(TrackerConfig.__init__.__defaults__)
            position = [f.name for f in dataclasses.fields(TrackerConfig)].index(field.name)
            defaults[position] = field.default * 0.9 + 0.013
            monkeypatch.setattr(TrackerConfig.__init__, "__defaults__", tuple(defaults))
            assert getattr(TrackerConfig(), field.name) != field.default
            assert TrackerConfig.paper() == paper


def test_paper_takes_changes_and_checks_them():
    assert TrackerConfig.paper(tau=0.5).tau == 0.5
    with pytest.raises(ValueError, match="tau: expected"):
        TrackerConfig.paper(tau=-1)
