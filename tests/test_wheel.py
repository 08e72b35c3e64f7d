"""``pip wheel .`` builds a wheel that installs and runs in a new environment."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

TRACK = """
import sys
import numpy as np
import sslmot
from sslmot import _core

assert "site-packages" in sslmot.__file__, sslmot.__file__
frame = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
tracker = sslmot.Tracker(extractor=sslmot.ColorHistogram())
for shift in range(3):
    tracks = tracker.step(frame, [[10 + shift, 20, 60, 120, 0.9], [200, 20, 250, 120, 0.8]])
assert tracks.ids.tolist() == [1, 2]
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_wheel_in_a_new_environment(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run(
        [*pip, "wheel", str(ROOT), "--no-deps", "--no-build-isolation", "-w", str(tmp_path)]
        + [f"-Ccmake.define.{option}" for option in ("CUDA=OFF", "STRICT=ON")]
        + [f"-Cbuild-dir={tmp_path / 'build'}"],
        check=True,
    )
    (wheel,) = tmp_path.glob("sslmot-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.startswith("sslmot/_core.") and name.endswith(".so") for name in names)
    stubs = {"sslmot/_core/__init__.pyi", "sslmot/_core/_testing.pyi", "sslmot/py.typed"}
    page = {f"sslmot/report/{name}" for name in ("template.html", "style.css", "script.js")}
    assert {*stubs, *page, "sslmot/tracking/tracker.py"} <= set(names)
    assert any(
        n.startswith("sslmot/appearance/weights/") and n.endswith(".safetensors") for n in names
    )
    assert not [n for n in names if n.startswith(("tests", "benchmarks", "csrc"))]

    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    subprocess.run([*pip, "--python", str(python), "install", str(wheel)], check=True)
    subprocess.run([str(python), "-c", TRACK], check=True, cwd=tmp_path)
    subprocess.run([str(tmp_path / "venv/bin/sslmot"), "--version"], check=True)
