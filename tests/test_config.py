"""Every field is checked on construction."""

import dataclasses
import math
import re

import pytest

from sslmot import TrackerConfig


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("tau", 0, "a number above 0, got 0"),
        ("tau", math.nan, "a number above 0, got nan"),
        ("tau", "0.1", "a number above 0, got '0.1'"),
        ("min_affinity", -0.1, "a number of 0 to 1, got -0.1"),
        ("min_affinity", True, "a number of 0 to 1, got True"),
        ("appearance_weight", -1, "a number of 0 or more, got -1"),
        ("motion_weight", math.inf, "a number of 0 or more, got inf"),
        ("shape_weight", None, "a number of 0 or more, got None"),
        ("max_cost", 0.0, "a number above 0, got 0.0"),
        ("appearance_reach", -1, "a number above 0, got -1"),
        ("motion_reach", 1.5, "a number above 0 to 1, got 1.5"),
        ("rescue", 1, "True or False, got 1"),
        ("delta", 1.1, "a number of 0 to 1, got 1.1"),
        ("confirm", 1.0, "an integer of 0 or more, got 1.0"),
        ("patience", -1, "an integer of 0 or more, got -1"),
        ("potential_patience", True, "an integer of 0 or more, got True"),
        ("motion", "Kalman", "'kalman' or 'none', got 'Kalman'"),
    ],
)
def test_bad_values_are_named(field, value, expected):
    message = re.escape(f"{field}: expected {expected}")
    with pytest.raises(ValueError, match=f"^{message}$"):
        TrackerConfig(**{field: value})


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrackerConfig().tau = 1


def test_paper_is_eq_6_and_7_alone():
    paper = TrackerConfig.paper()
    assert (paper.appearance_weight, paper.motion_weight, paper.delta) == (0.5, 0.5, 0.5)
    assert paper.shape_weight == 0
    assert paper.appearance_reach == math.inf
    assert paper.max_cost == paper.appearance_weight + paper.motion_weight
    assert (paper.motion, paper.rescue) == ("none", False)
    assert paper.patience == paper.potential_patience


def test_paper_takes_changes_and_checks_them():
    assert TrackerConfig.paper(tau=0.5).tau == 0.5
    with pytest.raises(ValueError, match="tau: expected"):
        TrackerConfig.paper(tau=-1)
