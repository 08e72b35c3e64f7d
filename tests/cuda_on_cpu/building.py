"""Compiles the CUDA kernels for the CPU, and runs the cases on them in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build" / "cuda_on_cpu"
# Tools that were installed beside this Python come first.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def build(target):
    """Builds a target as far as it is out of date.

    Returns:
        The path of the module.

    Raises:
        RuntimeError: The build fails; what the compiler says.
    """
    import pybind11

    options = {
        "SSLMOT_CUDA_ON_CPU": "ON",
        "CUDA": "OFF",
        "CMAKE_BUILD_TYPE": "None",
        "CMAKE_CXX_FLAGS": "-O1",
        "pybind11_DIR": pybind11.get_cmake_dir(),
        "Python_EXECUTABLE": sys.executable,
    }
    defined = [f"-D{name}={value}" for name, value in options.items()]
    for command in (
        ["cmake", "-S", str(ROOT), "-B", str(BUILD), "-G", "Ninja", *defined],
        ["cmake", "--build", str(BUILD), "--target", target],
    ):
        done = subprocess.run(
            command,
            env={**os.environ, "PATH": PATH, "CXX": "g++"},
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-20000:]}{done.stderr}")
    (module,) = (BUILD / "tests" / "cuda_on_cpu" / target).glob("_core*.so")
    return module


def environment(module):
    """Variables of a process that can load the module: the sanitizer's run time comes first."""
    libraries = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], text=True, capture_output=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    return {
        **os.environ,
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "CUDA_ON_CPU": str(module),
    }


def pytest_arguments(*arguments):
    """What pytest is given to run the cases; -s, as a sanitizer's last words are not to be lost."""
    cases = [str(HERE / name) for name in ("cases.py", "table_cases.py")]
    return ["-q", "-s", "-p", "no:cacheprovider", "--tb=short", *arguments, *cases]
