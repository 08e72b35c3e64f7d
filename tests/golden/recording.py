"""Recordings of scenes in two files, and the first difference of two recordings.

``identities.npz`` contains an integer array per scene. ``identities.json`` contains hashes of the
arrays, checksums of the inputs, and versions of packages.
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
"""Scene names with the tracks of the next frame, or input names with an array for a checksum."""


@dataclass
class Scene:
    """The output of a tracker.

    Attributes:
        ids: For each frame, the identities of the detections that have one.
        reasons: For each frame, the explanation of one identity, in turns: the detection, its stage
            in `STAGES`, the runner-up or -1. Empty if there is no identity.
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
        """Pack all frames into one array: counts of detections, identities or 0, reasons."""
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
        """Describe the first difference of another scene from this one."""
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
        scenes: The outputs.
        checksums: Checksums of the inputs of each source.
        versions: Versions of Python and packages.
    """

    scenes: dict[str, Scene] = field(default_factory=dict)
    checksums: dict[str, dict[str, int]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def new(cls) -> Recording:
        return cls(versions=versions())

    def run(self, source: str, scenes: Scenes) -> None:
        """Run a source to its end, with one OpenCV thread."""
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
        """Hash each scene."""
        return {name: _digest(scene.pack()) for name, scene in sorted(self.scenes.items())}

    @property
    def name(self) -> str:
        """Name of the recording in the changelog: a hash of all hashes."""
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
        """Read a saved recording.

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
        """Describe the first difference of a scene in another recording, and of its inputs."""
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
        """Describe the first difference of each scene that differs."""
        return [found for name in scenes if (found := self.difference(got, name)) is not None]


def versions() -> dict[str, str]:
    """Return the versions that the numbers may depend on."""
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
