"""The CUDA kernels, without a GPU: compiled for the CPU under sanitizers, then run by cases."""

from __future__ import annotations

import shutil
import subprocess
import sys

import building
import pytest
from mutants import MUTANTS, with_mutants


@pytest.fixture(scope="session")
def kernels():
    for tool in ("cmake", "ninja", "g++"):
        if shutil.which(tool, path=building.PATH) is None:
            pytest.skip(f"no {tool} to compile the CUDA kernels for the CPU with")
    pytest.importorskip("pybind11")
    return building.build("cuda_on_cpu")


def test_kernels(kernels):
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *building.pytest_arguments()],
        cwd=building.ROOT,
        env=building.environment(kernels),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-20000:]
    assert " skipped" not in run.stdout


@pytest.mark.parametrize("file", sorted({mutant.file for mutant in MUTANTS}))
def test_the_places_of_all_mutants_are_in_the_sources(file):
    source = (building.ROOT / "csrc" / file).read_text()
    changed = with_mutants(file, source)
    assert changed.count("::cuda_on_cpu::mutant ==") == sum(m.file == file for m in MUTANTS)
    with pytest.raises(ValueError, match="expected once, found 0 times"):
        with_mutants(file, source.replace(";", " ;"))
