"""Scenes of the default encoder, to compare two commits. They need torch and some minutes.

Features are computed once and cached in a folder. In one short part the tracker computes them
itself. Their bits depend on the processor, so these scenes are not recorded.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from sslmot import Tracker, TrackerConfig

from .clips import Clip
from .recording import Scenes

EVERY = {"MOT17/train/MOT17-09-FRCNN": 3, "clips/TUD-Stadtmitte": 1, "clips/PRW-c6s1-a": 5}
STRETCH = "clips/TUD-Stadtmitte", 30


def _embedded(clip: Clip, every: int, folder: Path) -> dict[str, np.ndarray]:
    """Return the features of each frame with detections, from the cache or computed now."""
    path = folder / f"{clip.name}.npz"
    if not path.is_file():
        from sslmot import Encoder

        encoder = Encoder.load()
        features = {
            str(t): np.asarray(encoder(clip.frame(t), dets[:, :4]))
            for t, (dets, _) in enumerate(clip.detections())
            if t % every == 0 and len(dets)
        }
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(path, **features)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def given(clip: Clip, every: int, folder: Path) -> Scenes:
    """Track with given features, with and without frames."""
    features = _embedded(clip, every, folder)
    trackers = {
        "frames": Tracker(),
        "no frames": Tracker(),
        "paper": Tracker(TrackerConfig.paper()),
    }
    for t, (dets, _) in enumerate(clip.detections()):
        if t % every == 0:
            frame, rows = clip.frame(t), features.get(str(t))
            yield "pixels", frame[::8]
            if rows is not None:
                yield "features", rows
            for name, tracker in trackers.items():
                shown = frame if name == "frames" and rows is not None else None
                yield name, tracker.step(shown, dets, embeddings=rows)


def own(clip: Clip, frames: int) -> Scenes:
    """Track with the tracker's own encoder."""
    tracker = Tracker()
    for t, (dets, _) in enumerate(clip.detections()):
        if t < frames:
            yield "frames", tracker.step(clip.frame(t), dets)


def encoded(data: Path, folder: Path) -> dict[str, partial[Scenes]]:
    """Return the sources of the clips that exist."""
    sources: dict[str, partial[Scenes]] = {}
    for path, every in EVERY.items():
        clip = Clip(data / path)
        if clip.has_frames:
            sources[f"encoder given {clip.name}"] = partial(given, clip, every, folder)
            if path == STRETCH[0]:
                sources[f"encoder of {clip.name}"] = partial(own, clip, STRETCH[1])
    return sources
