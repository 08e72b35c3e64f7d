"""A few cases of each target; `python -m tests.fuzz` runs many."""

import numpy as np
import pytest

from fuzz.readers import TARGETS

CASES = 15
"""Of each target, but for those that build networks."""

SLOW = {"resume": 2, "export": 5}


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_are_refused_or_read(name):
    for seed in range(SLOW.get(name, CASES)):
        try:
            TARGETS[name](np.random.default_rng([seed, *name.encode()]))
        except Exception as error:
            raise AssertionError(f"{name}, case {seed}: {error!r}") from error
