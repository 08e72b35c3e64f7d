"""The pages of docs/ hold Python that runs, and commands that the command line tool knows."""

import argparse
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from sslmot.cli import _parser
from sslmot.data.mot import write_detections
from sslmot.demo.crowd import Crowd, CrowdConfig
from sslmot.demo.run import write_crowd
from sslmot.offline.draw import VideoWriter

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
FRAMES = 20


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)


def name(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """What the pages suppose: the demo's crowd, and a video with detections."""
    folder = tmp_path_factory.mktemp("docs")
    crowd = Crowd(CrowdConfig(people=4, frames=FRAMES, width=480, height=270))
    write_crowd(crowd, folder / "demo" / "crowd")
    with VideoWriter(folder / "my_video.mp4", crowd.config.frame_rate) as writer:
        for t in range(FRAMES):
            writer.write(crowd.frame(t))
    write_detections(folder / "det.txt", {t + 1: crowd.detections(t) for t in range(FRAMES)})
    return folder


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=name)
def test_the_python_of_a_page_runs(page, clip, monkeypatch):
    monkeypatch.chdir(clip)
    program = "\n".join(blocks(page, "python"))
    exec(compile(program, str(page), "exec"), {"__name__": "__main__"})


def test_there_is_python_and_there_are_commands_to_test():
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 10
    assert len(commands()) >= 10


def commands() -> list[tuple[str, str]]:
    return [
        (name(page), line.removeprefix("$ "))
        for page in PAGES
        for block in blocks(page, "console")
        for line in block.splitlines()
        if line.startswith("$ sslmot ")
    ]


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_command_of_a_page_is_known(page, command):
    arguments = _parser().parse_args(shlex.split(command)[1:])
    assert isinstance(arguments, argparse.Namespace)


def test_settings_beside_those_of_others_are_ours():
    from dataclasses import fields

    from sslmot import TrackerConfig

    rows = re.findall(
        r"^\| [^|]+ \| `(\w+)` \(([^)]*)\)", (DOCS / "coming-from.md").read_text(), re.M
    )
    assert len(rows) >= 8
    for field, value in rows:
        default = getattr(TrackerConfig(), field)
        assert field in {f.name for f in fields(TrackerConfig)}
        expected = {True: "on", False: "off"}.get(default) if isinstance(default, bool) else default
        said = value.split()[0]
        assert said == expected or np.isclose(float(said), expected)
