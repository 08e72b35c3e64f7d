"""Settings are checked by the type of each field and the interval declared beside it."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Literal

import pytest

from sslmot.settings import Settings, setting


@dataclass(frozen=True)
class Every(Settings):
    """A field of each kind."""

    flag: bool = True
    count: int = setting(3, 1)
    level: int = setting(4, -8, 8, multiple=4)
    share: float = setting(0.5, 0, 1)
    weight: float = setting(1.0, 1e-6)
    reach: float = setting(1.0, 0, 1e6, infinite=True)
    score: float = setting(0.0, -1e6, 1e6, infinite=True)
    balance: float | Literal["auto"] = setting("auto", 0)
    method: Literal["fast", "slow"] = "fast"
    parts: Literal[1, 2] = 1
    name: str = ""
    size: tuple[int, int] = setting((8, 4), (4, 2), (16, 16), multiple=2)
    mean: tuple[float, float, float] = setting((0.5, 0.5, 0.5), 0, 1)
    layers: tuple[int, ...] | None = setting((2, 3), 1, 9)


CASES = {
    "flag": ([True, False], [1, 0, None, "True"], "True or False"),
    "count": (
        [1, 2**63 - 1],
        [0, 2**63, 1.0, True, "1", None, math.nan],
        "an integer of 1 or more",
    ),
    "level": ([-8, 0, 8], [-12, 2, 12, 4.0], "an integer of -8 to 8 in steps of 4"),
    "share": ([0, 0.0, 1], [-0.1, 1.1, math.nan, True, "0.5", None, (0.5,)], "a number of 0 to 1"),
    "weight": ([1e-6, 1e308], [0, math.inf, 10**400, math.nan], "a number of 1e-06 or more"),
    "reach": ([0, 1e6, math.inf], [-1, 2e6, -math.inf, math.nan], "a number of 0 to 1e+06 or inf"),
    "score": (
        [-math.inf, -1e6, math.inf],
        [-2e6, 2e6, math.nan, None],
        "a number of -1e+06 to 1e+06, -inf or inf",
    ),
    "balance": (
        ["auto", 0, 2.5],
        ["Auto", "", -1, math.inf, None],
        "a number of 0 or more or auto",
    ),
    "method": (["fast", "slow"], ["", "Fast", None, ["fast"], {}], "one of fast, slow"),
    "parts": ([1, 2], [True, 1.0, "1", 3, None], "one of 1, 2"),
    "name": (["", "a"], [None, 1, b"a"], "a text"),
    "size": (
        [(4, 2), (16, 16)],
        [(2, 2), (4, 0), (18, 4), (5, 4), (4,), (4, 4, 4), (4.0, 4), (True, 4), [4, 4], 4, None],
        "a tuple of 2 integers of (4, 2) to (16, 16) in steps of 2",
    ),
    "mean": (
        [(0, 0.5, 1)],
        [(0.5, 0.5), (0.5, 0.5, 2), (0.5, 0.5, math.nan), [0.5] * 3, (0.5, 0.5, True), 0.5],
        "a tuple of 3 numbers of 0 to 1",
    ),
    "layers": (
        [None, (), (1,), (9, 9, 9)],
        [(0,), (1, 10), (1.0,), [1], 1, ""],
        "a tuple of integers of 1 to 9 or None",
    ),
}


def test_each_kind_has_its_cases():
    assert list(CASES) == [field.name for field in dataclasses.fields(Every)]


@pytest.mark.parametrize("field", CASES)
def test_fields(field):
    right, wrong, expected = CASES[field]
    for value in right:
        assert getattr(Every(**{field: value}), field) == value
    for value in wrong:
        message = f"{field}: expected {expected}, got {value!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            Every(**{field: value})


def test_a_change_is_checked():
    with pytest.raises(ValueError, match=r"^share: expected a number of 0 to 1, got 2$"):
        dataclasses.replace(Every(), share=2)


def test_defaults_are_those_of_the_constructor():
    assert Every.__init__.__defaults__ == dataclasses.astuple(Every())


@pytest.mark.parametrize("some", [Every(), Every(score=-math.inf, layers=None, balance=2)])
def test_json_and_yaml_give_back_what_was_written(some, tmp_path):
    assert Every.from_json(some.to_json()) == some
    some.save(tmp_path / "settings.yaml")
    assert Every.load(tmp_path / "settings.yaml", whole=True) == some


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "expected JSON"),
        ("[]", r"expected a mapping of flag, .*, got \[\]"),
        ('{"size": [8]}', r"size: expected a tuple of 2 .*, got \(8,\)"),
        ('{"sizes": [8, 8]}', "expected some of flag, .*, got 'sizes'"),
    ],
)
def test_errors_name_the_source(text, expected):
    with pytest.raises(ValueError, match=f"^file: {expected}"):
        Every.from_json(text, "file")
