"""benchmarks/gpu_report.py: it parses the output of other tools, and a stage cannot stop it."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "gpu_report.py"
spec = importlib.util.spec_from_file_location("gpu_report", PATH)
gpu_report = importlib.util.module_from_spec(spec)
spec.loader.exec_module(gpu_report)

SMI = "NVIDIA H100 80GB HBM3, 580.159.04, 9.0, 81559 MiB"
TORCH = "2.11.0+cu130 13.0 True"
NVCC = "Build cuda_13.0.r13.0/compiler"


@pytest.mark.parametrize(
    ("smi", "torch", "nvcc", "reason"),
    [
        ([], [TORCH], [NVCC], "nvidia-smi finds no GPU"),
        ([SMI], [], [NVCC], f"torch cannot be imported by {sys.executable}"),
        ([SMI], ["2.13.0+cpu None False"], [NVCC], "torch 2.13.0+cpu (CUDA None) finds no GPU"),
        ([SMI], [TORCH], [], "nvcc is not on PATH"),
        ([SMI], [TORCH], [NVCC], None),
    ],
)
def test_why_there_is_no_gpu(smi, torch, nvcc, reason):
    assert gpu_report.why_no_gpu(smi, torch, nvcc) == reason


def test_the_gpu():
    gpu = gpu_report.read_gpu(SMI)
    assert gpu["name"] == "NVIDIA H100 80GB HBM3"
    assert gpu["compute_cap"] == "9.0"
    assert gpu_report.file_name(gpu["name"]) == "nvidia-h100-80gb-hbm3"


def test_tests_are_counted(tmp_path):
    """With real output of pytest, for each kind of result."""
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "some.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef bad(): raise RuntimeError('no fixture')\n"
        "def test_good(): pass\n"
        "def test_wrong(): assert 1 == 2, 'one is not two'\n"
        "def test_bad(bad): pass\n"
        "def test_left_out(): pytest.skip('no CUDA device')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", "-c"]
    command += [os.devnull, f"--rootdir={tmp_path}", "-p", "no:cacheprovider"]
    xml = tmp_path / "tests.xml"
    subprocess.run(
        [*command, f"--junitxml={xml}", tmp_path / "some.py", tmp_path / "broken.py"],
        check=False,
        capture_output=True,
    )
    found = gpu_report.read_tests(xml.read_text())
    assert (found["passed"], found["failed"], found["skipped"]) == (1, 3, 1)
    wrong, bad = (
        next(line for line in found["failures"] if f"::{name}:" in line)
        for name in ("test_wrong", "test_bad")
    )
    assert "one is not two" in wrong
    assert "no fixture" in bad


def benchmarks():
    rows = [("cost", "sslmot", 2e-4, 20), ("cost", "torch", 5e-5, None), (None, "alone", 3.0, None)]
    return json.dumps(
        {
            "benchmarks": [
                {
                    "group": group,
                    "name": name,
                    "stats": {"median": median, "rounds": 50},
                    "extra_info": {"identity": 0.9} if calls is None else {"calls": calls},
                }
                for group, name, median, calls in rows
            ]
        }
    )


def test_benchmarks_become_a_table():
    rows = gpu_report.read_benchmarks(benchmarks())
    assert rows[0] == {"group": "cost", "name": "sslmot", "median": 1e-5, "rounds": 50}
    assert rows[1]["identity"] == 0.9
    report = {
        "device": "NVIDIA H100",
        "date": "2026-01-01",
        "reason": None,
        "versions": {"torch": "2.11"},
        "stages": [{"name": "tests", "outcome": "failed (1)", "seconds": 12.3}],
        "tests": {"passed": 7, "failed": 1, "skipped": 2, "failures": ["a::b: no"]},
        "benchmarks": rows,
    }
    text = gpu_report.table(report)
    assert "| sslmot | 10 µs | 1.00 |\n| torch | 50 µs | 5.00 |" in text
    assert "| alone | 3 s | 1.00 |" in text
    assert "| tests | failed (1) | 12 |" in text
    assert "7 passed, 1 failed, 2 skipped.\n- a::b: no" in text


@pytest.mark.slow
def test_a_stage_that_fails_or_hangs_is_recorded(tmp_path, monkeypatch):
    script = {
        "build": "print('built')",
        "tests": "raise SystemExit('no such thing')",
        "slow": "import time; print('begun', flush=True); time.sleep(60)",
        "test_cost": f"open(r'{tmp_path / 'test_cost.json'}', 'w').write({benchmarks()!r})",
        "late": "pass",
    }
    limits = {"slow": 5}

    def stages(capability, work):
        assert capability == "9.0"
        for name, code in script.items():
            if name == "late":
                monkeypatch.setattr(gpu_report.time, "monotonic", lambda: 1e12)
            yield name, [sys.executable, "-c", code], limits.get(name, 20)

    monkeypatch.setattr(gpu_report, "stages", stages)
    report = {"versions": {"compute_cap": "9.0"}, "stages": [], "tests": None, "benchmarks": []}
    written = []
    gpu_report.measure(report, tmp_path, lambda: written.append(len(report["stages"])), 100)
    assert written == [1, 2, 3, 4, 5]
    outcomes = {stage["name"]: stage["outcome"] for stage in report["stages"]}
    assert outcomes["build"] == outcomes["test_cost"] == "passed"
    assert outcomes["tests"] == "failed (1)"
    assert outcomes["slow"].startswith("stopped after")
    assert outcomes["late"] == "no time left"
    assert "no such thing" in report["stages"][1]["output"]
    assert "begun" in report["stages"][2]["output"]
    assert len(report["benchmarks"]) == 3


def test_the_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_report.shutil, "which", lambda name: name)
    stages = {name: command for name, command, _ in gpu_report.stages("9.0", tmp_path)}
    assert list(stages)[:3] == ["build", "check", "tests"]
    assert list(stages)[-2:] == ["memcheck", "racecheck"]
    assert "cmake.define.CMAKE_CUDA_ARCHITECTURES=90-real" in stages["build"]
    assert {"test_cost", "test_step", "test_assignment"} <= set(stages)
    files = {part for command in stages.values() for part in command if part.endswith(".py")}
    assert [file for file in sorted(files) if not (gpu_report.ROOT / file).is_file()] == []


def test_the_built_package_is_tested(tmp_path):
    """And not the package in this folder or a development install."""
    python = gpu_report.environment(tmp_path)

    def run(code):
        env = {**os.environ, "PYTHONSAFEPATH": "1"}
        return subprocess.run([python, "-c", code], env=env, capture_output=True, text=True)

    assert run("import numpy, pytest").returncode == 0
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "sslmot").mkdir()
    (site / "sslmot" / "__init__.py").write_text("")
    assert str(site) in run("import sslmot; print(sslmot.__file__)").stdout


def test_without_a_gpu_the_reason_is_in_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu_report, "lines_of", lambda *command: [])
    gpu_report.main(["--output", str(tmp_path)])
    report = json.loads((tmp_path / "no-gpu.json").read_text())
    assert report["reason"] == "nvidia-smi finds no GPU"
    assert (report["stages"], report["benchmarks"]) == ([], [])
    assert "Nothing was run: nvidia-smi finds no GPU." in (tmp_path / "no-gpu.md").read_text()
    assert "no-gpu.json" in capsys.readouterr().out
