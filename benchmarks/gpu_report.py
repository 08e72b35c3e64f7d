"""Build, test, benchmark and check the CUDA kernels on a GPU, and write a report.

    python benchmarks/gpu_report.py

It needs a GPU, nvcc, torch and the packages of pyproject.toml for building and testing. Nothing is
downloaded. After each stage it writes ``benchmarks/results/<device>.json`` and the same as a table,
``<device>.md``. Each stage has a time limit. A stage that fails is recorded, and the next stages
still run. Without a GPU the files have the name ``no-gpu`` and contain the reason.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FIELDS = "name,driver_version,compute_cap,memory.total"
ASK_TORCH = "import torch; print(torch.__version__, torch.version.cuda, torch.cuda.is_available())"
# Tests for compute-sanitizer: each kernel, and few enough tests to finish in time.
CHECKED = "cuda and (tiles or nan or anywhere or eq_7 or oracle or stream)"


def lines_of(*command):
    """Return the output lines of a command, none if it is missing or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.splitlines() if done.returncode == 0 else []


def why_no_gpu(smi, torch, nvcc):
    """Return the reason why nothing can run, or None if there is a GPU.

    Args:
        smi: A line of nvidia-smi with FIELDS, or none.
        torch: A line with torch's version, its CUDA version and whether it finds a GPU, or none.
        nvcc: The last line of nvcc's version, or none.
    """
    if not smi:
        return "nvidia-smi finds no GPU"
    if not torch:
        return f"torch cannot be imported by {sys.executable}"
    version, cuda, found = torch[0].split()
    if found != "True":
        return f"torch {version} (CUDA {cuda}) finds no GPU"
    if not nvcc:
        return "nvcc is not on PATH"
    return None


def read_gpu(line):
    """Parse name, driver, compute capability and memory from a line of nvidia-smi."""
    return dict(zip(FIELDS.split(","), (part.strip() for part in line.split(",")), strict=True))


def file_name(device):
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def read_tests(xml):
    """Parse a JUnit file: counts of results, and the first line of each failure."""
    cases = ET.fromstring(xml).iter("testcase")
    counts, failures = {"passed": 0, "failed": 0, "skipped": 0}, []
    for case in cases:
        bad = case.find("failure") if case.find("failure") is not None else case.find("error")
        if bad is not None:
            counts["failed"] += 1
            reason = (bad.get("message") or "").strip().splitlines() or [""]
            failures.append(f"{case.get('classname')}::{case.get('name')}: {reason[0]}")
        else:
            counts["skipped" if case.find("skipped") is not None else "passed"] += 1
    return {**counts, "failures": failures}


def read_benchmarks(text):
    """Parse group, name and median (seconds per call) of the benchmarks of pytest-benchmark.

    ``extra_info["calls"]`` is the number of calls per round, if there are several.
    """
    return [
        {
            "group": row["group"] or "",
            "name": row["name"],
            "median": row["stats"]["median"] / row["extra_info"].get("calls", 1),
            "rounds": row["stats"]["rounds"],
            **{k: v for k, v in row["extra_info"].items() if k != "calls"},
        }
        for row in json.loads(text)["benchmarks"]
    ]


def seconds(value):
    """Format a time with three digits and a suitable unit."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("µs", 1e6)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def table(report):
    """Format the report as Markdown."""
    lines = [
        f"# {report['device']}",
        "",
        f"{report['date']}, by `python benchmarks/gpu_report.py`.",
    ]
    if report["reason"]:
        return "\n".join([*lines, "", f"Nothing was run: {report['reason']}.", ""])
    lines += ["", "| | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in report["versions"].items()]
    lines += ["", "| stage | outcome | seconds |", "| --- | --- | --- |"]
    for stage in report["stages"]:
        lines.append(f"| {stage['name']} | {stage['outcome']} | {stage['seconds']:.0f} |")
    if report["tests"]:
        counts = report["tests"]
        lines += ["", f"Tests on CUDA: {counts['passed']} passed, {counts['failed']} failed, "]
        lines[-1] += f"{counts['skipped']} skipped."
        lines += [f"- {failure}" for failure in counts["failures"]]
    groups = {}
    for row in report["benchmarks"]:
        groups.setdefault(row["group"], []).append(row)
    for group, rows in groups.items():
        best = min(row["median"] for row in rows)
        lines += ["", f"| {group} | median | of the best |", "| --- | --- | --- |"]
        lines += [
            f"| {row['name']} | {seconds(row['median'])} | {row['median'] / best:.2f} |"
            for row in rows
        ]
    return "\n".join([*lines, ""])


def run(command, limit, env, log):
    """Run a command with its output in a file, and return outcome and seconds.

    After the limit, the command and its children are killed. pytest exits with 5 if it finds no
    test, for example if a whole file is skipped.
    """
    begin = time.monotonic()
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout=limit)
            outcome = {0: "passed", 5: "nothing to run"}.get(code, f"failed ({code})")
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            outcome = f"stopped after {limit:.0f} s"
    return outcome, time.monotonic() - begin


# Check that the built package is imported, and that it finds a GPU.
CHECK = "import sslmot; from sslmot import _core; print(sslmot.__file__, _core.cuda_device_count())"
CHECK += "; assert '{work}' in sslmot.__file__ and _core.cuda_device_count() > 0"


def environment(work):
    """Create an environment with the current packages, in which sslmot can be installed.

    A development install of sslmot is not visible in it. Python finds such an install by a .pth
    file, and does not read .pth files in folders that another .pth file adds.
    """
    venv.create(work / "venv", with_pip=False)
    python = work / "venv" / "bin" / "python"
    [site] = (work / "venv" / "lib").glob("python*/site-packages")
    packages = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "packages.pth").write_text("\n".join(packages) + "\n")
    return str(python)


def stages(capability, work):
    """Yield name, command and limit in seconds of each stage, the most important first."""
    built = environment(work)
    python = [built, "-m"]
    architecture = capability.replace(".", "") + "-real"
    tests = ["pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    # If all benchmarks of a file are skipped, there is a warning instead of a result.
    tests += ["-W", "ignore::pytest_benchmark.logger.PytestBenchmarkWarning"]
    pip = [sys.executable, "-m", "pip", "--python", built, "install"]
    pip += ["--no-build-isolation", "--no-deps"]
    settings = ["CUDA=ON", f"CMAKE_CUDA_ARCHITECTURES={architecture}"]
    cmake = [part for setting in settings for part in ("-C", f"cmake.define.{setting}")]
    yield "build", [*pip, *cmake, "-C", f"build-dir={work / 'build'}", "."], 180
    yield "check", [built, "-c", CHECK.format(work=work)], 60
    yield "tests", [*python, *tests, "tests", "-k", "cuda", f"--junitxml={work / 'tests.xml'}"], 180
    for file in sorted((ROOT / "benchmarks").glob("test_*.py")):
        result = f"--benchmark-json={work / file.stem}.json"
        command = [*python, *tests, str(file.relative_to(ROOT)), result]
        yield file.stem, command, 120 if "cost" in file.stem else 60
    checker = shutil.which("compute-sanitizer")
    for tool in ("memcheck", "racecheck") if checker else ():
        names = ("native/test_cost", "tracking/test_features", "appearance/test_crop")
        files = [f"tests/{name}.py" for name in names]
        command = [checker, "--tool", tool, "--error-exitcode", "9", *python, *tests]
        yield tool, [*command, *files, "-k", CHECKED], 90


def measure(report, work, write, limit):
    """Run all stages and fill the report."""
    # Do not import the folder `sslmot` of the sources, which has no native core (Python 3.11+).
    env = {**os.environ, "PYTHONSAFEPATH": "1"}
    env |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    end = time.monotonic() + limit
    for name, command, most in stages(report["versions"]["compute_cap"], work):
        log = work / f"{name}.log"
        most = min(most, end - time.monotonic())
        text = shlex.join(command).replace(f"{work}/", "").replace(sys.executable, "python")
        if most < 1:
            outcome, took = "no time left", 0.0
            log.write_text("")
        else:
            print(f"{name}: {text}", flush=True)
            outcome, took = run(command, most, env, log)
            print(f"  {outcome}, {took:.0f} s", flush=True)
        stage = {"name": name, "command": text, "outcome": outcome, "seconds": round(took, 1)}
        if outcome != "passed":
            stage["output"] = log.read_text(errors="replace")[-4000:]
        report["stages"].append(stage)
        if name == "tests" and (work / "tests.xml").is_file():
            report["tests"] = read_tests((work / "tests.xml").read_text())
        result = work / f"{name}.json"
        if result.is_file() and result.stat().st_size:
            report["benchmarks"] += read_benchmarks(result.read_text())
        write()


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--seconds", type=float, default=570, help="for all stages together")
    args = parser.parse_args(argv)

    smi = lines_of("nvidia-smi", f"--query-gpu={FIELDS}", "--format=csv,noheader")
    torch, nvcc = lines_of(sys.executable, "-c", ASK_TORCH)[-1:], lines_of("nvcc", "--version")[-1:]
    reason = why_no_gpu(smi, torch, nvcc)
    gpu = {"name": "no GPU"} if reason else read_gpu(smi[0])
    report = {
        "device": gpu["name"],
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "reason": reason,
        "versions": {
            **{name: value for name, value in gpu.items() if name != "name"},
            "python": sys.version.split()[0],
            "torch": " ".join(torch[0].split()[:2]) if torch else None,
            "nvcc": nvcc[0] if nvcc else None,
            "commit": "".join(lines_of("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")),
        },
        "stages": [],
        "tests": None,
        "benchmarks": [],
    }
    args.output.mkdir(parents=True, exist_ok=True)
    target = args.output / file_name(gpu["name"])

    def write():
        target.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n")
        target.with_suffix(".md").write_text(table(report))

    write()
    if reason:
        print(f"no GPU to run on: {reason}")
    else:
        with tempfile.TemporaryDirectory() as work:
            measure(report, Path(work), write, args.seconds)
    print(f"written: {target}.json, {target}.md")


if __name__ == "__main__":
    main()
