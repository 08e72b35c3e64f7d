"""Fixtures for all tests."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_runtest_setup() -> None:
    # On a busy machine with few cores, a second thread makes small tensors slower.
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of the data sets, from SSLMOT_DATA. They are not part of the project."""
    root = Path(os.environ.get("SSLMOT_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not root.is_dir():
        pytest.skip(f"no data at {root}; set SSLMOT_DATA")
    return root


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Return each device that tensors can be on."""
    name: str = request.param
    if name == "cuda":
        found = importlib.util.find_spec("torch") is not None
        if found:
            import torch

            found = torch.cuda.is_available()
        if not found:
            pytest.skip("no CUDA device")
    return name
