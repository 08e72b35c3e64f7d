"""``pip wheel .`` builds a wheel that installs and runs in a new environment."""

import re
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
import yaml

import sslmot

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


def test_the_repository_has_one_address():
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]
    owner, name = urls["Repository"].removeprefix("https://github.com/").split("/")
    for file in ("pyproject.toml", "CITATION.cff", "mkdocs.yml"):
        text = (ROOT / file).read_text()
        assert re.search(r"github\.com/", text), file
        assert set(re.findall(r"github\.com/([\w.-]+/[\w-]+)", text)) == {f"{owner}/{name}"}, file
        assert set(re.findall(r"([\w.-]+)\.github\.io/", text)) <= {owner}, file


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == sslmot.__version__


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
    archive = zipfile.ZipFile(wheel)
    names = archive.namelist()
    assert any(name.startswith("sslmot/_core.") and name.endswith(".so") for name in names)
    stubs = {"sslmot/_core/__init__.pyi", "sslmot/_core/_testing.pyi", "sslmot/py.typed"}
    page = {f"sslmot/report/{name}" for name in ("template.html", "style.css", "script.js")}
    assert {*stubs, *page, "sslmot/tracking/tracker.py"} <= set(names)
    assert any(
        n.startswith("sslmot/appearance/weights/") and n.endswith(".safetensors") for n in names
    )
    assert not [n for n in names if n.startswith(("tests", "benchmarks", "csrc"))]

    (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
    readme = message_from_bytes(archive.read(metadata)).get_payload()
    links = re.findall(r"\]\(([^)]*)\)", readme)
    assert [link for link in links if link.endswith("/docs/demo.jpg")]
    assert not [link for link in links if not link.startswith(("https://", "#"))]

    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    subprocess.run([*pip, "--python", str(python), "install", str(wheel)], check=True)
    subprocess.run([str(python), str(ROOT / "tests/installed.py")], check=True, cwd=tmp_path)
    subprocess.run([str(tmp_path / "venv/bin/sslmot"), "--version"], check=True)
