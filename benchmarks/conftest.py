"""One thread for everything: what is compared is work, not cores."""

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # before NumPy is imported

import pytest


@pytest.fixture(autouse=True)
def _median_first(benchmark):
    benchmark.extra_info["unit"] = "medians; machines are noisy, compare within one run"
