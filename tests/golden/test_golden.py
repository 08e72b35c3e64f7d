"""Each scene gives the recorded identities, bit for bit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from sslmot import TrackerConfig

from . import compare
from .clips import CLIPS, clips
from .generated import SOURCES
from .recording import Recording, Scene, Scenes
from .settings import CONFIGS, changed

EXPECTED = Recording.load()
CLIP_NAMES = [Path(clip).name for clip in CLIPS]


@pytest.fixture(scope="module")
def now() -> Callable[[str, Callable[[], Scenes]], Recording]:
    """Return a function that runs a source once for all its scenes."""
    recording = Recording.new()

    def run(source: str, scenes: Callable[[], Scenes]) -> Recording:
        if source not in recording.checksums:
            recording.run(source, scenes())
        return recording

    return run


def of(sources: list[str]) -> list[str]:
    return [scene for scene in EXPECTED.scenes if scene.split("/")[0] in sources]


@pytest.mark.parametrize("scene", of(list(SOURCES)))
def test_generated(now, scene):
    source = scene.split("/")[0]
    found = now(source, SOURCES[source])
    assert EXPECTED.difference(found, scene) is None


@pytest.mark.slow
@pytest.mark.parametrize("scene", of(CLIP_NAMES))
def test_clip(now, scene, data_root):
    source = scene.split("/")[0]
    sources = clips(data_root)
    if source not in sources:
        pytest.skip(f"no {source} in {data_root}")
    found = now(source, sources[source])
    assert EXPECTED.difference(found, scene) is None


def test_every_scene_has_a_recording(now):
    for source, scenes in SOURCES.items():
        found = now(source, scenes)
    generated = {scene for scene in found.scenes if scene.split("/")[0] in SOURCES}
    assert set(of(list(SOURCES))) == generated
    assert set(EXPECTED.checksums) == {*SOURCES, *CLIP_NAMES}


def test_inputs_are_the_same_bits(now):
    for source, scenes in SOURCES.items():
        found = now(source, scenes)
    for source in SOURCES:
        assert found.checksums[source] == EXPECTED.checksums[source]


def test_the_changelog_says_why():
    changelog = (Path(__file__).parents[2] / "CHANGELOG.md").read_text()
    recordings = re.findall(r"Recording `(\w+)`", changelog)
    assert recordings[:1] == [EXPECTED.name], "expected the newest recording to have a line"


class TestCoverage:
    def test_every_setting_is_changed_somewhere(self):
        assert changed() == {field.name for field in dataclasses.fields(TrackerConfig)}

    def test_each_setting_changes_identities(self):
        """Except the camera, which has separate scenes."""
        seen = {}
        for name in sorted(CONFIGS):
            parts = [EXPECTED.scenes[f"{name}/{part}"] for part in ("looks", "motion")]
            seen.setdefault(repr([part.ids for part in parts]), []).append(name)
        assert [names for names in seen.values() if len(names) > 1] == []

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("gaps/default", "gaps/no memory"),
            ("gaps/walk", "gaps/no walk"),
            ("cameras/shaken, looks", "cameras/shaken, no camera"),
            ("cameras/shaken, looks", "cameras/still, looks"),
            ("classes/two", "classes/changing"),
            ("resets/alone", "resets/gallery"),
            ("galleries/default, there", "galleries/strict, there"),
            ("galleries/lenient, there", "galleries/small, there"),
            ("groups/apart, 0", "groups/gallery, 0"),
        ],
    )
    def test_other_conditions_give_other_identities(self, one, other):
        assert EXPECTED.scenes[one].ids != EXPECTED.scenes[other].ids

    def test_all_stages_occur(self):
        stages = {r[1] for scene in EXPECTED.scenes.values() for r in scene.reasons if r}
        assert stages == set(range(5))


@pytest.mark.parametrize(
    "scene", [scene for scene in EXPECTED.scenes if re.match(r"refused.*with$", scene)]
)
def test_refused_steps_change_nothing(now, scene):
    source = scene.split("/")[0]
    found = now(source, SOURCES[source])
    assert found.scenes[scene] == found.scenes[scene.removesuffix("with") + "without"]


class TestDifference:
    SCENE = Scene([{0: 1}, {0: 1, 2: 3}, {}], [(0, 2, -1), (2, 0, 1), ()])

    def test_none(self):
        assert self.SCENE.difference(Scene.unpack(self.SCENE.pack())) is None

    def test_of_identities(self):
        other = Scene([{0: 1}, {0: 1, 1: 3}, {}], self.SCENE.reasons)
        assert self.SCENE.difference(other) == (
            "frame 1: expected identities {1: 0, 2: 3} (detection: identity), got {1: 3, 2: 0}"
        )

    def test_of_reasons(self):
        other = Scene(self.SCENE.ids, [(0, 2, -1), (2, 1, 0), ()])
        assert self.SCENE.difference(other) == (
            "frame 1: expected detection 2 to be 'appearance' with the runner-up 1, "
            "got detection 2 to be 'motion' with the runner-up 0"
        )

    def test_of_lengths(self):
        assert "expected 3 frames, got 0" in str(self.SCENE.difference(Scene()))

    def test_says_that_inputs_differ(self):
        one = Recording({"a/b": self.SCENE}, {"a": {"pixels": 1}}, {"opencv": "4.14"})
        other = Recording({"a/b": Scene()}, {"a": {"pixels": 2}}, {"opencv": "4.11"})
        assert str(one.difference(other, "a/b")).endswith(
            "but the pixels of a are not those of the recording, which was made with opencv 4.14; "
            "here: opencv 4.11"
        )

    def test_of_a_scene_that_is_gone(self):
        recording = Recording({"a/b": self.SCENE}, {"a": {}})
        assert recording.difference(Recording(), "a/b") == "a/b: is gone"

    def test_files_that_do_not_belong_together_are_rejected(self, tmp_path):
        Recording({"a/b": self.SCENE}, {"a": {}}).save(tmp_path)
        kept = (tmp_path / "identities.json").read_bytes()
        Recording({"a/b": Scene()}, {"a": {}}).save(tmp_path)
        (tmp_path / "identities.json").write_bytes(kept)
        with pytest.raises(ValueError, match="to be that of"):
            Recording.load(tmp_path)

    @pytest.mark.parametrize(("identity", "code"), [(1, 0), (2, 1)])
    def test_of_two_commits(self, identity, code, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(compare, "WORK", tmp_path)
        other = Scene([{0: identity}], [(0, 2, -1)])
        Recording({"a/b": Scene([{0: 1}], [(0, 2, -1)])}, {"a": {}}).save(tmp_path / "before")
        Recording({"a/b": other, "a/c": other}, {"a": {}}).save(tmp_path / "now")
        assert compare.report("v1") == code
        output = capsys.readouterr().out
        assert "only here, not compared: a/c" in output
        assert f"1 scenes compared with v1: {code} differ" in output

    def test_of_two_commits_without_a_scene_in_common(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(compare, "WORK", tmp_path)
        for part, name in (("before", "a/b"), ("now", "a/c")):
            Recording({name: self.SCENE}, {"a": {}}).save(tmp_path / part)
        assert compare.report("v1") == 1
        assert "expected common scenes" in capsys.readouterr().out
