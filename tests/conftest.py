"""Fixtures of all tests."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def pytest_runtest_setup() -> None:
    # On a busy machine of few cores a second thread makes small tensors slower, not faster.
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The data sets, which are not part of the project: SSLMOT_DATA says where they are."""
    root = Path(os.environ.get("SSLMOT_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not root.is_dir():
        pytest.skip(f"no data at {root}; set SSLMOT_DATA")
    return root


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> str:
    """Each device that a tensor can be on."""
    name: str = request.param
    if name == "cuda":
        found = importlib.util.find_spec("torch") is not None
        if found:
            import torch

            found = torch.cuda.is_available()
        if not found:
            pytest.skip("no CUDA device")
    return name
