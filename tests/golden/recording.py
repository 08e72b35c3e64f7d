"""What sources of scenes gave, kept in two files, and the first difference of two recordings.

``identities.npz`` has an array of whole numbers a scene, ``identities.json`` its hash, checksums of
what the trackers were given, and the versions of what made it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from sslmot import Tracks

from .settings import STAGES

HERE = Path(__file__).parent

Scenes: TypeAlias = Iterator[tuple[str, Tracks | npt.NDArray[np.generic]]]
"""Tracks of a scene's next frame, or an input of many, of which a checksum is kept."""


@dataclass
class Scene:
    """What a tracker said, frame by frame.

    Attributes:
        ids: Of each frame the identity of each detection that has one.
        reasons: Of each frame why one of them has it, each in turn: the detection, its stage in
            `STAGES`, the runner-up or -1; empty where there is none.
    """

    ids: list[dict[int, int]] = field(default_factory=list)
    reasons: list[tuple[int, ...]] = field(default_factory=list)

    def add(self, tracks: Tracks) -> None:
        reason: tuple[int, ...] = ()
        if len(tracks):
            why = tracks.explain(int(tracks.ids[len(self.ids) % len(tracks)]))
            rival = -1 if why.runner_up is None else why.runner_up[0]
            reason = why.detection, STAGES.index(why.stage), rival
        pairs = zip(tracks.detection_index.tolist(), tracks.ids.tolist(), strict=True)
        self.ids.append(dict(pairs))
        self.reasons.append(reason)

    def pack(self) -> npt.NDArray[np.int16]:
        """Of all frames: how many detections, the identity of each or 0, the reasons."""
        rows = [[ids.get(d, 0) for d in range(max(ids, default=-1) + 1)] for ids in self.ids]
        counts = [len(row) for row in rows]
        numbers = np.concatenate([[len(rows)], counts, *rows, *self.reasons])
        assert (abs(numbers) < 2**15).all()
        return numbers.astype("<i2")

    @classmethod
    def unpack(cls, packed: npt.NDArray[np.int16]) -> Scene:
        numbers = iter(packed.tolist())
        counts = [next(numbers) for _ in range(next(numbers))]
        rows = [[next(numbers) for _ in range(count)] for count in counts]
        ids = [{d: identity for d, identity in enumerate(row) if identity} for row in rows]
        reasons = [tuple(next(numbers) for _ in range(3)) if frame else () for frame in ids]
        return cls(ids, reasons)

    def difference(self, got: Scene) -> str | None:
        """The first difference of another scene from this one."""
        if len(self.ids) != len(got.ids):
            return f"expected {len(self.ids)} frames, got {len(got.ids)}"
        for t, (one, other) in enumerate(zip(self.ids, got.ids, strict=True)):
            differ = [d for d in sorted({*one, *other}) if one.get(d) != other.get(d)]
            if differ:
                expected, found = ({d: ids.get(d, 0) for d in differ} for ids in (one, other))
                return (
                    f"frame {t}: expected identities {expected} (detection: identity), got {found}"
                )
            if self.reasons[t] != got.reasons[t]:
                return f"frame {t}: expected {_say(self.reasons[t])}, got {_say(got.reasons[t])}"
        return None


def _say(reason: tuple[int, ...]) -> str:
    detection, stage, rival = reason
    runner_up = "none" if rival < 0 else rival
    return f"detection {detection} to be {STAGES[stage]!r} with the runner-up {runner_up}"


@dataclass
class Recording:
    """Scenes by name, ``source/part``.

    Attributes:
        scenes: What came out.
        checksums: Of each source what went in.
        versions: What made it.
    """

    scenes: dict[str, Scene] = field(default_factory=dict)
    checksums: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls) -> Recording:
        return cls(versions=versions())

    def run(self, source: str, scenes: Scenes) -> None:
        """Run a source to its end, with one thread of OpenCV's."""
        sums = self.checksums[source] = {}
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            for part, given in scenes:
                if isinstance(given, np.ndarray):
                    sums[part] = zlib.crc32(np.ascontiguousarray(given), sums.get(part, 0))
                else:
                    self.scenes.setdefault(f"{source}/{part}", Scene()).add(given)
        finally:
            cv2.setNumThreads(threads)

    def digests(self) -> dict[str, str]:
        """A hash of each scene."""
        return {name: _digest(scene.pack()) for name, scene in sorted(self.scenes.items())}

    @property
    def name(self) -> str:
        """What the changelog calls it: a hash of all hashes."""
        return hashlib.sha256(json.dumps(self.digests()).encode()).hexdigest()[:12]

    def save(self, folder: Path) -> None:
        digests = self.digests()
        about = {
            "recording": self.name,
            "versions": self.versions,
            "checksums": self.checksums,
            "scenes": digests,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "identities.json").write_text(json.dumps(about, indent=1) + "\n")
        packed = {name: self.scenes[name].pack() for name in digests}
        np.savez_compressed(folder / "identities.npz", **packed)

    @classmethod
    def load(cls, folder: Path = HERE) -> Recording:
        """Read what was saved.

        Raises:
            ValueError: The two files do not belong together.
        """
        about = json.loads((folder / "identities.json").read_text())
        with np.load(folder / "identities.npz", allow_pickle=False) as file:
            scenes = {name: Scene.unpack(file[name]) for name in file.files}
        found = cls(scenes, about["checksums"], about["versions"])
        if about["scenes"] != found.digests():
            raise ValueError(f"{folder}: expected identities.npz to be that of identities.json")
        return found

    def difference(self, got: Recording, scene: str) -> str | None:
        """The first difference of a scene of another recording, and what went in otherwise."""
        if (scene in self.scenes) != (scene in got.scenes):
            return f"{scene}: {'is gone' if scene in self.scenes else 'has no recording'}"
        found = self.scenes[scene].difference(got.scenes[scene])
        if found is None:
            return None
        source = scene.split("/")[0]
        before, now = self.checksums[source], got.checksums[source]
        for what in sorted({*before, *now}):
            if before.get(what) != now.get(what):
                found += (
                    f"\n    but the {what} of {source} are not those of the recording, which was "
                    f"made with {_listed(self.versions)}; here: {_listed(got.versions)}"
                )
        return f"{scene}: {found}"

    def differences(self, got: Recording, scenes: Iterable[str]) -> list[str]:
        """The first difference of each of some scenes that has one."""
        return [found for name in scenes if (found := self.difference(got, name)) is not None]


def versions() -> dict[str, str]:
    """What the numbers may hinge on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "machine": platform.machine(),
    }


def _digest(packed: npt.NDArray[np.int16]) -> str:
    return hashlib.sha256(packed.tobytes()).hexdigest()[:16]


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
