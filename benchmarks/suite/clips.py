"""The clips of the suite, and its rows: some frames of a clip, with the detections of one detector.

Nothing here needs a frame once the detections of YOLOX and the embeddings are in the cache.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from sslmot import ColorHistogram, files
from sslmot.data.mot import GroundTruth, Sequence
from suite.simulate import simulate_detections

Kind: TypeAlias = Literal["appearance", "motion"]
Floats: TypeAlias = npt.NDArray[np.float32]

PROJECT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SSLMOT_DATA", PROJECT.parent / "shared" / "data"))


@dataclass(frozen=True)
class Clip:
    """A clip with the detections of one detector.

    Attributes:
        scene: What was filmed. The same scene with another detector is the same clip when a
            constant is chosen with the clip left out.
        folder: Of the sequence, below the data.
        detector: "YOLOX" detects in the frames, "simulated" makes detections from the annotation;
            any other name is that of the detections in the folder.
        every: Frame steps; each makes a row.
        frames: Whether there are frames, hence embeddings.
    """

    scene: str
    folder: str
    detector: str
    every: tuple[int, ...]
    frames: bool = False


CLIPS = (
    Clip("MOT17-09", "MOT17/train/MOT17-09-FRCNN", "FRCNN", (1, 2, 3, 5, 10), frames=True),
    Clip("MOT17-09", "MOT17/train/MOT17-09-FRCNN", "YOLOX", (1, 2, 3, 5, 10), frames=True),
    Clip("TUD-Stadtmitte", "clips/TUD-Stadtmitte", "public", (1, 2, 3, 5), frames=True),
    Clip("PRW-c6s1-a", "clips/PRW-c6s1-a", "annotation", (1,), frames=True),
    *(
        Clip(f"MOT17-{n}", f"MOT17/train/MOT17-{n}-FRCNN", "FRCNN", (1, 3))
        for n in ("02", "05", "10", "11")
    ),
    *(
        Clip(name, f"SportsMOT/{name}", "simulated", (1, 3))
        for name in (
            "v_-6Os86HzwCs_c001",
            "v_1LwtoLPw2TU_c012",
            "v_1yHWGw8DH4A_c077",
            "v_2j7kLB-vEEk_c002",
            "v_4LXTUim5anY_c002",
            "v_ApPxnw_Jffg_c001",
            "v_CW0mQbgYIF4_c004",
            "v_HdiyOtliFiw_c003",
            "v_dChHNGIfm4Y_c003",
        )
    ),
)


@dataclass(frozen=True, eq=False)
class Row:
    """What a tracker is given, and what it should have found.

    Attributes:
        kind: "motion" rows have no embeddings.
        scene: The clip, see `Clip`.
        detector: See `Clip`.
        every: Frame step.
        frame_rate: Frames a second that are left.
        size: Width and height of a frame, pixels.
        detections: Of each frame (N, 5) float32 ``x1, y1, x2, y2, score``, pixels.
        embeddings: Of each frame (N, D) float32 of unit length (zeros for an unusable crop), or
            None.
        truth: Annotation of these frames, renumbered from 1.
    """

    kind: Kind
    scene: str
    detector: str
    every: int
    frame_rate: float
    size: tuple[int, int]
    detections: list[Floats]
    embeddings: list[Floats] | None
    truth: GroundTruth

    @property
    def name(self) -> str:
        """Clip, detector and frame step."""
        return f"{self.scene} {self.detector} /{self.every}"

    @cached_property
    def key(self) -> str:
        """Hash of what a tracker is given."""
        digest = hashlib.sha256(f"{self.every} {self.frame_rate}".encode())
        for array in (*self.detections, *(self.embeddings or ())):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.detections)

    def without_embeddings(self) -> Row:
        """Return the same row for trackers by motion alone."""
        return replace(self, kind="motion", embeddings=None)


def default_cache() -> Path:
    """Return ``$XDG_CACHE_HOME/sslmot/suite``, by default below ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "sslmot" / "suite"


def load_rows(
    cache: Path | str | None = None,
    *,
    data: Path | str = DATA,
    clips: Iterable[str] | None = None,
    quick: bool = False,
    kind: Kind | None = None,
    features: Path | str = "default",
) -> list[Row]:
    """Read the rows of the suite, those with appearance first.

    The first call runs the detector and the encoder over all frames and takes minutes; later ones
    take what these found from the cache.

    Args:
        cache: Folder for detections and embeddings; None for `default_cache`.
        data: Folder of the data.
        clips: Scenes, or parts of their names, such as "MOT17" or "TUD"; None for all.
        quick: Every frame alone: one row for each clip and detector.
        kind: "appearance" or "motion"; None for both.
        features: Of the rows with appearance: "default" (the encoder that comes with the package),
            "histogram" (of colours), or an encoder's file.

    Raises:
        FileNotFoundError: The data are missing.
        ValueError: A name in `clips` is in no scene.
    """
    cache, data = Path(cache) if cache else default_cache(), Path(data)
    wanted = list(CLIPS)
    if clips is not None:
        clips = list(clips)
        for part in clips:
            if not any(part in clip.scene for clip in CLIPS):
                scenes = ", ".join(dict.fromkeys(clip.scene for clip in CLIPS))
                raise ValueError(f"clips: expected part of a name of {scenes}, got {part!r}")
        wanted = [clip for clip in CLIPS if any(part in clip.scene for part in clips)]
    appearance, motion = [], []
    for clip in wanted:
        whole = _read(clip, data, cache, features, embed=clip.frames and kind != "motion")
        for every in clip.every[: 1 if quick else None]:
            row = _thin(whole, every)
            if row.embeddings is not None:
                appearance.append(row)
            motion.append(row.without_embeddings())
    return [*(appearance if kind != "motion" else ()), *(motion if kind != "appearance" else ())]


def _read(clip: Clip, data: Path, cache: Path, features: Path | str, *, embed: bool) -> Row:
    sequence = Sequence.open(data / clip.folder)
    if clip.detector == "YOLOX":
        detections = _detect(sequence, data / "weights/yolox_nano_416.onnx", cache)
    elif clip.detector == "simulated":
        size = sequence.width, sequence.height
        detections = simulate_detections(sequence.ground_truth(), sequence.length, size)
    else:
        found = sequence.detections()
        detections = [found[t] for t in range(1, sequence.length + 1)]
    return Row(
        kind="appearance" if embed else "motion",
        scene=clip.scene,
        detector=clip.detector,
        every=1,
        frame_rate=sequence.frame_rate,
        size=(sequence.width, sequence.height),
        detections=detections,
        embeddings=_embed(sequence, detections, features, cache) if embed else None,
        truth=sequence.ground_truth(),
    )


def _thin(row: Row, every: int) -> Row:
    """Keep frames 1, 1 + every, ... and renumber them from 1."""
    kept = (row.truth.frames - 1) % every == 0
    columns = {name: column[kept] for name, column in vars(row.truth).items()}
    columns["frames"] = (columns["frames"] - 1) // every + 1
    return replace(
        row,
        every=every,
        frame_rate=row.frame_rate / every,
        detections=row.detections[::every],
        embeddings=None if row.embeddings is None else row.embeddings[::every],
        truth=replace(row.truth, **columns),
    )


def _detect(sequence: Sequence, model: Path, cache: Path) -> list[Floats]:
    """Detect people by YOLOX; cached as of the model's file."""

    def detect() -> list[Floats]:
        from sslmot.detection.onnx import Detector

        find = Detector(model)
        return [find(sequence.frame(t))[:, :5] for t in range(1, sequence.length + 1)]

    key = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
    return _cached(cache / f"detections-{sequence.name}-{key}.npz", detect)


def _embed(
    sequence: Sequence, detections: list[Floats], features: Path | str, cache: Path
) -> list[Floats]:
    """Embed the detections; cached as of the boxes and of the encoder's file."""
    from sslmot.appearance import histogram
    from sslmot.appearance.encoder import SHIPPED, Encoder

    source = Path(
        {"default": SHIPPED, "histogram": histogram.__file__}.get(str(features), features)
    )
    digest = hashlib.sha256(source.read_bytes())
    for dets in detections:
        digest.update(f"{len(dets)}".encode() + dets[:, :4].tobytes())

    def embed() -> list[Floats]:
        from sslmot.tuning.footage import embed_clip

        extractor = ColorHistogram() if features == "histogram" else Encoder.load(source)
        frames = ((t, sequence.frame(t)) for t in range(1, sequence.length + 1))
        by_frame = dict(enumerate(detections, 1))
        footage = embed_clip(sequence.name, frames, by_frame, extractor, progress=True)
        rows: Any = footage.embeddings
        return [z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12) for z in rows]

    return _cached(cache / f"embeddings-{sequence.name}-{digest.hexdigest()[:16]}.npz", embed)


def _cached(path: Path, make: Callable[[], list[Floats]]) -> list[Floats]:
    """Read arrays, (N, D) of each frame, or make and write them."""
    if not path.exists():
        arrays = make()
        buffer = io.BytesIO()
        np.savez(buffer, rows=np.concatenate(arrays), counts=[len(a) for a in arrays])
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, buffer.getvalue())
    with np.load(path) as file:
        rows, counts = file["rows"], file["counts"]
    return np.split(rows, np.cumsum(counts)[:-1])
